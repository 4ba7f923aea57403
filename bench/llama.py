#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama-bench by the method of design.md 5.4: tokens per second

  (i)   native,
  (ii)  native behind a layer that hides what the guest lacks,
  (iii) remote,

in turns, at least five rounds; (iii)/(ii) is what the renderer costs.  Where guests cannot map a
kind of memory that the host can (NVIDIA's BAR), (ii) comes in two: (ii) hides that as well, (ii-x)
hides extensions only; the difference is what the missing mapping costs.  With --map-video-memory
a second server, which has that option, is measured as (iii-m); its counterpart is (ii-x).  A spread
of (ii) above 3 % means that the machine was not quiet: not measured.
"""
import argparse
import contextlib
import json
import os
import statistics
import sys
import time

import measure
import guest
import llama as runs
import make_model

HIDDEN = "(ii) native, hidden"
HIDDEN_EXT = "(ii-x) extensions only"
MAPPED = "(iii-m) video memory mapped"
NO_COOPMAT2 = {"GGML_VK_DISABLE_COOPMAT2": "1"}


def bench(session, model, a, env):
    """{"pp": tokens/s, "tg": tokens/s} of one llama-bench."""
    full = {"GGML_VK_VISIBLE_DEVICES": "0"}
    full.update(env)
    r = session.run(["llama-bench", "-m", runs.MODEL_AT, "-ngl", "99", "-dev", "Vulkan0",
                     "-p", str(a.prompt), "-n", str(a.generate), "-r", "1", "-t", "1",
                     "-o", "json"], env=full, binds=[(model, runs.MODEL_AT)], timeout=a.timeout)
    if r.returncode != 0:
        raise guest.Failure(f"llama-bench fails ({session.label}): {r.stderr.strip()[-400:]}")
    out = {}
    for row in json.loads(r.stdout):
        out["tg" if row["n_gen"] else "pp"] = row["avg_ts"]
    print(f"# {time.strftime('%H:%M:%S')} {session.label}: "
          + ", ".join(f"{name} {value:.1f}" for name, value in out.items()), file=sys.stderr, flush=True)
    return out


def print_table(got, name):
    print(f"\n{name}: {'median':>12}{'spread':>9}{'to (ii)':>9}{'spread':>9}")
    base = [r[name] for r in got[HIDDEN]]
    for way, results in got.items():
        values = [r[name] for r in results]
        against = [r[name] for r in got[HIDDEN_EXT]] if way == MAPPED else base
        ratio, ratio_spread = measure.ratios(values, against)
        print(f"  {way:24}{statistics.median(values):10.2f}{measure.spread(values):9.1%}"
              f"{ratio:9.3f}{ratio_spread:9.1%}")
    if MAPPED in got:
        print(f"  ({MAPPED} is compared with {HIDDEN_EXT})")
    if measure.spread(base) > measure.SPREAD_MAX:
        print(f"  NOT MEASURED: native against native is {measure.spread(base):.1%} apart, "
              f"more than {measure.SPREAD_MAX:.0%}")


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    guest.add_arguments(ap)
    ap.add_argument("--size", choices=make_model.SIZES, default="7m")
    ap.add_argument("--model", help="use this GGUF instead of a random one")
    ap.add_argument("-p", "--prompt", type=int, default=64)
    ap.add_argument("-n", "--generate", type=int, default=32)
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--timeout", type=float, default=580)
    ap.add_argument("--no-cache", action="store_true", help="without a shader cache on disk")
    ap.add_argument("--map-video-memory", action="store_true", help="see above")
    ap.add_argument("--json", metavar="FILE", help="write all values there")
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    model = a.model or runs.model_path(a.size)
    cache = not a.no_cache
    print(f"machine: {measure.machine()}; host driver {a.host}; model "
          f"{os.path.basename(model)}, pp{a.prompt}/tg{a.generate}; shader cache on disk: "
          f"{'the same for all' if cache else 'none'}")
    native = guest.native(a.host, cache=cache)
    for g in guest.chosen_guests(a):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(guest.Server(a.host, cache=cache))
            remote = server.session(g)
            shown, unmappable = guest.extensions(remote), server.unmappable()
            hidden = guest.behind_layer(native, shown, unmappable)
            ways = [("(i) native", lambda: bench(native, model, a, {})),
                    (HIDDEN, lambda h=hidden: bench(h, model, a, NO_COOPMAT2))]
            if unmappable:
                partly = guest.behind_layer(native, shown)
                ways.append((HIDDEN_EXT, lambda h=partly: bench(h, model, a, NO_COOPMAT2)))
            ways.append((f"(iii) remote, guest {g}",
                         lambda r=remote: bench(r, model, a, NO_COOPMAT2)))
            if unmappable and a.map_video_memory:
                mapping = stack.enter_context(
                    guest.Server(a.host, cache=cache, args=["--map-video-memory"]))
                mapped = mapping.session(g)
                ways.append((MAPPED, lambda r=mapped: bench(r, model, a, NO_COOPMAT2)))
            print(f"# guests cannot map memory types {unmappable or 'none'} of the host's mappable ones")
            # Compiles what is to be compiled; twice, because NVIDIA's driver gives each of the processes
            # that exist at a time (a client's, the spare) a shader cache of its own.
            for _, run in 2 * ways:
                run()
            got = measure.interleave(a.rounds, ways)
        for name in ("pp", "tg"):
            print_table(got, name)
        if a.json:
            with open(a.json, "a", encoding="utf-8") as f:
                f.write(json.dumps({"machine": measure.machine(), "host": a.host, "guest": g,
                                    "model": os.path.basename(model), "results": got}) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"bench/llama.py: {e}", file=sys.stderr)
        sys.exit(1)
