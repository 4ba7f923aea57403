#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's test-backend-ops natively and through the renderer: what passes natively must pass.

Results are kept case by case in a file for each host and guest, so that a run can be stopped and
continued; a time-out or a crash is a result of the case that was running.  Cases that are too
heavy for a software driver are named, with reasons, in backend_ops_heavy.txt.
"""
import argparse
import contextlib
import csv
import glob
import json
import os
import pty
import re
import select
import subprocess
import sys
import time

import guest
import vm

PROGRAM = "/usr/libexec/x86_64-linux-gnu/ggml/test-backend-ops"
HERE = os.path.dirname(os.path.abspath(__file__))
HEAVY = os.path.join(HERE, "backend_ops_heavy.txt")
CI = os.path.join(HERE, "backend_ops_ci.txt")
ENV = {"GGML_VK_VISIBLE_DEVICES": "0"}
BACKEND = "Vulkan0"
CASES_PER_RUN = 200
SHARE_BATCH = 60
# A failing case has its error before its name: "[MUL_MAT] ERR = ... > ...   MUL_MAT(...): FAIL".
LINE = re.compile(r"(?:^| {2,})([A-Z]\w*\(.*\)): ?(.*)$")
RETRIES = 6  # inputs are random: a case at the edge of its tolerance fails now and then
JOB = re.compile(r"job-\d+-of-\d+")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def supported_cases(session):
    """Every case that the device says it can do, in the program's order: [(op, case)]."""
    r = session.run([PROGRAM, "support", "-b", BACKEND, "--output", "csv"], env=ENV, timeout=300)
    if r.returncode != 0:
        raise guest.Failure(f"test-backend-ops cannot list its cases ({session.label}): "
                            + r.stderr.strip()[-400:])
    seen, out = set(), []
    for row in csv.DictReader(r.stdout.splitlines()):
        case = f"{row['op_name']}({row['op_params']})"
        if row["backend_name"] == BACKEND and row["supported"] == "1" and case not in seen:
            seen.add(case)
            out.append((row["op_name"], case))
    return out


def heavy_rules(host):
    """(regex, reason) of the cases left out on this host."""
    rules = []
    with open(HEAVY, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                where, regex, reason = line.split(None, 2)
                if where in ("all", host):
                    rules.append((re.compile(regex), reason.strip()))
    return rules


def without_heavy(cases, host):
    rules = heavy_rules(host)
    return [(op, c) for op, c in cases if not any(r.search(c) for r, _ in rules)]


def spread(cases, n):
    """n cases evenly spread over a list, the same ones each time."""
    if len(cases) <= n:
        return cases
    return [cases[i * len(cases) // n] for i in range(n)]


def ci_subset(cases):
    by_op = {}
    for op, case in cases:
        by_op.setdefault(op, []).append((op, case))
    out = []
    with open(CI, encoding="utf-8") as f:
        for line in f:
            if not line.strip() or line.startswith("#"):
                continue
            op, n, *regex = line.split()
            chosen = [(o, c) for o, c in by_op.get(op, []) if not regex or re.search(regex[0], c)]
            out += spread(chosen, int(n))
    chosen = set(out)
    return [c for c in cases if c in chosen]  # in the program's order: it starts slowly, run it once


class Results:
    """Append-only file of results, one JSON object a line.

    Files of the same name in the folders of other jobs, whatever their number was, are read, too.
    """

    def __init__(self, path):
        self.path, self.by_case = path, {}
        folder, name = os.path.split(path)
        above = os.path.dirname(folder) if JOB.fullmatch(os.path.basename(folder)) else folder
        for known in [os.path.join(above, name), *glob.glob(os.path.join(above, "job-*", name))]:
            if os.path.exists(known):
                self.load(known)
        os.makedirs(folder, exist_ok=True)

    def load(self, path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                if line.endswith("\n"):
                    r = json.loads(line)
                    self.by_case[r["case"]] = r

    def add(self, case, result, seconds):
        r = {"case": case, "result": result, "s": round(seconds, 3)}
        self.by_case[case] = r
        with open(self.path, "a", encoding="utf-8") as f:
            f.write(json.dumps(r) + "\n")

    def of(self, case):
        return self.by_case.get(case, {}).get("result")


def feed(line, out):
    """One line of the program's output; returns the case it starts, if any."""
    m = LINE.search(ANSI.sub("", line))
    if not m:
        return None
    case, rest = m.groups()
    rest = rest.strip()
    if rest.startswith("OK"):
        out[case] = "OK"
    elif rest.startswith("not supported"):
        out[case] = "not supported"
    elif "FAIL" in rest:
        out[case] = "FAIL"
    else:
        return case
    return None


def stream(session, argv, timeout):
    """Runs a program on a terminal, or so that it flushes each line all the same: yields (seconds, line).

    Ends with (seconds, exit status); one silent for `timeout` seconds is killed, status 124.
    """
    master, slave = pty.openpty()
    start = time.monotonic()
    p = session.popen(session.by_line(argv), env=ENV, stdin=subprocess.DEVNULL, stdout=slave,
                      stderr=subprocess.STDOUT)
    os.close(slave)
    text, timed_out = b"", False
    try:
        while True:
            ready = select.select([master], [], [], timeout)[0]
            if not ready:
                timed_out = True
                break
            try:
                data = os.read(master, 65536)
            except OSError:  # the terminal's other end is closed
                break
            text += data
            *lines, text = text.split(b"\n")
            for line in lines:
                yield time.monotonic() - start, line.decode(errors="replace").rstrip("\r")
        yield time.monotonic() - start, text.decode(errors="replace")
    finally:
        if timed_out or p.poll() is None:
            try:
                p.wait(0 if timed_out else 120)
            except subprocess.TimeoutExpired:
                guest.kill_group(p)
        p.wait()
        os.close(master)
    yield time.monotonic() - start, 124 if timed_out else p.returncode


def run_some(session, cases, timeout, results):
    """Runs some cases in one process and stores each result as it comes."""
    wanted, got, running, tail, at, status = set(cases), {}, None, [], 0.0, 0
    for now, line in stream(session, [PROGRAM, "test", "-b", BACKEND, "-o", ",".join(cases)],
                            timeout):
        if isinstance(line, int):
            status = line
            break
        before = len(got)
        running = feed(line, got)
        if len(got) > before:
            case = next(reversed(got))
            if case in wanted:
                results.add(case, got[case], now - at)
            at = now
        tail = (tail + [line])[-4:]
    left = [c for c in cases if c not in got]
    if not left:
        if status not in (0, 1):
            print(f"    exit status {status} after the last of {len(cases)} cases", flush=True)
        return
    # The first without a result is the one that ended the process.
    culprit = running if running in left else left[0]
    what = {124: "TIMEOUT", 0: "NOT RUN"}.get(status, f"CRASH ({status})")
    results.add(culprit, what, now - at)
    print(f"    {what}: {culprit}\n      " + "\n      ".join(tail), flush=True)


def run_all(session, cases, results, timeout, budget_s):
    """Runs what has no result yet; False if the budget ended first."""
    end = time.monotonic() + budget_s
    todo = [c for _, c in cases if results.of(c) is None]
    print(f"  {session.label}: {len(todo)} cases", flush=True)
    while todo:
        if time.monotonic() > end:
            return False
        run_some(session, todo[:CASES_PER_RUN], timeout, results)
        todo = [c for c in todo if results.of(c) is None]
    return True


def outcome(session, case, timeout):
    """One case alone, once more."""
    got = {}
    for _, line in stream(session, [PROGRAM, "test", "-b", BACKEND, "-o", case], timeout):
        if isinstance(line, str):
            feed(line, got)
    return got.get(case, "no result")


def is_at_edge(native, remote, case, timeout):
    """Does a case that failed remotely fail natively, too, now and then?

    Both ways are tried in turns.  It is the renderer's fault only if it goes wrong remotely again
    and never natively.
    """
    bad = {native: 0, remote: 0}
    for _ in range(RETRIES):
        for s in bad:
            bad[s] += outcome(s, case, timeout) != "OK"
    print(f"    tried {RETRIES} times more: {bad[native]} fail natively, {bad[remote]} remotely: "
          f"{case}", flush=True)
    return bad[native] > 0 or bad[remote] == 0


def batches(cases, size=CASES_PER_RUN):
    """Parts of the list, so that ways of running are taken in turns."""
    return [cases[i:i + size] for i in range(0, len(cases), size)]


def run_jobs(a, argv):
    """The same in a.jobs processes, each with its own cores and its own share of the cases."""
    cores = sorted(os.sched_getaffinity(0))
    folder = results_folder(a)
    running, status = [], 0
    for i in range(a.jobs):
        mine = [c for k, c in enumerate(cores) if k % a.jobs == i % len(cores)]
        out = os.path.join(folder, f"job-{i}-of-{a.jobs}")
        os.makedirs(out, exist_ok=True)
        log = open(os.path.join(out, "log"), "w", encoding="utf-8")
        running.append((subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), *argv, "--jobs", "1",
             "--share", f"{i}/{a.jobs}", "--results", out], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, preexec_fn=lambda m=mine: os.sched_setaffinity(0, m)), log))
    sums, complaints = {}, []
    for p, log in running:
        p.wait()
        status = 1 if 1 in (status, p.returncode) else status or p.returncode
        log.close()
        with open(log.name, encoding="utf-8") as f:
            text = f.read()
        for ok, guest_name, numbers in re.findall(r"^(ok|not ok) - .*guest (\w+): (.*)$", text,
                                                  re.M):
            total = sums.setdefault(guest_name, ["ok", [0] * 5, numbers])
            total[0] = "not ok" if "not ok" in (ok, total[0]) else "ok"
            total[1] = [x + int(n) for x, n in zip(total[1], re.findall(r"\d+", numbers))]
        complaints += [line for line in text.splitlines() if line.startswith("    ")
                       or "backend_ops.py:" in line]
    for guest_name, (ok, values, words) in sums.items():
        left = iter(values)
        print(f"{ok} - test-backend-ops, host {a.host}, guest {guest_name}, {a.jobs} jobs: "
              + re.sub(r"\d+", lambda _: str(next(left)), words))
    print("\n".join(complaints[:60]))
    return status


def results_folder(a):
    return a.results or os.path.join(guest.build_dir(), "gpu-results")


def report(a, name, passing, got, server):
    """Prints what one guest came to; returns False if something is wrong."""
    worse = [c for c in passing if got.of(c) not in (None, "OK", "not supported", "EDGE")]
    edge = sum(got.of(c) == "EDGE" for c in passing)
    lost = [c for c in passing if got.of(c) == "not supported"]
    open_cases = sum(got.of(c) is None for c in passing)
    is_right = not worse and server.alive()
    print(f"{'ok' if is_right else 'not ok'} - test-backend-ops, host {a.host}, "
          f"guest {name}: {len(passing)} pass natively, {len(worse)} of them fail remotely, "
          f"{edge} fail now and then both ways, {len(lost)} are not offered remotely, "
          f"{open_cases} not yet run")
    for c in worse[:50]:
        print(f"    {got.of(c)}: {c}")
    for c in lost[:10]:
        print(f"    not offered: {c}")
    if not is_right:
        print("    server: " + "\n            ".join(server.log().strip().splitlines()[-8:]))
    return is_right


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    guest.add_arguments(ap)
    ap.add_argument("--results", default=None, help="folder of results (default: in the build)")
    ap.add_argument("--fresh", action="store_true", help="forget earlier results")
    ap.add_argument("--ci", action="store_true", help="the fixed subset of backend_ops_ci.txt")
    ap.add_argument("-o", "--op", action="append", help="only this operation (repeatable)")
    ap.add_argument("--native-only", action="store_true")
    ap.add_argument("--heavy", action="store_true", help="the heavy cases, too")
    ap.add_argument("--vm", action="store_true", help="in a microVM (engine qemu) instead of guests; "
                    "earlier results count, unless --fresh")
    ap.add_argument("--vm-memory", default="2G")
    ap.add_argument("--every", type=int, default=1, help="take every Nth case only")
    ap.add_argument("--timeout", type=float, default=600, help="seconds without any result, after which a process is killed")
    ap.add_argument("--budget", type=float, default=1e9, help="seconds for all of it")
    ap.add_argument("--device", type=int, default=0, help="number of the Vulkan device")
    ap.add_argument("--jobs", type=int, default=1, help="processes at once, each with some cores")
    ap.add_argument("--share", metavar="I/N", help="the Ith of N shares of the cases only")
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    if a.vm:
        vm.end_with_last_words()
        vm.prepare()
    if a.jobs > 1:
        return run_jobs(a, sys.argv[1:])
    ENV["GGML_VK_VISIBLE_DEVICES"] = str(a.device)
    folder = results_folder(a)
    native = guest.native(a.host, cache=True)
    cases = supported_cases(native)
    total = len(cases)
    if not total:
        raise guest.Failure(f"{BACKEND} supports no case on host {a.host}: is there a driver?")
    if not a.heavy:
        cases = without_heavy(cases, a.host)
    if a.ci:
        cases = ci_subset(cases)
    if a.op:
        cases = [(op, c) for op, c in cases if op in a.op]
    cases = cases[::a.every]
    if a.share:
        first, step = (int(n) for n in a.share.split("/"))
        # Neighbours use the same shaders: whole batches, not single cases.
        cases = [c for batch in batches(cases, SHARE_BATCH)[first::step] for c in batch]
    print(f"test-backend-ops, host {a.host}: {total} cases are supported, {len(cases)} chosen",
          flush=True)

    tag = "-ci" if a.ci else ""
    end = time.monotonic() + a.budget
    want = Results(os.path.join(folder, f"ops-{a.host}-native.jsonl"))
    # Natively nothing changes from run to run; only --fresh repeats it.
    if a.fresh:
        want.by_case = {}
    with contextlib.ExitStack() as stack:
        ways = []
        for g in [] if a.native_only else ["vm"] if a.vm else guest.chosen_guests(a):
            got = Results(os.path.join(folder, f"ops{tag}-{a.host}-{g}.jsonl"))
            if a.fresh or a.ci and not a.vm:
                got.by_case = {}
            if a.vm:
                machine = stack.enter_context(vm.Machine(a.host, memory=a.vm_memory, name="gpu-ops"))
                ways.append((g, got, machine, machine.session()))
                continue
            server = stack.enter_context(guest.Server(a.host, cache=True))
            ways.append((g, got, server, server.session(g)))
        done = True
        for batch in batches(cases):
            done = run_all(native, batch, want, a.timeout, end - time.monotonic())
            passing = [(op, c) for op, c in batch if want.of(c) == "OK"]
            for _, got, _, remote in ways:
                done = run_all(remote, passing, got, a.timeout, end - time.monotonic()) and done
                for _, case in passing:
                    if got.of(case) == "FAIL" and is_at_edge(native, remote, case, a.timeout):
                        got.add(case, "EDGE", 0)
            if not done:
                break
        passing = [c for _, c in cases if want.of(c) == "OK"]
        is_right = [report(a, g, passing, got, server) for g, got, server, _ in ways]
    return 1 if not all(is_right) else 0 if done else 3


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"backend_ops.py: {e}", file=sys.stderr)
        sys.exit(1)
