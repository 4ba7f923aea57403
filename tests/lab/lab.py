#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs guest tests in emulated machines that have real KVM (QEMU TCG with nested SVM).

An image holds a small Debian system, the programs under test and the tests; machines boot from it
side by side, each with a share of the tests.  The list comes on a second disk, to which each result
is written as soon as there is one.

QEMU's emulation of SVM now and then loses an interrupt, and the machine stands still for ever: that
is a fault of the lab, which is noticed when the machine falls silent, and the tests that were not
done run in a fresh one.  Tests that fail run once more too, since an emulated machine on a busy host
has hiccups.  How many did is printed, with what they said; more than RETRIES_MAX failures are no
hiccups and stay failures.

Output is TAP, one line per test.
"""

import argparse
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import namedtuple

QEMU = 'qemu-system-x86_64'
KERNEL_GLOB = 'linux-image-6.1.0-*-cloud-amd64'
BASE_PACKAGES = (
    'base-files base-passwd bash coreutils libc-bin util-linux mount kmod tar sed grep gawk findutils '
    'diffutils procps iproute2 passt python3 dash libseccomp2 libjson-c5 strace login passwd '
    'apt dpkg socat').split()
# Systems as an installer leaves them, for guests: tests/lab/t/debian.
SYSTEMS = {'12': 'bookworm', '13': 'trixie'}
SYSTEM_PACKAGES = 'python3-minimal gcc libc6-dev make'.split()
# Kernels by hand: the generic ones of those systems.
STOCK_KERNELS = {'kernel12': 'bookworm', 'kernel13': 'trixie'}
SLOT = 128 << 10  # bytes of the second disk: the list, then one result after the other
L1_MEMORY = 2048
BOOT_LIMIT = 180  # seconds; 4 on an idle machine
DEFAULT_LIMIT = 60
CASE_LIMIT = 360  # of a case, and so much again for each guest it boots, which takes 3 idle
RETRIES_MAX = 4
LOST_MAX = 8  # machines that are replaced
SILENCE_MAX = 90  # seconds; a machine that is alive prints something every 10
SKIP = 77

# limit: seconds; cost: how long it takes compared with others; args: of the script
Test = namedtuple('Test', 'name limit cost script args by_hand')

# QEMU's emulation of SVM now and then loses RFLAGS around an exit; the guest then dies of a fault
# with impossible flags.  Such a death says nothing about us.
ABSURD_FLAGS = re.compile(rb'RFLAGS: ?(?:EFLAGS: )?0*([0-9a-f]{8})', re.I)


def has_absurd_flags(text):
    return any(int(m.group(1), 16) & ~0x3f7fd7 or int(m.group(1), 16) & 0x24000
               for m in ABSURD_FLAGS.finditer(text))


def debroot(tool, *args):
    return subprocess.run([tool, *args], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def host_suite():
    with open('/etc/os-release') as f:
        for line in f:
            if line.startswith('VERSION_CODENAME='):
                return line.strip().split('=')[1]
    return 'bookworm'


def version_key(name):
    return [int(n) for n in re.findall(r'\d+', name)]


def libraries(program):
    out = subprocess.run(['ldd', program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         text=True).stdout
    return re.findall(r'=> (/\S+)', out)


def own_programs(root, command):
    """Runs a program of a foreign root by that root's own loader, so that we need no chroot."""
    lib = os.path.join(root, 'lib/x86_64-linux-gnu')
    loader = os.path.join(root, 'lib64/ld-linux-x86-64.so.2')
    subprocess.run([loader, '--library-path', f'{lib}:{root}/usr/lib/x86_64-linux-gnu',
                    *command], check=True)


def make_ext4(folder, path):
    """A file system image with room to write."""
    size = int(subprocess.run(['du', '-sm', folder], check=True, stdout=subprocess.PIPE,
                              text=True).stdout.split()[0])
    subprocess.run(['mke2fs', '-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-E',
                    'root_owner=0:0', '-d', folder, path, f'{size + size // 4 + 256}M'], check=True)


def make_systems(args, scratch):
    """An image with a Debian system in each folder."""
    path = os.path.join(scratch, 'systems.ext4')
    stage = os.path.join(scratch, 'systems')
    os.makedirs(stage)
    for name, suite in SYSTEMS.items():
        root = debroot(args.debroot, '-b', suite, 'labsystem', *SYSTEM_PACKAGES)
        subprocess.run(['cp', '-a', '--reflink=auto', root, os.path.join(stage, name)], check=True)
    make_ext4(stage, path)
    shutil.rmtree(stage)
    return path


def add_kernel(args, place, kernel, modules):
    """What --kernel and --initramfs want, in a folder."""
    tools = os.path.dirname(args.debroot)
    os.makedirs(place)
    shutil.copy(kernel, os.path.join(place, 'vmlinuz'))
    subprocess.run([os.path.join(tools, 'extract-vmlinux'), kernel,
                    os.path.join(place, 'vmlinux')], check=True)
    subprocess.run([os.path.join(tools, 'mkinitramfs'), '--init', args.init, '--modules', modules,
                    '-o', os.path.join(place, 'initramfs')], check=True)


def add_stock_kernel(args, place, suite):
    root = debroot(args.debroot, suite, 'stockkernel', 'linux-image-amd64')
    modules = os.path.join(root, 'lib/modules')
    if not os.path.isdir(modules):
        modules = os.path.join(root, 'usr/lib/modules')
    version = max(os.listdir(modules), key=version_key)
    add_kernel(args, place, os.path.join(root, 'boot', 'vmlinuz-' + version),
               os.path.join(modules, version))


class Image:
    """The disk image of the emulated machine and the kernel that boots it."""

    def __init__(self, args, tests, scratch):
        self.path = os.path.join(scratch, 'l1.ext4')
        here = os.path.dirname(os.path.abspath(__file__))
        base = debroot(args.debroot, host_suite(), 'labbase', *BASE_PACKAGES, *args.package)
        kernel = debroot(args.debroot, '-n', 'bookworm', 'labkernel', KERNEL_GLOB)
        modules = os.path.join(kernel, 'lib/modules')
        version = max(os.listdir(modules), key=version_key)
        self.kernel = os.path.join(kernel, 'boot', 'vmlinuz-' + version)

        stage = os.path.join(scratch, 'root')
        subprocess.run(['cp', '-a', '--reflink=auto', base, stage], check=True)
        for name in ('dev', 'proc', 'sys', 'tmp', 'run', 'mnt', 'var/tmp', 'lab/bin', 'lab/t',
                     'lib/modules', 'roots'):
            os.makedirs(os.path.join(stage, name), exist_ok=True)
        subprocess.run(['cp', '-a', os.path.join(modules, version),
                        os.path.join(stage, 'lib/modules/')], check=True)
        # What the packages' scripts would have made.
        for name in ('passwd', 'group'):
            shutil.copy(os.path.join(stage, 'usr/share/base-passwd', name + '.master'),
                        os.path.join(stage, 'etc', name))
        with open(os.path.join(stage, 'etc/resolv.conf'), 'w', encoding='ascii') as f:
            f.write('nameserver 127.0.0.1\n')
        if not os.path.exists(os.path.join(stage, 'bin/sh')):
            os.symlink('dash', os.path.join(stage, 'bin/sh'))
        kmod = os.path.join(stage, 'usr/bin/kmod')
        depmod = kmod if os.path.exists(kmod) else os.path.join(stage, 'bin/kmod')
        link = os.path.join(scratch, 'depmod')
        os.symlink(depmod, link)
        own_programs(stage, ['--argv0', 'depmod', link, '-b', stage, version])

        for program in args.program:
            shutil.copy(program, os.path.join(stage, 'lab/bin'))
            for found in libraries(program):
                lib = found
                if not lib.startswith(('/lib', '/usr/lib')):  # of the build tree
                    lib = '/usr/lib/x86_64-linux-gnu/' + os.path.basename(lib)
                    shutil.copy(found, stage + lib)
                place = stage + lib
                if not os.path.exists(place):
                    os.makedirs(os.path.dirname(place), exist_ok=True)
                    shutil.copy(found, place)
        for extra in args.extra:
            name, _, path = extra.partition('=')
            place = os.path.join(stage, 'lab', name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            subprocess.run(['cp', '-a' if os.path.isdir(path) else '-aL', path, place],
                           check=True)
        if args.guest:
            # LLVM is for drivers of GPUs that a guest does not have.
            guest = debroot(args.debroot, '-x', 'libllvm.*', 'trixie', 'labguest', *args.guest)
            subprocess.run(['cp', '-a', '--reflink=auto', guest,
                            os.path.join(stage, 'lab/guest')], check=True)
        if args.init:
            add_kernel(args, os.path.join(stage, 'lab/debian'), self.kernel,
                       os.path.join(modules, version))
        words = {word for t in tests for word in t.args.split()}
        for name, suite in STOCK_KERNELS.items():
            if name in words:
                add_stock_kernel(args, os.path.join(stage, 'lab', name), suite)
        self.systems = make_systems(args, scratch) if words & set(SYSTEMS) else None
        krunfw = debroot(args.debroot, '-n', 'sid', 'libkrunfw', 'libkrunfw5')
        shutil.copy(os.path.join(krunfw, 'usr/lib/x86_64-linux-gnu/libkrunfw.so.5'),
                    os.path.join(stage, 'lab/libkrunfw.so.5'))
        os.symlink('/lab/libkrunfw.so.5',
                   os.path.join(stage, 'usr/lib/x86_64-linux-gnu/libkrunfw.so.5'))
        shutil.copy(os.path.join(here, 'init'), os.path.join(stage, 'init'))
        for test in args.tests:
            shutil.copy(test, os.path.join(stage, 'lab/t'))

        make_ext4(stage, self.path)
        shutil.rmtree(stage)


class Machine:
    """One emulated machine with its list of tests."""

    def __init__(self, image, scratch, name, tests):
        self.tests = tests
        self.disk = os.path.join(scratch, name + '.img')
        self.log = os.path.join(scratch, name + '.log')
        self.monitor = os.path.join(scratch, name + '.mon')
        lines = ''.join(f'{t.limit} {t.name} {t.script} {t.args}\n' for t in tests)
        with open(self.disk, 'wb') as f:
            f.write(lines.encode())
            f.truncate(SLOT * (1 + len(tests)))
        limit = BOOT_LIMIT + sum(t.limit + 6 for t in tests)
        systems = [] if not image.systems else [
            '-drive', f'if=none,id=s,file={image.systems},format=raw,snapshot=on',
            '-device', 'nvme,drive=s,serial=sys']
        self.process = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'TERM', 'timeout', '-k', '5', str(limit), QEMU, '-M', 'q35', '-accel', 'tcg,thread=multi',
             '-cpu', 'EPYC-Rome,+svm,+npt', '-smp', '1', '-m', str(L1_MEMORY),
             '-kernel', image.kernel,
             # A loaded host is late with ticks, which Linux takes for a broken timer and panics.
             '-append', 'console=ttyS0 quiet panic=-1 no_timer_check nowatchdog '
             'root=/dev/nvme0n1 ro init=/init',
             '-drive', f'if=none,id=d,file={image.path},format=raw,readonly=on',
             '-device', 'nvme,drive=d,serial=l1',
             '-drive', f'if=none,id=r,file={self.disk},format=raw',
             '-device', 'nvme,drive=r,serial=res',
             *systems, '-nodefaults', '-nographic', '-serial', f'file:{self.log}',
             '-monitor', f'unix:{self.monitor},server=on,wait=off',
             '-no-reboot', '-device', 'isa-debug-exit,iobase=0x501,iosize=1'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.heard = 0
        self.heard_at = time.monotonic()

    def is_over(self):
        """Ends a machine that has fallen silent."""
        if self.process.poll() is not None:
            return True
        heard = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        if heard != self.heard:
            self.heard, self.heard_at = heard, time.monotonic()
        elif time.monotonic() - self.heard_at > SILENCE_MAX:
            self.look_inside()
            self.process.terminate()
            self.process.wait()
            return True
        return False

    def look_inside(self):
        """Adds to the log in which state QEMU's CPU stands still."""
        with socket.socket(socket.AF_UNIX) as s, open(self.log, 'ab') as log:
            s.settimeout(5)
            try:
                s.connect(self.monitor)
                s.sendall(b'info registers\ninfo lapic\ninfo pic\n')
                while True:
                    log.write(s.recv(65536))
            except OSError:
                log.write(b'\nlab: the machine was lost\n')

    def results(self):
        """Name -> (status, milliseconds, output) of the tests that came to an end."""
        found = {}
        with open(self.disk, 'rb') as f:
            for i, test in enumerate(self.tests, 1):
                f.seek(i * SLOT)
                head, _, rest = f.read(SLOT).partition(b'\n')
                m = re.fullmatch(rb'RESULT (\d+) (\d+) (\d+)', head)
                if not m:
                    continue
                status, ms, size = (int(n) for n in m.groups())
                out = rest[:size]
                if status in (0, SKIP) or not has_absurd_flags(out):
                    found[test.name] = (status, ms, out)
        return found


def run_all(image, scratch, tests, machines, label):
    """
    Shares the tests among machines by their cost.  What a lost machine has not done runs in a fresh
    one at once.  Returns results and how many machines were lost.
    """
    shares = [[] for _ in range(min(machines, len(tests)))]
    for test in sorted(tests, key=lambda t: -t.cost):
        min(shares, key=lambda s: sum(t.cost for t in s)).append(test)
    order = {test: i for i, test in enumerate(tests)}
    results = {}
    started = len(shares)
    running = [Machine(image, scratch, f'{label}-{i}', sorted(s, key=order.get))
               for i, s in enumerate(shares)]
    while running:
        for m in [m for m in running if m.is_over()]:
            running.remove(m)
            found = m.results()
            results.update(found)
            rest = [t for t in m.tests if t.name not in found]
            if rest and started < len(shares) + LOST_MAX:
                running.append(Machine(image, scratch, f'{label}-{started}', rest))
                started += 1
        time.sleep(0.2)
    return results, started - len(shares)


def tests_of(path):
    """A script in t/ is a test, or several if its head names arguments."""
    name = os.path.basename(path)
    with open(path, errors='replace') as f:
        text = f.read(2048)
    limit = re.search(r'^# lab-limit: (\d+)', text, re.M)
    boots = re.search(r'^# lab-boots: (\d+)', text, re.M)
    words = re.findall(r'^# lab-args(-by-hand)?: (.+)', text, re.M) or [('', '')]
    for by_hand, args in words:
        yield Test('-'.join([name] + args.split()), int(limit[1]) if limit else DEFAULT_LIMIT,
                   int(boots[1]) if boots else 1, name, args, bool(by_hand))


def cases_of(spec):
    """SCRIPT=FILE:PREFIX,...: the functions test_PREFIX... of a Python file, each a test."""
    script, _, rest = spec.partition('=')
    path, _, prefixes = rest.rpartition(':')
    loader = importlib.util.spec_from_file_location('cases', path)
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    wanted = tuple('test_' + p for p in prefixes.split(','))
    for name, function in vars(module).items():
        if name.startswith('test_') and name.startswith(wanted):
            boots = getattr(function, 'boots', 1)
            yield Test(f'{script}-{name[5:]}', CASE_LIMIT * (1 + boots), boots, script, name[5:],
                       False)


def is_good(result):
    return result is not None and result[0] in (0, SKIP)


def report(tests, results, first):
    print(f'1..{len(tests)}')
    for i, test in enumerate(tests, 1):
        status, ms, out = results.get(test.name, (None, 0, b'the emulated machine was lost each time'))
        out = out.decode(errors='replace')
        if status == 0:
            print(f'ok {i} - {test.name} # {ms} ms')
        elif status == SKIP:
            print(f'ok {i} - {test.name} # SKIP {out.strip()[-200:]}')
        else:
            print(f'not ok {i} - {test.name} # status {status}, {ms} ms')
            print(*out.splitlines()[-40:], sep='\n#   ')
        if is_good(results.get(test.name)) and first.get(test.name):
            print(f'# {test.name} failed before, with status {first[test.name][0]}:')
            print(*first[test.name][2].decode(errors='replace').splitlines()[-40:], sep='\n#   ')


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--debroot', required=True, help='path of tools/debroot')
    p.add_argument('--program', action='append', default=[], help='into /lab/bin')
    p.add_argument('--package', action='append', default=[], help='one more of Debian')
    p.add_argument('--guest', action='append', default=[],
                   help='a package of a system for guests, Debian 13, in /lab/guest')
    p.add_argument('--verbose', action='store_true', help='print what good tests say, too')
    p.add_argument('--extra', action='append', default=[], help='NAME=PATH into /lab/NAME')
    p.add_argument('--init', help='pecten-init, for an initramfs with a stock kernel')
    p.add_argument('--cases', action='append', default=[], metavar='SCRIPT=FILE:PREFIX,...',
                   help='cases of a Python file, run by a script')
    p.add_argument('--only', action='append', help='names of tests to run; "-NAME" leaves one out')
    p.add_argument('--repeat', type=int, default=1, help='run everything so many times')
    p.add_argument('--machines', type=int, default=min(2, os.cpu_count() or 1))
    p.add_argument('--keep', help='folder in which to keep image and logs')
    p.add_argument('tests', nargs='+')
    args = p.parse_args()

    for need in (QEMU, 'mke2fs', 'ldd', 'mmdebstrap'):
        if not shutil.which(need):
            print(f'1..0 # SKIP {need} is not installed')
            return 0
    cases = [case for spec in args.cases for case in cases_of(spec)]
    scripts = {case.script for case in cases}
    tests = cases + [t for path in args.tests if os.path.basename(path) not in scripts
                     for t in tests_of(path)]
    tests.sort(key=lambda t: t.cost)  # what is cheap fails early
    only = args.only or []
    left_out = {name[1:] for name in only if name.startswith('-')}
    chosen = set(only) - {'-' + name for name in left_out}
    tests = [t for t in tests if (t.name in chosen or not (chosen or t.by_hand)) and t.name not in left_out]
    tests = [t._replace(name=f'{t.name}.{n}' if n else t.name)
             for n in range(args.repeat) for t in tests]

    results = {}
    if os.geteuid() != 0:
        results = {t.name: (SKIP, 0, b'installing a Debian system needs root')
                   for t in tests if set(t.args.split()) & set(SYSTEMS)}
    here = [t for t in tests if t.name not in results]
    scratch = args.keep or tempfile.mkdtemp(prefix='pecten-lab.')
    os.makedirs(scratch, exist_ok=True)
    try:
        image = Image(args, here, scratch)
        found, lost = run_all(image, scratch, here, args.machines, 'l1')
        results.update(found)
        failed = [t for t in here if t.name in results and not is_good(results[t.name])]
        first = {t.name: results[t.name] for t in failed}
        again = failed if len(failed) <= RETRIES_MAX else []
        if again:
            found, more = run_all(image, scratch, again, args.machines, 'again')
            results.update(found)
            lost += more
    except subprocess.CalledProcessError as e:
        # Of the image; what the command had to say stands above.
        print(f'Bail out! {os.path.basename(e.cmd[0])} failed with status {e.returncode}: '
              'no image of the emulated machine')
        return 1
    finally:
        if not args.keep:
            logs = [f for f in os.listdir(scratch) if f.endswith('.log')]
            for name in logs:
                with open(os.path.join(scratch, name), errors='replace') as f:
                    tail = f.read()[-1000:]
                print(f'# {name}:', *tail.splitlines(), sep='\n#   ')
            shutil.rmtree(scratch, ignore_errors=True)

    report(tests, results, first)
    for name, result in results.items() if args.verbose else ():
        print(f'# {name}:', *result[2].decode(errors='replace').splitlines(), sep='\n#   ')
    print(f'# lab: {len(tests)} tests; {lost} times a machine was lost and its rest ran in another; '
          f'{len(again)} tests were run again because they failed')
    return 0


if __name__ == '__main__':
    sys.exit(main())
