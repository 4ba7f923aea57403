#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the GPU tests of a bundle (tools/gpu-bundle) on a machine with a GPU, step by step.

Each step has a time limit and leaves its text and its status in the results folder; a step that
succeeded is not repeated, one that ran out of time continues where it stopped.  The folder may be
carried to another machine of the same kind between two calls.
"""
import argparse
import atexit
import contextlib
import ctypes
import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import tarfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PY = sys.executable or "python3"

# name, seconds at most, command below the bundle's folder; {r} is the results folder
STEPS = [
    ("machine", 60, "nvidia-smi -L || true; uname -a; nproc; cat revision; ls -la /dev | head -40"),
    ("native", 90, "{py} tests/gpu/guest.py --host ext -- vulkaninfo --summary"),
    ("info", 90, "{serve} gpu info"),
    ("remote26", 90, "{py} tests/gpu/guest.py --host ext --guest 26 --log {r}/server.log -- "
                     "vulkaninfo --summary; s=$?; tail -n 20 {r}/server.log; exit $s"),
    ("remote25", 90, "{py} tests/gpu/guest.py --host ext --guest 25 --log {r}/server.log -- "
                     "vulkaninfo --summary; s=$?; tail -n 20 {r}/server.log; exit $s"),
    ("clients26", 240, "{py} tests/gpu/clients.py --host ext --guest 26"),
    ("clients25", 240, "{py} tests/gpu/clients.py --host ext --guest 25"),
    ("clients26nts", 240, "{py} tests/gpu/clients.py --host ext --guest 26nts"),
    ("vulkaninfo", 200, "{py} tests/gpu/vulkaninfo.py --host ext --guest 25 --guest 26 "
                        "--guest 26nts --save {r}/vulkaninfo"),
    ("model", 200, "{py} tests/gpu/llama.py --make-model --size 7m; "
                   "{py} tests/gpu/llama.py --make-model --size 1b"),
    ("equal7m", 240, "{py} tests/gpu/llama.py --host ext --size 7m --guest 25 --guest 26 "
                     "--guest 26nts --timeout 60"),
    ("equal1b", 300, "{py} tests/gpu/llama.py --host ext --size 1b --guest 25 --guest 26 "
                     "--guest 26nts --timeout 90"),
    ("bench26", 460, "{py} bench/llama.py --host ext --size 1b -p 512 -n 256 --rounds 5 "
                     "--timeout 90 --guest 26 --json {r}/llama.json"),
    ("bench26m", 460, "{py} bench/llama.py --host ext --size 1b -p 512 -n 256 --rounds ${{PECTEN_ROUNDS:-5}} "
                      "--timeout 90 --guest 26 --map-video-memory --json {r}/llama.json"),
    ("bench26nts", 460, "{py} bench/llama.py --host ext --size 1b -p 512 -n 256 --rounds ${{PECTEN_ROUNDS:-5}} "
                        "--timeout 90 --guest 26nts --map-video-memory --json {r}/llama-nts.json"),
    ("mapped", 110, "{serve} gpu info --map-video-memory; "
                    "export PECTEN_GPU_SERVE_ARGS=--map-video-memory; "
                    "{py} tests/gpu/clients.py --host ext --guest 26 && "
                    "{py} tests/gpu/llama.py --host ext --size 7m --guest 25 --guest 26 "
                    "--timeout 60"),
    ("bench25", 460, "{py} bench/llama.py --host ext --size 1b -p 512 -n 256 --rounds 5 "
                     "--timeout 90 --guest 25 --json {r}/llama.json"),
    ("calls", 300, "{py} bench/calls.py --host ext --guest 25 --guest 26 --json {r}/calls.json"),
    ("soak", 400, "{py} tests/gpu/llama.py --host ext --size 7m --guest 26 --repeat 20 --at-once 4"),
    ("ops_ci", 400, "{py} tests/gpu/backend_ops.py --host ext --ci --guest 26 --guest 25 "
                    "--results {r}/ops --timeout 120"),
    ("ops_all", 560, "{py} tests/gpu/backend_ops.py --host ext "
                     "--guest ${{PECTEN_OPS_GUEST:-26}} --every ${{PECTEN_OPS_EVERY:-1}} --jobs $(nproc) --device ${{PECTEN_OPS_DEVICE:-0}} --results {r}/ops_all "
                     "--timeout 120 --budget ${{PECTEN_OPS_BUDGET:-420}}"),
    ("ops_native", 460, "{py} tests/gpu/backend_ops.py --host ext --native-only --results {r}/ops "
                        "--timeout 120 --budget 420"),
    ("ops26", 460, "{py} tests/gpu/backend_ops.py --host ext --guest 26 --results {r}/ops "
                   "--timeout 120 --budget 420"),
    ("ops25", 460, "{py} tests/gpu/backend_ops.py --host ext --guest 25 --results {r}/ops "
                   "--timeout 120 --budget 420"),
    ("ops26nts", 460, "{py} tests/gpu/backend_ops.py --host ext --guest 26nts --every 10 "
                      "--results {r}/ops --timeout 120 --budget 420"),
]
# Those that run in a microVM (engine qemu): {run} --driver PREFIX vm
VM_STEPS = [
    ("vm_doctor", 60, "cat revision; ls -la cache/pecten cache/pecten/qemu/usr/bin; free -m; ulimit -l; "
                      "{serve} doctor || true"),
    ("model7m", 60, "{py} tests/gpu/llama.py --make-model --size 7m"),
    ("vm_info", 150, "{py} tests/gpu/vm.py info --host ext"),
    ("vm_mapped", 200, "{py} tests/gpu/vm.py info together equal --host ext --size 7m --timeout 100 "
                       "--map-video-memory"),
    ("vm_equal", 240, "{py} tests/gpu/vm.py equal --host ext --size 7m --timeout 100"),
    ("vm_bench7m", 240, "{py} bench/vm.py --host ext --size 7m -p 64 -n 64 --rounds 3 --timeout 90 "
                        "--budget $((STEP_S - 60)) --json {r}/vm-7m.json"),
    ("vm_vulkaninfo", 150, "{py} tests/gpu/vm.py vulkaninfo --host ext --save {r}/vulkaninfo-vm"),
    ("model1b", 200, "{py} tests/gpu/llama.py --make-model --size 1b"),
    ("vm_bench1bm", 400, "{py} bench/vm.py --host ext --size 1b -p 64 -n 64 --rounds 2 --timeout 180 "
                         "--map-video-memory --budget $((STEP_S - 60)) --json {r}/vm-1bm.json"),
    ("vm_bench1b", 400, "{py} bench/vm.py --host ext --size 1b -p 64 -n 64 --rounds 2 --timeout 180 "
                        "--budget $((STEP_S - 60)) --json {r}/vm-1b.json"),
]
LAST_WORDS_S = 15
NOT_FINISHED = 3  # a driver's status when its budget ended before its work


def unpack(work):
    """The bundle's contents, once; programs from there are run, so that it is ours alone."""
    bundle, done = os.path.join(HERE, "bundle.tar.xz"), os.path.join(work, ".unpacked")
    os.makedirs(work, mode=0o700, exist_ok=True)
    own, which = os.lstat(work), os.stat(bundle)
    if not stat.S_ISDIR(own.st_mode) or own.st_uid != os.geteuid() or own.st_mode & 0o022:
        sys.exit(f"run: '{work}' must be a folder of yours that nobody else can write to; name another with --work")
    key = f"{which.st_size} {which.st_mtime_ns}"
    if os.path.exists(done):
        with open(done, encoding="ascii") as f:
            if f.read() == key:
                return
        sys.exit(f"run: '{work}' holds another bundle; remove it, or name another folder with --work")
    with tarfile.open(bundle) as t:
        t.extractall(work)
    with open(os.path.join(work, "roots"), "w", encoding="utf-8") as f:
        f.write(f"mesa26 {work}/root\nvenus25 {work}/venus25\n")
    with open(done, "w", encoding="ascii") as f:
        f.write(key)


def driver_environment(prefix):
    """Variables that lead the Vulkan loader to the driver below prefix."""
    if not prefix:
        return {}, []
    env = {"LD_LIBRARY_PATH": f"{prefix}/lib64"}
    for var, folder in (("VK_DRIVER_FILES", "share/vulkan/icd.d"),
                        ("__EGL_VENDOR_LIBRARY_FILENAMES", "share/glvnd/egl_vendor.d")):
        path = os.path.join(prefix, folder)
        names = sorted(n for n in os.listdir(path) if n.endswith(".json")) \
            if os.path.isdir(path) else []
        if names:
            env[var] = os.path.join(path, names[0])
        elif var == "VK_DRIVER_FILES":
            sys.exit(f"run: no Vulkan driver below {path}; see --driver")
    return env, [prefix]


def how_to_enter(work):
    """'namespace' where mounting works, else 'loader'."""
    r = subprocess.run(["unshare", "-m", "sh", "-c",
                        'mount --make-rprivate / && mount --rbind /dev "$0/root/dev" && '
                        'mount -t tmpfs tmpfs "$0/root/opt"', work],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if r.returncode == 0:
        return "namespace", ""
    # Programs that were built with absolute paths find their plug-ins through a link.
    link, target = "/usr/lib/x86_64-linux-gnu/ggml", f"{work}/root/usr/lib/x86_64-linux-gnu/ggml"
    if not os.path.lexists(link):
        os.symlink(target, link)
        atexit.register(os.unlink, link)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is registered runs then, too
    elif os.path.realpath(link) != os.path.realpath(target):
        sys.exit(f"run: '{link}' leads elsewhere; remove it")
    return "loader", r.stdout.strip()


def environment(a, work):
    env = dict(os.environ)
    enter, why = (a.enter, "") if a.enter else how_to_enter(work)
    extra, binds = driver_environment(a.driver)
    env.update({
        "PECTEN_GPU_ROOTS": f"{work}/roots", "PECTEN_BUILD": f"{work}/build",
        "PECTEN_GPU_HOST_LIBS": f"{work}/hostlibs", "PECTEN_GPU_ENTER": enter,
        "PECTEN_GPU_EXTRA_ENV": " ".join(shlex.quote(f"{k}={v}") for k, v in extra.items()),
        "PECTEN_GPU_EXTRA_BINDS": ":".join(binds),
        "XDG_CACHE_HOME": f"{work}/cache", "PYTHONUNBUFFERED": "1",
    })
    print(f"# roots are entered by {enter}" + (f" ({why})" if why else ""), flush=True)
    words = {**extra, "LD_LIBRARY_PATH": f"{work}/hostlibs:{extra.get('LD_LIBRARY_PATH', '')}",
             "PECTEN_LIBEXEC": f"{work}/build/src/vtest"}
    serve = "env " + " ".join(shlex.quote(f"{k}={v}") for k, v in words.items()) \
        + f" {work}/build/src/cli/pecten"
    return env, serve


def end_with_us():
    """A step does not outlive this program (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def run_step(step, a, work, env, serve):
    """Runs one step; returns its status."""
    name, limit, command = step
    text_path = os.path.join(a.results, name + ".txt")
    command = command.format(py=PY, r=a.results, serve=serve)
    env = {**env, "STEP_S": str(int(limit))}
    start = time.monotonic()
    with open(text_path, "w", encoding="utf-8") as out:
        p = subprocess.Popen(["bash", "-c", command], cwd=work, env=env, stdout=out,
                             stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                             start_new_session=True, preexec_fn=end_with_us)
        try:
            status = p.wait(limit)
        except subprocess.TimeoutExpired:
            status = 124
            for sig in (signal.SIGTERM, signal.SIGKILL):  # time for last words
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(p.pid, sig)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    p.wait(LAST_WORDS_S)
    return status, time.monotonic() - start, text_path


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                 epilog="steps: " + " ".join(s[0] for s in STEPS)
                                 + "; steps in a microVM, all of them by the word `vm`: "
                                 + " ".join(s[0] for s in VM_STEPS))
    ap.add_argument("--driver", metavar="PREFIX", help="folder of the GPU's driver")
    ap.add_argument("--results", default=os.path.join(HERE, "results"))
    ap.add_argument("--work", default="/tmp/pecten-gpu-bundle", help="where to unpack")
    ap.add_argument("--enter", choices=["namespace", "loader"], help="(default: what works)")
    ap.add_argument("--budget", type=float, default=560, help="seconds for this call")
    ap.add_argument("--again", action="store_true", help="repeat steps that succeeded")
    ap.add_argument("--lines", type=int, default=12, help="lines printed of each step's text")
    ap.add_argument("step", nargs="*", help="only these, in this order")
    a = ap.parse_args()
    a.results = os.path.abspath(a.results)
    by_name = {s[0]: s for s in STEPS + VM_STEPS}
    groups = {"vm": [s[0] for s in VM_STEPS]}
    steps = [n for word in a.step for n in groups.get(word, [word])]
    for name in steps:
        if name not in by_name:
            sys.exit(f"run: no step '{name}'; there are: {' '.join(by_name)}")
    os.makedirs(a.results, exist_ok=True)
    state_path = os.path.join(a.results, "state.json")
    state = {}
    if os.path.exists(state_path):
        with open(state_path, encoding="utf-8") as f:
            state = json.load(f)
    end = time.monotonic() + a.budget
    unpack(a.work)
    env, serve = environment(a, a.work)
    failed = False
    for step in [by_name[n] for n in steps] or STEPS + VM_STEPS:
        name, limit, _ = step
        if state.get(name, {}).get("status") == 0 and not (a.again or name in a.step):
            continue
        left = end - time.monotonic()
        if left < min(limit, 60):
            print(f"# {name}: not begun, {left:.0f} s are left; call again")
            break
        status, seconds, text_path = run_step((name, min(limit, left), step[2]), a, a.work, env,
                                              serve)
        state[name] = {"status": status, "seconds": round(seconds, 1)}
        with open(state_path, "w", encoding="utf-8") as f:
            json.dump(state, f, indent=1)
        word = {0: "ok", 124: "OUT OF TIME", NOT_FINISHED: "to be continued"}.get(status, "FAILED")
        failed |= status not in (0, NOT_FINISHED)
        print(f"== {name}: {word} (status {status}, {seconds:.0f} s)")
        with open(text_path, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
        for line in lines[-a.lines:] if status == 0 else lines[-3 * a.lines:]:
            print("   " + line[:240])
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
