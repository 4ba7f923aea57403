#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Finds the Vulkan headers and registry to build with, and prints the folder above usr/.

Looks at the folder given (meson's option vulkan_root), else at the system's, else unpacks those of
Debian unstable privately with tools/debroot.
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from venus.extensions import PROTOCOL_VERSION  # noqa: E402

REMEDY = ('run "tools/debroot -n sid vulkan-headers libvulkan-dev" and give the folder it prints '
          'to meson as -Dvulkan_root')


def version(root):
    """Version of the headers below @root, or None where they or the registry are missing."""
    header = os.path.join(root, 'usr/include/vulkan/vulkan_core.h')
    if not os.path.exists(os.path.join(root, 'usr/share/vulkan/registry/vk.xml')):
        return None
    try:
        with open(header, encoding='utf-8') as f:
            text = f.read()
    except OSError:
        return None
    patch = re.search(r'#define VK_HEADER_VERSION (\d+)', text)
    whole = re.search(r'#define VK_HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION\(0, (\d+), (\d+),',
                      text)
    if not patch or not whole:
        return None
    return (int(whole.group(1)), int(whole.group(2)), int(patch.group(1)))


def find(given, debroot):
    """(root, None) or (None, one sentence for the user)."""
    need = '%d.%d.%d' % PROTOCOL_VERSION
    if given:
        v = version(given)
        if v is None:
            return None, ('vulkan_root "%s" has no usr/include/vulkan/vulkan_core.h with its '
                          'usr/share/vulkan/registry/vk.xml: %s' % (given, REMEDY))
        if v < PROTOCOL_VERSION:
            return None, ('the Vulkan headers in "%s" are version %d.%d.%d, but %s or newer are '
                          'needed: %s' % ((given,) + v + (need, REMEDY)))
        return given, None
    v = version('/')
    if v is not None and v >= PROTOCOL_VERSION:
        return '/', None
    try:
        r = subprocess.run([debroot, '-n', 'sid', 'vulkan-headers', 'libvulkan-dev'],
                           stdout=subprocess.PIPE, text=True, check=False)
    except OSError as e:
        return None, 'cannot run tools/debroot to get Vulkan headers: %s' % e.strerror
    root = r.stdout.strip()
    if r.returncode != 0 or (version(root) or (0,)) < PROTOCOL_VERSION:
        return None, ('no Vulkan headers of version %s or newer are installed and tools/debroot '
                      'could not fetch them: install a newer libvulkan-dev, or give their folder '
                      'to meson as -Dvulkan_root' % need)
    return root, None


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    given = sys.argv[1] if len(sys.argv) > 1 else ''
    root, why = find(given, os.path.join(here, '../tools/debroot'))
    if root is None:
        sys.exit(why)
    print(root)


if __name__ == '__main__':
    main()
