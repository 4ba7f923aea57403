# SPDX-License-Identifier: Apache-2.0
"""A small client of the vtest protocol (venus.md 10), for tests of the server."""

import array
import os
import select
import socket
import struct

RESOURCE_UNREF = 3
BUSY_WAIT = 7
CREATE_RENDERER = 8
PING = 10
VERSION = 11
GET_PARAM = 15
GET_CAPSET = 16
CONTEXT_INIT = 17
CREATE_BLOB = 18
SYNC_CREATE = 19
SYNC_UNREF = 20
SYNC_READ = 21
SYNC_WRITE = 22
SYNC_WAIT = 23
SUBMIT_CMD2 = 24

FOREVER = 0xFFFFFFFF


class Gone(Exception):
    """The server has closed the connection."""


class Client:
    def __init__(self, path, timeout=120):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(path)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Gone from e

    def tell(self, command, *words):
        self.send(struct.pack(f"<II{len(words)}I", len(words), command, *words))

    def hear_bytes(self, n):
        data = b""
        while len(data) < n:
            try:
                got = self.sock.recv(n - len(data))
            except ConnectionResetError as e:
                raise Gone from e
            if not got:
                raise Gone
            data += got
        return data

    def hear(self, command):
        words, got = struct.unpack("<II", self.hear_bytes(8))
        if got != command:
            raise AssertionError(f"answer {got} to command {command}")
        return struct.unpack(f"<{words}I", self.hear_bytes(4 * words))

    def hear_fd(self):
        data, control, _, _ = self.sock.recvmsg(1, socket.CMSG_SPACE(4))
        if not data:
            raise Gone
        fds = array.array("i")
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload)
        if len(fds) != 1:
            raise AssertionError("no descriptor came")
        return fds[0]

    def name(self, name=b"test\0"):
        self.send(struct.pack("<II", len(name), CREATE_RENDERER) + name)

    def greet(self, version=4):
        self.name()
        self.tell(PING)
        self.tell(BUSY_WAIT, 0, 0)
        self.hear(PING)
        self.hear(BUSY_WAIT)
        self.tell(VERSION, version)
        return self.hear(VERSION)[0]

    def begin(self, version=4):
        self.greet(version)
        self.tell(GET_CAPSET, 4, 0)
        self.hear(GET_CAPSET)
        self.tell(CONTEXT_INIT, 4)
        return self

    def blob(self, size=4096):
        self.tell(CREATE_BLOB, 2, 1, size & 0xFFFFFFFF, size >> 32, 0, 0)
        res = self.hear(CREATE_BLOB)[0]
        return res, self.hear_fd()

    def sync(self, value=0):
        self.tell(SYNC_CREATE, value & 0xFFFFFFFF, value >> 32)
        return self.hear(SYNC_CREATE)[0]

    def read(self, sync):
        self.tell(SYNC_READ, sync)
        low, high = self.hear(SYNC_READ)
        return low | high << 32

    def wait(self, sync, value, timeout_ms=FOREVER):
        self.tell(SYNC_WAIT, 0, timeout_ms, sync, value & 0xFFFFFFFF, value >> 32)
        self.hear(SYNC_WAIT)
        return self.hear_fd()

    def submit(self, words=(), ring=0, sync=None, value=0):
        """One batch with 8-word headers, as Mesa 26 sends it."""
        syncs = (sync, value & 0xFFFFFFFF, value >> 32) if sync else ()
        self.tell(SUBMIT_CMD2, 1, 1, 9, len(words), 9 + len(words), len(syncs) // 3, ring, 0, 0,
                  *words, *syncs)

    def is_closed(self, timeout=120):
        """Whether the server closes within that time; answers that come before are dropped."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(65536):
                pass
            return True
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False


def poll_fd(fd, timeout):
    """Events of a wait's descriptor."""
    p = select.poll()
    p.register(fd, select.POLLIN)
    got = p.poll(timeout * 1000)
    return got[0][1] if got else 0


def close_fd(fd):
    os.close(fd)
