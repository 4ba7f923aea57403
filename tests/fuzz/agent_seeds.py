#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes first inputs for the fuzz targets of the agent protocol: one conversation each."""

import os
import struct
import sys

# enum agent_type
HELLO, READY, FAILED, STARTED, EXIT, NOTE = range(1, 7)
DATA, CLOSE, CREDIT = range(16, 19)
TIME, ROOT, SHARE, HOSTNAME, NET, BOOT = range(32, 38)
CMD, ARG, ENV, CWD, USER, RLIMIT, START, SIGNAL, RESIZE, STOP, ACK = range(48, 59)


def msg(kind, *nums, strs=(), data=b"", stream=0):
    payload = b"".join(struct.pack("<Q", n) for n in nums)
    payload += b"".join(s.encode() + b"\0" for s in strs) + data
    return struct.pack("<IHH", len(payload), kind, stream) + payload


def portions(*parts):
    """Bytes for the stream, cut as the targets expect; an int is an act of the command."""
    out = b""
    for part in parts:
        if isinstance(part, int):
            out += bytes([0, part])
            continue
        for at in range(0, len(part), 255):
            piece = part[at:at + 255]
            out += bytes([len(piece)]) + piece
    return out


SETUP = (msg(TIME, 10 ** 18, 1), msg(TIME, 10 ** 18, 0), msg(ENV, strs=["A=b"]), msg(ROOT, 0, 1, strs=["root"]),
         msg(SHARE, 1, strs=["share0", "/data"]), msg(HOSTNAME, strs=["box"]),
         msg(NET, 0x0a00020f, 24, 0x0a000202, 1500, strs=["nameserver 1\n"]), msg(BOOT))
RUN = (msg(CMD, 0, 24, 80), msg(ARG, strs=["cat"]), msg(ARG, strs=[""]), msg(ENV, strs=["B=c"]),
       msg(CWD, strs=["/"]), msg(USER, strs=["0"]), msg(RLIMIT, 7, 10, 20), msg(START))

GUEST = {
    "stdin": SETUP + RUN + (msg(DATA, data=b"x" * 900), 0, msg(CLOSE), 0, 0x80, 0x81, 0x82),
    "output": SETUP + RUN + (0x3d, 0x3e, msg(CREDIT, 32768, stream=1), msg(SIGNAL, 15),
                             msg(RESIZE, 3, 4), msg(CLOSE, stream=1), 0x3d),
    "stop": SETUP + RUN + (msg(STOP, 0), msg(ACK)),
    "alone": SETUP + (msg(STOP, 5), msg(ACK)),
    "failed": SETUP + (msg(CMD, 0, 0, 0), msg(ARG, strs=["a"]), msg(USER, strs=["x"]), msg(START)),
}
HOST = {
    "exit": (msg(HELLO, 1, strs=["6.12"]), msg(READY), msg(STARTED, 9),
             msg(DATA, data=b"out" * 300, stream=1), msg(DATA, data=b"err", stream=2),
             msg(CREDIT, 100), msg(CLOSE), msg(CLOSE, stream=1), msg(EXIT, 0, 7, 0, strs=[""])),
    "failed": (msg(HELLO, 1, strs=[""]), msg(FAILED, 5, strs=["why"])),
    "note": (msg(HELLO, 1, strs=["6"]), msg(READY), msg(NOTE, strs=["full\x1b[1m"]),
             msg(EXIT, 2, 2, 2, strs=["no such command"])),
}


def main():
    for target, seeds in (("fuzz_agent_guest", GUEST), ("fuzz_agent_host", HOST)):
        folder = os.path.join(sys.argv[1], "seeds", target)
        os.makedirs(folder, exist_ok=True)
        for name, parts in seeds.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(portions(*parts))
    with open(os.path.join(sys.argv[1], "agent_seeds.stamp"), "w", encoding="ascii"):
        pass


if __name__ == "__main__":
    main()
