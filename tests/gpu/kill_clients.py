#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills real Vulkan clients of a running server at random moments and counts what is left over.

usage: kill_clients.py [-n COUNT] [-j JOBS] [-t SECONDS] SOCKET COMMAND [ARG...]

Starts COMMAND again and again (200 times, 4 at a time), kills each with SIGKILL after a random time
of at most SECONDS (0.5), and compares processes, descriptors, memory and files of the server before
and after.  The last one may end by itself and must succeed.  Exit status 0 if nothing is left.

example: tests/gpu/kill_clients.py /tmp/gpu.sock vulkaninfo
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time

from server_test import children, resident_kib, until

PECTEN = os.environ.get("PECTEN", "pecten")


def server_pid(path):
    out = subprocess.run([PECTEN, "gpu", "info", "--socket", path, "--json"], capture_output=True,
                         check=True)
    return json.loads(out.stdout)["server"]


def shared_memory_kib():
    with open("/proc/meminfo", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Shmem:"))


def count(pid, path):
    return {
        "processes": len(children(pid)),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "memory KiB": resident_kib(pid),
        "shared memory KiB": shared_memory_kib(),
        "files beside the socket": len(os.listdir(os.path.dirname(path) or ".")),
    }


def run(command):
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            start_new_session=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("-j", type=int, default=4)
    parser.add_argument("-t", type=float, default=0.5)
    parser.add_argument("socket")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    pid = server_pid(args.socket)
    rng = random.Random(7)

    if run(args.command).wait() != 0:
        sys.exit("the command fails even if it is left alone")
    until(lambda: len(children(pid)) == 1)
    time.sleep(1)
    before = count(pid, args.socket)
    running = []
    started = killed = 0
    while started < args.n or running:
        if started < args.n and len(running) < args.j:
            running.append((run(args.command), time.monotonic() + rng.random() * args.t))
            started += 1
        for entry in list(running):
            proc, due = entry
            if proc.poll() is None and time.monotonic() >= due:
                os.killpg(proc.pid, signal.SIGKILL)
                proc.wait()
                killed += 1
            if proc.poll() is not None:
                running.remove(entry)
        time.sleep(0.002)
    status = run(args.command).wait()
    settled = until(lambda: len(children(pid)) == 1, 30)
    time.sleep(1)
    after = count(pid, args.socket)
    print(f"{started} clients, {killed} of them killed; the one after them ended with {status}")
    for key, value in before.items():
        print(f"  {key:24} {value:8} -> {after[key]}")
    grown = after["memory KiB"] - before["memory KiB"]
    left = [k for k in ("processes", "descriptors", "files beside the socket")
            if after[k] > before[k]]
    if status or not settled or left or grown > 1024:
        sys.exit("something is left over: " + (", ".join(left) or "see above"))


if __name__ == "__main__":
    main()
