#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cost of single Vulkan calls, native against remote, in turns: median, spread and ratio.

With --other COMMAND (for example 'virgl_test_server --venus --socket-path {sock}') another
server is measured beside ours; where it cannot work, that is said.
"""
import argparse
import json
import os
import statistics
import sys

import measure
import guest  # found through measure

TIMEOUT_S = 300


def run_calls(session, names):
    """{name: (value, unit)} of one run."""
    build = guest.client_dir("bench")
    r = session.run(["/opt/bench/venus_calls"] + names, binds=[(build, "/opt/bench")],
                    timeout=TIMEOUT_S)
    if r.returncode != 0:
        raise guest.Failure(f"venus_calls fails ({session.label}): "
                            + (r.stderr or r.stdout).strip()[-300:])
    out = {}
    for line in r.stdout.splitlines():
        if line.startswith("{"):
            d = json.loads(line)
            out[d["name"]] = (d["value"], d["unit"])
    return out


def try_other(host, guests, command, names):
    """One run through another server; prints a sentence where that fails."""
    os.environ["PECTEN_GPU_SERVER"] = command
    try:
        for g in guests:
            try:
                with guest.Server(host) as server:
                    got = run_calls(server.session(g), names)
                print(f"other server, guest {g}: " + ", ".join(
                    f"{k} {v:.4g} {u}" for k, (v, u) in got.items()))
            except guest.Failure as e:
                print(f"other server, guest {g}: does not work here: {e}")
    finally:
        del os.environ["PECTEN_GPU_SERVER"]


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    guest.add_arguments(ap)
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--other", metavar="COMMAND", help="another vtest server; {sock} is its socket")
    ap.add_argument("--json", metavar="FILE", help="write all values there")
    ap.add_argument("names", nargs="*", help="only these: record submit timeline alloc ...")
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    print(f"machine: {measure.machine()}; host driver {a.host}")
    guests = guest.chosen_guests(a)
    servers = {g: guest.Server(a.host) for g in guests}
    try:
        ways = [("native", lambda: run_calls(guest.native(a.host), a.names))]
        for g, server in servers.items():
            server.__enter__()
            ways.append((g, lambda s=server.session(g): run_calls(s, a.names)))
        got = measure.interleave(a.rounds, ways)
    finally:
        for server in servers.values():
            if server.proc:
                server.__exit__(None, None, None)

    print(f"{'':24}{'native':>12}{'spread':>8}" + "".join(
        f"{'guest ' + g:>14}{'spread':>8}{'ratio':>8}" for g in guests))
    for name, (_, unit) in got["native"][0].items():
        base = [r[name][0] for r in got["native"]]
        line = f"{name + ' [' + unit + ']':24}{statistics.median(base):12.4g}{measure.spread(base):8.1%}"
        for g in guests:
            values = [r[name][0] for r in got[g]]
            line += (f"{statistics.median(values):14.4g}{measure.spread(values):8.1%}"
                     f"{statistics.median(values) / statistics.median(base):8.3g}")
        print(line)
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump({"machine": measure.machine(), "host": a.host, "results": got}, f)
    if a.other:
        try_other(a.host, guests, a.other, a.names)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"calls.py: {e}", file=sys.stderr)
        sys.exit(1)
