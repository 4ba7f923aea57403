#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real guests under the engine "qemu", which any host can run.

    PECTEN=.../pecten PECTEN_VM=.../pecten-vm boot_test.py TOOLS [PREFIX...]

TOOLS is the folder of get-qemu and guest-kernel, whose results are cached.  A guest takes some
seconds to start, so one machine serves most of the tests, and those that kill something start
theirs at the same time.  Nothing here depends on how fast that is.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback

os.environ["PECTEN_TEST_ARGS"] = "--engine qemu"
os.environ.setdefault("PECTEN_TEST_SCALE", "10")  # a busy host emulates very slowly
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
# pylint: disable=wrong-import-position
from cli_test import (LIMIT, PECTEN, Machine, Skip, alive, children_of, command, digest, equal,
                      machines, ok, pecten, run, says, sh, start, wait_for)

MIB = 1 << 20
DATA = 3 * MIB


class Shared:
    """The machine that most tests use, with all kinds of devices."""

    name = "shared"

    def __init__(self, scratch):
        self.dir = pathlib.Path(scratch)
        for name in ("rw", "ro"):
            (self.dir / name).mkdir()
        (self.dir / "ro" / "file").write_text("host\n", encoding="ascii")
        shutil.copy(os.environ["PECTEN_TEST_BLOBS"], self.dir / "ro" / "blobs")
        self.disk = self.dir / "disk"
        self.disk.write_bytes(b"disk" + bytes(MIB - 4))
        with socket.create_server(("127.0.0.1", 0)) as spare:
            self.port = spare.getsockname()[1]
        self.machine = Machine(
            self.name, "trap 'echo bye; exit 15' TERM; echo up; while :; do sleep 0.1; done",
            options=["-c", "2", "--gpu", "on", "-v", f"{self.dir}/rw:/rw", "-v", f"{self.dir}/ro:/ro:ro",
                     "--disk", str(self.disk), "-p", f"{self.port}:80",
                     "--console", str(self.dir / "console")])

    def exec(self, script, **kw):
        return pecten("exec", self.name, "--", "bash", "-c", script, **kw)


SHARED = None


def test_shared_kernel():
    """the guest runs a kernel of its own on two CPUs, with our devices on its PCI bus"""
    release = pathlib.Path(TOOLS.kernel, "version").read_text(encoding="ascii")
    equal(ok(SHARED.exec("uname -r; nproc")).stdout.decode(), release + "2\n")
    ids = ok(SHARED.exec("cat /sys/bus/virtio/devices/*/device")).stdout.split()
    # net, blk, console, rng, balloon, gpu, vsock, fs
    equal(sorted(int(i, 16) for i in ids), [1, 2, 3, 4, 5, 16, 19, 26])


def test_shared_confined():
    """QEMU has no capability, cannot execute anything, and sees its own files only"""
    pid = qemu_of(SHARED.machine)
    lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    equal(int(status["CapPrm"], 16) | int(status["CapBnd"], 16) & -(os.geteuid() == 0), 0)
    equal((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
    if os.geteuid() == 0:
        seen = {f"{d}/{n}" for d in ("", "/etc") if os.path.isdir(f"/proc/{pid}/root{d}")
                for n in os.listdir(f"/proc/{pid}/root{d}")}
        equal(seen & {"/home", "/root", "/tmp", "/run", "/etc/passwd", "/etc/shadow"} -
              {"/" + TOOLS.qemu.split("/")[1]}, set(), "QEMU sees too much")


def test_shared_stdio():
    """megabytes go in and come out on both streams, byte for byte"""
    data = os.urandom(DATA)
    result = ok(SHARED.exec("tee /dev/stderr", data=data))
    equal(digest(result.stdout), digest(data), "stdout")
    equal(digest(result.stderr), digest(data), "stderr")


def test_shared_status():
    """a command's status comes back, whatever ended it"""
    ok(SHARED.exec("exit 7"), 7)
    ok(SHARED.exec("kill -KILL $$"), 137)
    ok(pecten("exec", SHARED.name, "no-such-command"), 127)


def test_shared_parallel():
    """commands at the same time do not disturb one another"""
    ps = [subprocess.Popen([PECTEN, "exec", SHARED.name, "--", "sh", "-c",
                            f"head -c 300000 /dev/zero; exit {n}"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE) for n in range(4)]
    for n, p in enumerate(ps):
        equal(len(p.communicate(timeout=LIMIT)[0]), 300000)
        equal(p.returncode, n)


def test_shared_volumes():
    """a volume shows changes in both directions, a read-only one takes none"""
    data = os.urandom(MIB)
    (SHARED.dir / "rw" / "from-host").write_bytes(data)
    result = ok(SHARED.exec("cat /rw/from-host; cat > /rw/from-guest; mkdir /rw/d", data=data))
    equal(digest(result.stdout), digest(data))
    equal(digest((SHARED.dir / "rw" / "from-guest").read_bytes()), digest(data))
    equal((SHARED.dir / "rw" / "d").is_dir(), True)
    equal(ok(SHARED.exec("cat /ro/file")).stdout, b"host\n")
    for what in ("echo x > /ro/file", "rm /ro/file", "mkdir /ro/d", "chmod 777 /ro/file"):
        result = ok(SHARED.exec(what + " || exit 3"), 3)
        equal(b"Read-only file system" in result.stderr, True, what)
    equal((SHARED.dir / "ro" / "file").read_text(encoding="ascii"), "host\n")


def test_shared_disk():
    """a disk is read and written"""
    result = ok(SHARED.exec("dd if=/dev/vda bs=4 count=1 status=none; blockdev --getsize64 /dev/vda;"
                            "echo guest | dd of=/dev/vda bs=512 seek=1 conv=fsync status=none"))
    equal(result.stdout, b"disk%d\n" % MIB)
    equal(SHARED.disk.read_bytes()[512:518], b"guest\n")


def test_shared_net():
    """the guest reaches the host's loopback, and the host a published port of the guest"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT)
        port = server.getsockname()[1]
        got = []

        def serve():
            conn, _ = server.accept()
            with conn:
                got.append(conn.makefile("rb").readline())
                conn.sendall(b"from-host\n")

        thread = threading.Thread(target=serve)
        thread.start()
        result = ok(SHARED.exec(f"exec 3<>/dev/tcp/10.0.2.2/{port}; echo hello >&3; cat <&3"))
        thread.join()
        equal((got, result.stdout), ([b"hello\n"], b"from-host\n"))
    server = subprocess.Popen(
        [PECTEN, "exec", SHARED.name, "--", "python3", "-u", "-c",
         "import socket; s = socket.create_server(('', 80)); print('up'); c = s.accept()[0];"
         "c.sendall(c.makefile('rb').readline()[::-1])"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    with server:
        equal(server.stdout.readline(), b"up\n")
        with socket.create_connection(("127.0.0.1", SHARED.port), LIMIT) as client:
            client.sendall(b"abc\n")
            equal(client.makefile("rb").read(), b"\ncba")
        equal(server.wait(LIMIT), 0)


def test_shared_gpu():
    """the GPU's driver finds a Venus device with a window"""
    log = ok(SHARED.exec("dmesg")).stdout.decode()
    for words in ("features: +virgl -edid +resource_blob +host_visible", "+context_init",
                  "cap set 0: id 4", "Host memory window"):
        equal(words in log, True, words)
    ok(SHARED.exec("test -c /dev/dri/renderD128 -a -w /dev/dri/renderD128"))


def test_shared_gpu_limit():
    """a program that maps blobs for ever gets an error below QEMU's limit, and harms nobody"""
    result = ok(SHARED.exec("/ro/blobs 200 256"))
    equal(result.stdout.endswith(b"blobs, and one again\n"), True, result.stdout)
    # QEMU is busy for a while with what the program had.
    wait_for(lambda: SHARED.exec("true").returncode == 0, say="the machine is gone")


def test_shared_zz_signals():
    """a signal to pecten reaches the command, whose status is pecten's"""
    p = SHARED.machine.p
    p.send_signal(signal.SIGTERM)
    equal(p.stdout.read(), b"bye\n")
    equal(p.wait(LIMIT), 15)
    equal(SHARED.name in machines(), False)
    # Whatever the kernel said it said to the file, and nothing of it is a complaint.
    text = (SHARED.dir / "console").read_text(encoding="utf-8", errors="replace")
    for word in ("Oops", "BUG:", "segfault", "Call Trace"):
        equal(word in text, False, text[-800:])


def argv_of(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def vm_of(m):
    """The VM process: the one program of its name whose argument is a descriptor's number."""
    for pid, _ in children_of(m.p.pid):
        argv = argv_of(pid)
        if argv[0].endswith(b"/pecten-vm") and argv[1].isdigit():
            return pid
    raise AssertionError("there is no VM process")


def test_killed():
    """whichever process is killed, all others go, pecten says why, and the name is free again"""
    ms = []
    threads = [threading.Thread(target=lambda n=n: ms.append(Machine(n)))
               for n in ("killed-cli", "killed-vm", "killed-qemu")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(len(ms), 3, "not all machines have started")
    ms = {m.name: m for m in ms}
    pids = {name: [pid for pid, _ in children_of(m.p.pid)] for name, m in ms.items()}
    for name in pids:
        equal(len(pids[name]) >= 2, True, "no VM process or no QEMU")

    ms["killed-cli"].p.kill()
    os.kill(vm_of(ms["killed-vm"]), signal.SIGKILL)
    os.kill(qemu_of(ms["killed-qemu"]), signal.SIGKILL)
    for name, status in (("killed-cli", -9), ("killed-vm", 137), ("killed-qemu", 125)):
        equal(ms[name].p.wait(LIMIT), status, name)
    equal(b"VM process was killed by signal 9" in ms["killed-vm"].p.stderr.read(), True)
    equal(b"QEMU was killed by signal 9" in ms["killed-qemu"].p.stderr.read(), True)
    for name, left in pids.items():
        wait_for(lambda left=left: not any(alive(p) for p in left), say=f"{name}: processes are left")
    for m in ms.values():
        m.__exit__()
    equal(machines(), {})


def qemu_of(m):
    for pid, _ in children_of(m.p.pid):
        argv = argv_of(pid)
        if b"-nodefaults" in argv and b"--qemu" not in argv:
            return pid
    raise AssertionError("there is no QEMU")


def test_next():
    """a name that was left behind serves again; run passes data, streams and status"""
    data = os.urandom(DATA)
    result = ok(sh("tee /dev/stderr; exit 7", options=["--name", "killed-cli"], data=data), 7)
    equal(digest(result.stdout), digest(data), "stdout")
    equal(digest(result.stderr), digest(data), "stderr")


def test_stop_and_panic():
    """stop ends a machine; a kernel's panic is reported in its own words"""
    with Machine("stops") as m:
        p = start("sh", "-c", "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger")
        ok(pecten("stop", "stops"))
        equal(m.p.wait(LIMIT) != 0, True)
        out, err = p.communicate(timeout=LIMIT)
        equal((p.returncode, out), (125, b""))
        equal(b"the guest's kernel crashed" in err and b"sysrq" in err, True, err)


def test_guest_ends_machine():
    """a guest that switches the machine off, or reboots it, is reported as what it did"""
    for word, says_what in (("0x4321fedc", "switched the machine off"), ("0x1234567", "rebooted")):
        result = run("python3", "-c", f"import ctypes; ctypes.CDLL(None).reboot({word})",
                     options=["--allow-reboot"])
        says(ok(result, 125), says_what)


def test_no_qemu():
    """no QEMU, an old one and none at all are explained with the remedy"""
    with tempfile.TemporaryDirectory() as d:
        old = pathlib.Path(d, "qemu-system-x86_64")
        old.write_text("#!/bin/sh\necho 'QEMU emulator version 7.2.22 (Debian)'\n", encoding="ascii")
        old.chmod(0o755)
        for env, words in (
                ({"PECTEN_QEMU": str(old)}, "which is QEMU 7.2"),
                ({"PECTEN_QEMU": "/no/such"}, "no QEMU that runs here"),
                ({"XDG_CACHE_HOME": d, "PATH": f"{d}:{os.environ['PATH']}"}, "is version 7.2); get"),
                ({"XDG_CACHE_HOME": d, "PATH": "/no/such"}, "tools/get-qemu")):
            env = {**os.environ, **env}
            says(ok(subprocess.run(command("true"), capture_output=True, env=env, check=False,
                                   stdin=subprocess.DEVNULL, timeout=LIMIT), 125), words)


def test_no_kernel():
    """a kernel that is missing or none is explained"""
    with tempfile.TemporaryDirectory() as d:
        env = {**os.environ, "XDG_CACHE_HOME": d, "PECTEN_QEMU": ""}
        os.makedirs(f"{d}/pecten")
        os.symlink(TOOLS.qemu, f"{d}/pecten/qemu")
        says(ok(subprocess.run(command("true"), capture_output=True, env=env, check=False,
                               stdin=subprocess.DEVNULL, timeout=LIMIT), 125), "tools/guest-kernel")
        result = run("true", options=["--kernel", "/etc/passwd"])
        says(ok(result, 125), "QEMU")
    says(ok(run("true", options=["--kernel", "/no/such"]), 125), "cannot open the kernel")


def test_auto():
    """where KVM does not work, QEMU takes over and a line says so"""
    if subprocess.run([os.environ["PECTEN_VM"], "--probe"], check=False,
                      stdout=subprocess.DEVNULL).returncode == 0:
        raise Skip("KVM works here")
    env = {**os.environ, "PECTEN_QEMU": "/no/such"}
    result = subprocess.run([PECTEN, "run", "/", "--", "true"], capture_output=True, env=env,
                            check=False, stdin=subprocess.DEVNULL, timeout=LIMIT)
    says(ok(result, 125), ", and: PECTEN_QEMU names")
    # What another pecten-vm found out in this boot, a test's or an older one, is not believed.
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    known = pathlib.Path(os.environ["XDG_RUNTIME_DIR"], "pecten", ".kvm-works")
    known.write_text(f"{boot.strip()} 1:1 1.000000000\n", encoding="ascii")
    result = subprocess.run([PECTEN, "run", "/", "--", "uname", "-r"], capture_output=True,
                            check=False, stdin=subprocess.DEVNULL, timeout=LIMIT)
    says(ok(result), "QEMU emulates the CPUs")
    equal(result.stdout.decode(), pathlib.Path(TOOLS.kernel, "version").read_text(encoding="ascii"))


class Tools:
    """What the tests need besides pecten; made once for each machine."""

    def __init__(self, folder):
        self.kernel = self.make(f"{folder}/guest-kernel")
        self.qemu = self.make(f"{folder}/get-qemu")

    @staticmethod
    def make(tool):
        return subprocess.run([tool], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


TOOLS = None


def main():
    global SHARED, TOOLS  # pylint: disable=global-statement
    wanted = tuple("test_" + w.removeprefix("test_") for w in sys.argv[2:])
    tests = [(n, f) for n, f in globals().items()
             if n.startswith("test_") and (not wanted or n.startswith(wanted))]
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    TOOLS = Tools(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="pecten-") as runtime, \
            tempfile.TemporaryDirectory(prefix="pecten-") as scratch:
        os.environ["XDG_RUNTIME_DIR"] = runtime
        if any(n.startswith("test_shared") for n, _ in tests):
            SHARED = Shared(scratch)
        for n, (name, test) in enumerate(tests, 1):
            result, why = "ok", ""
            try:
                test()
            except Skip as e:
                why = f" # SKIP {e}"
            except Exception as e:  # pylint: disable=broad-except
                failed += 1
                result = "not ok"
                if not isinstance(e, (AssertionError, subprocess.TimeoutExpired)):
                    traceback.print_exc()
                why = f"\n# {e}".replace("\n", "\n# ")
            print(f"{result} {n} - {name}: {test.__doc__}{why}", flush=True)
        if SHARED:
            SHARED.machine.p.kill()
            SHARED.machine.__exit__()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
