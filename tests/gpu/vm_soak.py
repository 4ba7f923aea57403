#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Endurance of microVMs with a GPU (engine qemu).

  vm_soak.py kills    pecten, pecten-vm or QEMU killed (SIGKILL) at random moments between its start
                      and the middle of llama.cpp's work; nothing may be left, and the next starts
  vm_soak.py cycles   GPU clients started and ended in one guest, one after another; neither
                      pecten-vm nor QEMU may grow
  vm_soak.py server   llama-server in the guest answers requests to a port of the host (-p)

A release is tested with --kills 50, --cycles 1000 and --requests 100; the defaults are for every day.
"""
import argparse
import collections
import concurrent.futures
import ctypes
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import guest
import llama
import vm

PR_SET_CHILD_SUBREAPER = 36
SETTLE_S = 120.0
RUN_S = 900.0      # for one whole life of a machine on a busy host
WARM_CYCLES = 20   # what the first clients make pecten-vm and QEMU keep is not growth
CHECKS = 10        # of what they hold, during all cycles
MAPPINGS_SLACK = 8
MEMORY_SLACK_KIB = {"pecten-vm": 8 << 10, "broker": 8 << 10, "QEMU": 64 << 10}
GUEST_PORT = 8080
PREDICT = 4        # tokens of an answer


def wait_for(what, seconds=SETTLE_S):
    """Waits until what() is true; returns whether it came so."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


# ---- kills ----

class Life:
    """One run of a machine of that name, in folders of its own."""

    def __init__(self, a, folder, words):
        self.runtime, self.tmp = (os.path.join(folder, n) for n in ("run", "tmp"))
        for d in (self.runtime, self.tmp):
            os.makedirs(d, mode=0o700, exist_ok=True)
        models = os.path.join(guest.CACHE, "gpu-tests")
        command = [os.path.join(*guest.find_pecten()), "run", "--engine", "qemu", "--gpu", "on",
                   "--cpus", str(min(a.cpus, os.cpu_count() or 1)), "--memory", a.memory,
                   "--name", "gpu-kills", "-v", f"{models}:{vm.MODELS_AT}:ro",
                   "-v", f"{guest.client_dir('tests', 'gpu', 'client')}:{vm.CLIENTS_AT}:ro"]
        for k, v in {**vm.ENV, **llama.ENV}.items():
            command += ["-e", f"{k}={v}"]
        root = a.root if "/" in a.root else guest.ROOTS.path(a.root)
        env = {**guest.machine_environment(a.host), "XDG_RUNTIME_DIR": self.runtime, "TMPDIR": self.tmp}
        self.start = time.monotonic()
        self.proc = subprocess.Popen(command + [root, "--"] + words, env=env, start_new_session=True,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, preexec_fn=guest.die_with_parent)

    def processes(self):
        """{role: pid} of those that a user might kill."""
        found = {vm.role(pid): pid for pid in vm.tree([self.proc.pid])}
        return {who: found[who] for who in ("pecten", "pecten-vm", "QEMU") if who in found}

    def end(self, timeout=RUN_S):
        """Its exit status, what it said, and the seconds that it took."""
        try:
            out = self.proc.communicate(timeout=timeout)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            guest.kill_group(self.proc)
            out = self.proc.communicate()[0].decode(errors="replace") + "\n(timed out)"
        return self.proc.returncode, out, time.monotonic() - self.start


def orphans():
    """Descendants of ours that still run; what has ended is buried."""
    left = []
    for pid in vm.tree([os.getpid()])[1:]:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            pass
        stat = vm.read(f"/proc/{pid}/stat")
        if stat and stat.rpartition(")")[2].split()[0] != "Z":
            left.append(pid)
    return left


def mounts():
    return sorted(line.split(" ")[4] for line in vm.read("/proc/self/mountinfo").splitlines()
                  if "pecten" in line)


def cgroups():
    return sorted(d for d, _, _ in os.walk("/sys/fs/cgroup") if "pecten" in d)


def leftovers(life, before, may_leave_name):
    """Sentences on what is left of a machine."""
    bad = []
    if not wait_for(lambda: not orphans()):
        bad += [f"process {p} is left: " + vm.read(f"/proc/{p}/cmdline").replace("\0", " ")[:120]
                for p in orphans()]
    files = [os.path.join(d, f) for top in (life.runtime, life.tmp)
             for d, _, names in os.walk(top) for f in names]
    # The name of a killed pecten is unlocked, and goes when the next machine claims one.
    mine = os.path.join(life.runtime, "pecten", "gpu-kills") + "/"
    bad += [f"{f} is left" for f in files
            if not (may_leave_name and f.startswith(mine))
            and os.path.dirname(f) != os.path.join(life.runtime, "pecten")]
    bad += [f"something is mounted at {m}" for m in mounts() if m not in before[0]]
    bad += [f"the control group {g} is left" for g in cgroups() if g not in before[1]]
    return bad


def one_kill(a, folder, before, role, moment, words):
    """Return: (what was killed, or None if it ended before; its seconds; what is wrong)"""
    life = Life(a, folder, words)
    wait_for(lambda: life.proc.poll() is not None, moment)
    there = life.processes()
    if not there:
        status, text, seconds = life.end()
        bad = [] if status == 0 else [f"status {status} before anything was killed: {text[-600:]}"]
        return None, seconds, bad + leftovers(life, before, False)
    who = role if role in there else max(there)
    os.kill(there[who], signal.SIGKILL)
    status, text, seconds = life.end(SETTLE_S)
    bad = leftovers(life, before, who == "pecten")
    if who == "pecten" and status != -signal.SIGKILL:
        bad.append(f"pecten was killed, and its status is {status}")
    elif who != "pecten" and "Sanitizer" in text:
        bad.append(text[-600:])
    elif who != "pecten" and status in (0, 124) and "(timed out)" in text:
        bad.append(f"pecten did not end after the death of {who}: {text[-600:]}")
    return f"{who} of {'+'.join(there)} after {seconds:.1f} s", seconds, bad


def shmem_mib():
    return int(re.search(r"^Shmem: +(\d+)", vm.read("/proc/meminfo"), re.M)[1]) >> 10


def kills(a):
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    rng = random.Random(a.seed)
    model = f"{vm.MODELS_AT}/{os.path.basename(llama.model_path('7m'))}"
    words = [w.replace(llama.MODEL_AT, model) for w in llama.command(a.tokens)]
    check = [f"{vm.CLIENTS_AT}/gpu_compute", "saxpy"]
    failures, killed = 0, collections.Counter()
    with tempfile.TemporaryDirectory(prefix="pecten-kills-") as folder:
        guest.ROOTS.path("mesa26")
        before = mounts(), cgroups()
        # The first compiles shaders, the second tells how long a life is.
        spans = []
        for _ in range(2):
            status, text, seconds = Life(a, folder, words).end()
            if status:
                raise guest.Failure(f"llama-completion fails in a machine that nobody kills: {text[-1500:]}")
            spans.append(seconds)
        memory = shmem_mib()
        print(f"# seed {a.seed}; a life takes {spans[-1]:.1f} s (the first: {spans[0]:.1f} s)", flush=True)
        i = 0
        while i < a.kills:
            role = rng.choice(["pecten", "pecten-vm", "QEMU"])
            what, seconds, bad = one_kill(a, folder, before, role, rng.uniform(0, spans[-1]), words)
            if not what and not bad:  # a life is shorter than it was: again
                spans.append(seconds)
                continue
            i += 1
            killed[what.split(" ")[0] if what else "nothing"] += 1
            after = Life(a, folder, check)
            status, text, seconds = after.end()
            if status or "ok 1 - saxpy" not in text:
                bad.append(f"the next machine: status {status}: {text[-600:]}")
            bad += [b + " (of the next machine)" for b in leftovers(after, before, False)]
            failures += bool(bad)
            print(f"    {i}: killed {what}; the next one ran for {seconds:.1f} s"
                  + "".join("\n      " + b for b in bad), flush=True)
        print(f"{'not ok' if failures else 'ok'} - {a.kills} machines killed at random moments ("
              + ", ".join(f"{who} {n} times" for who, n in sorted(killed.items()))
              + f"): nothing is left of {a.kills - failures}, and each next one computes; "
              f"shared memory of the host {memory} MiB before, {shmem_mib()} MiB after")
    return failures


# ---- cycles ----

Held = collections.namedtuple("Held", "fds mappings kib")


def held(machine):
    """What each process of a machine holds, {role: Held}; the guest's own RAM does not count."""
    out = {}
    for pid in vm.tree([machine.proc.pid]):
        who = vm.role(pid)
        if who in MEMORY_SLACK_KIB:
            status = vm.read(f"/proc/{pid}/status")
            anon = re.search(r"^RssAnon:\s+(\d+)", status, re.M)
            try:
                fds = len(os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                continue
            out[who] = Held(fds, len(vm.read(f"/proc/{pid}/maps").splitlines()),
                            int(anon[1]) if anon else 0)
    return out


def grown(now, before):
    bad = []
    for who, was in before.items():
        if who not in now:
            bad.append(f"{who} is gone")
            continue
        if now[who].fds > was.fds:
            bad.append(f"{who} has {now[who].fds} descriptors, {was.fds} before")
        if now[who].mappings > was.mappings + MAPPINGS_SLACK:
            bad.append(f"{who} has {now[who].mappings} mappings, {was.mappings} before")
        if now[who].kib > was.kib + MEMORY_SLACK_KIB[who]:
            bad.append(f"{who} has {now[who].kib} KiB, {was.kib} before")
    return bad


def told(h):
    return "; ".join(f"{who} {x.fds} descriptors, {x.mappings} mappings, {x.kib} KiB"
                     for who, x in sorted(h.items()))


def run_clients(session, n, a):
    script = (f"i=0; while [ $i -lt {n} ]; do {vm.CLIENTS_AT}/gpu_compute saxpy >/tmp/said 2>&1 || "
              "{ cat /tmp/said; exit 1; }; i=$((i + 1)); done")
    r = session.run(["bash", "-c", script], timeout=a.timeout + 60 * n)
    if r.returncode:
        raise guest.Failure(f"a client fails: status {r.returncode}: {(r.stdout + r.stderr)[-1500:]}")


def cycles(a, machine):
    session = machine.session()
    run_clients(session, min(WARM_CYCLES, a.cycles), a)
    if not wait_for(lambda: len(vm.renderers(machine)) == 1):
        raise guest.Failure(f"{len(vm.renderers(machine))} renderers after the first clients: not just a spare one")
    before, start, done = held(machine), time.monotonic(), 0
    if sorted(before) != sorted(MEMORY_SLACK_KIB):
        raise guest.Failure(f"not all processes of the machine are found: {sorted(before)}")
    print(f"# before: {told(before)}", flush=True)
    for i in range(CHECKS):
        n = a.cycles * (i + 1) // CHECKS - done
        if not n:
            continue
        run_clients(session, n, a)
        done += n
        wait_for(lambda: len(vm.renderers(machine)) == 1 and not grown(held(machine), before))
        print(f"    after {done}, {time.monotonic() - start:.0f} s: {told(held(machine))}", flush=True)
    bad = grown(held(machine), before)
    if len(vm.renderers(machine)) > 1:
        bad.append(f"{len(vm.renderers(machine))} renderers are left")
    print(f"{'not ok' if bad else 'ok'} - {a.cycles} GPU clients one after another in a microVM, "
          f"{time.monotonic() - start:.0f} s: nothing has grown" + "".join("\n    " + b for b in bad))
    return 1 if bad else 0


# ---- server ----

def ask(port, path, data=None, timeout=600.0):
    """Status and text of an answer; (0, why) if there was none."""
    body = json.dumps(data).encode() if data is not None else None
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body,
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as r:
            return r.status, r.read().decode(errors="replace")
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode(errors="replace")
    except (OSError, ValueError) as e:
        return 0, str(e)


def question(port, i):
    """One answer: (whether it is one, its text); the same one for the same number."""
    status, text = ask(port, "/completion", {
        "prompt": f"ba be {'ba be bi bo bu'.split()[i % 5]}", "n_predict": PREDICT,
        "temperature": 0, "seed": 1, "cache_prompt": False, "ignore_eos": True})
    if status != 200:
        return False, f"status {status}: {text[:300]}"
    answer = json.loads(text)
    if answer.get("tokens_predicted") != PREDICT:
        return False, text[:300]
    return True, answer["content"]


def server(a, machine, port):
    session = machine.session()
    model = llama.model_path("7m")
    said = os.path.join(machine.dir.name, "server")
    with open(said, "wb") as log:
        p = session.popen(["llama-server", "-m", llama.MODEL_AT, "-ngl", "99", "--device", "Vulkan0",
                           "--host", "0.0.0.0", "--port", str(GUEST_PORT), "-c", "1024", "-np", "2",
                           "-t", "1", "--no-warmup", "-lv", "4"], env=llama.ENV, binds=[(model, llama.MODEL_AT)],
                          stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        up = wait_for(lambda: p.poll() is not None or ask(port, "/health", timeout=10)[0] == 200,
                      a.timeout)
        if not up or p.poll() is not None:
            raise guest.Failure(f"llama-server does not answer: {vm.read(said)[-1500:]}")
        start = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda i: question(port, i), range(a.requests)))
        seconds = time.monotonic() - start
        bad = [text for is_right, text in answers if not is_right]
        # What two do at once may round otherwise, so equal questions have few answers, not one.
        kinds = len({text for is_right, text in answers if is_right})
        if p.poll() is not None:
            bad.append(f"llama-server has ended: status {p.returncode}")
        device = [line for line in vm.read(said).splitlines() if "Virtio-GPU Venus" in line]
        if not device:
            bad.append("llama-server does not name the GPU: " + vm.read(said)[-600:])
        print("\n".join("    " + line for line in device[:1] + [f"answered: {answers[0][1]!r}"]))
        print(f"{'not ok' if bad else 'ok'} - llama-server in a microVM, port {port} of the host: "
              f"{a.requests - len(bad)} of {a.requests} requests answered, two at a time, {seconds:.0f} s, "
              f"{kinds} different texts" + "".join("\n    " + b for b in bad[:5]))
        return 1 if bad else 0
    finally:
        guest.kill_group(p)
        p.wait()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", nargs="+", choices=["kills", "cycles", "server"])
    ap.add_argument("--host", default="own", choices=["own", "ext"], help="see guest.py")
    ap.add_argument("--root", default="mesa26", help="the guest's")
    ap.add_argument("--cpus", type=int, default=2)
    ap.add_argument("--memory", default="1G")
    ap.add_argument("--kills", type=int, default=4)
    ap.add_argument("--tokens", type=int, default=32, help="that a machine to be killed generates")
    ap.add_argument("--seed", type=int, default=int(time.time()))
    ap.add_argument("--cycles", type=int, default=20)
    ap.add_argument("--requests", type=int, default=6)
    ap.add_argument("--timeout", type=float, default=900)
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    vm.end_with_last_words()
    vm.prepare()
    llama.model_path("7m")
    failures = 0
    if "kills" in a.what:
        failures += kills(a)
    if set(a.what) != {"kills"}:
        port = free_port()
        with vm.Machine(a.host, a.cpus, a.memory, a.root, "gpu-soak",
                        ["-p", f"{port}:{GUEST_PORT}"]) as machine:
            if "server" in a.what:
                failures += server(a, machine, port)
            if "cycles" in a.what:
                failures += cycles(a, machine)
            if failures:
                machine.tell()
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"vm_soak.py: {e}", file=sys.stderr)
        sys.exit(1)
