#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks every #include "..." below src/ against the layer table of docs/architecture.md.

The table is the one place that says which folder may use which; this test makes it true.
"""
import pathlib
import re
import sys

ROW = re.compile(r"^\|\s*`(\w+)/`\s*\|[^|]*\|([^|]*)\|\s*$")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
# Unit tests and fuzz entry points may reach for the harness as well.
TEST_FILE = re.compile(r"_(test|fuzz)\.c$")


def read_table(text):
    table = {}
    for line in text.splitlines():
        match = ROW.match(line)
        if match:
            table[match[1]] = set(re.findall(r"`([\w./]+)`", match[2]))
    return table


def find_cycle(table):
    """Returns the folders of a cycle, or None."""
    state = {}

    def visit(node, path):
        if state.get(node) == "done":
            return None
        if node in path:
            return path[path.index(node):] + [node]
        for below in sorted(table.get(node, ())):
            cycle = visit(below, path + [node])
            if cycle:
                return cycle
        state[node] = "done"
        return None

    for name in sorted(table):
        cycle = visit(name, [])
        if cycle:
            return cycle
    return None


def check_file(path, folder, table, root):
    allowed = table[folder] | {folder}
    for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
        top = name.split("/")[0]
        if top in allowed or name in allowed or (TEST_FILE.search(path.name) and top == "harness"):
            continue
        shown = path.relative_to(root)
        if top == name:
            yield f"{shown}: include \"{name}\" must name its folder"
        elif top not in table:
            yield f"{shown}: include \"{name}\": no folder {top}/ in the layer table"
        else:
            yield f"{shown}: {folder}/ may not include \"{name}\" (layer table, docs/architecture.md)"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    table = read_table((root / "docs/architecture.md").read_text(encoding="utf-8"))
    problems = []
    if not table:
        problems.append("docs/architecture.md: layer table not found")
    for name, below in table.items():
        for other in sorted(o for o in below - set(table) if not o.endswith(".h")):
            problems.append(f"docs/architecture.md: {name}/ uses {other}/, which has no row")
    cycle = find_cycle(table)
    if cycle:
        problems.append("docs/architecture.md: cycle " + " -> ".join(cycle))
    files = sorted((root / "src").rglob("*.[ch]"))
    for path in files:
        folder = path.relative_to(root / "src").parts[0]
        if folder not in table:
            problems.append(f"{path.relative_to(root)}: folder {folder}/ has no row in the layer table")
            continue
        problems += check_file(path, folder, table, root)
    for problem in problems:
        print(problem)
    print(f"{len(files)} files, {len(table)} folders, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
