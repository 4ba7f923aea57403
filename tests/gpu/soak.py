#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Endurance of the server: many clients at once, many runs, and clients killed at random moments.

Before and after, the server's processes, descriptors and memory are counted; all must come back.
"""
import argparse
import concurrent.futures
import os
import random
import signal
import subprocess
import sys
import time

import guest

# Clients whose whole run takes a second or so, and a longer one to be killed in.
MIX = [["/opt/client/gpu_compute"], ["/opt/client/gpu_draw"],
       ["/opt/client/gpu_threads", "2", "32", "10"], ["vulkaninfo"],
       ["/opt/client/gpu_stress", "fences", "objects", "pipelines", "memory"]]
SETTLE_S = 20
MEMORY_SLACK_KIB = 8192


def children(pid):
    """All descendants of a process."""
    out = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/children", encoding="ascii") as f:
                for c in f.read().split():
                    out += [int(c)] + children(int(c))
        except FileNotFoundError:
            pass
    return out


class Census:
    """What a server holds: processes below it, descriptors, resident memory, shared memory files."""

    def __init__(self, server):
        pid = server.proc.pid
        self.processes = len(children(pid))
        self.fds = len(os.listdir(f"/proc/{pid}/fd"))
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            self.rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        self.shm = len(os.listdir("/dev/shm"))

    def worse_than(self, before):
        bad = []
        if self.processes > before.processes:
            bad.append(f"{self.processes} processes, {before.processes} before")
        if self.fds > before.fds:
            bad.append(f"{self.fds} descriptors, {before.fds} before")
        if self.rss > before.rss + MEMORY_SLACK_KIB:
            bad.append(f"{self.rss} KiB resident, {before.rss} before")
        return bad


def settled(server, before):
    """Waits until the server is as it was; returns what is not."""
    end = time.monotonic() + SETTLE_S
    while True:
        bad = Census(server).worse_than(before)
        if not bad or time.monotonic() > end:
            return bad
        time.sleep(0.2)


def binds():
    return [(guest.client_dir("tests", "gpu", "client"), "/opt/client")]


def full_runs(session, a):
    """Sentences on the runs that failed."""
    def one(i):
        argv = MIX[i % len(MIX)]
        r = session.run(argv, binds=binds(), timeout=a.timeout)
        if r.returncode != 0:
            return f"run {i}, {argv[0]}: status {r.returncode}: " + (r.stdout + r.stderr)[-200:]
        return None

    with concurrent.futures.ThreadPoolExecutor(a.at_once) as pool:
        return [b for b in pool.map(one, range(a.runs)) if b]


def killed_runs(session, a):
    """Starts clients and kills each at a random moment of its life."""
    rng = random.Random(a.seed)
    moments = [(i, rng.random() ** 2 * a.kill_within) for i in range(a.kills)]

    def one(job):
        i, after = job
        p = session.popen(MIX[i % len(MIX)], binds=binds(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after)
        try:
            os.killpg(p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        p.wait()

    with concurrent.futures.ThreadPoolExecutor(a.at_once) as pool:
        list(pool.map(one, moments))


def check(a, g):
    with guest.Server(a.host) as server:
        session = server.session(g)
        warm = session.run(["vulkaninfo", "--summary"], timeout=a.timeout)
        if warm.returncode != 0:
            raise guest.Failure(f"vulkaninfo fails ({session.label}): {warm.stderr[-300:]}")
        time.sleep(1)  # the spare renderer has started by then
        before = Census(server)
        start = time.monotonic()
        bad = full_runs(session, a)
        if a.kills:
            killed_runs(session, a)
        seconds = time.monotonic() - start
        if not server.alive():
            bad.append("the server died")
        else:
            bad += settled(server, before)
            last = session.run(["/opt/client/gpu_compute"], binds=binds(), timeout=a.timeout)
            if last.returncode != 0:
                bad.append("a client after all this fails: " + (last.stdout + last.stderr)[-200:])
        print(f"{'not ok' if bad else 'ok'} - soak, host {a.host}, guest {g}: {a.runs} runs "
              f"and {a.kills} killed clients, {a.at_once} at once, {seconds:.0f} s; before: "
              f"{before.processes} processes, {before.fds} descriptors, {before.rss} KiB")
        for b in bad:
            print("    " + b)
        if bad:
            print("    server: " + "\n            ".join(server.log().strip().splitlines()[-8:]))
    return 1 if bad else 0


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    guest.add_arguments(ap)
    ap.add_argument("--runs", type=int, default=20)
    ap.add_argument("--at-once", type=int, default=4)
    ap.add_argument("--kills", type=int, default=20)
    ap.add_argument("--kill-within", type=float, default=2.0, help="seconds after its start")
    ap.add_argument("--seed", type=int, default=int(time.time()))
    ap.add_argument("--timeout", type=float, default=300)
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    print(f"# seed {a.seed}")
    return 1 if sum(check(a, g) for g in guest.chosen_guests(a)) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"soak.py: {e}", file=sys.stderr)
        sys.exit(1)
