#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Robustness of `pecten gpu serve`: hostile and dying clients, dying renderers and servers.

usage: server_test.py PECTEN LIBEXEC [unittest options]

LIBEXEC holds the pecten-renderer to use: the real one, or the one whose context executes nothing.
"""

import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import vtest_client as vtest
from vtest_client import Client, Gone

PECTEN = LIBEXEC = NULL_DRIVER = ""
IS_FAKE = IS_ASAN = False
SKIP = 77
PATIENCE = 120  # seconds; only a hang takes that long
CLIENTS_TO_KILL = int(os.environ.get("PECTEN_TEST_KILLS", "200"))


def environment(**more):
    env = dict(os.environ, PECTEN_LIBEXEC=LIBEXEC, **more)
    # The filter knows nothing of what the leak checker needs; driver libraries leak anyway.
    env["ASAN_OPTIONS"] = "detect_leaks=0"
    return env


def children(pid):
    """Processes whose parent is pid."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(entry))
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition):
    """Waits for a condition; returns whether it came true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


class Server:
    def __init__(self, folder, *options, **env):
        self.path = os.path.join(folder, "gpu.sock")
        self.cache = os.path.join(folder, "cache")
        self.log_path = os.path.join(folder, "log")
        self.log_file = open(self.log_path, "ab")
        self.proc = subprocess.Popen(
            [PECTEN, "gpu", "serve", "--vtest", self.path, "--shader-cache", self.cache, *options],
            stdout=subprocess.PIPE, stderr=self.log_file, env=environment(**env))
        self.first_line = self.proc.stdout.readline().decode()

    def is_up(self):
        return "serving" in self.first_line

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def client(self, **kw):
        return Client(self.path, **kw)

    def renderers(self):
        return children(self.proc.pid)

    def settle(self):
        """Waits until no renderer but the spare is left; returns whether that happened."""
        return until(lambda: len(self.renderers()) <= 1)

    def rest(self):
        """Waits until nothing is left but a spare that is ready; returns whether that happened."""
        def at_rest():
            told = self.info()
            return not told["clients"] and self.renderers() == [told["spare"]]
        return until(at_rest)

    def fds(self):
        """Open files at rest; who asked for the state may still be counted in some samples."""
        samples = []
        for _ in range(10):
            samples.append(len(os.listdir(f"/proc/{self.proc.pid}/fd")))
            time.sleep(0.02)
        return min(samples)

    def info(self):
        out = subprocess.run([PECTEN, "gpu", "info", "--socket", self.path, "--json"],
                             capture_output=True, env=environment(), check=True)
        return json.loads(out.stdout)

    def end(self, sig=signal.SIGTERM):
        self.proc.send_signal(sig)
        status = self.proc.wait(PATIENCE)
        self.proc.stdout.close()
        self.log_file.close()
        return status


class ServerCase(unittest.TestCase):
    options = ()

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pecten-serve-")
        self.server = Server(self.folder, *self.options)
        self.assertTrue(self.server.is_up(), self.server.log())

    def tearDown(self):
        if self.server.proc.poll() is None:
            before = self.server.renderers()
            self.assertEqual(self.server.end(), 0)
            self.assertTrue(until(lambda: not any(alive(p) for p in before)))
        self.assertEqual(sorted(f for f in os.listdir(self.folder) if f.startswith("gpu")), [])
        for word in ("AddressSanitizer", "runtime error", "Assertion"):
            self.assertNotIn(word, self.server.log())
        shutil.rmtree(self.folder)

    def assert_log(self, words):
        """The server says so, if perhaps after what a client sees of it."""
        self.assertTrue(until(lambda: words in self.server.log()), self.server.log())

    def assert_serves(self):
        with self.server.client() as c:
            c.begin()
            s = c.sync(7)
            self.assertEqual(c.read(s), 7)


class Serving(ServerCase):
    def test_a_client_gets_blobs_and_syncs(self):
        with self.server.client() as c:
            c.begin()
            res, fd = c.blob(10000)
            self.assertEqual(os.fstat(fd).st_size, 12288)
            os.close(fd)
            c.tell(vtest.RESOURCE_UNREF, res)
            s = c.sync(1 << 40)
            self.assertEqual(c.read(s), 1 << 40)
            fd = c.wait(s, 1 << 40)
            self.assertTrue(vtest.poll_fd(fd, 0) & 1)
            os.close(fd)
            c.submit((), 0, s, 99)
            self.assertEqual(c.read(s), 99)

    def test_an_older_mesa_is_understood(self):
        with self.server.client() as c:
            self.assertEqual(c.greet(3), 3)

    def test_a_too_old_mesa_is_told_why_in_the_log(self):
        with self.server.client() as c:
            c.greet(2)
            self.assertTrue(c.is_closed())
        self.assert_log("needs Mesa 25.0 or newer")

    def test_many_clients_at_once(self):
        clients = [self.server.client() for _ in range(12)]
        for c in clients:
            c.begin()
        syncs = [c.sync(i) for i, c in enumerate(clients)]
        for i, c in enumerate(clients):
            self.assertEqual(c.read(syncs[i]), i)
        self.assertEqual(len(self.server.info()["clients"]), 12)
        for c in clients:
            c.close()
        self.assertTrue(self.server.settle())

    def test_info_tells_what_clients_do(self):
        with self.server.client() as c:
            c.name(b"gpu \x1b[31mtest\0")
            c.tell(vtest.VERSION, 4)
            c.hear(vtest.VERSION)
            c.tell(vtest.CONTEXT_INIT, 4)
            c.sync()
            [client] = self.server.info()["clients"]
            self.assertEqual(client["name"], "gpu ?[31mtest")
            self.assertEqual(client["pid"], os.getpid())
            self.assertIn("commands", client["counters"])

    def test_an_ended_server_takes_its_renderers_along(self):
        clients = [self.server.client().begin() for _ in range(3)]
        before = self.server.renderers()
        self.assertEqual(self.server.end(signal.SIGINT), 0)
        self.assertTrue(until(lambda: not any(alive(p) for p in before)))
        for c in clients:
            self.assertTrue(c.is_closed())
            c.close()

    def test_a_killed_server_leaves_nothing_that_matters(self):
        for _ in range(3):
            clients = [self.server.client().begin() for _ in range(3)]
            before = self.server.renderers()
            self.assertGreaterEqual(len(before), 3)
            self.server.end(signal.SIGKILL)
            self.assertTrue(until(lambda b=before: not any(alive(p) for p in b)))
            for c in clients:
                self.assertTrue(c.is_closed())
                c.close()
            self.assertTrue(os.path.exists(self.server.path))
            self.server = Server(self.folder)
            self.assertTrue(self.server.is_up(), self.server.log())
            self.assert_serves()


class Dying(ServerCase):
    def test_a_killed_renderer_wakes_its_client(self):
        with self.server.client() as c:
            c.begin()
            s = c.sync()
            fd = c.wait(s, 1)
            self.assertEqual(vtest.poll_fd(fd, 0), 0)
            [client] = self.server.info()["clients"]
            os.kill(client["renderer"], signal.SIGKILL)
            # Mesa: a hang-up without data is VK_ERROR_DEVICE_LOST.
            self.assertEqual(vtest.poll_fd(fd, PATIENCE), 16)
            os.close(fd)
            self.assertTrue(c.is_closed())
        self.assert_log("was killed by signal 9")
        self.assert_serves()

    def test_others_go_on_when_a_renderer_dies(self):
        with self.server.client() as a, self.server.client() as b:
            a.begin()
            b.begin()
            s = b.sync(3)
            os.kill(self.server.info()["clients"][0]["renderer"], signal.SIGABRT)
            self.assertTrue(a.is_closed())
            self.assertEqual(b.read(s), 3)

    def only_renderer(self):
        found = []

        def is_alone():
            found[:] = self.server.renderers()
            return len(found) == 1
        self.assertTrue(until(is_alone), found)
        return found[0]

    def test_a_dead_spare_is_replaced(self):
        for _ in range(3):
            spare = self.only_renderer()
            try:
                os.kill(spare, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was the last client's and has ended by itself
            self.assertTrue(until(lambda dead=spare: self.server.renderers() not in ([], [dead])))
            self.assert_serves()

    def test_a_renderer_does_not_outlive_its_client(self):
        with self.server.client() as c:
            c.begin()
            renderer = self.server.info()["clients"][0]["renderer"]
            os.kill(renderer, signal.SIGSTOP)  # as if it were no longer itself
        self.assertTrue(until(lambda: not alive(renderer)))
        self.assert_log("did not end after its client")
        self.assert_serves()

    def test_clients_killed_at_random_moments_leave_nothing(self):
        for _ in range(3):
            self.assert_serves()  # whatever is allocated once
        self.assertTrue(self.server.rest(), self.server.log())
        fds, memory = self.server.fds(), resident_kib(self.server.proc.pid)
        files = sum(len(f) for _, _, f in os.walk(self.folder))
        rng = random.Random(4)
        running = []
        for n in range(CLIENTS_TO_KILL):
            running.append((self.fork_client(n), time.monotonic() + rng.random() * 0.3))
            while len(running) >= 4:
                self.kill_due(running)
            if n % 7 == 3:
                victims = [c["renderer"] for c in self.server.info().get("clients", [])]
                if victims:
                    try:
                        os.kill(rng.choice(victims), signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        while running:
            self.kill_due(running)
        self.assertIsNone(self.server.proc.poll(), self.server.log())
        self.assertTrue(self.server.settle(), self.server.renderers())
        self.assert_serves()
        self.assertTrue(self.server.rest(), self.server.renderers())
        self.assertTrue(until(lambda: self.server.fds() <= fds), (fds, self.server.fds()))
        # AddressSanitizer keeps what is freed for a while.
        self.assertLess(resident_kib(self.server.proc.pid) - memory, 16384 if IS_ASAN else 1024)
        self.assertEqual(sum(len(f) for _, _, f in os.walk(self.folder)), files)

    def fork_client(self, seed):
        pid = os.fork()
        if pid:
            return pid
        try:
            rng = random.Random(seed)
            c = Client(self.server.path)
            c.begin(rng.choice((3, 4)))
            syncs = [c.sync()]
            while True:
                what = rng.randrange(5)
                if what == 0:
                    c.blob(rng.randrange(1, 1 << 20))
                elif what == 1:
                    syncs.append(c.sync(rng.randrange(100)))
                elif what == 2:
                    c.read(rng.choice(syncs))
                elif what == 3:
                    c.wait(rng.choice(syncs), rng.randrange(200))
                else:
                    c.tell(vtest.SYNC_WRITE, rng.choice(syncs), rng.randrange(100), 0)
        except (Gone, OSError):
            pass
        finally:
            os._exit(0)

    @staticmethod
    def kill_due(running):
        time.sleep(0.005)
        now = time.monotonic()
        for entry in list(running):
            pid, due = entry
            if now >= due:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                running.remove(entry)


    def test_a_client_outlives_a_spare_that_dies_at_the_hand_over(self):
        self.assertTrue(self.server.rest(), self.server.log())
        spare = self.server.info()["spare"]
        os.kill(spare, signal.SIGSTOP)  # it shall not take what it is given
        with self.server.client() as c:
            self.assertTrue(until(lambda: [x["renderer"] for x in self.server.info()["clients"]]
                                  == [spare]))
            os.kill(spare, signal.SIGKILL)
            c.begin()
            s = c.sync(5)
            self.assertEqual(c.read(s), 5)
            [client] = self.server.info()["clients"]
            self.assertNotEqual(client["renderer"], spare)


class Hanging(ServerCase):
    """Drivers that do not load, once the server is up."""
    options = ("--load-timeout", "20")  # the real driver needs a part of a second on an idle host

    def setUp(self):
        # pylint: disable=global-statement
        global LIBEXEC
        self.libexec, self.real = tempfile.mkdtemp(prefix="pecten-libexec-"), LIBEXEC
        self.hang = os.path.join(self.libexec, "hang")
        script = os.path.join(self.libexec, "pecten-renderer")
        with open(script, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\n[ ! -e {self.hang} ] || exec sleep 1000\n"
                    f"exec {self.real}/pecten-renderer\n")
        os.chmod(script, 0o755)
        LIBEXEC = self.libexec
        self.addCleanup(self.put_back)
        super().setUp()

    def put_back(self):
        # pylint: disable=global-statement
        global LIBEXEC
        LIBEXEC = self.real
        shutil.rmtree(self.libexec)

    def test_a_driver_that_does_not_load_is_given_up(self):
        self.assertTrue(self.server.rest(), self.server.log())
        spare = self.server.info()["spare"]
        with open(self.hang, "w", encoding="utf-8"):
            pass
        os.kill(spare, signal.SIGKILL)
        self.assertTrue(until(lambda: self.server.renderers() not in ([], [spare])))
        with self.server.client() as c:
            self.assertTrue(c.is_closed())
        self.assert_log("did not load within 20 s")
        os.unlink(self.hang)
        self.assertTrue(self.server.rest(), self.server.log())
        self.assert_serves()


class Hostile(ServerCase):
    def refused(self, *messages):
        """After CONTEXT_INIT, each of these ends the connection."""
        for m in messages:
            with self.subTest(message=m[:16].hex()), self.server.client() as c:
                c.begin()
                try:
                    c.send(m)
                except Gone:
                    pass
                self.assertTrue(c.is_closed())

    def test_wrong_messages_end_the_connection(self):
        def msg(command, *words, length=None):
            n = len(words) if length is None else length
            return struct.pack(f"<II{len(words)}I", n, command, *words)

        big = 0xFFFFFFFF
        self.refused(
            msg(0), msg(99), msg(big), msg(vtest.CREATE_RENDERER, 1),
            msg(vtest.SYNC_READ, length=big), msg(vtest.SUBMIT_CMD2, length=big),
            msg(vtest.SUBMIT_CMD2, length=(4 << 20) // 4 + 1), msg(vtest.SUBMIT_CMD2, big),
            msg(vtest.SUBMIT_CMD2, 1, 1, 9, big, 0, 0, 0, 0, 0),
            msg(vtest.SUBMIT_CMD2, 1, 1, big, big, 0, 0, 0, 0, 0),
            msg(vtest.SUBMIT_CMD2, 1, 1, 0, 0, big, big, 0, 0, 0),
            msg(vtest.SUBMIT_CMD2, 1, 1, 0, 0, 0, 0, 64, 0, 0),
            msg(vtest.CREATE_BLOB, 2, 1, 0, 0, 0, 0), msg(vtest.CREATE_BLOB, 2, 1, big, big, 0, 0),
            msg(vtest.CREATE_BLOB, 2, 1, 4096, 0, big, big), msg(vtest.RESOURCE_UNREF, 0),
            msg(vtest.SYNC_READ, 12345), msg(vtest.SYNC_WAIT, 0, 0, 1),
            msg(vtest.CONTEXT_INIT, 4), msg(vtest.PING, 0))
        self.assertTrue(self.server.settle())
        self.assert_serves()

    def test_garbage_is_survived(self):
        rng = random.Random(1)
        for _ in range(30):
            with self.server.client() as c:
                if rng.randrange(2):
                    c.begin()
                try:
                    c.send(rng.randbytes(rng.randrange(1, 200000)))
                except Gone:
                    continue
                c.sock.shutdown(socket.SHUT_WR)
                self.assertTrue(c.is_closed())
        self.assertTrue(self.server.settle())
        self.assert_serves()

    def test_half_messages_are_survived(self):
        whole = struct.pack("<IIIII", 3, vtest.SYNC_WRITE, 1, 0, 0)
        for n in range(len(whole)):
            with self.server.client() as c:
                c.begin()
                c.sync()
                c.send(whole[:n])
        with self.server.client() as c:
            c.name()
            c.send(b"\0" * 3)
        self.assertTrue(self.server.settle())
        self.assert_serves()

    def test_silent_clients_cost_nobody_else(self):
        silent = [self.server.client() for _ in range(5)]
        self.assert_serves()
        for c in silent:
            c.close()
        self.assertTrue(self.server.settle())

    def test_a_flood_of_descriptors_is_dropped(self):
        with self.server.client() as c:
            c.begin()
            with open("/dev/null", "rb") as null:
                ping = struct.pack("<II", 0, vtest.PING)
                for _ in range(200):
                    socket.send_fds(c.sock, [ping], [null.fileno()] * 100)
                    c.hear(vtest.PING)
            [client] = self.server.info()["clients"]
            self.assertLess(len(os.listdir(f"/proc/{client['renderer']}/fd")), 60)

    def test_who_does_not_read_answers_blocks_itself_only(self):
        with self.server.client() as c:
            c.begin()
            c.sock.settimeout(2)
            try:
                while True:
                    c.sock.sendall(struct.pack("<II", 0, vtest.PING) * 1000)
            except (socket.timeout, BlockingIOError):
                pass
            self.assert_serves()
        self.assertTrue(self.server.settle())

    def test_a_driver_that_keeps_a_command_is_given_up(self):
        if not IS_FAKE:
            self.skipTest("needs a context that hangs when told to")
        with self.server.client() as c:
            c.begin()
            c.submit([0x4A460000])
            self.assert_serves()
        # Nobody reads that socket any more; the process ends nevertheless, and its place is free.
        self.assertTrue(self.server.rest())
        self.assert_log("did not come to rest")

    def test_descriptors_run_out_in_one_renderer_only(self):
        with self.server.client() as c:
            c.begin()
            held = []
            try:
                for _ in range(20000):
                    held.append(c.blob()[1])
                    if len(held) % 8 == 0:
                        while held:
                            os.close(held.pop())
            except Gone:
                pass
            else:
                self.fail("there is no limit of blobs")
            finally:
                for fd in held:
                    os.close(fd)
        self.assertTrue(self.server.settle())
        self.assert_serves()


class Limited(ServerCase):
    options = ("--max-clients", "2")

    @unittest.skipIf(os.geteuid() != 0, "needs a second user")
    def test_one_user_does_not_take_all_places(self):
        os.chmod(self.folder, 0o755)
        os.chmod(self.server.path, 0o666)
        os.seteuid(65534)  # of which the server is told when the socket is connected
        try:
            first = self.server.client()
            second = self.server.client()
        finally:
            os.seteuid(0)
        with first, second:
            first.begin()
            self.assertTrue(second.is_closed())
            self.assert_log("user 65534 has half of the 2 places")
            self.assert_serves()

    def test_clients_above_the_limit_are_refused(self):
        with self.server.client() as a, self.server.client() as b:
            a.begin()
            b.begin()
            with self.server.client() as c:
                self.assertTrue(c.is_closed())
            s = a.sync(1)
            self.assertEqual(a.read(s), 1)
        self.assert_log("--max-clients")
        self.assertTrue(self.server.settle())
        self.assert_serves()


class CommandLine(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pecten-serve-")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_pecten(self, *args, **env):
        return subprocess.run([PECTEN, *args], capture_output=True, text=True, timeout=PATIENCE,
                              env=environment(**env), check=False)

    def assert_says(self, result, status, text):
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertIn(text, result.stderr)
        self.assertTrue(result.stderr.startswith("pecten: "), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def test_usage_errors(self):
        for args, text in (
                (("gpu", "serve"), "--vtest PATH is missing"),
                (("gpu", "serve", "--vtest"), "--vtest needs a value"),
                (("gpu", "serve", "--vtest", "x", "--bogus"), "unknown option '--bogus'"),
                (("gpu", "serve", "--vtest", "x", "y"), "unexpected argument 'y'"),
                (("gpu", "serve", "--vtest", "x", "--max-clients", "0"), "from 1 to"),
                (("gpu", "serve", "--vtest", "x", "--max-memory", "1M"), "--max-memory"),
                (("gpu", "serve", "--vtest", "x", "--log-level", "9"), "from 0 to 5"),
                (("gpu", "bogus"), "no command 'bogus'"),
                (("bogus",), "no command 'bogus'")):
            with self.subTest(args=args):
                self.assert_says(self.run_pecten(*args), 2, text)

    def test_help_teaches(self):
        for args in (("--help",), ("gpu", "--help"), ("gpu", "serve", "--help"),
                     ("gpu", "info", "-h")):
            result = self.run_pecten(*args)
            self.assertEqual(result.returncode, 0)
            self.assertIn("usage: pecten", result.stdout)
        self.assertIn("VN_DEBUG=vtest", self.run_pecten("gpu", "serve", "--help").stdout)

    def test_a_bad_path_is_explained(self):
        taken = os.path.join(self.folder, "file")
        with open(taken, "w", encoding="utf-8"):
            pass
        folder = os.path.join(self.folder, "folder")
        os.mkdir(folder)
        for path, text in (
                (taken, "is not a socket"),
                (os.path.join(self.folder, "x" * 120), "the system allows 107"),
                (os.path.join(self.folder, "no", "such", "gpu.sock"), "cannot create"),
                (folder, "is not a socket")):
            with self.subTest(path=path):
                self.assert_says(self.run_pecten("gpu", "serve", "--vtest", path), 1, text)
        self.assertEqual(sorted(os.listdir(self.folder)), ["file", "folder"])

    def test_a_socket_in_use_is_left_alone(self):
        server = Server(self.folder)
        self.assertTrue(server.is_up(), server.log())
        self.assert_says(self.run_pecten("gpu", "serve", "--vtest", server.path), 1,
                         "another server is listening")
        with server.client() as c:
            c.begin()
        self.assertEqual(server.end(), 0)

    def test_a_foreign_server_is_left_alone(self):
        path = os.path.join(self.folder, "gpu.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.bind(path)
            s.listen()
            self.assert_says(self.run_pecten("gpu", "serve", "--vtest", path), 1,
                             "another server is listening")
        self.assertTrue(os.path.exists(path))

    def test_a_missing_server_is_explained(self):
        self.assert_says(self.run_pecten("gpu", "info", "--socket", "/nonexistent"), 1,
                         "is it running?")

    def test_a_missing_renderer_is_explained(self):
        result = subprocess.run([PECTEN, "gpu", "info"], capture_output=True, text=True,
                                env=dict(os.environ, PECTEN_LIBEXEC="/nonexistent"), check=False)
        self.assert_says(result, 1, "PECTEN_LIBEXEC")

    def test_a_missing_driver_is_explained(self):
        if IS_FAKE:
            self.skipTest("the renderer without Vulkan probes nothing")
        result = self.run_pecten("gpu", "serve", "--vtest", os.path.join(self.folder, "s"),
                                 VK_DRIVER_FILES="/nonexistent.json",
                                 VK_ICD_FILENAMES="/nonexistent.json")
        self.assert_says(result, 1, "mesa-vulkan-drivers")
        self.assertEqual(os.listdir(self.folder), [])

    def test_video_memory_is_mapped_if_asked_for(self):
        if IS_FAKE or IS_ASAN:
            self.skipTest("only the real renderer, without sanitizer, watches its driver map")
        for args, strategy, is_visible in (((), "none", False),
                                           (("--map-video-memory",), "driver", True)):
            result = self.run_pecten("gpu", "info", "--json", *args, VK_DRIVER_FILES=NULL_DRIVER)
            self.assertEqual(result.returncode, 0, result.stderr)
            bar = json.loads(result.stdout)["devices"][0]["memoryTypes"][2]
            self.assertEqual(bar["strategy"], strategy)
            self.assertEqual("host-visible" in bar["guestFlags"], is_visible)

    def test_a_cache_of_others_is_refused(self):
        cache = os.path.join(self.folder, "cache")
        os.makedirs(os.path.join(cache, f"uid-{os.getuid()}"))
        os.chmod(os.path.join(cache, f"uid-{os.getuid()}"), 0o777)
        result = self.run_pecten("gpu", "serve", "--vtest", os.path.join(self.folder, "s"),
                                 "--shader-cache", cache)
        self.assert_says(result, 1, "others may write")


def main():
    global PECTEN, LIBEXEC, NULL_DRIVER, IS_FAKE, IS_ASAN
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    PECTEN, LIBEXEC = (os.path.abspath(a) for a in sys.argv[1:3])
    # The driver that computes nothing, with memory like NVIDIA's.
    NULL_DRIVER = os.path.join(os.path.dirname(PECTEN), "..", "..", "tests", "harness", "null_icd",
                               "null_icd.json")
    probe = subprocess.run([PECTEN, "gpu", "info"], capture_output=True, text=True,
                           env=environment(), check=False)
    if "no Vulkan" in probe.stderr:
        print(probe.stderr)
        sys.exit(SKIP)
    with open(PECTEN, "rb") as f:
        IS_ASAN = b"__asan_init" in f.read()
    IS_FAKE = "fake device" in probe.stdout
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])


if __name__ == "__main__":
    main()
