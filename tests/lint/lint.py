#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Style and static analysis as tests:  lint.py format|tidy|cppcheck SOURCE_DIR BUILD_DIR

Exit status 77 tells meson that the tool is missing here (with the reason printed).
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

SKIP = 77
CLANG_VERSION = 14  # other versions disagree in details, so only this one judges
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


def lint_format(root, _build):
    tool = find_tool("clang-format", CLANG_VERSION)
    if not tool:
        print(f"skip: clang-format {CLANG_VERSION} is not installed; other versions format differently")
        return SKIP
    files = [str(path) for path in sources(root)]
    result = subprocess.run([tool, "--dry-run", "-Werror", *files], check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(result.stdout[:8000])
    print(f"{len(files)} files")
    return 1 if result.returncode else 0


def own_commands(root, build):
    """{path: compile command} of what people wrote and ships, in the order of paths.

    Tests and their harness are left to the compilers' warnings.
    """
    ours = {str(path) for path in sources(root, ("src/*.c",)) if not path.name.endswith("_test.c")}
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        path = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if str(path) in ours:
            found[path] = entry
    return dict(sorted(found.items()))


class Tidy:
    """clang-tidy over single files; one that passed is not looked at again until it changes.

    What passed is kept in the user's cache, for other clones as well, as hashes of all that counts.
    """

    def __init__(self, tool, root, build):
        flags = [f"--extra-arg={flag}" for flag in WARNINGS_ONLY_GCC_KNOWS]
        self.cmd = [tool, "--quiet", "-p", str(build), *flags]
        self.clang = find_tool("clang")
        cache = os.environ.get("XDG_CACHE_HOME", "")
        if not cache.startswith("/"):
            cache = os.path.expanduser("~/.cache")
        self.passed = pathlib.Path(cache) / "pecten" / "tidy-passed"
        self.passed.mkdir(parents=True, exist_ok=True)
        version = subprocess.run([tool, "--version"], check=True, stdout=subprocess.PIPE).stdout
        self.base = version + (root / ".clang-tidy").read_bytes() + repr(flags).encode()

    def key(self, entry):
        """Hash of all that the judgement depends on; None if that cannot be told."""
        words = shlex.split(entry["command"])
        words = [w for w in words[words.index(next(w for w in words if w.startswith("-"))):]
                 if w not in ("-c", "-MD")]
        for flag in ("-o", "-MF", "-MQ"):
            if flag in words:
                at = words.index(flag)
                del words[at:at + 2]
        if not self.clang:
            return None
        text = subprocess.run([self.clang, "-E", "-C", "-w", "-D__clang_analyzer__", *words],
                              cwd=entry["directory"], check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
        if text.returncode:
            return None
        return hashlib.sha256(self.base + text.stdout).hexdigest()

    def look(self, path, entry):
        """Return: (was it looked at, what there is to say; empty if nothing)"""
        key = self.key(entry)
        if key and (self.passed / key).exists():
            return False, ""
        result = subprocess.run([*self.cmd, str(path)], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode:
            return True, result.stdout or f"{path}: status {result.returncode}"
        if key:
            (self.passed / key).touch()
        return True, ""


def lint_tidy(root, build):
    tool = find_tool("clang-tidy", CLANG_VERSION)
    if not tool:
        print(f"skip: clang-tidy {CLANG_VERSION} is not installed; other versions find other things")
        return SKIP
    commands = own_commands(root, build)
    tidy = Tidy(tool, root, build)
    looked, failed = 0, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for was_looked_at, text in pool.map(lambda item: tidy.look(*item), commands.items()):
            looked += was_looked_at
            failed += bool(text)
            if text:
                print(text, flush=True)
    print(f"{len(commands)} files, {looked} of them new, {failed} with findings")
    return 1 if failed or not commands else 0


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
