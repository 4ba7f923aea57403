#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes first inputs for the fuzz targets of the monitor: what a well-behaved peer sends."""

import os
import struct
import sys

CONFIG, KERNEL, INIT, SHARE, DISK, NET, VSOCK, CONSOLE = range(1, 9)  # enum ctl_type


def msg(kind, body=b"", fds=0, damage=0):
    units = (len(body) + 7) // 8
    return bytes([kind, fds | damage, units]) + body.ljust(units * 8, b"\0")


def config(cpus=2, ram_mib=512):
    return msg(CONFIG, b"box".ljust(64, b"\0") + struct.pack("<QIIII", ram_mib, cpus, 2, 0, 0) + b"quiet")


def vsock(kind, port, path=b"", fds=0):
    return msg(VSOCK, struct.pack("<II", kind, port) + path, fds)


def share(name, is_ro=0):
    return msg(SHARE, name.ljust(64, b"\0") + bytes([is_ro, 1]), 1)


CONTROL = {
    "krunfw": config() + msg(KERNEL, struct.pack("<I", 1)) + msg(INIT, fds=1) + share(b"root")
              + share(b"share0", 1) + vsock(3, 1024, fds=1) + vsock(1, 1024, fds=1),
    "file": config() + msg(KERNEL, struct.pack("<I", 2), 1) + msg(CONSOLE, fds=1),
    "initrd": config() + msg(KERNEL, struct.pack("<I", 3), 2) + vsock(2, 5000, b"/tmp/x")
              + msg(NET, b"\x52\x54\0\1\2\3" + struct.pack("<H", 1500), 1)
              + msg(DISK, b"disk0".ljust(20, b"\0") + b"\1", 1),
    "cut": config() + msg(KERNEL, struct.pack("<I", 1), damage=0xc0),
}
OPT = {
    "all": b"-f\0-c4\0--memory=2G\0-t\0001.5m\0--name\0x\0-eA=1\0-e\0B=2\0--count=7\0--size\00064K\0rest\0",
    "help": b"-n\0x\0--help\0",
    "end": b"-fn\0x\0--\0-f\0",
}


def elf():
    """A vmlinux with one segment and a PVH note."""
    note = struct.pack("<III", 4, 4, 18) + b"Xen\0" + struct.pack("<I", 0x100000)
    head = b"\x7fELF\2\1\1".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x100000, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    text = b"\xf4" * 64
    at = 64 + 2 * 56
    loads = struct.pack("<IIQQQQQQ", 1, 5, at, 0x100000, 0x100000, len(text), 4096, 4096)
    notes = struct.pack("<IIQQQQQQ", 4, 4, at + len(text), 0, 0, len(note), len(note), 4)
    return head + loads + notes + text + note


def bzimage():
    """A setup sector with the header of boot protocol 2.15 and a little code."""
    b = bytearray(2 * 512 + 1024)
    b[0x1f1] = 1
    struct.pack_into("<I", b, 0x1f4, 64)
    struct.pack_into("<H", b, 0x1fe, 0xaa55)
    b[0x200:0x202] = b"\xeb\x66"
    b[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", b, 0x206, 0x20f)
    b[0x211] = 1
    struct.pack_into("<I", b, 0x214, 0x100000)
    struct.pack_into("<II", b, 0x22c, 0x7fffffff, 0x200000)
    b[0x234] = 1
    struct.pack_into("<H", b, 0x236, 0x3f)
    struct.pack_into("<I", b, 0x238, 2047)
    struct.pack_into("<QI", b, 0x258, 0x1000000, 0x10000)
    return bytes(b)


SEEDS = {
    "fuzz_control": CONTROL,
    "fuzz_opt": OPT,
    "fuzz_kernel_image": {"elf": elf(), "bzimage": bzimage()},
    # Two chains in a ring of 16: header and data, and one with a writable part.
    "fuzz_vq": {"chains": b"".join(struct.pack("<QIHH", 0x1000 + 0x100 * i, 64, i & 1, i + 1)
                                   for i in range(4)).ljust(0x100, b"\0")
                          + struct.pack("<HHHH", 0, 2, 0, 2)},
}


def main():
    for target, seeds in SEEDS.items():
        folder = os.path.join(sys.argv[1], "seeds", target)
        os.makedirs(folder, exist_ok=True)
        for name, data in seeds.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)
    with open(os.path.join(sys.argv[1], "monitor_seeds.stamp"), "w", encoding="ascii"):
        pass


if __name__ == "__main__":
    main()
