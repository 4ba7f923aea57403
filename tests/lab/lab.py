#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs guest tests in emulated machines that have real KVM (QEMU TCG with nested SVM).

An image holds a small Debian system, the programs under test and the tests; machines boot from it
side by side, each with a share of the tests, which it gets and returns as tar archives on a second
disk.  A machine that QEMU itself brings down is a fault of the lab: the tests that it did not
finish run once more, and the number of such retries is printed.

Output is TAP, one line per test.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

QEMU = 'qemu-system-x86_64'
KERNEL_GLOB = 'linux-image-6.1.0-*-cloud-amd64'
BASE_PACKAGES = (
    'base-files base-passwd bash coreutils util-linux mount kmod tar sed grep gawk findutils '
    'diffutils procps iproute2 passt python3 dash libseccomp2 libjson-c5 strace login passwd '
    'apt dpkg socat').split()
RESULT_DISK = 64 << 20
L1_MEMORY = 2048
BOOT_LIMIT = 180  # seconds; 4 on an idle machine
DEFAULT_LIMIT = 60
SKIP = 77

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


class Image:
    """The disk image of the emulated machine and the kernel that boots it."""

    def __init__(self, args, scratch):
        self.path = os.path.join(scratch, 'l1.ext4')
        here = os.path.dirname(os.path.abspath(__file__))
        base = debroot(args.debroot, host_suite(), 'labbase', *BASE_PACKAGES)
        kernel = debroot(args.debroot, '-n', 'bookworm', 'labkernel', KERNEL_GLOB)
        modules = os.path.join(kernel, 'lib/modules')
        version = max(os.listdir(modules), key=version_key)
        self.kernel = os.path.join(kernel, 'boot', 'vmlinuz-' + version)

        stage = os.path.join(scratch, 'root')
        subprocess.run(['cp', '-a', '--reflink=auto', base, stage], check=True)
        for name in ('dev', 'proc', 'sys', 'tmp', 'run', 'mnt', 'var/tmp', 'lab/bin', 'lab/t',
                     'lib/modules'):
            os.makedirs(os.path.join(stage, name), exist_ok=True)
        subprocess.run(['cp', '-a', os.path.join(modules, version),
                        os.path.join(stage, 'lib/modules/')], check=True)
        # What the packages' scripts would have made.
        for name in ('passwd', 'group'):
            shutil.copy(os.path.join(stage, 'usr/share/base-passwd', name + '.master'),
                        os.path.join(stage, 'etc', name))
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
            subprocess.run(['cp', '-aL', path, place], check=True)
        if args.init:
            debian = os.path.join(stage, 'lab/debian')
            os.makedirs(debian)
            shutil.copy(self.kernel, os.path.join(debian, 'vmlinuz'))
            subprocess.run([os.path.join(os.path.dirname(args.debroot), 'mkinitramfs'),
                            '--init', args.init, '--modules', os.path.join(modules, version),
                            '-o', os.path.join(debian, 'initramfs')], check=True)
        krunfw = debroot(args.debroot, '-n', 'sid', 'libkrunfw', 'libkrunfw5')
        shutil.copy(os.path.join(krunfw, 'usr/lib/x86_64-linux-gnu/libkrunfw.so.5'),
                    os.path.join(stage, 'lab/libkrunfw.so.5'))
        os.symlink('/lab/libkrunfw.so.5',
                   os.path.join(stage, 'usr/lib/x86_64-linux-gnu/libkrunfw.so.5'))
        shutil.copy(os.path.join(here, 'init'), os.path.join(stage, 'init'))
        for test in args.tests:
            shutil.copy(test, os.path.join(stage, 'lab/t'))

        size = int(subprocess.run(['du', '-sm', stage], check=True, stdout=subprocess.PIPE,
                                  text=True).stdout.split()[0])
        subprocess.run(['mke2fs', '-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-E',
                        'root_owner=0:0', '-d', stage, self.path, f'{size + size // 5 + 64}M'],
                       check=True)
        shutil.rmtree(stage)


class Machine:
    """One emulated machine with its list of tests."""

    def __init__(self, image, scratch, name, tests):
        self.tests = tests
        self.disk = os.path.join(scratch, name + '.img')
        self.log = os.path.join(scratch, name + '.log')
        lines = ''.join(f'{limit} {test}\n' for test, limit in tests)
        with open(self.disk, 'wb') as f:
            f.truncate(RESULT_DISK)
            with tarfile.open(fileobj=f, mode='w') as t:
                info = tarfile.TarInfo('list')
                info.size = len(lines)
                t.addfile(info, io.BytesIO(lines.encode()))
        limit = BOOT_LIMIT + sum(limit + 6 for _, limit in tests)
        self.process = subprocess.Popen(
            ['timeout', '-k', '5', str(limit), QEMU, '-M', 'q35', '-accel', 'tcg,thread=multi',
             '-cpu', 'EPYC-Rome,+svm,+npt', '-smp', '1', '-m', str(L1_MEMORY),
             '-kernel', image.kernel,
             # A loaded host is late with ticks, which Linux takes for a broken timer and panics.
             '-append', 'console=ttyS0 quiet panic=-1 no_timer_check nowatchdog '
             'root=/dev/nvme0n1 ro init=/init',
             '-drive', f'if=none,id=d,file={image.path},format=raw,readonly=on',
             '-device', 'nvme,drive=d,serial=l1',
             '-drive', f'if=none,id=r,file={self.disk},format=raw',
             '-device', 'nvme,drive=r,serial=res',
             '-nodefaults', '-nographic', '-serial', f'file:{self.log}', '-monitor', 'none',
             '-no-reboot', '-device', 'isa-debug-exit,iobase=0x501,iosize=1'],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def results(self):
        """Name -> (status, milliseconds, output) of the tests that came to an end."""
        self.process.wait()
        found = {}
        try:
            with tarfile.open(self.disk) as t:
                files = {m.name: t.extractfile(m).read() for m in t.getmembers() if m.isfile()}
        except tarfile.TarError:
            files = {}
        if 'results/complete' not in files:
            return found
        for name, _ in self.tests:
            rc = files.get(f'results/{name}.rc')
            if rc is None:
                continue
            out = files.get(f'results/{name}.out', b'')
            if rc.strip() not in (b'0', b'77') and has_absurd_flags(out):
                continue
            found[name] = (int(rc), int(files.get(f'results/{name}.ms', b'0')), out)
        return found


def run_round(image, scratch, tests, machines, label):
    """Shares the tests among machines by their limits, the longest first."""
    shares = [[] for _ in range(min(machines, len(tests)))]
    for test in sorted(tests, key=lambda t: -t[1]):
        min(shares, key=lambda s: sum(limit for _, limit in s)).append(test)
    order = {test: i for i, test in enumerate(tests)}
    running = [Machine(image, scratch, f'{label}{i}', sorted(s, key=order.get))
               for i, s in enumerate(shares)]
    results = {}
    for m in running:
        results.update(m.results())
    return results


def limit_of(path):
    with open(path, errors='replace') as f:
        m = re.search(r'^# lab-limit: (\d+)', f.read(2048), re.M)
    return int(m.group(1)) if m else DEFAULT_LIMIT


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--debroot', required=True, help='path of tools/debroot')
    p.add_argument('--program', action='append', default=[], help='into /lab/bin')
    p.add_argument('--extra', action='append', default=[], help='NAME=PATH into /lab/NAME')
    p.add_argument('--init', help='pecten-init, for an initramfs with a stock kernel')
    p.add_argument('--only', action='append', help='names of tests to run')
    p.add_argument('--machines', type=int, default=min(2, os.cpu_count() or 1))
    p.add_argument('--keep', help='folder in which to keep image and logs')
    p.add_argument('tests', nargs='+')
    args = p.parse_args()

    for need in (QEMU, 'mke2fs', 'ldd'):
        if not shutil.which(need):
            print(f'1..0 # SKIP {need} is not installed')
            return 0
    tests = [(os.path.basename(t), limit_of(t)) for t in args.tests]
    if args.only:
        tests = [t for t in tests if t[0] in args.only]

    scratch = args.keep or tempfile.mkdtemp(prefix='pecten-lab.')
    os.makedirs(scratch, exist_ok=True)
    try:
        image = Image(args, scratch)
        results = run_round(image, scratch, tests, args.machines, 'l1-')
        missing = [t for t in tests if t[0] not in results]
        if missing:
            results.update(run_round(image, scratch, missing, args.machines, 'retry-'))
    finally:
        if not args.keep:
            logs = [f for f in os.listdir(scratch) if f.endswith('.log')]
            for name in logs:
                with open(os.path.join(scratch, name), errors='replace') as f:
                    tail = f.read()[-2000:]
                print(f'# {name}:', *tail.splitlines(), sep='\n#   ')
            shutil.rmtree(scratch, ignore_errors=True)

    print(f'1..{len(tests)}')
    for i, (name, _) in enumerate(tests, 1):
        status, ms, out = results.get(name, (None, 0, b'the emulated machine was lost twice'))
        if status == 0:
            print(f'ok {i} - {name} # {ms} ms')
        elif status == SKIP:
            print(f'ok {i} - {name} # SKIP {out.decode(errors="replace").strip()[-200:]}')
        else:
            print(f'not ok {i} - {name} # status {status}, {ms} ms')
            for line in out.decode(errors='replace').splitlines()[-40:]:
                print(f'#   {line}')
    print(f'# lab: {len(missing)} of {len(tests)} tests were run again for faults of the lab')
    return 0


if __name__ == '__main__':
    sys.exit(main())
