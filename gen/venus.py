#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the C code that speaks Venus, from a Vulkan registry and the table of commands.

vk.xml says what Vulkan's structs and commands are, mesa.xml adds the protocol's own, and
venus-commands.tsv gives the commands their numbers.  Out come, for the renderer:

  venus_gen.h          the driver's functions, arguments of hand-written commands, the table's type
  venus_cmds.c         the command table and the list of extensions
  venus_cmds_*.c       one function for each command: decode, execute, answer
  venus_structs_*.c    decoders and encoders of structs
  venus_chains.c       which struct may follow which in a pNext chain
  venus_load.c         fetches the driver's functions

and with --client, for tests, tables of the same structs and commands (see tests/client/vnc.h).
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from venus import commands, extensions, registry, wire  # noqa: E402
from venus import client, header, runner, structs  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def check_version(reg, path):
    """Refuses a registry that is older than the protocol."""
    if reg.version < extensions.PROTOCOL_VERSION:
        raise registry.BadRegistry(
            '%s is of Vulkan %d.%d.%d, but %d.%d.%d or newer is needed: run '
            '"tools/debroot -n sid vulkan-headers libvulkan-dev" and give the folder it prints '
            'to meson as -Dvulkan_root' % ((path,) + reg.version + extensions.PROTOCOL_VERSION))


def check_protocol(world, path):
    """Refuses a registry that lacks, or numbers differently, a struct that guests may send."""
    chained = {world.reg.constant(t.stype): t.name
               for t in {**world.full, **world.partial}.values() if t.is_chained()}
    with open(path, encoding='utf-8') as f:
        for line in f:
            if line.startswith('#'):
                continue
            number, name = line.split()
            if chained.get(int(number)) != world.reg.canonical(name):
                raise registry.BadRegistry(
                    'the registry has no %s with the sType %s that could travel; it needs to be '
                    '%d.%d.%d or newer' % ((name, number) + extensions.PROTOCOL_VERSION))


def outputs(world, source):
    """name -> text of every file."""
    files = {
        'venus_mesa.h': header.mesa_types(world, source),
        'venus_gen.h': header.gen_header(world, source),
        'venus_load.c': header.loaders(world, source),
    }
    files.update(structs.files(world, source))
    files.update(runner.files(world, source))
    return files


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--xml', required=True, help='vk.xml of the Vulkan headers in use')
    p.add_argument('--commands', default=os.path.join(HERE, 'venus-commands.tsv'),
                   help='numbers of the commands')
    p.add_argument('--stypes', default=os.path.join(HERE, 'venus-stypes.tsv'),
                   help='structs that the protocol must have')
    p.add_argument('--private', default=os.path.join(HERE, 'mesa.xml'),
                   help="the protocol's own types and commands")
    p.add_argument('--out', required=True, help='folder for the output')
    p.add_argument('--client', action='store_true',
                   help="write the guest's side instead, which tests use")
    args = p.parse_args()
    try:
        reg = registry.load([args.xml, args.private], lambda r: check_version(r, args.xml))
        world = wire.World(reg, commands.load_numbers(args.commands))
        check_protocol(world, args.stypes)
        source = 'vk.xml %d.%d.%d' % reg.version
        files = client.files(world, source) if args.client else outputs(world, source)
    except registry.BadRegistry as e:
        sys.exit('venus.py: %s' % e)
    for name, text in files.items():
        with open(os.path.join(args.out, name), 'w', encoding='utf-8') as f:
            f.write(text)


if __name__ == '__main__':
    main()
