#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# lab-limit: 900
# lab-args-by-hand: boot
# lab-args-by-hand: memory
# lab-args-by-hand: files
"""Measures pecten-vm against QEMU's microvm and kvmtool, inside the emulated machine of tests/lab.

  in_lab.py boot|memory|files		one round of each way, one after the other
  in_lab.py sum boot|memory|files	the medians of all rounds on stdin

All get the same kernel, command line and initramfs (bench/machine/guest.c is its init).  KVM's
tracepoints tell when a vCPU first runs and when the guest's program does.  A round is a test of its
own, since an emulated machine may be lost.  See bench/machine/run, which starts this.
"""
import collections
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

LAB = os.environ.get("LAB", "")
TRACE = "/sys/kernel/tracing"
MIB = 256
WORDS = "quiet reboot=t panic=-1 tsc=reliable no_timer_check mitigations=off nokaslr audit=0"
KERNEL = f"{LAB}/debian/vmlinux"
BZIMAGE = f"{LAB}/debian/vmlinuz"
INITRD = f"{LAB}/bench/initramfs"
ENV = dict(os.environ, LD_LIBRARY_PATH=f"{LAB}/bin", PECTEN_LIBEXEC=f"{LAB}/bin",
           PECTEN_KRUNFW=f"{LAB}/libkrunfw.so.5")


def write(path, text):
    with open(f"{TRACE}/{path}", "w", encoding="ascii") as f:
        f.write(text)


def pecten(words, *more, kernel=KERNEL):
    return ["vmboot", f"{LAB}/bin/pecten-vm", "-k", kernel, "-i", INITRD, "-m", str(MIB),
            "-a", f"{WORDS} {words}", *more]


def qemu(words, *more, shared=False):
    ram = (["-object", f"memory-backend-memfd,id=ram,size={MIB}M,share=on"] if shared else [])
    machine = "microvm,accel=kvm,pit=off,pic=off,rtc=off,auto-kernel-cmdline=off"
    return ["qemu-system-x86_64", "-M", machine + (",memory-backend=ram" if shared else ""), *ram,
            "-cpu", "host", "-m", str(MIB), "-smp", "1", "-kernel", KERNEL, "-initrd", INITRD,
            "-append", f"{WORDS} {words}", "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", *more]


def kvmtool(words):
    return [f"{LAB}/bin/lkvm-static", "run", "-k", BZIMAGE, "-i", INITRD, "-m", str(MIB), "-c", "1",
            "-p", f"{WORDS} {words}", "--console", "virtio", "-n", "mode=none"]


def traced(argv, limit=120):
    """Milliseconds from exec to the first vCPU run, to the guest's mark and to the end; exits."""
    write("trace", "")
    write("tracing_on", "1")
    start = time.clock_gettime(time.CLOCK_MONOTONIC)
    subprocess.run(argv, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=limit, check=False)
    end = time.clock_gettime(time.CLOCK_MONOTONIC)
    write("tracing_on", "0")
    first = mark = None
    exits = collections.Counter()
    with open(f"{TRACE}/trace", encoding="ascii", errors="replace") as f:
        for line in f:
            m = re.search(r" (\d+\.\d+): (kvm_\w+):(.*)", line)
            if not m:
                continue
            at, what, rest = float(m[1]), m[2], m[3]
            if what == "kvm_entry" and first is None:
                first = at
            elif what == "kvm_pio" and mark is None and " 0xe9 " in rest:
                mark = at
            elif what == "kvm_exit" and mark is None:
                exits[re.search(r"reason (?:EXIT_)?(\w+)", rest)[1]] += 1
    if first is None or mark is None:
        return None
    return {"vmm": (first - start) * 1e3, "guest": (mark - first) * 1e3,
            "to program": (mark - start) * 1e3, "all": (end - start) * 1e3,
            "exits": sum(exits.values()), "reasons": exits}


def tell(way, values):
    """One result, for sum; and to the console, for who waits."""
    line = json.dumps([way, values])
    print("DATA " + line, flush=True)
    with open("/dev/console", "w", encoding="ascii") as f:
        f.write(line + "\n")


def boot():
    subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACE], check=False)
    write("trace_clock", "mono")
    write("buffer_size_kb", "65536")
    for event in ("kvm_entry", "kvm_exit"):
        write(f"events/kvm/{event}/enable", "1")
    write("events/kvm/kvm_pio/filter", "port == 233")
    write("events/kvm/kvm_pio/enable", "1")
    ways = {
        "pecten, ELF": pecten("bench=boot"),
        "QEMU microvm, ELF": qemu("bench=boot"),
        "pecten, bzImage": pecten("bench=boot", kernel=BZIMAGE),
    }
    if os.path.exists(f"{LAB}/bin/lkvm-static"):
        ways["kvmtool, bzImage"] = kvmtool("bench=boot")
    for name, argv in ways.items():
        got = traced(argv)
        if got:
            tell(name, got)
        else:
            print(f"{name}: no sign of the guest", flush=True)


def sum_boot(runs):
    keys = ["vmm", "guest", "all", "to program", "exits"]
    base = statistics.median(r["to program"] for r in runs["QEMU microvm, ELF"])
    for name, got in runs.items():
        medians = {k: statistics.median(r[k] for r in got) for k in keys}
        print(f"{name:20}" + "".join(f"{k} {medians[k]:6.0f}  " for k in keys)
              + f"ratio {medians['to program'] / base:.2f}  of {len(got)}")
        print("   ", dict(collections.Counter(got[0]["reasons"]).most_common(8)))


def mappings(pid):
    """What a VM process has resident, KiB: (what is mapped, its size, {Rss, Pss, ...})."""
    with open(f"/proc/{pid}/smaps", encoding="ascii") as f:
        for line in f:
            head = re.match(r"[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \d+ *(.*)", line)
            if head:
                name, size, sums = head[2], 0, {}
                continue
            key, _, value = line.partition(":")
            if key == "VmFlags":
                yield name, size, sums
            elif key == "Size":
                size = int(value.split()[0])
            else:
                sums[key] = int(value.split()[0])


def kind_of(name, size):
    """Groups of mappings that have one remedy."""
    if size >= MIB * 1024 // 2:
        return "the guest's RAM"
    if name.startswith("/"):
        base = os.path.basename(name)
        return base if base.startswith(("pecten", "lib")) else "other files"
    if name:
        return name
    return {1024: "stacks of threads", 132: "heaps of threads"}.get(size, "other anonymous memory")


def resident(pid):
    kinds = collections.defaultdict(collections.Counter)
    for name, size, sums in mappings(pid):
        kinds[kind_of(name, size)].update(
            {"rss": sums["Rss"], "pss": sums["Pss"],
             "own": sums["Private_Clean"] + sums["Private_Dirty"], "dirty": sums["Private_Dirty"]})
    return kinds


def memory():
    """Resident memory without the guest's RAM, after the guest has read much of a share."""
    p = subprocess.Popen(["pecten", "run", "--engine", "kvm", "-m", f"{MIB}M", "-v", "/tmp:/mnt",
                          os.environ["ROOT"], "--", "sh", "-c",
                          "ls -lR /usr/lib >/dev/null; echo up; cat"], env=ENV,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdout.readline()
    vm = subprocess.run(["pgrep", "-x", "pecten-vm"], stdout=subprocess.PIPE, text=True,
                        check=True).stdout.split()[0]
    kinds = resident(vm)
    for kind, sums in sorted(kinds.items(), key=lambda k: -k[1]["rss"]):
        print(f"{kind:24}" + "".join(f"{k} {v:6} " for k, v in sums.items()))
    values = {what: sum(s[what] for k, s in kinds.items() if k != "the guest's RAM")
              for what in ("rss", "pss", "own", "dirty")}
    for key, pid, pattern in (("threads", vm, r"Threads:\s*(\d+)"),
                              ("rss of pecten", p.pid, r"VmRSS:\s*(\d+)")):
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            values[key] = int(re.search(pattern, f.read())[1])
    p.communicate()
    tell("pecten-vm without the guest's RAM", values)


def sum_memory(runs):
    for name, got in runs.items():
        print(name + ", KiB:", {k: statistics.median(r[k] for r in got) for k in got[0]})


def read_result(path):
    """Milliseconds, by what the guest has done."""
    try:
        with open(path, "rb") as f:
            text = f.read(2048).split(b"\0")[0].decode()
    except FileNotFoundError:
        return None
    got = {}
    for line in text.splitlines():
        key, value = line.split()
        if key in ("failed", "short"):
            raise SystemExit(f"{path}: {text}")
        got[key.removesuffix("_us")] = int(value) / 1000
    return got


def with_virtiofsd(folder, argv):
    root = f"{LAB}/virtiofsd"
    lib = f"{root}/usr/lib/x86_64-linux-gnu"
    if os.path.exists("fs.sock"):
        os.unlink("fs.sock")
    d = subprocess.Popen([f"{lib}/ld-linux-x86-64.so.2", "--library-path", lib,
                          f"{root}/usr/libexec/virtiofsd", "--socket-path=fs.sock",
                          f"--shared-dir={folder}", "--sandbox=none", "--cache=auto"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists("fs.sock"):
        time.sleep(0.05)
    subprocess.run(argv, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=300, check=False)
    d.terminate()
    d.wait()


def files():
    quiet = {"env": ENV, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
             "stderr": subprocess.DEVNULL, "timeout": 300, "check": False}
    for name in ("pecten fs", "QEMU and virtiofsd", "pecten blk", "QEMU blk"):
        shutil.rmtree("share", ignore_errors=True)
        os.mkdir("share")
        with open("disk", "wb") as f:
            f.truncate(80 << 20)
        if name == "pecten fs":
            subprocess.run(pecten("bench=fs benchdir=/mnt/share0", "-s",
                                  f"share0={os.getcwd()}/share"), **quiet)
        elif name == "pecten blk":
            subprocess.run(pecten("bench=blk", "-d", "disk"), **quiet)
        elif name == "QEMU blk":
            subprocess.run(qemu("bench=blk", "-drive", "if=none,id=d,file=disk,format=raw",
                                "-device", "virtio-blk-device,drive=d"), **quiet)
        else:
            with_virtiofsd(f"{os.getcwd()}/share", qemu(
                "bench=fs benchdir=/mnt", "-chardev", "socket,id=f,path=fs.sock", "-device",
                "vhost-user-fs-device,chardev=f,tag=pecten,queue-size=1024", shared=True))
        result = read_result("disk" if "blk" in name else "share/result")
        if result:
            tell(name, result)
        else:
            print(f"{name}: no result", flush=True)


def sum_files(runs):
    for ours, theirs in (("pecten fs", "QEMU and virtiofsd"), ("pecten blk", "QEMU blk")):
        print(f"{'':14}{ours:>20}{theirs:>20}  ratio of times, median (least, most)")
        pairs = list(zip(runs[ours], runs[theirs]))
        for what in pairs[0][0]:
            a, b = [r[what] for r, _ in pairs], [r[what] for _, r in pairs]
            ratios = [x / y for x, y in zip(a, b)]
            print(f"{what:14}{statistics.median(a):17.0f} ms{statistics.median(b):17.0f} ms  "
                  f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})")
        print(f"({len(pairs)} rounds)")


def add_up(what):
    runs = collections.defaultdict(list)
    lines = [line.partition("DATA ")[2] for line in sys.stdin]
    for line in dict.fromkeys(filter(None, lines)):
        way, values = json.loads(line)
        runs[way].append(values)
    {"boot": sum_boot, "memory": sum_memory, "files": sum_files}[what](runs)


def main():
    if sys.argv[1] == "sum":
        add_up(sys.argv[2])
    else:
        {"boot": boot, "memory": memory, "files": files}[sys.argv[1]]()


if __name__ == "__main__":
    main()
