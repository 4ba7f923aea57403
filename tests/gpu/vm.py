#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real Vulkan programs in a microVM (engine qemu), on this machine's GPU.

  vm.py info         the guest's kernel and `vulkaninfo --summary` name the host's GPU
  vm.py equal        llama.cpp writes the same text as natively, byte for byte
  vm.py vulkaninfo   full vulkaninfo ends well and differs from the native one as it is expected to
  vm.py lost         a program whose renderer is killed ends soon, and the next one computes
  vm.py memory       two programs meet the limit of --gpu-memory together
  vm.py together     our compute client several times at once, each with a context of its own

What fails is followed by the last lines of pecten, pecten-vm, QEMU and the guest's kernel.
"""
import argparse
import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

import guest
import llama
import vulkaninfo

CLIENTS_AT = "/mnt"
TOGETHER = 3
LOST_S = 300.0  # within which a program must have noticed; Mesa looks every 3.5 s, a busy host is slow
NAME = "gpu-test"  # of the machine, and so of its shader cache
MODELS_AT = "/models"
BUDGET_MIB = 1024  # --gpu-memory
SHARE_MIB = 640    # more than half of it
ENV = {"LANG": "C.UTF-8", "MESA_SHADER_CACHE_DISABLE": "true",
       "VK_DRIVER_FILES": "/usr/share/vulkan/icd.d/virtio_icd.json"}
KERNEL_WORDS = ["+virgl", "+resource_blob", "+host_visible", "+context_init"]
BOOT_S = 600.0  # a busy host emulates very slowly
END_S = 120.0


def prepare():
    """QEMU and the guest's kernel, where they can be had: a bundle brings its own."""
    for tool in ("get-qemu", "guest-kernel"):
        path = os.path.join(guest.TOP, "tools", tool)
        if os.path.exists(path):
            r = subprocess.run([path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               check=False)
            if r.returncode:
                raise guest.Failure(f"tools/{tool} fails: {r.stderr.strip()[-300:]}")


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def tree(roots):
    """Processes below @roots, these included and first."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = read(f"/proc/{name}/stat")
            if stat:
                children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(name))
    out, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        out.append(pid)
        todo += children.get(pid, [])
    return out


def role(pid):
    """What a process below pecten is for."""
    words = read(f"/proc/{pid}/cmdline").split("\0")
    line = " ".join(words)
    name = os.path.basename(words[0])
    if "qemu-system" in line and "--qemu" not in words:
        return "QEMU"
    if name == "pecten-vm":
        return "broker" if "--renderers" in words else "pecten-vm"
    if name in ("pecten", "pecten-renderer"):
        return name
    return "program"


class Session(guest.Session):
    """A way to run programs: in a machine that runs."""

    def __init__(self, machine):
        super().__init__(None, label=f"{machine.host}/vm")
        self.machine = machine

    def command(self, argv, env=None, binds=()):
        """Folders cannot be bound into a running machine; a model is in the shared folder."""
        words = []
        for word in argv:
            for src, dst in binds:
                word = word.replace(dst, f"{MODELS_AT}/{os.path.basename(src)}")
            words.append(word)
        full = {**ENV, **(env or {})}
        return ([self.machine.pecten, "exec"] + [w for k, v in full.items() for w in ("-e", f"{k}={v}")]
                + [self.machine.name, "--"] + words)

    def by_line(self, argv):
        """Its output is a pipe in the guest, and one only, so that its lines stay whole."""
        return ["bash", "-c", 'exec stdbuf -oL "$@" 2>&1', "bash", *argv]

    def popen(self, argv, env=None, binds=(), **kw):
        return subprocess.Popen(self.command(argv, env, binds), env=self.machine.env,
                                start_new_session=True, preexec_fn=guest.die_with_parent, **kw)


class Machine:
    """A microVM with a GPU, for the length of a with block."""

    def __init__(self, host, cpus=4, memory="2G", root="mesa26", name=NAME, options=()):
        self.host, self.name, self.options = host, name, list(options)
        self.root = root if "/" in root else guest.ROOTS.path(root)
        self.cpus, self.memory = min(cpus, os.cpu_count() or 1), memory
        self.env = guest.machine_environment(host)
        self.pecten = os.path.join(*guest.find_pecten())
        self.models = os.path.join(guest.CACHE, "gpu-tests")
        self.dir = self.proc = self.boot_s = None

    def __enter__(self):
        os.makedirs(self.models, exist_ok=True)
        # pylint: disable=consider-using-with
        self.dir = tempfile.TemporaryDirectory(prefix="pecten-vm-")
        self.log_path, self.console = (os.path.join(self.dir.name, n) for n in ("log", "console"))
        # The machine lives as long as its command, and that as long as our end of the pipe.
        command = [self.pecten, "run", "--engine", "qemu", "--gpu", "on", "--cpus", str(self.cpus),
                   "--memory", self.memory, "--name", self.name, "--log-level", "3",
                   "--console", self.console, "-v", f"{self.models}:{MODELS_AT}:ro",
                   "-v", f"{guest.client_dir('tests', 'gpu', 'client')}:{CLIENTS_AT}:ro",
                   *self.options, self.root, "--", "cat"]
        # What an earlier run may have left, killed from outside.
        subprocess.run([self.pecten, "stop", "-t", "0", self.name], env=self.env, timeout=BOOT_S,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        start = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=log, start_new_session=True, env=self.env,
                                         preexec_fn=guest.die_with_parent)
        try:
            self.proc.stdin.write(b"up\n")
            self.proc.stdin.flush()
            ready = select.select([self.proc.stdout], [], [], BOOT_S)[0]
            if not ready or self.proc.stdout.readline() != b"up\n":
                raise guest.Failure("the machine did not start" if ready else
                                    f"the machine did not start within {BOOT_S:.0f} s")
        except (OSError, guest.Failure):
            self.tell()
            self._end()
            raise
        self.boot_s = time.monotonic() - start
        print(f"# a machine with {self.cpus} CPUs and {self.memory} took {self.boot_s:.1f} s to start",
              flush=True)
        return self

    def session(self):
        return Session(self)

    def alive(self):
        return self.proc.poll() is None

    def log(self):
        return read(self.log_path) + read(self.console)

    def tell(self):
        """Prints what explains a failure."""
        for what, path, lines in (("pecten, pecten-vm, QEMU", self.log_path, 25),
                                  ("the guest's kernel", self.console, 25)):
            print(f"--- last words of {what}", flush=True)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as f:
                    print("".join("    " + line for line in f.readlines()[-lines:]), flush=True)
        if self.proc:
            print(f"--- status of pecten: {self.proc.poll()} (None: it runs)", flush=True)

    def _end(self):
        if self.proc:
            with contextlib.suppress(OSError):
                self.proc.stdin.close()
            for sig in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.proc.wait(END_S)
                    break
                guest.kill_group(self.proc) if sig == signal.SIGKILL else self.proc.send_signal(sig)
            self.proc.wait()
            self.proc.stdout.close()
        self.dir.cleanup()

    def __exit__(self, kind, *_):
        if kind and kind is not KeyboardInterrupt:
            self.tell()
        self._end()


def end_with_last_words():
    """Makes SIGTERM an exception, so that a machine that is out of time tells what it knows."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("out of time"))


def gpu_name(host):
    """The first GPU of the host, as pecten sees it."""
    with guest.Server(host) as server:
        return server.info()["devices"][0]["name"]


def info(a, machine):
    vm, bad = machine.session(), 0
    r = vm.run(["dmesg"], timeout=60)
    lines = [line for line in r.stdout.splitlines() if "virtio_gpu" in line or "virtio-gpu" in line
             or "[drm]" in line]
    print("\n".join(lines))
    for word in KERNEL_WORDS:
        if not any(word in line for line in lines):
            bad += 1
            print(f"not ok - the guest's kernel does not say {word}")
    r = vm.run(["vulkaninfo", "--summary"], timeout=120)
    print(r.stdout[r.stdout.find("Devices:"):], r.stderr[-2000:] if r.returncode else "")
    want = f"Virtio-GPU Venus ({gpu_name(a.host)}"
    if r.returncode or want not in r.stdout:
        bad += 1
        print(f"not ok - vulkaninfo --summary: status {r.returncode}, '{want}' expected")
    with guest.Server(a.host) as server:
        types = server.info(*a.mapping)["devices"][0]["memoryTypes"]
    want_types = sum("host-visible" in t["guestFlags"] for t in types)
    text = vulkaninfo.full(vm)
    text = text[text.find("memoryTypes:"):]
    got_types = text[:text.find("VkPhysicalDeviceFeatures:")].count("MEMORY_PROPERTY_HOST_VISIBLE_BIT")
    if got_types != want_types:
        bad += 1
        print(f"not ok - the guest can map {got_types} memory types, {want_types} are expected")
    if not bad:
        print(f"ok - a guest of the engine qemu sees '{want}...', and can map {got_types} memory types")
    return bad


def equal(a, machine):
    vm = machine.session()
    model = llama.model_path(a.size)
    with guest.Server(a.host) as server:
        unmappable = server.unmappable(*a.mapping)
    shown = guest.extensions(vm)
    native = guest.behind_layer(guest.native(a.host, cache=True), shown, unmappable)
    print(f"# the guest sees {len(shown)} extensions; memory types {unmappable or 'none'} of the "
          "host's mappable ones are not mappable", flush=True)
    want = llama.complete(native, model, a.tokens, a.timeout)
    bad = want.why_bad(a.tokens)
    if bad:
        raise guest.Failure(f"llama-completion fails natively: {bad}")
    failures = 0
    for i in range(a.repeat):
        got = llama.complete(vm, model, a.tokens, a.timeout)
        bad = got.why_bad(a.tokens)
        if not bad and got.text != want.text:
            bad = llama.first_difference(want.text, got.text)
        failures += bool(bad)
        print(f"    run {i + 1}: {bad or 'equal'}, {got.seconds:.1f} s (native {want.seconds:.1f} s)",
              flush=True)
    device = [line for line in got.messages.splitlines() if "using device" in line]
    print("\n".join(["    " + line for line in device] + ["    " + got.text.strip()[:300]]))
    print(f"{'not ok' if failures else 'ok'} - llama-completion in a microVM, host {a.host}: "
          f"{a.tokens} tokens equal to native in {a.repeat - failures} of {a.repeat} runs")
    return failures


def full_vulkaninfo(a, machine):
    text = vulkaninfo.full(machine.session())
    native_text = vulkaninfo.full(guest.native(a.host))
    if a.save:
        vulkaninfo.save(a.save, a.host, {"native": native_text, "vm": text})
    return vulkaninfo.compare(f"host {a.host}, in a microVM", ["26", "vm"], native_text, text)


def together(a, machine):
    session = machine.session()
    running = [session.popen([f"{CLIENTS_AT}/gpu_compute"], stdin=subprocess.DEVNULL, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
               for _ in range(TOGETHER)]
    failures = 0
    for i, p in enumerate(running):
        text = p.communicate(timeout=a.timeout)[0]
        if p.returncode:
            failures += 1
            print(f"    process {i}: status {p.returncode}: {text[-1500:]}")
    print(f"{'not ok' if failures else 'ok'} - gpu_compute in a microVM, host {a.host}: "
          f"{TOGETHER - failures} of {TOGETHER} processes at once")
    return failures


def renderers(machine):
    return [pid for pid in tree([machine.proc.pid]) if role(pid) == "pecten-renderer"]


def lose(machine, name, argv, env, binds, sign):
    """Kills the renderer of a program that has written @sign; what is wrong, or None."""
    with tempfile.NamedTemporaryFile() as wrote, tempfile.NamedTemporaryFile() as said:
        p = machine.session().popen(argv, env={"MESA_LOG_LEVEL": "debug", **env}, binds=binds,
                                    stdin=subprocess.DEVNULL, stdout=wrote, stderr=said)
        end = time.monotonic() + LOST_S
        while sign not in read(wrote.name):
            if p.poll() is not None or time.monotonic() > end:
                guest.kill_group(p)
                return f"it did not begin to compute: {read(said.name)[-600:]}"
            time.sleep(0.05)
        victims = renderers(machine)
        start = time.monotonic()
        for pid in victims:  # the spare among them
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            status = p.wait(LOST_S)
        except subprocess.TimeoutExpired:
            guest.kill_group(p)
            return f"it does not notice within {LOST_S:.0f} s: {read(said.name)[-600:]}"
        words = [line for line in read(said.name).splitlines() if line.strip()][-3:]
        print(f"    {name}: ended {time.monotonic() - start:.2f} s after the death of its renderer, "
              f"status {status}" + "".join("\n        " + w[:160] for w in words), flush=True)
        if not victims or status == 0:
            return "it ends as if nothing had happened"
    return None


def lost(a, machine):
    """Mesa has no way to hand on the loss of the device: it ends the process.  See README."""
    model = llama.model_path("7m")
    programs = [("gpu_threads, submitting", [f"{CLIENTS_AT}/gpu_threads", "2", "4", "4000000000"],
                 {}, (), "ok 1 "),
                ("llama-completion, generating", llama.command(990), llama.ENV,
                 [(model, llama.MODEL_AT)], " ")]
    failures = 0
    for name, argv, env, binds, sign in programs:
        bad = lose(machine, name, argv, env, binds, sign)
        after = machine.session().run([f"{CLIENTS_AT}/gpu_compute", "saxpy"], timeout=a.timeout)
        if after.returncode and not bad:
            bad = "the next program fails: " + (after.stdout + after.stderr)[-600:]
        failures += bool(bad)
        print(f"{'not ok' if bad else 'ok'} - {name}, in a microVM: ends when its renderer is killed, "
              f"and the next one computes{': ' + bad if bad else ''}", flush=True)
    return failures


class Holder:
    """A program that holds GPU memory for the length of a with block; ->mib is how much it got."""

    def __init__(self, machine, mib):
        self.proc = machine.session().popen(
            [f"{CLIENTS_AT}/gpu_hold", str(mib)], env={"VN_PERF": "no_async_mem_alloc"}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = ""
        for line in self.proc.stdout:
            said += line
            m = re.match(r"holds (\d+) MiB: (-?\d+)", line)
            if m:
                self.mib, self.result = int(m[1]), int(m[2])
                return
        raise guest.Failure(f"gpu_hold fails: {said[-600:]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.stdin.close()
        self.proc.stdout.read()
        self.status = self.proc.wait()


def memory(_, machine):
    bad = []
    with Holder(machine, SHARE_MIB) as one:
        with Holder(machine, SHARE_MIB) as two:
            print(f"    one holds {one.mib} MiB, two {two.mib} MiB of {SHARE_MIB} "
                  f"(result {two.result}); allowed: {BUDGET_MIB} MiB together")
            if one.mib != SHARE_MIB or one.result:
                bad.append("the first does not get its share")
            if two.result != -2 or not 0 < two.mib <= BUDGET_MIB - SHARE_MIB:
                bad.append("the second is not stopped by VK_ERROR_OUT_OF_DEVICE_MEMORY in time")
        with Holder(machine, BUDGET_MIB - SHARE_MIB) as three:
            if three.result:
                bad.append(f"what the second has freed is gone: {three.mib} MiB")
        pids = renderers(machine)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + LOST_S
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    with Holder(machine, BUDGET_MIB) as four:
        if four.result:
            bad.append(f"what a killed renderer had is gone: {four.mib} MiB")
    print(f"{'not ok' if bad else 'ok'} - --gpu-memory {BUDGET_MIB}M is for all programs of a microVM "
          "together, and comes back" + "".join("\n    " + b for b in bad))
    return len(bad)


WAYS = {"memory": memory, "lost": lost, "info": info, "equal": equal, "vulkaninfo": full_vulkaninfo, "together": together}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", nargs="+", choices=WAYS)
    ap.add_argument("--host", default="own", choices=["own", "ext"], help="see guest.py")
    ap.add_argument("--size", choices=llama.make_model.SIZES, default="7m")
    ap.add_argument("--tokens", type=int, default=100)
    ap.add_argument("--repeat", type=int, default=1)
    ap.add_argument("--root", default="mesa26", help="the guest's: a folder or a name of "
                    "tools/gpu-roots; `info` needs dmesg in it")
    ap.add_argument("--cpus", type=int, default=4)
    ap.add_argument("--memory", default="2G")
    ap.add_argument("--timeout", type=float, default=900)
    ap.add_argument("--map-video-memory", dest="mapping", action="store_const", default=[],
                    const=["--map-video-memory"], help="start the machine with this option")
    ap.add_argument("--save", metavar="DIR", help="keep the texts of vulkaninfo there")
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    end_with_last_words()
    prepare()
    options = ["--gpu-memory", f"{BUDGET_MIB}M"] if "memory" in a.what else []
    options += a.mapping
    with Machine(a.host, a.cpus, a.memory, a.root, options=options) as machine:
        failures = sum(WAYS[what](a, machine) for what in a.what)
        if failures:
            machine.tell()
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"vm.py: {e}", file=sys.stderr)
        sys.exit(1)
