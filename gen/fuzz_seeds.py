#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes one valid encoding of every command that guests may send, for fuzzers and tests.

The commands name the objects that guest_prologue() of tests/harness/guest makes.  Output is a C
file with an array of the encodings and the numbers that a mutator should know, a dictionary for
libFuzzer, and a corpus for each fuzz target.
"""

import argparse
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from venus import commands, registry, wire  # noqa: E402

# As in guest.h, in its order.
IDS = """instance phys0 phys1 device queue cmd_pool cmdbuf cmdbuf2 mem_host mem_local buffer image
    image_view sampler set_layout desc_pool desc_set pipe_layout shader pipeline fence semaphore
    timeline event query_pool render_pass buffer_view cache device2 buffer2 free""".split()
ID = {name: 1 + i for i, name in enumerate(IDS)}
HANDLES = {
    'VkInstance': 'instance', 'VkPhysicalDevice': 'phys0', 'VkDevice': 'device',
    'VkQueue': 'queue', 'VkCommandPool': 'cmd_pool', 'VkCommandBuffer': 'cmdbuf',
    'VkDeviceMemory': 'mem_host', 'VkBuffer': 'buffer', 'VkImage': 'image',
    'VkImageView': 'image_view', 'VkSampler': 'sampler', 'VkDescriptorSetLayout': 'set_layout',
    'VkDescriptorPool': 'desc_pool', 'VkDescriptorSet': 'desc_set',
    'VkPipelineLayout': 'pipe_layout', 'VkShaderModule': 'shader', 'VkPipeline': 'pipeline',
    'VkFence': 'fence', 'VkSemaphore': 'semaphore', 'VkEvent': 'event',
    'VkQueryPool': 'query_pool', 'VkRenderPass': 'render_pass', 'VkBufferView': 'buffer_view',
    'VkPipelineCache': 'cache',
}
SPECIAL = {'resourceId': 3, 'seqno': 0, 'offset': 0, 'size': 4096, 'allocationSize': 4096}
# Numbers of things of which there is one.
SPECIAL.update(dict.fromkeys("attachment pPreserveAttachments subpass srcSubpass dstSubpass z "
                             "inputAttachmentIndex mipLevel baseArrayLayer firstBinding "
                             "firstCounterBuffer".split(), 0))
SPECIAL_OF = {('VkSpecializationMapEntry', 'size'): 4, ('VkPushConstantRange', 'size'): 4}
NEW_ID = 1000  # objects that the commands create
BLOB = 4       # bytes of every blob
NODES = 6      # of a chain, at most
DEPTH = 6      # structs inside structs


class Encoder:
    """Encodes with every array of one element; @optional: pointers that may be NULL are not."""

    def __init__(self, world, optional, node=None):
        self.world = world
        self.optional = optional
        self.node = node        # index of the first node of the outermost chain, or None
        self.out = bytearray()
        self.depth = 0
        self.blobs = set()
        self.owner = ''         # the current struct
        self.tags = {}          # value of each selector of a union in the current struct

    def number(self, s):
        if s.name in self.blobs:
            return BLOB
        special = SPECIAL_OF.get((self.owner, s.name), SPECIAL.get(s.name, 1))
        return self.tags.get(s.name, special)

    def u32(self, v):
        self.out += struct.pack('<I', v & 0xffffffff)

    def u64(self, v):
        self.out += struct.pack('<Q', v & 0xffffffffffffffff)

    def handle(self, t):
        self.u64(ID.get(HANDLES.get(t.name), 0))

    def scalar(self, t, v=1):
        if t.size == 8:
            self.u64(v)
        else:
            self.u32(v)

    def value(self, s, partial):
        t = s.elem
        if t.kind in ('scalar', 'enum'):
            if not partial or s.is_length:
                self.scalar(t, self.number(s))
        elif t.kind == 'handle':
            self.new_id() if partial else self.handle(t)
        elif t.kind == 'union':
            self.union(s, t)
        else:
            self.struct(t, partial)

    def new_id(self):
        self.u64(NEW_ID + len(self.out))

    def union(self, s, t):
        members = [(i, m) for i, m in enumerate(self.world.shapes(t))
                   if self.world.union_member_sendable(m)]
        tag, m = members[0]
        if s.decl.selector:
            tag = self.tags[s.decl.selector]
            m = [m for _, m in members if tag in self.selections(m)][0]
        self.u32(tag)
        self.member(m, False)

    def selections(self, m):
        return [self.world.reg.constant(n) for n in m.decl.selection]

    def selectors(self, shapes):
        """A value that selects a member that can travel, for each union of a struct."""
        return {s.decl.selector: [v for m in self.world.shapes(s.elem)
                                  if self.world.union_member_sendable(m)
                                  for v in self.selections(m)][0]
                for s in shapes if s.decl.selector}

    def struct(self, t, partial):
        outer = self.blobs, self.tags, self.owner
        shapes = self.world.shapes(t)
        self.owner = t.name
        self.blobs, self.tags = blob_lengths(shapes), self.selectors(shapes)
        self.depth += 1
        for s in shapes:
            if s.form == 'stype':
                self.u32(self.world.reg.constant(t.stype))
            elif s.form == 'pnext':
                self.chain(t, partial)
            else:
                self.member(s, partial)
        self.depth -= 1
        self.blobs, self.tags, self.owner = outer

    def chain(self, t, partial):
        nodes = self.world.chain(t)
        if self.node is None or not nodes:
            self.u64(0)
            return
        start, self.node = self.node, None
        self.nodes(nodes[start:start + NODES], partial)

    def nodes(self, nodes, partial):
        """Nodes hold each other: heads first, then the members of the innermost."""
        if not nodes:
            self.u64(0)
            return
        t = nodes[0]
        self.u64(1)
        self.u32(self.world.reg.constant(t.stype))
        self.nodes(nodes[1:], partial)
        outer, shapes = (self.blobs, self.tags, self.owner), self.world.shapes(t)
        self.owner = t.name
        self.blobs, self.tags = blob_lengths(shapes), self.selectors(shapes)
        self.depth += 1
        for s in shapes:
            if s.form not in ('stype', 'pnext'):
                self.member(s, partial)
        self.depth -= 1
        self.blobs, self.tags, self.owner = outer

    def member(self, s, partial):
        if s.form == 'never':
            self.u64(0)
        elif s.form == 'value':
            self.value(s, partial)
        elif s.form == 'fixed':
            self.fixed(s, partial)
        elif s.form != 'array' and s.null_ok and (not self.optional or self.depth > DEPTH):
            self.u64(0)
        elif s.form == 'array' and s.null_ok and (not self.optional or self.depth > DEPTH):
            self.u64(0)
        elif s.form == 'string':
            self.u64(5)
            self.out += b'main\0\0\0\0'
        elif s.form == 'strings':
            self.u64(1)
            self.u64(4)
            self.out += b'abc\0'
        elif s.form == 'single':
            self.u64(1)
            self.pointee(s, partial)
        elif s.form == 'singles':
            self.u64(1)
            self.u64(1)
            self.pointee(s, partial)
        elif s.form == 'arrays':
            self.u64(1)
            self.u64(1)
            self.pointee(s, partial)
        elif s.is_blob():
            n = self.constant_count(s) or BLOB
            self.u64(n)
            if not partial:
                self.out += bytes(n)
        else:
            n = self.constant_count(s) or 1
            self.u64(n)
            for _ in range(1 if s.is_scalar() and s.elem.size == 1 else n):
                self.pointee(s, partial)
            if s.is_scalar() and s.elem.size == 1 and not partial:
                self.out += bytes(max(0, n - 4))

    def constant_count(self, s):
        """Length of an array that no member tells, such as 2*VK_UUID_SIZE."""
        words = (s.count or '%s').split('*')
        if any('%' in w for w in words):
            return None
        n = 1
        for w in words:
            n *= int(w) if w.strip().isdigit() else self.world.reg.constant(w.strip())
        return n

    def pointee(self, s, partial):
        t = s.elem
        if t.kind in ('scalar', 'enum'):
            if not partial or s.is_length:
                self.scalar(t, self.number(s))
        elif t.kind == 'handle':
            self.new_id() if partial else self.handle(t)
        elif t.kind == 'union':
            self.union(s, t)
        else:
            self.struct(t, partial)

    def fixed(self, s, partial):
        if s.is_scalar():
            if not partial:
                self.u64(s.count)
                self.out += bytes((s.count * s.elem.size + 3) & ~3)
            return
        self.u64(s.count)
        for _ in range(s.count):
            if s.elem.kind == 'handle':
                self.u64(0)
            elif s.elem.kind == 'union':
                self.union(s, s.elem)
            else:
                self.struct(s.elem, partial)

    def command(self, c, flags):
        self.blobs = blob_lengths(c.shapes)
        self.u32(c.number)
        self.u32(flags)
        for s in c.shapes:
            if s.direction == wire.OUT:
                self.member(s, True)
            else:
                self.member(s, False)
        return bytes(self.out)


def blob_lengths(shapes):
    """Names of the members that are the length of a blob, or of what is counted in words."""
    return {o.name for s in shapes if s.form == 'array' and (s.is_blob() or '/ 4' in s.count)
            for o in shapes if o.name in (s.count or '').replace('%s', '').replace('*', '').split()}


def chained_roots(world, c):
    """Most nodes that a chain of the command may have."""
    most = 0
    for s in c.shapes:
        if s.is_struct() and s.form != 'never' and s.elem.is_chained():
            most = max(most, len(world.chain(s.elem)))
    return most


def seeds(world):
    """(name, bytes), deterministic."""
    for c in world.live():
        variants = [(False, None), (True, None)]
        variants += [(True, n) for n in range(0, chained_roots(world, c), NODES)]
        seen = set()
        for optional, node in variants:
            data = Encoder(world, optional, node).command(c, 1)
            if data not in seen:
                seen.add(data)
                yield c, data


def write_c(path, world):
    numbers = sorted({world.reg.constant(t.stype) for role in (world.full, world.partial)
                      for t in role.values() if t.is_chained()})
    with open(path, 'w', encoding='utf-8') as f:
        f.write('/* SPDX-License-Identifier: Apache-2.0 */\n'
                '/* Generated by gen/fuzz_seeds.py: do not edit. */\n#include "seeds.h"\n\n')
        rows = []
        for i, (c, data) in enumerate(seeds(world)):
            f.write('static const uint8_t s%d[] = { %s };\n'
                    % (i, ', '.join('%d' % b for b in data)))
            level = ((1 if 'CTX' in c.level else 0) | (2 if 'RING' in c.level else 0))
            rows.append('\t{ "%s", %d, %d, s%d, sizeof(s%d) },\n'
                        % (c.name, c.number, level, i, i))
        f.write('\nconst struct seed seeds[] = {\n%s};\n' % ''.join(rows))
        f.write('const size_t seeds_count = %d;\n\n' % len(rows))
        f.write('const uint32_t seed_stypes[] = { %s };\n' % ', '.join(str(n) for n in numbers))
        f.write('const size_t seed_stypes_count = %d;\n' % len(numbers))


def write_dict(path, world):
    """libFuzzer's dictionary: the head of each command, with and without a reply."""
    with open(path, 'w', encoding='utf-8') as f:
        for c in world.commands:
            for flags in (0, 1):
                head = struct.pack('<II', c.number, flags)
                f.write('%s_%d="%s"\n' % (c.name, flags, ''.join('\\x%02x' % b for b in head)))


def write_corpus(folder, world):
    """Each seed as an input of each target, in the target's own form."""
    for n, (c, data) in enumerate(seeds(world)):
        name = '%03d-%s' % (n, c.name)
        words = len(data) // 4
        for target, text in (('fuzz_ring', struct.pack('<I', 0) + data),
                             ('fuzz_ctx', struct.pack('<II', 0, words) + data),
                             ('fuzz_reply', struct.pack('<III', 2, n, 0))):
            os.makedirs(os.path.join(folder, target), exist_ok=True)
            with open(os.path.join(folder, target, name), 'wb') as f:
                f.write(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--xml', required=True, help='vk.xml of the Vulkan headers in use')
    parser.add_argument('--private', required=True, help="the protocol's own types and commands")
    parser.add_argument('--commands', required=True, help='numbers of the commands')
    parser.add_argument('--out', required=True, help='folder for seeds.c, commands.dict and corpus/')
    args = parser.parse_args()
    try:
        reg = registry.load([args.xml, args.private])
        world = wire.World(reg, commands.load_numbers(args.commands))
    except registry.BadRegistry as e:
        sys.exit('fuzz_seeds.py: %s' % e)
    write_c(os.path.join(args.out, 'seeds.c'), world)
    write_dict(os.path.join(args.out, 'commands.dict'), world)
    write_corpus(os.path.join(args.out, 'corpus'), world)
    with open(os.path.join(args.out, 'corpus.stamp'), 'w', encoding='utf-8'):
        pass


if __name__ == '__main__':
    main()
