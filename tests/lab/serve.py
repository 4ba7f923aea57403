#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs cases of cli_test.py for tests/lab/t/cli, each in a child of its own: to start Python takes
seconds in the emulated machine, to fork it does not.

  serve.py REQUESTS

REQUESTS is a FIFO of lines "FOLDER SECONDS CASE".  The case runs in FOLDER with its output in
FOLDER/out; its status, 124 if it took too long, is written to the FIFO FOLDER/status.
"""
import os
import signal
import sys
import time

import cli_test


def run(folder, case):
    """In the child; does not return."""
    os.setsid()
    os.chdir(folder)
    out = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for fd in (1, 2):
        os.dup2(out, fd)
    os.close(out)
    sys.argv = ["cli_test.py", "=" + case]
    status = 70
    try:
        status = cli_test.main()
    finally:
        sys.stdout.flush()
        os._exit(status)


def wait(pid, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) & 255
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 124


def main():
    # Open for writing, too, so that it does not end with its writers.
    with os.fdopen(os.open(sys.argv[1], os.O_RDWR), encoding="ascii") as requests:
        for line in requests:
            folder, seconds, case = line.split()
            pid = os.fork()
            if pid == 0:
                run(folder, case)
            status = wait(pid, float(seconds))
            with open(f"{folder}/status", "w", encoding="ascii") as f:
                f.write(f"{status}\n")


if __name__ == "__main__":
    main()
