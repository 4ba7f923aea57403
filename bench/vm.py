#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama-bench in a microVM (engine qemu), through a socket, and natively, in turns; and where the
VM's time goes.

  (i)   native,
  (ii)  native behind a layer that hides what the guest lacks,
  (iii) an ordinary process through vtest,
  (iv)  in the microVM.

While tokens are generated (loading a model and compiling its programs do not count), the CPU time
and the sleeps of each thread on the host are taken: QEMU, pecten-vm, renderers, the program itself.
A way that fails is told and left out; what was measured is printed and kept.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time

import measure
import guest
import llama as runs
import make_model
import vm

NATIVE, HIDDEN, VTEST, VM = "(i) native", "(ii) native, hidden", "(iii) vtest, guest 26", "(iv) microVM"
ORDER = [NATIVE, HIDDEN, VTEST, VM]
ENV = {"GGML_VK_VISIBLE_DEVICES": "0"}
NO_COOPMAT2 = {**ENV, "GGML_VK_DISABLE_COOPMAT2": "1"}
MEMORY = {"7m": "2G", "160m": "3G", "1b": "8G"}  # the model is in the guest's page cache
THREADS_SHOWN = 12
GRACE_S = 15  # a run may outlast the budget by this


class Snapshot:
    """CPU seconds and voluntary sleeps of every thread below some processes."""

    def __init__(self, roots):
        self.when, self.threads = time.monotonic(), {}
        for pid in vm.tree(roots):
            who = vm.role(pid)
            try:
                tids = os.listdir(f"/proc/{pid}/task")
            except OSError:
                continue
            for tid in tids:
                at = f"/proc/{pid}/task/{tid}"
                stat, cpu = vm.read(at + "/stat"), vm.read(at + "/schedstat").split()
                if not stat:
                    continue
                ticks = stat.rpartition(")")[2].split()
                seconds = int(cpu[0]) / 1e9 if cpu and cpu[0] != "0" else \
                    (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
                sleeps = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", vm.read(at + "/status"), re.M)
                self.threads[int(tid)] = (who, stat[stat.find("(") + 1:stat.rfind(")")], seconds,
                                          int(sleeps[1]) if sleeps else 0)

    def until(self, later):
        """{role: CPU s}, [(role, thread, CPU s, sleeps)] from this snapshot to a later one."""
        roles, threads = {}, {}
        for tid, (who, name, cpu, sleeps) in later.threads.items():
            before = self.threads.get(tid, (who, name, 0.0, 0))
            roles[who] = roles.get(who, 0.0) + cpu - before[2]
            # Threads with numbered names are many of a kind.
            key = (who, re.sub(r"\d+", "N", name)) if who != "QEMU" else (who, name)
            old = threads.get(key, (0.0, 0))
            threads[key] = (old[0] + cpu - before[2], old[1] + sleeps - before[3])
        return roles, sorted(((w, n, c, s) for (w, n), (c, s) in threads.items()),
                             key=lambda t: -t[2])


class Guest:
    """Counters of the guest's kernel; reading them disturbs it a little."""

    def __init__(self, session):
        self.when = time.monotonic()
        text = session.run(["cat", "/proc/stat", "/proc/interrupts"], timeout=30).stdout
        cpu = re.search(r"^cpu +(.*)", text, re.M)
        self.cpu = [int(n) / 100 for n in cpu[1].split()] if cpu else []
        self.switches = int((re.search(r"^ctxt (\d+)", text, re.M) or [0, 0])[1])
        self.interrupts = {}
        for line in text.splitlines():
            m = re.match(r" *(\w+):((?: +\d+)+) +(.*)", line)
            if m and sum(map(int, m[2].split())):
                self.interrupts[f"{m[1]} {' '.join(m[3].split())}"] = sum(map(int, m[2].split()))

    def until(self, later):
        names = ["user", "nice", "system", "idle", "iowait", "irq", "softirq"]
        cpu = {n: round(b - a, 2) for n, a, b in zip(names, self.cpu, later.cpu)}
        rows = {n: c - self.interrupts.get(n, 0) for n, c in later.interrupts.items()}
        return {"seconds": round(later.when - self.when, 2), "cpu": cpu,
                "switches": later.switches - self.switches,
                "interrupts": {n: c for n, c in sorted(rows.items(), key=lambda r: -r[1])[:8] if c}}


class Bench:
    """One run of llama-bench, watched."""

    def __init__(self, session, model, a, env, roots=(), inside=None):
        self.out = {}
        self._mark = None
        # The last test, one token, keeps threads alive until they have been looked at.
        argv = ["llama-bench", "-m", runs.MODEL_AT, "-ngl", "99", "-dev", "Vulkan0", "-p", str(a.prompt),
                "-n", f"{a.generate},1", "-r", "1", "-t", "1", "-o", "jsonl", "--progress"]
        start = time.monotonic()
        p = session.popen(argv, env=env, binds=[(model, runs.MODEL_AT)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        limit = min(a.timeout, max(a.end - start, 0) + GRACE_S)
        killer = threading.Timer(limit, guest.kill_group, [p])
        killer.start()
        self._roots, self._inside = [p.pid, *roots], inside
        self._messages = []
        reader = threading.Thread(target=self._read_messages, args=(p.stderr,))
        reader.start()
        for line in p.stdout:
            self._row(line, a)
        status = p.wait()
        killer.cancel()
        reader.join()
        self.out["seconds"] = round(time.monotonic() - start, 2)
        if status or "tg" not in self.out:
            raise guest.Failure(f"llama-bench fails ({session.label}), status {status}, after "
                                f"{self.out['seconds']} s: {''.join(self._messages).strip()[-600:]}")

    def _read_messages(self, stream):
        for line in stream:
            self._messages.append(line)
            if "generation run 1/" in line and not self._mark:
                self._mark = Snapshot(self._roots), Guest(self._inside) if self._inside else None

    def _row(self, line, a):
        try:
            row = json.loads(line)
        except ValueError:
            return
        if row["n_gen"] in (0, a.generate):
            self.out["tg" if row["n_gen"] else "pp"] = row["avg_ts"]
        if row["n_gen"] != a.generate or not self._mark:
            return
        roles, threads = self._mark[0].until(Snapshot(self._roots))
        self.out["profile"] = {
            "tokens": a.generate, "run_s": a.generate / row["avg_ts"],
            "cpu_s": {k: round(v, 4) for k, v in roles.items()},
            "threads": [[w, n, round(c, 4), s] for w, n, c, s in threads[:2 * THREADS_SHOWN]]}
        if self._mark[1]:
            self.out["profile"]["guest"] = self._mark[1].until(Guest(self._inside))


def print_table(got, name):
    print(f"\n{name}: {'median':>13}{'spread':>9}{'to (ii)':>9}{'to (iii)':>9}{'ms each':>9}")
    for way, results in got.items():
        values = [r[name] for r in results if name in r]
        if not values:
            print(f"  {way:24} nothing")
            continue
        m = statistics.median(values)
        text = f"  {way:24}{m:10.2f}{measure.spread(values):9.1%}"
        for base in (HIDDEN, VTEST):
            against = [r[name] for r in got.get(base, []) if name in r]
            ratio = measure.ratios(values, against)[0]
            text += f"{ratio:9.3f}" if ratio else f"{'-':>9}"
        print(text + f"{1000 / m:9.3f}")


def print_profile(got):
    for way, results in got.items():
        profiles = [r["profile"] for r in results if "profile" in r]
        if not profiles:
            continue
        p = sorted(profiles, key=lambda x: x["run_s"])[len(profiles) // 2]
        n = p["tokens"]
        print(f"\n{way}: {1000 * p['run_s'] / n:.3f} ms a token; CPU ms a token on the host: "
              + ", ".join(f"{who} {1000 * s / n:.3f}" for who, s in sorted(p["cpu_s"].items(), key=lambda r: -r[1])))
        for who, name, cpu, sleeps in p["threads"][:THREADS_SHOWN]:
            if cpu > 0.005 * p["run_s"] or sleeps > n / 2:
                print(f"    {who:16} {name:16} {1000 * cpu / n:9.3f} ms {100 * cpu / p['run_s']:6.1f} % of a CPU "
                      f"{sleeps / n:8.2f} sleeps a token")
        if "guest" in p:
            g = p["guest"]
            print(f"    guest, {g['seconds']:.1f} s: CPU s {g['cpu']}, {g['switches']} switches")
            for name, count in g["interrupts"].items():
                print(f"        {count:8} {name}")


def keep(a, size, got, about):
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump({"machine": measure.machine(), "host": a.host, "model": f"random-{size}-1.gguf",
                       "prompt": a.prompt, "generate": a.generate, **about, "results": got}, f, indent=1)
            f.write("\n")


def measure_all(a, size, machine, server):
    """Rounds of all ways until they are done or the time is up; {way: results}."""
    model, inside = runs.model_path(size), machine.session()
    shown, unmappable = guest.extensions(inside), server.unmappable(*a.mapping)
    print(f"# the guest sees {len(shown)} extensions; memory types {unmappable or 'none'} of the "
          "host's mappable ones are not mappable for guests", flush=True)
    native = guest.native(a.host, cache=True)
    hidden = guest.behind_layer(native, shown, unmappable)
    # What the question is about goes first: time may be short.
    ways = {VM: lambda: Bench(inside, model, a, NO_COOPMAT2, [machine.proc.pid], inside),
            HIDDEN: lambda: Bench(hidden, model, a, NO_COOPMAT2),
            VTEST: lambda: Bench(server.session("26"), model, a, NO_COOPMAT2, [server.proc.pid]),
            NATIVE: lambda: Bench(native, model, a, ENV)}
    got, cold, longest = {way: [] for way in ORDER}, {}, 0.0
    for i in range(a.rounds + 1):  # the first one compiles what is to be compiled
        start, names = time.monotonic(), list(ways)
        if start + 1.2 * longest > a.end:
            print(f"# no time is left after {max(i - 1, 0)} rounds", flush=True)
            break
        for name in names[i % max(len(names), 1):] + names[:i % max(len(names), 1)]:
            try:
                out = ways[name]().out
            except guest.Failure as e:
                print(f"# {name} is left out: {e}", flush=True)
                del ways[name]
                if time.monotonic() > a.end:
                    break
                if name == VM:
                    machine.tell()
                continue
            print(f"# {'round ' + str(i) if i else 'warm-up'}: {name}: "
                  + ", ".join(f"{k} {out[k]:.1f}" for k in ("pp", "tg") if k in out)
                  + f" tokens/s, {out['seconds']} s in all", flush=True)
            if i:
                got[name].append(out)
            else:
                cold[name] = out
            keep(a, size, got, {"boot_s": machine.boot_s, "cpus": machine.cpus, "cold": cold})
        longest = max(longest if i > 1 else 0.0, time.monotonic() - start)
        if VM not in ways:
            break
    for name, out in cold.items():
        if not got[name]:
            print(f"# {name}: only the cold run was measured")
            got[name].append(out)
    return got


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--host", default="own", choices=["own", "ext"], help="see tests/gpu/guest.py")
    ap.add_argument("--size", choices=make_model.SIZES, default="7m")
    ap.add_argument("-p", "--prompt", type=int, default=64)
    ap.add_argument("-n", "--generate", type=int, default=64)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--cpus", type=int, default=4, help="of the guest")
    ap.add_argument("--root", default="mesa26", help="the guest's: a folder or a name of tools/gpu-roots")
    ap.add_argument("--timeout", type=float, default=300, help="seconds for one llama-bench")
    ap.add_argument("--budget", type=float, default=3600, help="seconds for all; no round begins after it")
    ap.add_argument("--map-video-memory", dest="mapping", action="store_const", default=[],
                    const=["--map-video-memory"], help="give this option to the machine and the server")
    ap.add_argument("--json", metavar="FILE", help="write all values there")
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    vm.end_with_last_words()
    vm.prepare()
    a.end = time.monotonic() + a.budget
    print(f"machine: {measure.machine()}; host driver {a.host}; random-{a.size}, "
          f"pp{a.prompt}/tg{a.generate}", flush=True)
    runs.model_path(a.size)
    with vm.Machine(a.host, a.cpus, MEMORY[a.size], a.root, options=a.mapping) as machine, \
            guest.Server(a.host, cache=True, args=a.mapping) as server:
        got = measure_all(a, a.size, machine, server)
    for name in ("pp", "tg"):
        print_table(got, name)
    print_profile(got)
    return 0 if got[VM] else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"bench/vm.py: {e}", file=sys.stderr)
        sys.exit(1)
