#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs our own Vulkan clients natively and through the renderer, and compares what they made.

Every case must pass remotely that passes natively; pictures must be equal, byte for byte.
With a server from a sanitizer's build (PECTEN_BUILD=that build, PECTEN_CLIENTS=a plain one, and
TSAN_OPTIONS=suppressions=tests/gpu/tsan.supp) its findings are failures, too.
"""
import argparse
import os
import sys
import tempfile

import guest

CLIENTS = ["gpu_compute", "gpu_draw", "gpu_threads", "gpu_stress"]
TIMEOUT_S = 300
# Cases that a guest may skip although they pass natively.
MAY_SKIP = {("25", "map_memory2"): "Mesa 25.0's Venus has no VK_KHR_map_memory2"}


class Run:
    """What one client said."""

    def __init__(self, session, client, folder):
        pictures = os.path.join(folder, "pictures")
        os.makedirs(pictures, exist_ok=True)
        build = guest.client_dir("tests", "gpu", "client")
        if not os.path.exists(os.path.join(build, client)):
            raise guest.Failure(f"{client} is not built; run ninja")
        r = session.run(["/opt/client/" + client], timeout=TIMEOUT_S,
                        env={"PECTEN_PICTURES": "/opt/pictures"},
                        binds=[(build, "/opt/client"), (pictures, "/opt/pictures")])
        self.status, self.text = r.returncode, r.stdout + r.stderr
        self.passed, self.skipped = set(), {}
        for line in r.stdout.splitlines():
            if not line.startswith("ok "):
                continue
            name, _, why = line.split(" - ", 1)[1].partition(" # SKIP ")
            if why:
                self.skipped[name] = why
            else:
                self.passed.add(name)
        self.pictures = {}
        for name in os.listdir(pictures):
            with open(os.path.join(pictures, name), "rb") as f:
                self.pictures[name] = f.read()


def pixels_apart(a, b):
    """How many bytes of two pictures differ, and by how much at most."""
    if len(a) != len(b):
        return len(a), 255
    diffs = [abs(x - y) for x, y in zip(a, b) if x != y]
    return len(diffs), max(diffs, default=0)


def compare(native, remote, guest_name):
    """Sentences: what is worse remotely than natively."""
    bad = []
    if remote.status != 0:
        bad.append(f"exit status {remote.status}: {remote.text.strip()[-600:]}")
    for name in sorted(native.passed - remote.passed):
        if name in remote.skipped and (guest_name[:2], name) in MAY_SKIP:
            continue
        bad.append(f"{name}: passes natively; remotely: {remote.skipped.get(name, 'fails')}")
    for name, want in sorted(native.pictures.items()):
        got = remote.pictures.get(name)
        if got is None:
            bad.append(f"{name}: not drawn remotely")
        elif got != want:
            n, most = pixels_apart(want, got)
            bad.append(f"{name}: {n} bytes differ, by {most} at most")
    return bad


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    guest.add_arguments(ap)
    ap.add_argument("--client", action="append", choices=CLIENTS)
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    failures = 0
    with tempfile.TemporaryDirectory(prefix="pecten-clients-") as tmp:
        for client in a.client or CLIENTS:
            native = Run(guest.native(a.host), client, os.path.join(tmp, "native", client))
            if native.status != 0:
                raise guest.Failure(f"{client} fails natively: {native.text.strip()[-600:]}")
            for g in guest.chosen_guests(a):
                with guest.Server(a.host) as server:
                    remote = Run(server.session(g), client, os.path.join(tmp, g, client))
                    bad = compare(native, remote, g)
                    if not server.alive():
                        bad.append("the server died")
                    bad += server.complaints()[:5]
                    log = server.log()
                print(f"{'not ok' if bad else 'ok'} - {client}, host {a.host}, guest {g}: "
                      f"{len(remote.passed)} of {len(native.passed)} cases, "
                      f"{len(remote.pictures)} pictures")
                for line in bad:
                    print("    " + line)
                if bad and log.strip():
                    print("    server: " + "\n            ".join(log.strip().splitlines()[-8:]))
                failures += bool(bad)
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"clients.py: {e}", file=sys.stderr)
        sys.exit(1)
