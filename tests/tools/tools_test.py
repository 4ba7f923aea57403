#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of what tools/ does by itself:  tools_test.py TOOLS [NAME...]

No network: programs of the machine that would use it, or change the machine, are replaced by scripts.
"""

import bz2
import contextlib
import gzip
import lzma
import os
import pathlib
import pty
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

TOOLS = pathlib.Path(__file__).resolve().parent.parent.parent / "tools"
KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DAY = 24 * 3600

# A mirror with the packages of a folder.  @REPO@/InRelease is its list's date; @REPO@/plan has the
# "Inst" lines of apt's resolver; when there is a @REPO@/broken, a download ends after one package,
# and when there is a @REPO@/wait, it first reads that to its end.
APT_GET = r"""#!/bin/bash
set -eu
shopt -s nullglob
repo=@REPO@
lists='' words=() print=0
for w in "$@"; do
	case $w in
	-oDir::State::lists=*) lists=${w#*=} ;;
	--print-uris) print=1 ;;
	-*) ;;
	*) words+=("$w") ;;
	esac
done
echo "${words[*]}" >>"$repo/calls"
case ${words[0]} in
indextargets) echo http://mirror.example/debian/ ;;
update)
	mkdir -p "$lists"
	cp "$repo/InRelease" "$lists/mirror_InRelease"
	touch "$lists/mirror_Packages"
	;;
install) cat "$repo/plan" ;;
download)
	[ ! -e "$repo/wait" ] || [ $print = 1 ] || cat "$repo/wait"
	for w in "${words[@]:1}"; do
		for f in "$repo/${w%%=*}"_*.deb; do
			if [ $print = 1 ]; then
				echo "'http://mirror.example/$(basename "$f")' $(basename "$f") $(stat -c %s "$f") SHA256:0"
			else
				cp "$f" .
				[ ! -e "$repo/broken" ] || exit 100
			fi
		done
	done
	;;
esac
"""


def script(path, text):
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Folder(unittest.TestCase):
    """A folder with a space in its name, and one that comes first in PATH."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="pecten-tools-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name) / "a b"
        self.bin = self.dir / "bin"
        self.bin.mkdir(parents=True)
        self.env = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}",
                    "XDG_CACHE_HOME": str(self.dir / "cache")}

    def run_tool(self, name, *words, **env):
        # The limit is for what would wait for ever.
        return subprocess.run([TOOLS / name, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=300, env={**self.env, **env})

    def fails(self, result, *says):
        """It failed, and its last sentence has these words."""
        self.assertNotEqual(result.returncode, 0, result.stdout)
        last = result.stderr.strip().splitlines()[-1]
        for words in says:
            self.assertIn(words, last)


@unittest.skipUnless(KEYRING.exists() and shutil.which("dpkg-deb"), "no dpkg-deb or debian-archive-keyring here")
class Debroot(Folder):
    def setUp(self):
        super().setUp()
        self.repo = self.dir / "repo"
        self.repo.mkdir()
        script(self.bin / "apt-get", APT_GET.replace("@REPO@", f"'{self.repo}'"))
        script(self.bin / "sleep", "#!/bin/sh\n")
        self.dated(time.time())
        self.roots = self.dir / "cache/pecten/roots"

    def dated(self, when):
        text = time.strftime("%a, %d %b %Y %H:%M:%S UTC", time.gmtime(when))
        (self.repo / "InRelease").write_text(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\n"
            f"Date: {text}\nSHA256:\n-----BEGIN PGP SIGNATURE-----\n\nDate: none\n", encoding="ascii")

    def package(self, name, version, make):
        tree = self.dir / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <n@example.org>\n"
            f"Description: {name}\n", encoding="ascii")
        make(tree)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree,
                        self.repo / f"{name}_{version}_all.deb"], check=True, stdout=subprocess.DEVNULL)
        return name

    def file(self, name, version, path, content="new\n"):
        def make(tree):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(content, encoding="ascii")
        return self.package(name, version, make)

    def links(self, name, links):
        def make(tree):
            for path, to in links.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).symlink_to(to)
        return self.package(name, "1", make)

    def debroot(self, *words, **env):
        return self.run_tool("debroot", *words, **env)

    def root(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return pathlib.Path(result.stdout.strip())

    def test_unpacks_into_a_folder_of_its_user(self):
        self.file("one", "1", "usr/share/one")
        root = self.root(self.debroot("-n", "sid", "x", "one"))
        self.assertEqual((root / "usr/share/one").read_text(), "new\n")
        self.assertEqual((root / ".manifest").read_text(), "one 1\n")
        self.assertEqual(stat.S_IMODE(self.roots.stat().st_mode), 0o700)
        self.assertEqual(sorted(p.name for p in self.roots.iterdir()), [".lock", root.name])
        (self.repo / "calls").unlink()
        self.assertEqual(self.root(self.debroot("-n", "sid", "x", "one")), root)
        self.assertFalse((self.repo / "calls").exists())

    def test_dependencies_come_in_the_versions_of_the_plan(self):
        (self.repo / "plan").write_text("Inst base-files (1 Debian:unstable [all])\n"
                                        "Inst one (1 Debian:unstable [all])\nConf one (1 Debian:unstable [all])\n")
        # base-files' links are there before what is unpacked through them.
        self.links("base-files", {"lib": "usr/lib", "usr/lib/os-release": "../../etc/os-release"})
        self.file("aaa", "1", "lib/aaa")
        self.file("one", "1", "lib/one")
        root = self.root(self.debroot("trixie", "x", "one"))
        self.assertTrue((root / "lib").is_symlink())
        self.assertTrue((root / "usr/lib/one").exists())
        self.assertEqual((root / ".manifest").read_text(), "base-files 1\none 1\n")

    def test_no_member_leaves_the_folder_through_a_link_of_another_package(self):
        outside = self.dir / "outside"
        outside.mkdir()
        up = "../" * 40 + str(outside).lstrip("/")
        for name, to in (("absolute", str(outside)), ("relative", up)):
            with self.subTest(name):
                self.links(f"a{name}", {name: to})
                self.file(f"b{name}", "1", f"{name}/file")
                self.debroot("-n", "sid", name, f"a{name}", f"b{name}")
                self.assertEqual(os.listdir(outside), [])

    def test_links_out_of_the_folder_are_kept(self):
        self.links("a", {"x": "/etc/x", "y/z": "../x"})
        root = self.root(self.debroot("-n", "sid", "x", self.file("b", "1", "y/b"), "a"))
        self.assertEqual((os.readlink(root / "x"), os.readlink(root / "y/z")), ("/etc/x", "../x"))

    def test_an_interrupted_download_does_not_bring_two_versions(self):
        self.file("one", "1", "one-1")
        self.file("two", "1", "two")
        (self.repo / "broken").touch()
        self.fails(self.debroot("-n", "sid", "x", "one", "two"), "Run the command again")
        (self.repo / "broken").unlink()
        (self.repo / "one_1_all.deb").unlink()
        self.file("one", "2", "one-2")
        root = self.root(self.debroot("-n", "sid", "x", "one", "two"))
        self.assertEqual((root / ".manifest").read_text(), "one 2\ntwo 1\n")
        self.assertFalse((root / "one-1").exists())

    def test_a_killed_call_does_not_keep_the_lock(self):
        self.file("one", "1", "one")
        (self.bin / "sleep").unlink()
        os.mkfifo(self.repo / "wait")
        ours, terminal = pty.openpty()
        call = subprocess.Popen([TOOLS / "debroot", "-n", "sid", "x", "one"], stdout=subprocess.DEVNULL,
                                stderr=terminal, env=self.env, start_new_session=True)
        try:
            with open(self.repo / "wait", "wb"):
                call.kill()
            (self.repo / "wait").unlink()
            self.root(self.debroot("-n", "sid", "x", "one"))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(call.pid, signal.SIGKILL)
            call.wait()
            os.close(ours)
            os.close(terminal)

    @unittest.skipUnless(os.geteuid() == 0, "mounting needs root")
    def test_a_folder_with_a_mount_in_it_stays(self):
        self.file("one", "1", "usr/one")
        root = self.root(self.debroot("-n", "sid", "x", "one"))
        again = subprocess.run(["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0/usr" && exec "$@"', root,
                                TOOLS / "debroot", "-u", "-n", "sid", "x", "one"], env=self.env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.fails(again, "something is mounted below")
        self.assertTrue((root / "usr/one").exists())

    def test_an_old_list_of_unstable_is_refused(self):
        self.file("one", "1", "one")
        self.dated(time.time() - 181 * DAY)
        for _ in range(2):  # nor does it lie about for the next call
            self.fails(self.debroot("-n", "sid", "x", "one"), "more than 180 days ago", "DEBROOT_LIST_DAYS")
        self.root(self.debroot("-n", "sid", "x", "one", DEBROOT_LIST_DAYS="182"))
        self.fails(self.debroot("-n", "sid", "y", "one", DEBROOT_LIST_DAYS="0"), "from 1 to 9999")
        # A stable release is older between two of its updates.
        self.root(self.debroot("-n", "trixie", "x", "one"))

    def test_a_list_older_than_the_last_one_is_refused(self):
        self.file("one", "1", "one")
        root = self.root(self.debroot("-n", "sid", "x", "one"))
        self.dated(time.time() - DAY)
        newest = self.dir / "cache/pecten/apt/sid/newest"
        for _ in range(2):
            self.fails(self.debroot("-u", "-n", "sid", "x", "one"), "older than the one before", str(newest))
        newest.unlink()
        self.assertEqual(self.root(self.debroot("-u", "-n", "sid", "x", "one")), root)

    def test_a_list_without_a_date_is_refused(self):
        self.file("one", "1", "one")
        (self.repo / "InRelease").write_text("Origin: Debian\n")
        self.fails(self.debroot("-n", "sid", "x", "one"), "no date")

    def test_a_damaged_package_leaves_nothing(self):
        self.file("one", "1", "one")
        deb = self.repo / "one_1_all.deb"
        deb.write_bytes(deb.read_bytes()[:-5000])
        self.fails(self.debroot("-n", "sid", "x", "one"), "cannot be unpacked; remove ")
        self.assertEqual([p.name for p in self.roots.iterdir()], [".lock"])


class InstallDeps(Folder):
    """sudo passes on no variables; apt's and dpkg's questions would wait for nobody."""

    def test_nobody_is_asked(self):
        script(self.bin / "dpkg-query", "#!/bin/sh\necho not-installed\n")
        script(self.bin / "id", "#!/bin/sh\necho 1000\n")
        script(self.bin / "sudo", '#!/bin/sh\nexec env -i PATH="$PATH" "$@"\n')
        script(self.bin / "apt-get", f'#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >>\'{self.dir}/calls\'\n')
        result = self.run_tool("install-deps")
        self.assertEqual(result.returncode, 0, result.stderr)
        for call in (self.dir / "calls").read_text().splitlines():
            self.assertTrue(call.startswith("noninteractive "), call)
            self.assertIn("--force-confold", call)


def bzimage(payload):
    """A header of protocol 2.08 with one sector of set-up, and a payload."""
    image = bytearray(1024)
    image[0x1f1] = 1
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x208)
    struct.pack_into("<II", image, 0x248, 0, len(payload))
    return bytes(image) + payload


def lz4(data):
    """The legacy format, of literals only."""
    out = b"\x02\x21\x4c\x18"
    count, rest = divmod(len(data) - 15, 255)
    block = b"\xf0" + b"\xff" * count + bytes([rest]) + data
    return out + struct.pack("<I", len(block)) + block


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


class ExtractVmlinux(Folder):
    ELF = b"\x7fELF" + b"".join(b"%d kernel " % n for n in range(50000))
    FORMATS = {"bz2": bz2.compress, "xz": lzma.compress, "lzma": lambda d: lzma.compress(d, lzma.FORMAT_ALONE),
               "lz4": lz4, "zstd": zstd}

    def payloads(self):
        size = struct.pack("<I", len(self.ELF))
        yield "gzip", gzip.compress(self.ELF)
        for name, compress in self.FORMATS.items():
            if name != "zstd" or shutil.which("zstd"):
                yield name, compress(self.ELF) + size

    def extract(self, payload):
        (self.dir / "bzImage").write_bytes(bzimage(payload))
        return self.run_tool("extract-vmlinux", self.dir / "bzImage", self.dir / "vmlinux")

    def nothing_is_left(self):
        self.assertEqual([p.name for p in self.dir.iterdir() if p.name.startswith("vmlinux")], [])

    def test_every_format_comes_out_whole(self):
        for name, payload in self.payloads():
            with self.subTest(name):
                self.assertEqual(self.extract(payload).stderr, "")
                self.assertEqual((self.dir / "vmlinux").read_bytes(), self.ELF)

    def test_a_kernel_that_is_not_whole_is_refused(self):
        for name, payload in self.payloads():
            with self.subTest(name):
                short = payload[:len(payload) // 2] + payload[-4:]
                result = self.extract(short)
                self.fails(result, "extract-vmlinux: ")
                self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
                self.nothing_is_left()

    def test_a_wrong_size_is_refused(self):
        for name, payload in self.payloads():
            with self.subTest(name):
                self.fails(self.extract(payload[:-4] + struct.pack("<I", len(self.ELF) + 1)), "")
                self.nothing_is_left()

    def test_the_decompressors_failure_is_told(self):
        script(self.bin / "zstd", "#!/bin/sh\ncat >/dev/null\necho 'zstd: it is broken' >&2\nexit 1\n")
        self.fails(self.extract(b"\x28\xb5\x2f\xfd" + bytes(100)), "zstd: it is broken")
        self.nothing_is_left()

    def test_what_cannot_be_written_leaves_nothing(self):
        (self.dir / "vmlinux").mkdir()
        self.fails(self.extract(gzip.compress(self.ELF)), "vmlinux")
        self.assertFalse((self.dir / "vmlinux.new").exists())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        TOOLS = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)
