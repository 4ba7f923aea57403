#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs real Vulkan programs in the roots of tools/gpu-roots, natively or through the renderer.

A *host* is where Vulkan work is done: a driver, and the place where the server runs.
A *guest* is what a program sees: a root plus Mesa's Venus driver of some generation.
The same program run on a host's driver itself is called native.

Environment:
  PECTEN_GPU_ROOTS   file with the output of tools/gpu-roots (else that tool is run)
  PECTEN_BUILD       build folder with the program `pecten` (else ./build)
  PECTEN_CLIENTS     build folder of clients and layer, if another (a sanitizer's server cannot
                     have its clients from the same build: roots lack the sanitizer)
  PECTEN_GPU_SERVE_ARGS  more options of `pecten gpu serve`
  PECTEN_GPU_SERVER  another server's command; {sock} stands for the socket's path
  PECTEN_GPU_EXTRA_BINDS, PECTEN_GPU_EXTRA_ENV
                     for the host `ext` (a vendor's driver that lies outside the roots): folders
                     to bind at their own path, separated by colons, and K=V words
  PECTEN_GPU_HOST_LIBS
                     for the host `ext`: folder of libraries that the server itself needs
  PECTEN_GPU_ENTER   namespace (default) or loader: how to enter a root.  `loader` starts its
                     programs by the root's own dynamic loader, where mounting is not allowed
"""
import argparse
import contextlib
import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
XDG_CACHE = os.environ.get("XDG_CACHE_HOME", "")
CACHE = os.path.join(XDG_CACHE if XDG_CACHE.startswith("/") else os.path.expanduser("~/.cache"), "pecten")
SERVER_START_S = 120.0  # on a machine with other things to do
SERVER_STOP_S = 120.0


class Failure(Exception):
    """A sentence for the user: what could not be done, and what to do about it."""


class Driver:
    """One Vulkan driver as seen from inside a root."""

    def __init__(self, root, binds=(), env=None):
        self.root, self.binds, self.env = root, list(binds), dict(env or {})


class Roots:
    """The folders of tools/gpu-roots, and the hosts and guests made of them."""

    def __init__(self):
        self._path = None

    def path(self, name):
        if self._path is None:
            listing = os.environ.get("PECTEN_GPU_ROOTS")
            if listing:
                with open(listing, encoding="utf-8") as f:
                    text = f.read()
            else:
                r = subprocess.run([os.path.join(TOP, "tools", "gpu-roots")], text=True,
                                   stdout=subprocess.PIPE, check=False)
                if r.returncode != 0:
                    raise Failure("tools/gpu-roots failed; is there a network?")
                text = r.stdout
            self._path = dict(line.split(None, 1) for line in text.splitlines() if line.strip())
        if name not in self._path:
            raise Failure(f"there is no root '{name}'; run tools/gpu-roots")
        return self._path[name]

    def dirs(self, name):
        return [(self.path(name), f"/opt/{name}")]

    def native(self, host, root="mesa26"):
        """The host's own driver, for programs in `root`."""
        if host == "own":
            name = {"mesa26": "own26", "mesa25": "own25"}[root]
            return Driver(root, self.dirs(name),
                          {"VK_DRIVER_FILES": f"/opt/{name}/icd.json",
                           "LD_LIBRARY_PATH": f"/opt/{name}"})
        if host == "ext":  # by loader, binds at their own path change nothing
            binds = os.environ.get("PECTEN_GPU_EXTRA_BINDS", "")
            env = dict(w.split("=", 1) for w in
                       shlex.split(os.environ.get("PECTEN_GPU_EXTRA_ENV", "")))
            return Driver(root, [(b, b) for b in binds.split(":") if b], env)
        if host == root:
            return Driver(root, (), {"VK_DRIVER_FILES": "/usr/share/vulkan/icd.d/lvp_icd.json"})
        raise Failure(f"root '{root}' has no driver of host '{host}'")

    def guest(self, guest):
        """Mesa's Venus driver; the socket's name is added by Session."""
        env = {"VN_DEBUG": "vtest",
               "VK_DRIVER_FILES": "/usr/share/vulkan/icd.d/virtio_icd.json"}
        if guest == "25":     # Mesa 25.0's driver under unstable's programs
            env.update(VK_DRIVER_FILES="/opt/venus25/icd.json", LD_LIBRARY_PATH="/opt/venus25")
            return Driver("mesa26", self.dirs("venus25"), env)
        if guest == "25root":  # Debian 13 as it is
            return Driver("mesa25", (), env)
        if guest == "26":
            return Driver("mesa26", (), env)
        if guest == "26nts":
            env["VN_PERF"] = "no_timeline_sync"
            return Driver("mesa26", (), env)
        raise Failure(f"unknown guest '{guest}'; there are {', '.join(GUESTS)}")


HOSTS = {
    "own": "this machine's own lavapipe; the server runs on the machine itself",
    "mesa26": "lavapipe of Mesa 26; the server runs in unstable's root",
    "mesa25": "lavapipe of Mesa 25.0; the server runs in Debian 13's root",
    "ext": "a driver outside the roots, see PECTEN_GPU_EXTRA_*",
}
GUESTS = {
    "25": "Mesa 25.0's Venus under unstable's programs (feedback)",
    "25root": "Debian 13 (Mesa 25.0) as it is; has vulkaninfo only",
    "26": "Mesa 26's Venus (renderer syncs)",
    "26nts": "Mesa 26's Venus with VN_PERF=no_timeline_sync",
}
ROOTS = Roots()


def in_root(root_path, argv, binds, env):
    """Command line that runs argv in a root, in a mount namespace of its own."""
    steps = ["set -e", "mount --make-rprivate /", 'r=$1', "shift"]
    for d in ("proc", "dev", "sys"):
        steps.append(f'mkdir -p "$r/{d}"; mount --rbind /{d} "$r/{d}"')
    for d in ("tmp", "opt", "run", "root"):
        steps.append(f'mkdir -p "$r/{d}"; mount -t tmpfs -o size=8g tmpfs "$r/{d}"')
    for src, dst in binds:
        q = shlex.quote(dst)
        s = shlex.quote(os.path.abspath(src))
        make = "mkdir -p" if os.path.isdir(src) else "touch"
        steps.append(f'mkdir -p "$r"{shlex.quote(os.path.dirname(dst))}; {make} "$r"{q}; mount --bind {s} "$r"{q}')
    words = " ".join(shlex.quote(f"{k}={v}") for k, v in env.items())
    # The root may have no shell and no coreutils: both words are looked up outside.
    steps.append(f'exec env -i {words} chroot "$r" "$@"')
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    return unshare + ["sh", "-c", "\n".join(steps), "sh", root_path] + list(argv)


def by_loader(root_path, argv, binds, env):
    """The same without mounts: the root's loader and libraries, and paths of binds replaced."""
    libs = os.path.join(root_path, "usr/lib/x86_64-linux-gnu")

    def outside(text):
        for src, dst in sorted(binds, key=lambda b: -len(b[1])):
            text = text.replace(dst, os.path.abspath(src))
        return text.replace("/usr/share/vulkan/icd.d", root_path + "/usr/share/vulkan/icd.d")

    env = {k: outside(v) for k, v in env.items()}
    for k in ("HOME", "XDG_RUNTIME_DIR"):
        env[k] = "/tmp"
    prog = outside(argv[0])
    for d in ("", "/usr/bin"):
        if os.path.exists(os.path.join(root_path + d, prog.lstrip("/"))):
            prog = os.path.join(root_path + d, prog.lstrip("/"))
            break
    path = [p for p in env.pop("LD_LIBRARY_PATH", "").split(":") if p] + [libs, libs + "/llama"]
    words = [f"{k}={v}" for k, v in env.items()]
    return (["env", "-i"] + words + [os.path.join(root_path, "lib64/ld-linux-x86-64.so.2"),
                                     "--library-path", ":".join(path), prog]
            + [outside(w) for w in argv[1:]])


BASE_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": "/run", "TMPDIR": "/tmp",
            # Mesa's own cache would make second runs differ from first ones.
            "MESA_SHADER_CACHE_DISABLE": "true"}


def shader_cache(host):
    """Folder of a shader cache that tests share; lavapipe needs minutes without.

    The server keeps one folder for each user below it; native runs use the same, so that both
    are equally warm.
    """
    path = os.path.join(CACHE, "gpu-tests", f"shaders-{host}")
    mine = os.path.join(path, f"uid-{os.geteuid()}")
    os.makedirs(mine, mode=0o700, exist_ok=True)
    return path, mine


class Session:
    """A way to run programs: natively, or as a guest of a server."""

    def __init__(self, driver, sock=None, label="", env=None, binds=()):
        self.driver, self.sock, self.label = driver, sock, label
        self.env, self.binds = dict(env or {}), list(binds)

    def command(self, argv, env=None, binds=()):
        full = dict(BASE_ENV)
        full.update(self.driver.env)
        full.update(self.env)
        mounts = list(self.driver.binds) + self.binds + list(binds)
        if self.sock:
            mounts.append((os.path.dirname(os.path.abspath(self.sock)), "/opt/sock"))
            full["VTEST_SOCKET_NAME"] = "/opt/sock/" + os.path.basename(self.sock)
        full.update(env or {})
        if os.environ.get("PECTEN_GPU_ENTER") == "loader":
            return by_loader(ROOTS.path(self.driver.root), argv, mounts, full)
        return in_root(ROOTS.path(self.driver.root), argv, mounts, full)

    def by_line(self, argv):
        """A command that writes line by line when its output is a terminal of ours."""
        return argv

    def popen(self, argv, env=None, binds=(), **kw):
        return subprocess.Popen(self.command(argv, env, binds), start_new_session=True,
                                preexec_fn=die_with_parent, **kw)

    def run(self, argv, env=None, binds=(), timeout=None, **kw):
        """Like subprocess.run with text output; a time-out gives status 124."""
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("text", True)
        p = self.popen(argv, env, binds, **kw)
        try:
            out, err = p.communicate(timeout=timeout)
            return subprocess.CompletedProcess(argv, p.returncode, out, err)
        except subprocess.TimeoutExpired:
            kill_group(p)
            out, err = p.communicate()
            return subprocess.CompletedProcess(argv, 124, out, (err or "") + "\n(timed out)")
        except BaseException:
            kill_group(p)
            raise


def die_with_parent():
    """A test that is killed takes its programs along (PR_SET_PDEATHSIG survives exec)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def kill_group(p):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(p.pid, signal.SIGKILL)


def build_dir():
    return os.path.abspath(os.environ.get("PECTEN_BUILD", os.path.join(TOP, "build")))


def client_dir(*parts):
    return os.path.join(os.path.abspath(os.environ.get("PECTEN_CLIENTS", build_dir())), *parts)


def find_pecten():
    """The program, and the folder that its helpers are found below."""
    build = build_dir()
    for cand in ("bin/pecten", "src/cli/pecten", "pecten"):
        p = os.path.join(build, cand)
        if os.access(p, os.X_OK) and not os.path.isdir(p):
            return build, cand
    raise Failure(f"no program 'pecten' below {build}; build first, or set PECTEN_BUILD")


def machine_environment(host):
    """Variables for a pecten that runs on this machine itself, that is on host `own` or `ext`."""
    env = dict(os.environ)
    if host == "own":
        env["MESA_SHADER_CACHE_DISABLE"] = "true"
        icd = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json"
        if not os.path.exists(icd):
            icd = "/usr/share/vulkan/icd.d/lvp_icd.json"
        env.setdefault("VK_DRIVER_FILES", icd)
        return env
    if host != "ext":
        raise Failure(f"pecten runs in a root for host '{host}'; choose own or ext")
    env.update(ROOTS.native("ext").env)
    env["LD_LIBRARY_PATH"] = ":".join(
        p for p in (os.environ.get("PECTEN_GPU_HOST_LIBS"), env.get("LD_LIBRARY_PATH")) if p)
    return env


class Server:
    """`pecten gpu serve --vtest` on a host, for the length of a with block."""

    def __init__(self, host, env=None, log=None, binds=(), args=(), cache=False):
        self.host, self.env, self.args = host, dict(env or {}), list(args)
        self.extra_binds = list(binds)
        if not os.environ.get("PECTEN_GPU_SERVER"):
            path = shader_cache(host)[0] if cache else "none"
            if cache and host not in ("own", "ext"):
                self.extra_binds.append((path, "/opt/shader-cache"))
                path = "/opt/shader-cache"
            self.args += ["--shader-cache", path]
            self.args += shlex.split(os.environ.get("PECTEN_GPU_SERVE_ARGS", ""))
        self.log_path, self.proc, self.dir = log, None, None

    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="pecten-gpu-")
        self.sock = os.path.join(self.dir.name, "sock")
        if not self.log_path:
            self.log_path = os.path.join(self.dir.name, "log")
        # pylint: disable=consider-using-with
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log,
                                         stderr=log, start_new_session=True, env=self._env,
                                         preexec_fn=die_with_parent)
        end = time.monotonic() + SERVER_START_S
        while not os.path.exists(self.sock):
            if self.proc.poll() is not None or time.monotonic() > end:
                text = self.log()
                self.__exit__(None, None, None)
                raise Failure("the server did not start: " + (text.strip() or "it says nothing"))
            time.sleep(0.02)
        return self

    def _command(self, words=None):
        """How to run pecten on the host: as this server, or with other words after its name."""
        other = None if words else os.environ.get("PECTEN_GPU_SERVER")
        env = dict(BASE_ENV)
        env.update(self.env)
        if other:
            def cmd(_build, sock):
                return shlex.split(other.format(sock=sock))
            build = "/"
        else:
            build, rel = find_pecten()

            def cmd(build_at, sock):
                if rel.startswith("src/"):  # not installed: helpers lie elsewhere
                    for e in (env, self.env):
                        e["PECTEN_LIBEXEC"] = os.path.join(build_at, "src/vtest")
                serve = ["gpu", "serve", "--vtest", sock] + self.args
                return [os.path.join(build_at, rel)] + (words or serve)
        if self.host == "own":
            command = cmd(build, self.sock)
            self._env = {**machine_environment("own"), **self.env}
            return command
        if self.host == "ext":
            command = cmd(build, self.sock)
            self._env = {**machine_environment("ext"), **self.env}
            return command
        self._env = dict(os.environ)
        command = cmd("/opt/pecten", "/opt/sock/sock")
        d = ROOTS.native(self.host, self.host)
        env.update(d.env)
        env.update(self.env)
        binds = d.binds + self.extra_binds + [(self.dir.name, "/opt/sock")]
        if not other:
            binds.append((build, "/opt/pecten"))
        return in_root(ROOTS.path(self.host), command, binds, env)

    def info(self, *more):
        """What `pecten gpu info --json` says of the host; @more: options of it."""
        for _ in range(5):  # it gives a driver a minute, which a busy machine may use up
            r = subprocess.run(self._command(["gpu", "info", "--json", *more]), env=self._env, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, check=False)
            if r.returncode == 0 or "did not answer" not in r.stderr:
                break
        if r.returncode != 0:
            raise Failure("pecten gpu info fails: " + r.stderr.strip()[-300:])
        return json.loads(r.stdout)

    def rest(self, timeout=120):
        """Waits until nobody is served and a spare renderer is ready; returns whether it came so."""
        if os.environ.get("PECTEN_GPU_SERVER"):
            return True
        env = dict(os.environ)
        pecten, end = os.path.join(*find_pecten()), time.monotonic() + timeout
        if self.host == "ext" and os.environ.get("PECTEN_GPU_HOST_LIBS"):
            env["LD_LIBRARY_PATH"] = os.environ["PECTEN_GPU_HOST_LIBS"]
        while time.monotonic() < end:
            r = subprocess.run([pecten, "gpu", "info", "--socket", self.sock, "--json"], env=env,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
            told = json.loads(r.stdout) if r.returncode == 0 else {}
            if told.get("clients") == [] and told.get("spare"):
                return True
            time.sleep(0.1)
        return False

    def unmappable(self, *more):
        """Numbers of the first device's memory types that the host can map and guests cannot."""
        return [t["index"] for t in self.info(*more)["devices"][0]["memoryTypes"]
                if "host-visible" in t["hostFlags"] and "host-visible" not in t["guestFlags"]]

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def complaints(self):
        """What a sanitizer in the server or its renderers found."""
        return [line for line in self.log().splitlines()
                if "Sanitizer:" in line or "runtime error:" in line]

    def alive(self):
        return self.proc.poll() is None

    def session(self, guest):
        return Session(ROOTS.guest(guest), self.sock, f"{self.host}/{guest}")

    def __exit__(self, *_):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(SERVER_STOP_S)
            except subprocess.TimeoutExpired:
                kill_group(self.proc)
                self.proc.wait()
        self.dir.cleanup()


def native(host, root=None, cache=False):
    """The host's own driver; Debian 13's lavapipe runs in Debian 13's root only."""
    root = root or ("mesa25" if host == "mesa25" else "mesa26")
    env, binds = {}, []
    if cache:
        binds = [(shader_cache(host)[1], "/opt/shader-cache")]
        env = {"MESA_SHADER_CACHE_DISABLE": "false",
               "MESA_SHADER_CACHE_DIR": "/opt/shader-cache",
               "__GL_SHADER_DISK_CACHE": "1", "__GL_SHADER_DISK_CACHE_PATH": "/opt/shader-cache"}
    return Session(ROOTS.native(host, root), None, f"{host}/native", env, binds)


def extensions(session):
    """Names of the first device's extensions, as a program sees them."""
    r = session.run(["vulkaninfo"], timeout=600)
    if r.returncode != 0:
        raise Failure(f"vulkaninfo fails ({session.label}): {r.stderr.strip()[-300:]}")
    names, inside = [], False
    for line in r.stdout.splitlines():
        if line.startswith("Device Extensions:"):
            inside = True
        elif inside and line.startswith("\t"):
            names.append(line.split()[0])
        elif inside and not line.startswith("-"):
            break
    return names


def behind_layer(session, shown, unmappable=()):
    """The same way to run programs, but a layer of ours hides what guests lack.

    Only the extensions `shown` are seen, and the memory types `unmappable` cannot be mapped.
    """
    layer = client_dir("tests", "harness", "hide_layer")
    if not os.path.exists(os.path.join(layer, "libhide_layer.so")):
        raise Failure("the hiding layer is not built; run ninja")
    env = dict(session.env)
    env.update({"VK_ADD_LAYER_PATH": "/opt/hide-layer", "PECTEN_SHOW": ",".join(shown),
                "PECTEN_HIDE_MAPPING": ",".join(str(n) for n in unmappable),
                "VK_INSTANCE_LAYERS": "VK_LAYER_PECTEN_hide"})
    return Session(session.driver, session.sock, session.label + " (hidden)", env,
                   session.binds + [(layer, "/opt/hide-layer")])


def add_arguments(ap):
    """Options that every driver has."""
    ap.add_argument("--host", default="own", choices=HOSTS,
                    help="where Vulkan work is done (default: this machine's own lavapipe)")
    ap.add_argument("--guest", action="append", choices=GUESTS, default=None,
                    help="Venus driver, repeatable (default: 25 and 26)")


def chosen_guests(a):
    return a.guest or ["25", "26"]


def skip(why):
    """Ends a test that cannot run here; meson shows status 77 as skipped."""
    print(f"SKIP: {why}")
    sys.exit(77)


def can_run():
    """Why roots cannot be entered on this machine, or None."""
    if os.environ.get("PECTEN_GPU_ENTER") == "loader":
        return None
    if subprocess.run(["unshare", "-m" if os.geteuid() == 0 else "-rm", "true"],
                      stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return "mount namespaces are not allowed here; run as root"
    return None


def main():
    ap = argparse.ArgumentParser(
        description="Run a program in a root, natively or through the renderer.",
        epilog="example: tests/gpu/guest.py --guest 25 -- vulkaninfo --summary")
    ap.add_argument("--host", default="own", choices=HOSTS, help="where Vulkan work is done")
    ap.add_argument("--guest", choices=GUESTS, help="Venus driver (default: run natively)")
    ap.add_argument("--root", help="root for a native run")
    ap.add_argument("--sock", help="use this running server, instead of starting one")
    ap.add_argument("--bind", action="append", default=[], metavar="SRC:DST")
    ap.add_argument("-e", "--env", action="append", default=[], metavar="K=V")
    ap.add_argument("--server-env", action="append", default=[], metavar="K=V")
    ap.add_argument("--log", help="append the server's messages to this file")
    ap.add_argument("argv", nargs="+")
    a = ap.parse_args()
    binds = [tuple(b.split(":", 1)) for b in a.bind]
    env = dict(e.split("=", 1) for e in a.env)
    try:
        with contextlib.ExitStack() as stack:
            if not a.guest:
                s = native(a.host, a.root)
            elif a.sock:
                s = Session(ROOTS.guest(a.guest), a.sock)
            else:
                senv = dict(e.split("=", 1) for e in a.server_env)
                s = stack.enter_context(Server(a.host, senv, a.log)).session(a.guest)
            return s.run(a.argv, env, binds, stdin=None, stdout=None, stderr=None).returncode
    except Failure as e:
        print(f"guest.py: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
