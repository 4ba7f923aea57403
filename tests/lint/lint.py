#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Style and static analysis as tests:  lint.py format|tidy|cppcheck SOURCE_DIR BUILD_DIR

Exit status 77 tells meson that the tool is missing here (with the reason printed).
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

SKIP = 77
FORMAT_VERSION = 14  # other versions disagree in details, so only this one judges
WARNINGS_ONLY_GCC_KNOWS = ["-Wno-unknown-warning-option", "-Wno-error"]


def sources(root, patterns=("*.c", "*.h")):
    out = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", *patterns],
                         check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted({root / name for name in out.split() if (root / name).exists()})


def find_tool(name, version=None):
    for candidate in ([f"{name}-{version}"] if version else []) + [name]:
        path = shutil.which(candidate)
        if not path:
            continue
        if version is None:
            return path
        text = subprocess.run([path, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
        match = re.search(r"version (\d+)\.", text)
        if match and int(match[1]) == version:
            return path
    return None


def parallel(jobs):
    """Runs commands on all cores; returns how many failed, with their output printed."""
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        def one(cmd):
            return subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        for result in pool.map(one, jobs):
            if result.returncode:
                failed += 1
                print(result.stdout, flush=True)
    return failed


def lint_format(root, _build):
    tool = find_tool("clang-format", FORMAT_VERSION)
    if not tool:
        print(f"skip: clang-format {FORMAT_VERSION} is not installed; other versions format differently")
        return SKIP
    files = [str(path) for path in sources(root)]
    result = subprocess.run([tool, "--dry-run", "-Werror", *files], check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(result.stdout[:8000])
    print(f"{len(files)} files")
    return 1 if result.returncode else 0


def own_commands(root, build):
    """What people wrote and ships: tests and their harness are left to the compilers' warnings."""
    ours = {str(path) for path in sources(root, ("src/*.c",)) if not path.name.endswith("_test.c")}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        path = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if str(path) in ours:
            yield path


def lint_tidy(root, build):
    tool = find_tool("clang-tidy")
    if not tool:
        print("skip: clang-tidy is not installed")
        return SKIP
    files = sorted(set(own_commands(root, build)))
    extra = [f"--extra-arg={flag}" for flag in WARNINGS_ONLY_GCC_KNOWS]
    failed = parallel([tool, "--quiet", "-p", str(build), *extra, str(path)] for path in files)
    print(f"{len(files)} files, {failed} with findings")
    return 1 if failed else 0


def lint_cppcheck(root, build):
    tool = find_tool("cppcheck")
    if not tool:
        print("skip: cppcheck is not installed")
        return SKIP
    # unusedStructMember and the like need the whole program; unreadVariable trips over cleanup
    # attributes, which end the scope of a descriptor.
    files = [str(path) for path in sources(root, ("src/*.c",)) if not path.name.endswith("_test.c")]
    result = subprocess.run(
        [tool, "--quiet", "--enable=warning,portability", "--inline-suppr", "--error-exitcode=1",
         "-j", str(os.cpu_count() or 1), "--std=c11", "-I", str(root / "src"), "--library=posix",
         "--suppress=missingInclude", "--suppress=missingIncludeSystem", "--suppress=preprocessorErrorDirective",
         "--suppressions-list=" + str(root / "tests/lint/cppcheck.txt"), *files],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(result.stdout[:8000])
    print(f"{len(files)} files")
    return 1 if result.returncode else 0


def main():
    which, root, build = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]).resolve()
    return {"format": lint_format, "tidy": lint_tidy, "cppcheck": lint_cppcheck}[which](root, build)


if __name__ == "__main__":
    sys.exit(main())
