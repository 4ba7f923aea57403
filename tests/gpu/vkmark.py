#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vkmark, headless: every scene that runs natively runs through the renderer.

Frame rates are printed for information; on a software driver and a busy machine they mean little.
"""
import argparse
import re
import sys

import guest

SCENES = ["clear", "cube", "vertex", "texture:anisotropy=0", "texture:anisotropy=16",
          "shading:shading=gouraud", "shading:shading=blinn-phong-inf", "shading:shading=phong",
          "shading:shading=cel", "effect2d:kernel=none", "effect2d:kernel=blur",
          "desktop:windows=4"]


def run(session, a):
    """{scene: frames per second} of the scenes that ran to their end, and the status."""
    argv = ["vkmark", "--winsys", "headless", "--size", "320x240"]
    for scene in SCENES:
        argv += ["-b", f"{scene}:duration={a.seconds}"]
    r = session.run(argv, timeout=a.timeout)
    rates = {}
    for line in r.stdout.splitlines():
        m = re.match(r"\[(\w+)\] (.*?):? ?duration=\S+ FPS: (\d+)", line)
        if m:
            rates[f"{m[1]} {m[2]}".strip()] = int(m[3])
    return rates, r


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    guest.add_arguments(ap)
    ap.add_argument("--seconds", type=float, default=1, help="for each scene")
    ap.add_argument("--timeout", type=float, default=300)
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    want, r = run(guest.native(a.host), a)
    if r.returncode != 0 or not want:
        raise guest.Failure(f"vkmark fails natively: {(r.stdout + r.stderr).strip()[-400:]}")
    failures = 0
    for g in guest.chosen_guests(a):
        if g.startswith("25"):
            print(f"ok - vkmark, host {a.host}, guest {g} # SKIP Mesa 25.0 has no "
                  "VK_KHR_swapchain over vtest, and vkmark insists on it")
            continue
        with guest.Server(a.host) as server:
            got, r = run(server.session(g), a)
            ok = r.returncode == 0 and set(got) == set(want) and server.alive()
        print(f"{'ok' if ok else 'not ok'} - vkmark, host {a.host}, guest {g}: {len(got)} of "
              f"{len(want)} scenes; frames/s native, remote: "
              + ", ".join(f"{s} {want[s]} {got.get(s, '-')}" for s in want))
        if not ok:
            print("    " + (r.stdout + r.stderr).strip()[-400:])
        failures += not ok
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"vkmark.py: {e}", file=sys.stderr)
        sys.exit(1)
