#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clients through a renderer that has Khronos' validation layer below it.

The clients themselves are valid (each passes natively under the layer), so what the layer reports
is our doing.  validation_expected.txt lists what is known, with reasons; anything else fails.
"""
import argparse
import os
import re
import sys

import backend_ops
import guest
import llama

EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "validation_expected.txt")
LAYER_ENV = {"VK_LOADER_LAYERS_ENABLE": "*validation*", "VK_LOADER_DEBUG": "layer"}
ACTIVE = 'Insert instance layer "VK_LAYER_KHRONOS_validation"'
CLIENTS = ["gpu_compute", "gpu_draw", "gpu_threads", "gpu_stress"]


def expected():
    known = {}
    with open(EXPECTED, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                vuid, reason = line.split(None, 1)
                known[vuid] = reason.strip()
    return known


def messages(log):
    """{message id: (how often, one example)} of a server's log."""
    out = {}
    lines = log.splitlines()
    for i, line in enumerate(lines):
        m = re.search(r"Validation (Error|Warning|Performance Warning): \[ (\S+) \]", line)
        if m:
            n, example = out.get(m[2], (0, " ".join(lines[i + 1:i + 5]).strip()[:500]))
            out[m[2]] = (n + 1, example)
    return out


def workloads(session, a):
    """(name, function that returns why it failed, or None)"""
    folder = guest.client_dir("tests", "gpu", "client")
    for client in CLIENTS:
        def run(client=client):
            r = session.run(["/opt/client/" + client], binds=[(folder, "/opt/client")],
                            timeout=a.timeout)
            return None if r.returncode == 0 else (r.stdout + r.stderr).strip()[-300:]
        yield client, run
    if a.llama:
        def run_llama():
            c = llama.Completion(session, llama.model_path("7m"), a.llama, a.timeout)
            return c.why_bad(a.llama)
        yield "llama-completion", run_llama
    if a.ops:
        def run_ops():
            cases = backend_ops.ci_subset(backend_ops.without_heavy(
                backend_ops.supported_cases(session), a.host))[:a.ops]
            path = os.path.join(guest.build_dir(), "gpu-results", f"ops-validation-{os.getpid()}")
            results = backend_ops.Results(path)
            backend_ops.run_all(session, cases, results, a.timeout, 1e9)
            os.unlink(path)
            bad = [c for _, c in cases if results.of(c) not in ("OK", "not supported")]
            return f"{len(bad)} cases fail, such as {bad[0]}" if bad else None
        yield "test-backend-ops", run_ops


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    guest.add_arguments(ap)
    ap.set_defaults(host="mesa26")
    ap.add_argument("--llama", type=int, default=0, metavar="TOKENS", help="llama.cpp as well")
    ap.add_argument("--ops", type=int, default=0, metavar="N",
                    help="as many cases of test-backend-ops' fixed subset")
    ap.add_argument("--timeout", type=float, default=800)
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    known, failures = expected(), 0
    for g in guest.chosen_guests(a):
        with guest.Server(a.host, env=LAYER_ENV, cache=True) as server:
            seen = 0
            for name, run in workloads(server.session(g), a):
                bad = run()
                log = server.log()
                if ACTIVE not in log:
                    raise guest.Failure("the validation layer was not loaded by the renderer")
                new = messages(log[seen:])
                seen = len(log)
                unknown = {k: v for k, v in new.items() if k not in known}
                failures += bool(unknown or bad)
                print(f"{'not ok' if unknown or bad else 'ok'} - validation, host {a.host}, guest "
                      f"{g}, {name}: {len(new) - len(unknown)} known kinds of message, "
                      f"{len(unknown)} new", flush=True)
                if bad:
                    print(f"    {bad}")
                for vuid, (n, example) in sorted(unknown.items()):
                    print(f"    {vuid} ({n} times): {example}")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"validation.py: {e}", file=sys.stderr)
        sys.exit(1)
