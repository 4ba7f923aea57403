#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a file as a C array, so that a program can carry it."""

import sys

BYTES_PER_LINE = 24


def emit(name: str, header: str, data: bytes) -> str:
    lines = [
        "/* Made by gen/embed.py; not for reading. */",
        f'#include "{header}"',
        "",
        f"const unsigned char {name}[] = {{",
    ]
    for at in range(0, len(data), BYTES_PER_LINE):
        lines.append("".join(f"{byte}," for byte in data[at:at + BYTES_PER_LINE]))
    lines += ["};", f"const size_t {name}_size = sizeof({name});", ""]
    return "\n".join(lines)


def main() -> None:
    if len(sys.argv) != 5:
        sys.exit("usage: embed.py NAME HEADER INPUT OUTPUT")
    name, header, source, target = sys.argv[1:]
    with open(source, "rb") as f:
        data = f.read()
    with open(target, "w", encoding="ascii") as f:
        f.write(emit(name, header, data))


if __name__ == "__main__":
    main()
