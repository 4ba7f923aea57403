# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: interleaved runs, medians, spread, and the machine they ran on."""
import os
import platform
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "tests", "gpu"))

SPREAD_MAX = 0.03  # of native against native; above it nothing was measured (design.md, 5.4)


def machine():
    cpu = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            cpu = next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return (f"{os.cpu_count()} x {cpu}, Linux {platform.release()}, "
            f"load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d', time.gmtime())}")


def spread(values):
    """Half the distance between the quartiles, as a part of the median."""
    if len(values) < 2:
        return 0.0
    q = statistics.quantiles(values, n=4, method="inclusive")
    m = statistics.median(values)
    return (q[2] - q[0]) / 2 / m if m else 0.0


def interleave(rounds, ways):
    """Runs each way once per round, so that drift hits all alike: {way: [result, ...]}."""
    out = {name: [] for name, _ in ways}
    for i in range(rounds):
        # The order turns, so that no way always follows the same one.
        for name, run in ways[i % len(ways):] + ways[:i % len(ways)]:
            out[name].append(run())
        print(f"# round {i + 1} of {rounds}", file=sys.stderr, flush=True)
    return out


def ratios(of, against):
    """Median and spread of the pairwise ratios."""
    r = [x / y for x, y in zip(of, against) if y]
    return (statistics.median(r), spread(r)) if r else (0.0, 0.0)
