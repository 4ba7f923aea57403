#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Collects the system calls that a program's sources declare.

A comment beside a call says which system calls it needs, and in which of our
programs:

    /* #syscalls renderer: recvfrom sendto */

The text after the colon, up to the next '#syscalls', an empty line or the end
of the comment, is a list of names.  Output: a header with one array.
"""

import argparse
import re
import sys

MARK = re.compile(r"#syscalls\s+([a-z_ ]+?):((?:(?!#syscalls|\*/|\n\s*\*?\s*\n).)*)", re.S)
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def collect(text, program, where):
    """Names that text declares for program; raises ValueError on a malformed one."""
    names = set()
    for programs, rest in MARK.findall(text):
        if program not in programs.split():
            continue
        for word in re.sub(r"\n\s*\*", "\n", rest).split():
            if not NAME.match(word):
                raise ValueError(f"{where}: '{word}' is not the name of a system call")
            names.add(word)
    return names


def render(program, names):
    lines = [
        "/* SPDX-License-Identifier: Apache-2.0 */",
        f"/* Made by gen/syscalls.py from the '#syscalls {program}:' comments of the sources. */",
        f"static const char *const syscalls_{program}[] = {{",
    ]
    lines += [f'\t"{n}",' for n in sorted(names)]
    lines += ["\tNULL,", "};", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("sources", nargs="+")
    args = parser.parse_args()
    names = set()
    for path in args.sources:
        with open(path, encoding="utf-8") as f:
            names |= collect(f.read(), args.program, path)
    if not names:
        sys.exit(f"no source declares system calls for '{args.program}'")
    with open(args.output, "w", encoding="utf-8") as f:
        f.write(render(args.program, names))


if __name__ == "__main__":
    main()
