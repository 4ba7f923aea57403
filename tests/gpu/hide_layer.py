#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The layer for fair comparisons really hides extensions and the mapping of memory types."""
import argparse
import re
import sys

import guest

SHOWN = ["VK_KHR_maintenance1", "VK_KHR_16bit_storage"]


def mappable_types(session):
    """[(memory type, whether it can be mapped)] of the first device."""
    r = session.run(["vulkaninfo"], timeout=600)
    if r.returncode != 0:
        raise guest.Failure(f"vulkaninfo fails ({session.label}): {r.stderr.strip()[-300:]}")
    found = {}
    for n, body in re.findall(r"^\tmemoryTypes\[(\d+)\]:\n(.*?)^\t\tusable for", r.stdout,
                              re.M | re.S):
        found.setdefault(int(n), "MEMORY_PROPERTY_HOST" in body)
    return sorted(found.items())


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--host", default="own", choices=guest.HOSTS, help="the driver to hide things of")
    a = ap.parse_args()
    why = guest.can_run()
    if why:
        guest.skip(why)
    native = guest.native(a.host)
    before = mappable_types(native)
    if (0, True) not in before:
        raise guest.Failure(f"memory type 0 cannot be mapped even without the layer: {before}")
    hidden = guest.behind_layer(native, SHOWN, [0])
    after, extensions = mappable_types(hidden), guest.extensions(hidden)
    good = after == [(n, is_mappable and n != 0) for n, is_mappable in before] \
        and sorted(extensions) == sorted(SHOWN)
    print(f"{'ok' if good else 'not ok'} - hiding layer, host {a.host}: mappable memory types {before} "
          f"become {after}; extensions left: {' '.join(extensions)}")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"hide_layer.py: {e}", file=sys.stderr)
        sys.exit(1)
