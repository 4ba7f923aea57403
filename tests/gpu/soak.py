#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Endurance of the server: many clients at once, many runs, and clients killed at random moments.

Before and after, the server's processes, descriptors, memory and files are counted; all must come
back.  With --llama, llama.cpp is among the clients, and each text that it writes must be the native
one.  The endurance test of a release, for each guest:

  tests/gpu/soak.py --host mesa26 --guest 26 --llama --runs 80 --at-once 4 --kills 200
"""
import argparse
import concurrent.futures
import os
import random
import subprocess
import sys
import time

import guest
import llama

# Clients whose whole run takes a second or so, and a longer one to be killed in.
MIX = [["/opt/client/gpu_compute"], ["/opt/client/gpu_draw"],
       ["/opt/client/gpu_threads", "2", "32", "10"], ["vulkaninfo"],
       ["/opt/client/gpu_stress", "fences", "objects", "pipelines", "memory"]]
SETTLE_S = 60
TOKENS = 32  # of each llama-completion
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
    """What a server holds: processes below it, descriptors, resident memory, files beside its socket."""

    def __init__(self, server):
        pid = server.proc.pid
        self.processes = len(children(pid))
        self.fds = len(os.listdir(f"/proc/{pid}/fd"))
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            self.rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        self.files = sum(len(files) for _, _, files in os.walk(server.dir.name))

    def worse_than(self, before):
        bad = []
        if self.processes > before.processes:
            bad.append(f"{self.processes} processes, {before.processes} before")
        if self.fds > before.fds:
            bad.append(f"{self.fds} descriptors, {before.fds} before")
        if self.rss > before.rss + MEMORY_SLACK_KIB:
            bad.append(f"{self.rss} KiB resident, {before.rss} before")
        if self.files > before.files:
            bad.append(f"{self.files} files beside the socket, {before.files} before")
        return bad

    def __str__(self):
        return (f"{self.processes} processes, {self.fds} descriptors, {self.rss} KiB, "
                f"{self.files} files")


def settled(server, before):
    """Waits until the server is as it was; returns its last census and what is not as before."""
    end = time.monotonic() + SETTLE_S
    while True:
        now = Census(server)
        bad = now.worse_than(before)
        if not bad or time.monotonic() > end:
            return now, bad
        time.sleep(0.2)


def binds():
    return [(guest.client_dir("tests", "gpu", "client"), "/opt/client")]


class Llama:
    """llama-completion as one of the clients: its model, and what it has to write."""

    def __init__(self, server, session, timeout):
        self.model, self.timeout = llama.model_path("7m"), timeout
        native = guest.native(server.host, cache=True)
        reference = guest.behind_layer(native, guest.extensions(session), server.unmappable())
        run = llama.complete(reference, self.model, TOKENS, timeout)
        bad = run.why_bad(TOKENS)
        if bad:
            raise guest.Failure(f"llama-completion fails natively: {bad}")
        self.text = run.text

    def run(self, session):
        """Return: a sentence on what is wrong, or None"""
        got = llama.complete(session, self.model, TOKENS, self.timeout)
        bad = got.why_bad(TOKENS)
        if not bad and got.text != self.text:
            bad = llama.first_difference(self.text, got.text)
        return bad


def one_run(session, i, model, a):
    """Return: a sentence on what is wrong, or None"""
    if model:  # nothing else, so that all that run at once compute
        bad = model.run(session)
        return bad and f"run {i}, llama-completion: {bad}"
    argv = MIX[i % len(MIX)]
    r = session.run(argv, binds=binds(), timeout=a.timeout)
    if r.returncode != 0:
        return f"run {i}, {argv[0]}: status {r.returncode}: " + (r.stdout + r.stderr)[-200:]
    return None


def full_runs(session, model, a):
    """Sentences on the runs that failed."""
    with concurrent.futures.ThreadPoolExecutor(a.at_once) as pool:
        found = pool.map(lambda i: one_run(session, i, model, a), range(a.runs))
        return [bad for bad in found if bad]


def killed_runs(session, model, a):
    """Starts clients and kills each at a random moment of its life."""
    rng = random.Random(a.seed)
    mix = MIX + ([llama.command(TOKENS)] if model else [])
    with_model = binds() + ([(model.model, llama.MODEL_AT)] if model else [])
    moments = [(i, rng.random() ** 2 * a.kill_within) for i in range(a.kills)]

    def one(job):
        i, after = job
        p = session.popen(mix[i % len(mix)], env=llama.ENV, binds=with_model,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
        time.sleep(after)
        guest.kill_group(p)
        p.wait()

    with concurrent.futures.ThreadPoolExecutor(a.at_once) as pool:
        list(pool.map(one, moments))


def check(a, g):
    with guest.Server(a.host, cache=a.llama) as server:
        session = server.session(g)
        warm = session.run(["vulkaninfo", "--summary"], timeout=a.timeout)
        if warm.returncode != 0:
            raise guest.Failure(f"vulkaninfo fails ({session.label}): {warm.stderr[-300:]}")
        model = Llama(server, session, a.timeout) if a.llama else None
        server.rest()
        before = Census(server)
        start = time.monotonic()
        bad = full_runs(session, model, a)
        if a.kills:
            killed_runs(session, model, a)
        seconds = time.monotonic() - start
        after = "nothing"
        if not server.alive():
            bad.append("the server died")
        else:
            after, left = settled(server, before)
            bad += left
            last = session.run(["/opt/client/gpu_compute"], binds=binds(), timeout=a.timeout)
            if last.returncode != 0:
                bad.append("a client after all this fails: " + (last.stdout + last.stderr)[-200:])
        print(f"{'not ok' if bad else 'ok'} - soak, host {a.host}, guest {g}: {a.runs} runs "
              f"{'of llama-completion ' if model else ''}and {a.kills} killed clients, "
              f"{a.at_once} at once, {seconds:.0f} s; before: {before}; after: {after}")
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
    ap.add_argument("--timeout", type=float, default=900)
    ap.add_argument("--llama", action="store_true", help="run llama.cpp, kill it among others")
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
