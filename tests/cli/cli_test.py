#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a person sees of `pecten run`, `exec`, `ps` and `stop`.

The same tests run against namespaces (tests/guest/fake_vm.c) on any host and against real
machines in the lab:

    PECTEN=.../pecten PECTEN_LIBEXEC=... [PECTEN_TEST_ROOT=/] [PECTEN_TEST_ARGS="--kernel ..."]
    cli_test.py [PREFIX...]

A test is a function named test_*; its docstring is the sentence that is reported.  A prefix, such
as "exec", chooses tests; one that begins with "-" leaves them out, and after "=" comes a whole name.
"""

import fcntl
import hashlib
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

PECTEN = os.environ.get("PECTEN", "pecten")
ROOT = os.environ.get("PECTEN_TEST_ROOT", "/")
ARGS = shlex.split(os.environ.get("PECTEN_TEST_ARGS", ""))
SCALE = float(os.environ.get("PECTEN_TEST_SCALE", "1"))  # of time limits
DATA = int(os.environ.get("PECTEN_TEST_DATA", str(64 << 20)))
REAL = "PECTEN_FAKE_INIT" not in os.environ  # a machine, not namespaces
LIMIT = max(120, 60 * SCALE)  # only a hang takes that long


class Skip(Exception):
    """This host cannot run the test; the text says why."""


def command(*words, options=(), root=None):
    args = list(ARGS)
    if "-m" in options and "-m" in args:  # the test's own counts
        del args[args.index("-m"):args.index("-m") + 2]
    return [PECTEN, "run", *args, *options, root or ROOT, "--", *words]


def run(*words, options=(), root=None, data=b"", timeout=LIMIT):
    return subprocess.run(command(*words, options=options, root=root), input=data,
                          capture_output=True, timeout=timeout, check=False)


def sh(script, **kw):
    return run("sh", "-c", script, **kw)


def start(*words, options=(), **kw):
    """A machine in the background."""
    return subprocess.Popen(command(*words, options=options), stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)


def pecten(*words, data=b"", timeout=LIMIT):
    return subprocess.run([PECTEN, *words], input=data, capture_output=True, timeout=timeout,
                          check=False)


def machines():
    return {m["name"]: m for m in json.loads(pecten("ps", "--json").stdout)}


def wait_for(what, say="it did not happen"):
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        value = what()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(say)


def equal(got, want, why=""):
    if got != want:
        raise AssertionError(f"{why}: got {got!r}, want {want!r}")


def ok(result, status=0):
    if result.returncode != status:
        raise AssertionError(f"status {result.returncode}, want {status}; stderr: "
                             f"{result.stderr[-5000:]!r}")
    return result


def says(result, words):
    """One sentence on stderr, with these words in it."""
    text = result.stderr.decode()
    lines = [line for line in text.splitlines() if line.startswith(("pecten: ", "pecten-vm["))]
    if len(lines) != 1 or words not in lines[0]:
        raise AssertionError(f"stderr does not say {words!r} in one sentence: {text!r}")


def boots(count):
    """How many machines a test starts, if it is not one: the lab shares its time by that."""
    def mark(test):
        test.boots = count
        return test
    return mark


def digest(data):
    return hashlib.sha256(data).hexdigest()


# --- exit status ---------------------------------------------------------------------------------

@boots(2)
def test_exit_status():
    """the exit status is the command's"""
    equal(ok(sh("exit 0")).stdout, b"")
    for status in (7,) if REAL else (7, 255):
        ok(sh(f"exit {status}"), status)


def test_exit_signal():
    """a command ended by signal N gives 128+N"""
    for number in (15,) if REAL else (9, 15, 11):
        ok(sh(f"kill -{number} $$"), 128 + number)


@boots(2)
def test_exit_not_found():
    """an unknown command gives 127, one that cannot be executed 126, each with a sentence"""
    for status, words, names in ((127, "no such command", ("no-such-command", "/no/such/command")),
                                 (126, "Permission denied", ("/etc/passwd", "/etc"))):
        for name in names[:1] if REAL else names:
            says(ok(run(name), status), words)


@boots(3)
def test_exit_set_up():
    """what cannot be set up in the guest gives 125 and a sentence"""
    says(ok(run("true", options=["-w", "/no/where"]), 125), "working directory")
    says(ok(run("true", options=["-u", "nobody-has-this-name"]), 125), "no such user")
    says(ok(run("true", options=["-u", "0:nogroup-at-all"]), 125), "no such user or group")


# --- stdio ---------------------------------------------------------------------------------------

@boots(4)
def test_stdio_exact():
    """random data comes back byte for byte through pipes"""
    data = os.urandom(DATA)
    result = ok(run("cat", data=data))
    equal(digest(result.stdout), digest(data))
    equal(result.stderr, b"")


@boots(2)
def test_stdio_both():
    """stdout and stderr are separate, complete and byte-exact at the same time"""
    data = os.urandom(DATA // 4)
    result = ok(sh("tee /dev/fd/2", data=data))
    equal(digest(result.stdout), digest(data), "stdout")
    equal(digest(result.stderr), digest(data), "stderr")


@boots(2)
def test_stdio_slow_reader():
    """a reader that pauses loses nothing, and holds up nothing but its own stream"""
    size = 4 << 20
    p = start("sh", "-c", f"head -c {size} /dev/zero & echo side >&2; wait")
    equal(p.stderr.readline(), b"side\n")
    time.sleep(1)
    got = 0
    while True:
        piece = p.stdout.read1(65536)
        if not piece:
            break
        got += len(piece)
        if got < 1 << 20:
            time.sleep(0.01)
    p.stdin.close()
    equal(p.wait(LIMIT), 0)
    equal(got, size)
    p.stdout.close()
    p.stderr.close()


def test_stdio_slow_writer():
    """input that comes in drops arrives in drops"""
    p = start("cat")
    for word in (b"one\n", b"two\n", b"three\n"):
        p.stdin.write(word)
        p.stdin.flush()
        equal(p.stdout.readline(), word)
    p.stdin.close()
    equal(p.wait(LIMIT), 0)
    p.stdout.close()
    p.stderr.close()


def test_stdio_eof():
    """the end of stdin is the end of stdin"""
    for size in (100001,) if REAL else (0, 100001):
        equal(ok(run("wc", "-c", data=b"x" * size)).stdout.strip(), b"%d" % size)


@boots(2)
def test_stdio_unread():
    """a command that does not read its stdin ends all the same"""
    equal(ok(run("head", "-c", "3", data=b"abc" * (8 << 20))).stdout, b"abc")
    ok(run("true", data=b"x" * (4 << 20)))


def test_stdio_reader_gone():
    """when our stdout is closed the command gets SIGPIPE"""
    p = start("yes")
    equal(p.stdout.read(2), b"y\n")
    p.stdout.close()
    p.stdin.close()
    equal(p.wait(LIMIT), 141)
    p.stderr.close()


@boots(2)
def test_stdio_reopen():
    """/dev/stdout and /dev/stderr can be opened again, by root and by others"""
    for user in ("0", "12345:54321"):
        result = ok(sh("echo out > /dev/stdout; echo err > /dev/stderr; "
                       "echo again >> /proc/self/fd/2; cat /dev/stdin",
                       options=["-u", user], data=b"in"))
        equal(result.stdout, b"out\nin", user)
        equal(result.stderr, b"err\nagain\n", user)


@boots(2)
def test_stdio_files():
    """stdin, stdout and stderr may be files"""
    with tempfile.TemporaryFile() as f, tempfile.TemporaryFile() as out:
        f.write(b"z" * 300000)
        f.seek(0)
        subprocess.run(command("cat"), stdin=f, stdout=out, stderr=out, timeout=LIMIT, check=True)
        equal(out.seek(0, os.SEEK_END), 300000)
    with open("/dev/null", "rb") as f:
        ok(subprocess.run(command("cat"), stdin=f, capture_output=True, timeout=LIMIT,
                          check=False))


def test_stdio_background():
    """a process left in the background does not keep the machine or its output open"""
    equal(ok(sh("sleep 1000 & echo done")).stdout, b"done\n")


@boots(2)
def test_stdio_last_words():
    """output right before the end arrives"""
    for _ in range(2 if REAL else 10):
        result = ok(sh("head -c 200000 /dev/zero; echo err >&2; kill -9 $$"), 137)
        equal(len(result.stdout), 200000)
        equal(result.stderr, b"err\n")


# --- what the command finds ----------------------------------------------------------------------

def test_env():
    """-e sets variables; PATH, HOME and HOSTNAME make sense"""
    os.environ["PECTEN_TEST_COPIED"] = "copied"
    result = ok(run("env", options=["-e", "A=1", "-e", "B=x=y z", "-e", "PECTEN_TEST_COPIED",
                                    "-e", "PECTEN_TEST_UNSET", "-e", "A=2"]))
    env = dict(line.split("=", 1) for line in result.stdout.decode().splitlines())
    equal(env["A"], "2")
    equal(env["B"], "x=y z")
    equal(env["PECTEN_TEST_COPIED"], "copied")
    equal("PECTEN_TEST_UNSET" in env, False)
    equal(env["HOME"], "/root")
    equal("/usr/bin" in env["PATH"].split(":"), True)
    equal("TERM" in env, False)


@boots(3)
def test_user():
    """-u sets user, groups and home"""
    equal(ok(sh("id -u; id -g", options=["-u", "7:8"])).stdout, b"7\n8\n")
    equal(ok(sh("id -un; echo $HOME", options=["-u", "daemon"])).stdout.split(),
          [b"daemon", b"/usr/sbin"])
    denied = sh("echo x > /etc/pecten-test", options=["-u", "daemon"])
    equal(denied.returncode != 0, True)


@boots(2)
def test_cwd():
    """-w sets the working directory"""
    equal(ok(run("pwd", options=["-w", "/usr/bin"])).stdout, b"/usr/bin\n")
    equal(ok(run("pwd")).stdout, b"/\n")


@boots(2)
def test_hostname():
    """the host name is --hostname, else the machine's name"""
    equal(ok(sh("cat /proc/sys/kernel/hostname /etc/hostname",
                options=["--hostname", "shell"])).stdout, b"shell\nshell\n")
    equal(ok(sh("cat /proc/sys/kernel/hostname; grep -c named /etc/hosts",
                options=["--name", "named"])).stdout, b"named\n1\n")


def test_limits():
    """--ulimit sets resource limits"""
    equal(ok(sh("ulimit -Sn; ulimit -Hn", options=["--ulimit", "nofile=100:200"])).stdout,
          b"100\n200\n")


def test_mounts():
    """the usual mounts are there and work"""
    script = ("for d in /proc /sys /dev /dev/pts /dev/shm /run /tmp; do "
              "grep -q \" $d \" /proc/self/mounts || echo missing $d; done; "
              "echo x > /dev/shm/x && echo y > /tmp/y && echo z > /run/z && "
              "head -c 8 /dev/urandom | wc -c; echo > /dev/null; cat /proc/self/fd/0 /dev/fd/0")
    equal(ok(sh(script)).stdout.strip(), b"8")


@boots(2)
def test_no_reboot():
    """the command lacks CAP_SYS_BOOT unless it is asked for"""
    def bounding(options):
        text = ok(run("grep", "CapBnd", "/proc/self/status", options=options)).stdout
        return int(text.split()[1], 16) >> 22 & 1
    equal(bounding([]), 0)
    equal(bounding(["--allow-reboot"]), 1)


@boots(2)
def test_arguments():
    """arguments arrive as they are, however odd, and up to a limit that is told"""
    odd = ["", " ", "a b", "\n", "*", "'\"\\", "ü", "-x", "--"]
    got = ok(run("printf", "%s\\0", *odd)).stdout
    equal(got.split(b"\0")[:-1], [w.encode() for w in odd])
    many = ["x" * 1000] * 1000
    equal(len(ok(run("echo", *many)).stdout), 1001 * 1000)


def test_reaping():
    """orphans leave no zombies"""
    script = ("for i in 1 2 3 4 5; do (true &); done; (sleep 0.1 & ) ; sleep 0.5; "
              "while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do sleep 0.1; done")
    ok(sh(script))


# --- files ---------------------------------------------------------------------------------------

def make_root(path):
    """A root file system with a shell, of the host's own files."""
    for d in ("bin", "etc", "lib", "lib64", "proc", "sys", "dev", "run", "tmp"):
        os.makedirs(f"{path}/{d}", exist_ok=True)
    for name in ("sh", "cat", "ls", "mkdir", "mv", "rm", "dd"):
        real = shutil.which(name)
        shutil.copy(real, f"{path}/bin/{name}")
        libs = subprocess.run(["ldd", real], capture_output=True, text=True, check=True).stdout
        for lib in re.findall(r"(/\S+)", libs):
            os.makedirs(os.path.dirname(f"{path}{lib}"), exist_ok=True)
            shutil.copy(lib, f"{path}{lib}")


def test_overlay():
    """changes to the root vanish, and leave the host's folder alone"""
    with tempfile.TemporaryDirectory() as root:
        make_root(root)
        os.makedirs(f"{root}/data/sub")
        with open(f"{root}/data/file", "w", encoding="ascii") as f:
            f.write("old")
        result = ok(run("/bin/sh", "-c",
                        "echo new > /data/file && cat /data/file && mv /data/sub /data/moved && "
                        "rm /bin/dd && echo more > /top && ls /data", root=root))
        equal(result.stdout, b"new\nfile\nmoved\n")
        equal(sorted(os.listdir(f"{root}/data")), ["file", "sub"])
        equal(open(f"{root}/data/file", encoding="ascii").read(), "old")
        equal(os.path.exists(f"{root}/top"), False)
        equal(os.path.exists(f"{root}/bin/dd"), True)


@boots(1)
def test_overlay_full():
    """a full overlay is a failed write and a sentence"""
    result = sh("dd if=/dev/zero of=/big bs=1M count=64; true",
                options=["--overlay-size", "16M"])
    ok(result)
    if b"No space left on device" not in result.stderr:
        raise AssertionError(f"no ENOSPC: {result.stderr!r}")
    says(result, "--overlay-size")


def test_rw():
    """--rw writes through to the folder"""
    with tempfile.TemporaryDirectory() as root:
        make_root(root)
        ok(run("/bin/sh", "-c", "echo kept > /kept; mkdir /made; rm /bin/dd",
               options=["--rw"], root=root))
        equal(open(f"{root}/kept", encoding="ascii").read(), "kept\n")
        equal(os.path.isdir(f"{root}/made"), True)
        equal(os.path.exists(f"{root}/bin/dd"), False)


def test_rw_links():
    """the mounts of the guest go where links of the image lead inside of it"""
    with tempfile.TemporaryDirectory() as root:
        make_root(root)
        os.makedirs(f"{root}/var/tmp", exist_ok=True)
        os.makedirs(f"{root}/var/run", exist_ok=True)
        for name, to in (("tmp", "/var/tmp"), ("run", "var/run")):
            if os.path.lexists(f"{root}/{name}"):
                os.rmdir(f"{root}/{name}")
            os.symlink(to, f"{root}/{name}")
        ok(run("/bin/sh", "-c", "echo guest > /tmp/a && echo guest > /run/a", options=["--rw"], root=root))
        equal(os.listdir(f"{root}/var/tmp") + os.listdir(f"{root}/var/run"), [])


def test_volumes():
    """-v shows folders, read-write and read-only, at places that need not exist"""
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        with open(f"{a}/in", "w", encoding="ascii") as f:
            f.write("hello")
        result = ok(sh("cat /new/place/in; echo out > /new/place/out; "
                       "echo no > /opt/ro/file 2>/dev/null || echo refused; "
                       "rm -rf /opt/ro/x 2>/dev/null; ls /opt/ro; "
                       # More than fit into a third of the descriptors that a process has by default.
                       "exec bash -c 'for i in {1..400}; do exec {f}</new/place/in || exit; done; echo many'",
                       options=["-v", f"{a}:/new/place", "-v", f"{b}:/opt/ro:ro"]))
        equal(result.stdout, b"hellorefused\nmany\n")
        equal(open(f"{a}/out", encoding="ascii").read(), "out\n")
        equal(os.listdir(b), [])


# --- terminal ------------------------------------------------------------------------------------

class Terminal:
    """A pecten with a pseudo terminal as its stdio."""

    def __init__(self, argv, rows=24, cols=80):
        try:
            self.master, slave = pty.openpty()
        except OSError as e:
            raise Skip(f"there are no terminals, is /dev/pts mounted? ({e})") from e
        self.resize(rows, cols)
        self.before = termios.tcgetattr(slave)
        self.p = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave,
                                  start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.slave = slave
        self.text = b""

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, data):
        os.write(self.master, data)

    def expect(self, pattern):
        until = time.monotonic() + LIMIT
        while True:
            m = re.search(pattern, self.text)
            if m:
                self.text = self.text[m.end():]
                return m
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"{pattern!r} did not come: {self.text[-500:]!r}")
            self.text += os.read(self.master, 65536)

    def end(self, status):
        until = time.monotonic() + LIMIT
        while self.p.poll() is None and time.monotonic() < until:
            if select.select([self.master], [], [], 0.05)[0]:
                self.text += os.read(self.master, 65536)
        equal(self.p.returncode, status, f"terminal: {self.text[-500:]!r}")
        equal(termios.tcgetattr(self.slave), self.before, "the terminal was not restored")
        os.close(self.slave)
        os.close(self.master)


def test_tty_size():
    """-t gives a terminal of our size, which follows ours"""
    t = Terminal(command("sh", "-c", "stty size; tty; trap 'stty size; exit 3' WINCH; "
                         "echo ready; while :; do sleep 0.1; done", options=["-t"]), 31, 97)
    t.expect(rb"31 97\r\n/dev/pts/0\r\nready")
    t.resize(40, 120)
    t.p.send_signal(signal.SIGWINCH)
    t.expect(rb"40 120")
    t.end(3)


def test_tty_keys():
    """Ctrl-C interrupts, Ctrl-Z stops, Ctrl-D ends in the guest's terminal"""
    t = Terminal(command("bash", "--norc", "--noprofile", "-i", options=["-t", "-e", "PS1=ready> "]))
    t.expect(rb"ready> ")
    # What says "here" is in the terminal's foreground.
    t.send(b"sh -c 'echo here; exec sleep 1000'\n")
    t.expect(rb"[\r\n]here\r\n")
    t.send(b"\x03")
    t.expect(rb"\^C(?s:.*)ready> ")
    t.send(b"echo rc=$?\n")
    t.expect(rb"rc=130\r\n(?s:.*)ready> ")
    # One process: a shell that is between vfork() and its child's execve() cannot be stopped.  It is
    # ended by a key, since nobody knows when bash tells of a job that was killed.
    t.send(b"sh -c 'trap \"echo on\" CONT; echo here; while :; do read x; done'\n")
    t.expect(rb"[\r\n]here\r\n")
    t.send(b"\x1a")
    t.expect(rb"Stopped(?s:.*)ready> ")
    t.send(b"echo rc=$?; fg\n")
    t.expect(rb"rc=148\r\n(?s:.*)[\r\n]on\r\n")
    t.send(b"\x03")
    t.expect(rb"\^C(?s:.*)ready> ")
    t.send(b"(echo sub; exit 5)\n")
    t.expect(rb"[\r\n]sub\r\n(?s:.*)ready> ")  # Ctrl-D is for a shell that reads
    t.send(b"\x04")
    t.end(5)


def test_tty_stderr():
    """with -t stderr is the terminal too, TERM is set and /dev/tty works"""
    t = Terminal(command("sh", "-c", "echo err >&2; echo $TERM; echo tty > /dev/tty; "
                         "test -t 0 && test -t 1 && test -t 2 && echo all", options=["-t"]))
    t.expect(rb"err\r\nxterm\r\ntty\r\nall")
    t.end(0)


def test_tty_output():
    """much output through a terminal arrives whole"""
    t = Terminal(command("seq", "1", "20000", options=["-t"]))
    t.expect(rb"\b19999\r\n20000\r\n")
    t.end(0)


# --- further commands ----------------------------------------------------------------------------

class Machine:
    """A machine that waits until it is stopped."""

    def __init__(self, name, script="echo up; cat", options=()):
        self.name = name
        self.p = start("sh", "-c", script, options=["--name", name, *options])
        equal(self.p.stdout.readline(), b"up\n", "the machine did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.p.stdin.close()
            try:
                self.p.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self.p.kill()
        for f in (self.p.stdin, self.p.stdout, self.p.stderr):
            f.close()


@boots(2)
def test_exec():
    """exec runs commands beside the workload, with their own stdio and status"""
    with Machine("exec1"):
        equal(ok(pecten("exec", "exec1", "--", "sh", "-c", "echo out; echo err >&2; exit 9"), 9)
              .stdout, b"out\n")
        data = os.urandom(DATA // 8)
        equal(digest(ok(pecten("exec", "exec1", "cat", data=data)).stdout), digest(data))
        ok(pecten("exec", "exec1", "no-such-command"), 127)
        ok(pecten("exec", "exec1", "sh", "-c", "kill -9 $$"), 137)
        equal(ok(pecten("exec", "-u", "7:8", "-w", "/usr", "-e", "A=b", "exec1", "--", "sh", "-c",
                        "id -u; pwd; echo $A")).stdout, b"7\n/usr\nb\n")


@boots(2)
def test_exec_parallel():
    """many commands at one time do not disturb one another"""
    with Machine("exec2"):
        ps = [subprocess.Popen([PECTEN, "exec", "exec2", "--", "sh", "-c",
                                f"head -c 300000 /dev/zero; exit {n}"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
              for n in range(8)]
        idle = subprocess.Popen([PECTEN, "exec", "exec2", "yes"], stdout=subprocess.PIPE,
                                stdin=subprocess.DEVNULL)
        for n, p in enumerate(ps):
            equal(len(p.stdout.read()), 300000)
            p.stdout.close()
            equal(p.wait(LIMIT), n)
        idle.stdout.close()
        equal(idle.wait(LIMIT), 141)


@boots(2)
def test_exec_background():
    """a daemon started by exec does not keep exec waiting, and lives on"""
    with Machine("exec3"):
        equal(ok(pecten("exec", "exec3", "sh", "-c", "sleep 5000 & echo $!"))
              .stdout.strip().isdigit(), True)
        equal(ok(pecten("exec", "exec3", "sh", "-c",
                        "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 5000'"))
              .stdout.strip() != b"0", True)


def test_exec_tty():
    """exec -t gives a terminal of its own"""
    with Machine("exec4"):
        t = Terminal([PECTEN, "exec", "-t", "exec4", "--", "sh", "-c", "stty size; exit 4"], 50, 60)
        t.expect(rb"50 60")
        t.end(4)


@boots(2)
def test_exec_hang_up():
    """a killed exec takes its command with it"""
    with Machine("exec5"):
        p = subprocess.Popen([PECTEN, "exec", "exec5", "--", "sh", "-c", "echo hung; sleep 6000"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        equal(p.stdout.readline(), b"hung\n")
        p.kill()
        p.wait()
        p.stdout.close()

        def gone():
            return ok(pecten("exec", "exec5", "sh", "-c",
                             "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[s]leep 6000' ; true")
                      ).stdout.strip() == b"0"
        wait_for(gone, say="the command lives on")


@boots(2)
def test_exec_vm_ends():
    """exec ends when the machine ends"""
    with Machine("exec6") as m:
        p = subprocess.Popen([PECTEN, "exec", "exec6", "--", "sh", "-c", "echo up; sleep 1000"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        equal(p.stdout.readline(), b"up\n")
        m.p.stdin.close()
        equal(m.p.wait(LIMIT), 0)
        equal(p.wait(LIMIT) in (125, 137), True, "status")
        p.stdout.close()
        p.stderr.close()


def test_exec_nobody():
    """exec and stop of a machine that is not there say so"""
    says(ok(pecten("exec", "not-there", "true"), 125), "no machine named 'not-there'")
    says(ok(pecten("stop", "not-there"), 1), "no machine named 'not-there'")


# --- life of machines ----------------------------------------------------------------------------

def test_ps():
    """ps lists a machine while it runs"""
    with Machine("seen", options=["-c", "2", "-m", "300M"]) as m:
        info = machines()["seen"]
        equal((info["cpus"], info["memory_mib"], info["pid"]), (2, 300, m.p.pid))
        equal(b"seen" in pecten("ps").stdout, True)
    equal("seen" in machines(), False)


@boots(2)
def test_stop():
    """stop sends SIGTERM, and after the grace time ends everything"""
    with Machine("stop1", "trap 'echo bye; exit 33' TERM; echo up; while :; do sleep 0.1; done") \
            as m:
        ok(pecten("stop", "stop1"))
        equal(m.p.wait(LIMIT), 33)
        equal(m.p.stdout.read(), b"bye\n")
    with Machine("stop2", "trap '' TERM; echo up; while :; do sleep 0.1; done") as m:
        ok(pecten("stop", "-t", "1", "stop2"))
        equal(m.p.wait(LIMIT), 137)
    equal(machines(), {})


def test_signals():
    """signals to pecten reach the command"""
    script = "trap 'echo 1' HUP; trap 'echo 2' INT; trap 'echo 10' USR1; trap 'echo 15; exit 15' TERM"
    with Machine("sig", script + "; echo up; while :; do sleep 0.1; done") as m:
        for number in (10, 2, 1, 15):
            m.p.send_signal(number)
            equal(m.p.stdout.readline(), b"%d\n" % number)
        equal(m.p.wait(LIMIT), 15)


def children_of(pid):
    text = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True,
                          check=True).stdout
    rows = [line.split(None, 2) for line in text.splitlines()]
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        for p, pp, comm in rows:
            if int(pp) == parent:
                found.append((int(p), comm))
                todo.append(int(p))
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@boots(2)
def test_kill_cli():
    """SIGKILL of pecten leaves no process, and the next start removes what is left of its name"""
    with Machine("killed") as m:
        pids = [pid for pid, _ in children_of(m.p.pid)]
        equal(len(pids) > 0, True)
        m.p.kill()
        m.p.wait()
        wait_for(lambda: not any(alive(p) for p in pids), say="processes are left")
    equal(machines(), {})
    with Machine("killed"):
        equal(list(machines()), ["killed"])


def test_kill_vm():
    """SIGKILL of the VM process is reported"""
    with Machine("killed2") as m:
        vm = [pid for pid, comm in children_of(m.p.pid) if comm.startswith("pecten-vm")][0]
        os.kill(vm, signal.SIGKILL)
        equal(m.p.wait(LIMIT), 137)
        equal(b"killed by signal 9" in m.p.stderr.read(), True)
    equal(machines(), {})


@boots(3)
def test_two():
    """two machines at once; a name is given once"""
    with Machine("one"), Machine("two"):
        equal(sorted(machines()), ["one", "two"])
        says(ok(run("true", options=["--name", "one"]), 125), "'one' is running")
        equal(ok(pecten("exec", "one", "cat", "/proc/sys/kernel/hostname")).stdout, b"one\n")
        equal(ok(pecten("exec", "two", "cat", "/proc/sys/kernel/hostname")).stdout, b"two\n")


def test_timeout():
    """--timeout ends the machine with status 124"""
    says(ok(sh("sleep 1000", options=["--timeout", "1"]), 124), "--timeout")


def test_leak():
    """nothing is left in the folder of names"""
    ok(run("true"))
    base = os.environ["XDG_RUNTIME_DIR"] + "/pecten"
    equal([n for n in os.listdir(base) if n[0] != "."], [])


# --- real machines only --------------------------------------------------------------------------

def real():
    if not REAL:
        raise Skip("needs a machine; these are namespaces")


@boots(5)
def test_real_cpus():
    """-c and -m give CPUs and RAM, also more RAM than fits below 4 GiB"""
    real()
    result = ok(sh("nproc; grep MemTotal /proc/meminfo", options=["-c", "4", "-m", "6G"]))
    equal(result.stdout.split()[0], b"4")
    mib = int(result.stdout.split()[2]) // 1024
    equal(5600 < mib <= 6144, True, f"{mib} MiB")


def said_to(client):
    """The answer to a line, to its end; b"" if the other side will not talk."""
    try:
        client.sendall(b"abc\n")
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()
    except OSError:
        return b""


@boots(2)
def test_real_oom():
    """a guest that runs out of memory gives 137 and a sentence"""
    real()
    says(ok(run("tail", "/dev/zero", options=["-m", "128M"]), 137), "ran out of memory")
    # Memory that killing does not free.
    says(ok(sh("mount -t tmpfs -o size=100% none /mnt && cat /dev/zero >/mnt/all",
               options=["-m", "128M"]), 137), "ran out of memory")


@boots(2)
def test_real_crash():
    """a crash of the guest's kernel is reported with its text, and so is a reboot"""
    real()
    says(ok(sh("echo 1 > /proc/sys/vm/panic_on_oom; tail /dev/zero", options=["-m", "128M"]), 125),
         "panic_on_oom")
    says(ok(run("python3", "-c", "import ctypes; ctypes.CDLL(None).reboot(0x1234567)",
                options=["--allow-reboot"]), 125), "rebooted")


def test_real_clock():
    """the guest's clock is right, however long it took to boot"""
    real()
    with Machine("clock"):
        begin = time.time()
        guest = float(ok(pecten("exec", "clock", "date", "+%s.%N")).stdout)
        equal(begin - 0.5 <= guest <= time.time() + 0.5, True, f"{guest - begin} s off")


@boots(10)
def test_real_boots():
    """10 boots in a row"""
    real()
    for _ in range(10):
        ok(run("true"))


def test_real_vsock():
    """programs in the guest and on the host reach each other over vsock and unix sockets"""
    real()
    with tempfile.TemporaryDirectory() as d, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{d}/host")
        server.listen(1)
        p = start("sh", "-c", "socat -t 60 VSOCK-LISTEN:5001,fork EXEC:rev & "
                  "echo from-guest | socat -t 60 - VSOCK-CONNECT:2:5000; echo up; cat",
                  options=["--vsock", f"5000:{d}/host", "--vsock", f"5001:{d}/guest:listen"])
        conn, _ = server.accept()
        equal(conn.makefile("rb").readline(), b"from-guest\n")
        conn.sendall(b"from-host\n")
        conn.close()
        equal(p.stdout.readline(), b"from-host\n")
        equal(p.stdout.readline(), b"up\n")

        def answer():  # nothing as long as nobody listens in the guest
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{d}/guest")
                return said_to(client)
        equal(wait_for(answer, say="the guest's port does not answer"), b"cba\n")
        p.stdin.close()
        equal(p.wait(LIMIT), 0)
        p.stdout.close()
        p.stderr.close()


def test_real_agent():
    """the agent listens to the host alone: no process of the guest can have it run commands"""
    real()
    script = """
import socket
for cid in 1, 3:  # the guest itself, by both of its names
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    s.settimeout(5)
    try:
        s.connect((cid, 1024))
        print(cid, s.recv(100))
    except OSError as e:
        print(cid, b"", e)
"""
    p = start("python3", "-c", script, options=["-u", "1000"])
    p.stdin.close()
    said = p.stdout.read()
    for line in said.splitlines():
        if b"b''" not in line:
            raise AssertionError(f"the agent answers an ordinary user of the guest: {said}")
    equal(len(said.splitlines()), 2, p.stderr.read())
    equal(p.wait(LIMIT), 0)
    p.stdout.close()
    p.stderr.close()


def test_real_net():
    """with --net passt the guest reaches the host's loopback, and a published port the guest"""
    real()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as spare:
            published = spare.getsockname()[1]
        p = start("bash", "-c", f"exec 3<>/dev/tcp/10.0.2.2/{port} || exit 9; echo hello >&3; "
                  "cat <&3; cat /etc/resolv.conf; echo up; socat -t 60 TCP-LISTEN:80,fork EXEC:rev & cat",
                  options=["-p", f"{published}:80"])

        def end():
            p.kill()
            return f"the guest said {p.communicate()}"
        if not select.select([server], [], [], LIMIT / 10)[0]:
            raise AssertionError(f"the guest does not connect: {end()}")
        conn, _ = server.accept()
        equal(conn.makefile("rb").readline(), b"hello\n")
        conn.sendall(b"from-host\n")
        conn.close()
        for want in (b"from-host\n", b"nameserver 10.0.2.3\n", b"up\n"):
            got = p.stdout.readline()
            if got != want:
                raise AssertionError(f"{got} instead of {want}; {end()}")

        def answer():
            try:
                with socket.create_connection(("127.0.0.1", published), LIMIT / 10) as client:
                    return said_to(client)
            except OSError:
                return b""
        equal(wait_for(answer, say="the published port does not answer"), b"cba\n")
        p.stdin.close()
        equal(p.wait(LIMIT), 0)
        p.stdout.close()
        p.stderr.close()


def test_real_net_names():
    """the guest's resolver is the host's, through passt"""
    real()
    with open("/etc/resolv.conf", encoding="ascii") as f:
        if "nameserver 127.0.0.1" not in f.read().splitlines():
            raise Skip("this host's resolver is not for tests")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        server.settimeout(LIMIT)
        p = start("python3", "-c", "import socket; print(socket.gethostbyname('shell.example'))",
                  options=["--net", "passt"])

        def answer():
            while True:
                query, peer = server.recvfrom(512)
                end = query.index(b"\0", 12) + 5
                is_a = query[end - 4:end] == b"\0\1\0\1"
                record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\x07"
                server.sendto(query[:2] + b"\x81\x80\0\1\0" + bytes([is_a]) + b"\0\0\0\0" +
                              query[12:end] + (record if is_a else b""), peer)

        threading.Thread(target=answer, daemon=True).start()
        p.stdin.close()
        equal(p.stdout.read(), b"192.0.2.7\n", p.stderr.read())
        equal(p.wait(LIMIT), 0)
        p.stdout.close()
        p.stderr.close()


@boots(0)
def test_real_net_errors():
    """a host without a route, and a port that is taken, are explained"""
    real()
    argv = command("true", options=["--net", "passt"])
    result = subprocess.run(["unshare", "-n", *argv], capture_output=True, timeout=LIMIT,
                            stdin=subprocess.DEVNULL, check=False)
    says(ok(result, 125), "no default route")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        says(ok(run("true", options=["-p", f"{port}:80"]), 125), f"port {port} of the host is in use")


def test_real_escape():
    """links and renames do not lead a guest out of its volume"""
    real()
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/secret", "w", encoding="ascii") as f:
            f.write("secret")
        os.makedirs(f"{d}/share/a/b/c")
        os.makedirs(f"{d}/share/other")
        for name, target in (("abs", f"{d}/secret"), ("rel", "../secret"), ("up", ".."),
                             ("root", "/proc/1/root/"), ("cwd", "/proc/self/cwd")):
            os.symlink(target, f"{d}/share/{name}")
        # The host moves the guest's working directory about while the guest walks upwards.
        p = start("sh", "-c", "cd /mnt; for n in abs rel up/secret root/secret cwd/secret "
                  "../secret ../../secret; do cat $n 2>/dev/null; done; cd a/b/c; echo up; "
                  "i=0; while [ $i -lt 200 ]; do for n in ../../../../secret ../../../../../secret "
                  "../../../secret; do read -r x <$n && echo $x; done 2>/dev/null; i=$((i + 1)); "
                  "done; echo end",
                  options=["-v", f"{d}/share:/mnt"])
        equal(p.stdout.readline(), b"up\n", "a link led out")
        while p.poll() is None and not select.select([p.stdout], [], [], 0)[0]:
            os.rename(f"{d}/share/a/b/c", f"{d}/share/other/c")
            os.rename(f"{d}/share/other/c", f"{d}/share/a/b/c")
        equal(p.stdout.readline(), b"end\n", "a rename led out")
        p.stdin.close()
        equal(p.wait(LIMIT), 0)
        p.stdout.close()
        p.stderr.close()


# --- bad input -----------------------------------------------------------------------------------

@boots(4)
def test_bad_input():
    """mistakes give one sentence with the remedy and status 125 or 2"""
    cases = [
        (125, "does not exist", command("true", root="/no/such/root")),
        (125, "is not a folder", command("true", root="/etc/passwd")),
        (125, "does not exist", command("true", options=["-v", "/no/such:/x"])),
        (125, "absolute path", command("true", options=["-v", "/tmp:x"])),
        (125, "HOST:GUEST", command("true", options=["-v", "/tmp"])),
        (125, "NAME=VALUE", [PECTEN, "run", "-e", "=x", ROOT, "true"]),
        (125, "ask for less", command("true", options=["-m", "900T"])),
        (125, "at least", command("true", options=["-m", "1M"])),
        (125, "1 to 64 CPUs", command("true", options=["-c", "0"])),
        (125, "1 to 64 CPUs", command("true", options=["-c", "65"])),
        (125, "letters, digits", command("true", options=["--name", "a/b"])),
        (125, "8080:80", command("true", options=["-p", "80"])),
        (125, "none or passt", command("true", options=["--net", "bridge"])),
        (125, "without a network", command("true", options=["--net", "none", "-p", "8080:80"])),
        (125, "begin it with '/'", command("true", options=["-w", "here"])),
        (125, "cannot open the disk", command("true", options=["--disk", "/no/such"])),
        (125, "nofile=1024", command("true", options=["--ulimit", "nofile"])),
        (2, "unknown option", command("true", options=["--no-such-option"])),
        (2, "bad value of --memory", command("true", options=["-m", "lots"])),
        (2, "bad value of --cpus", command("true", options=["-c", "-1"])),
        (2, "root file system is missing", [PECTEN, "run"]),
        (2, "command is missing", [PECTEN, "run", ROOT]),
        (2, "command is missing", [PECTEN, "run", ROOT, "--"]),
        (2, "--engine is", command("true", options=["--engine", "warp"])),
        (2, "needs --kernel", command("true", options=["--initramfs", "/x"])),
        (2, "machine's name is missing", [PECTEN, "exec"]),
        (2, "command is missing", [PECTEN, "exec", "x"]),
        (2, "name is missing", [PECTEN, "stop"]),
        (2, "there is no command", [PECTEN, "frobnicate"]),
    ]
    for status, words, argv in cases:
        result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True,
                                timeout=LIMIT, check=False)
        try:
            says(ok(result, status), words)
        except AssertionError as e:
            raise AssertionError(f"{argv[1:]}: {e}") from e
        equal(result.stdout, b"")


def test_bad_helpers():
    """missing helper programs are named with the remedy"""
    env = dict(os.environ, PECTEN_LIBEXEC="/no/such/folder")
    result = subprocess.run(command("true"), capture_output=True, env=env, check=False,
                            stdin=subprocess.DEVNULL, timeout=LIMIT)
    says(ok(result, 125), "PECTEN_LIBEXEC")
    env = dict(os.environ, PATH="/no/such/folder")
    result = subprocess.run(command("true", options=["--net", "passt"]), capture_output=True,
                            env=env, check=False, stdin=subprocess.DEVNULL, timeout=LIMIT)
    says(ok(result, 125), "install the package 'passt'")


def test_bad_names_folder():
    """a folder of names that belongs to others is refused"""
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(f"{d}/pecten", mode=0o777)
        os.chmod(f"{d}/pecten", 0o777)
        env = dict(os.environ, XDG_RUNTIME_DIR=d)
        result = subprocess.run(command("true"), capture_output=True, env=env, check=False,
                                stdin=subprocess.DEVNULL, timeout=LIMIT)
        says(ok(result, 125), "chmod 700")


def test_help():
    """every command explains itself with an example"""
    for name in ("run", "exec", "ps", "stop", "doctor"):
        text = ok(pecten(name, "--help")).stdout
        equal(b"example:" in text, True, name)


def test_doctor():
    """doctor answers, in words and in JSON"""
    equal(len(pecten("doctor").stdout) > 0, True, "no words")
    result = pecten("doctor", "--json")
    checks = {c["id"]: c for c in json.loads(result.stdout)}
    equal({"kvm", "kernel", "net", "memory"} <= set(checks), True)
    for c in checks.values():
        equal(c["state"] in ("ok", "degraded", "missing"), True)
        equal(bool(c["remedy"]), c["state"] != "ok", c["id"])
    ok_all = all(checks[i]["state"] != "missing" for i in ("kvm", "kernel"))
    equal(result.returncode, 0 if ok_all else 1)


def main():
    wanted = tuple("test_" + w.removeprefix("test_") for w in sys.argv[1:] if w[0] not in "-=")
    exact = {"test_" + w[1:] for w in sys.argv[1:] if w[0] == "="}
    unwanted = tuple("test_" + w[1:] for w in sys.argv[1:] if w[0] == "-")
    tests = [(n, f) for n, f in globals().items()
             if n.startswith("test_") and (n in exact or (wanted and n.startswith(wanted))
                                           or not (wanted or exact))
             and not (unwanted and n.startswith(unwanted))]
    failed = 0
    if not REAL and os.geteuid() != 0:
        print("1..0 # SKIP namespaces in place of machines need root")
        return 0
    print(f"1..{len(tests)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pecten-") as runtime:
        os.environ["XDG_RUNTIME_DIR"] = runtime
        for n, (name, test) in enumerate(tests, 1):
            begin = time.monotonic()
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
            print(f"{result} {n} - {name}: {test.__doc__} "
                  f"({time.monotonic() - begin:.1f} s){why}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
