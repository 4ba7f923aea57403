#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the dull part of the null driver (tests/harness/null_icd) from the Vulkan registry.

For every command that the renderer can call: an entry point that counts the call, checks each
handle, reads each byte of the inputs, and then calls the hand-written function of that command
(null_do_NAME, found by looking through the C files) or does what can be done without thought:
makes the object, ends it, fills the outputs.
"""

import argparse
import os
import re
import sys

from venus import registry

# Called by the renderer itself, not by guests.
OWN = ['vkGetMemoryHostPointerPropertiesEXT']
# Looked up by hand-written code.
NOT_HERE = ['vkGetInstanceProcAddr', 'vkGetDeviceProcAddr']
# Structs that the loader chains and that no registry has as such.
LOADER_STYPES = ['VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO',
                 'VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO']
MAX_EXTS = 6

GLOBAL, INSTANCE, DEVICE = 0, 1, 2
LEVELS = {'VkInstance': INSTANCE, 'VkPhysicalDevice': INSTANCE,
          'VkDevice': DEVICE, 'VkQueue': DEVICE, 'VkCommandBuffer': DEVICE}


class World:
    """What of the registry the driver has."""

    def __init__(self, reg, header, numbered, hand):
        self.reg = reg
        self.header = header
        self.words = set(re.findall(r'\w+', header))
        self.hand = hand
        names = [reg.canonical(n) for n in numbered] + OWN
        self.commands = [reg.commands[n] for n in dict.fromkeys(names)
                         if n in reg.commands and n not in NOT_HERE]
        self.names = {}  # every name of a command -> Command
        for c in self.commands:
            self.names[c.name] = c
        for alias in reg.aliases:
            c = self.names.get(reg.canonical(alias))
            if c is not None:
                self.names[alias] = c
        self.extensions = [x for x in reg.extensions.values() if self._is_offered(x)]
        self.walked = self._reach(self._inputs())
        # Of provisional extensions and of other platforms: nothing to do, but no nonsense either.
        self.foreign = sorted({reg.constant(t.stype) for t in reg.types.values()
                               if t.is_chained() and t.extends and not self.is_known(t)
                               and t.stype in reg.constants})
        self.filled = self._reach(self._outputs())

    def _is_offered(self, ext):
        if not ext.is_device or ext.name not in self.words:
            return False
        return all(c in self.names or c in NOT_HERE
                   for depends, _, commands in ext.blocks if depends is None for c in commands)

    def _inputs(self):
        return [p.type for c in self.commands for p in c.params if is_input(p)]

    def _outputs(self):
        return [p.type for c in self.commands for p in c.params if is_output(p)]

    def _reach(self, todo):
        """The structs of @todo, those inside them and those that may be chained to them."""
        found = {}
        extenders = {}
        for t in self.reg.types.values():
            for root in t.extends:
                extenders.setdefault(root, []).append(t)
        todo = list(todo)
        while todo:
            t = todo.pop()
            if t.kind not in ('struct', 'union') or t.name in found or not self.is_known(t):
                continue
            found[t.name] = t
            todo += [m.type for m in t.members]
            todo += extenders.get(t.name, [])
        return [found[n] for n in sorted(found)]

    def is_known(self, t):
        return t.name in self.words

    def exts_of(self, name):
        """Indices of the offered extensions that bring the command @name."""
        return [i for i, x in enumerate(self.extensions)
                if any(name in commands for _, _, commands in x.blocks)]

    def is_core(self, name):
        return any(name in commands for _, _, blocks in self.reg.features
                   for _, _, commands in blocks)


def is_input(p):
    return p.depth > 0 and p.is_const or p.depth == 0


def is_output(p):
    return p.depth > 0 and not p.is_const


def c_decl(d):
    """The declaration of a parameter in C."""
    const = 'const ' if d.is_const else ''
    stars = {0: '', 1: '*', 2: '*const *' if d.is_const else '**'}[d.depth]
    return '%s%s %s%s%s' % (const, d.type_name, stars, d.name,
                            ''.join('[%s]' % n for n in d.dims))


def dispatchable(c):
    """The first parameter, if it is an object that the command works on."""
    if c.params and c.params[0].type.kind == 'handle' and c.params[0].type_name in LEVELS:
        return c.params[0]
    return None


def hand_params(c):
    first = dispatchable(c)
    return [p for p in c.params if p is not first and p.type_name != 'VkAllocationCallbacks']


def length(d, siblings, prefix):
    """C expression for the number of elements behind the outermost pointer, or None."""
    text = d.altlen or (d.len[0] if d.len else None)
    if text is None or text in ('1', 'null-terminated'):
        return None
    by_name = {s.name: s for s in siblings}

    def place(m):
        word = m.group(0)
        if word not in by_name:
            return word
        deref = '*' if by_name[word].depth and not text.startswith(word + '->') else ''
        return '(%s%s%s)' % (deref, prefix, word) if deref else prefix + word

    return re.sub(r'(?<!>)\b[A-Za-z_]\w*', place, text)


class Walker:
    """Emits code that reads an input to its last byte and checks each handle in it."""

    def __init__(self, world):
        self.world = world
        self.known = {t.name for t in world.walked}

    def element(self, expr, d, depth, siblings, prefix):
        """Statements for one value @expr of d's type, @depth pointers away."""
        t = d.type
        if t.kind == 'handle' and depth == 0:
            return ['(void)null_check(c, (uint64_t)%s, %s, "%s");' % (expr, t.objtype, d.name)]
        if t.kind == 'struct' and t.name in self.known:
            if depth == 0:
                return ['null_walk_%s(c, &%s);' % (t.name, expr)]
            return ['if (%s)' % expr, '\tnull_walk_%s(c, %s);' % (t.name, expr)]
        if t.kind == 'union' and d.selector and depth == 0 and t.name in self.known:
            return self.union(expr, d, prefix)
        return []

    def union(self, expr, d, prefix):
        """The member that the selector names, where it has something to check."""
        cases = []
        for m in d.type.members:
            code = self.pointer('%s.%s' % (expr, m.name), m, d.type.members, expr + '.')
            if not m.selection or not code:
                continue
            cases += ['case %s:' % s for s in m.selection if s in self.world.words]
            cases += ['\t' + line for line in code] + ['\tbreak;']
        if not cases:
            return []
        return ['switch ((int)%s%s) {' % (prefix, d.selector)] + cases + \
            ['default:', '\tbreak;', '}']

    def loop(self, expr, n, body, var='i'):
        if not body:
            return []
        head = 'for (uint64_t %s = 0; %s < (uint64_t)(%s); %s++) {' % (var, var, n, var)
        return [head] + ['\t' + line for line in body] + ['}']

    def pointer(self, expr, d, siblings, prefix):
        """Statements for a member or an input parameter."""
        t = d.type
        if d.name in ('sType', 'pNext') or t.kind == 'opaque' or d.bits:
            return []
        if d.dims:
            n = ' * '.join(str(x) for x in d.dims)
            if d.depth:
                return []
            return self.loop(expr, n, self.element('%s[i]' % expr, d, 0, siblings, prefix))
        if d.depth == 0:
            return self.element(expr, d, 0, siblings, prefix)
        n = length(d, siblings, prefix)
        return self.guard(expr, self.pointee(expr, d, n, siblings, prefix))

    def guard(self, expr, body):
        if not body:
            return []
        return ['if (%s) {' % expr] + ['\t' + line for line in body] + ['}']

    def pointee(self, expr, d, n, siblings, prefix):
        t = d.type
        if t.kind == 'void':
            return ['null_touch(%s, (size_t)(%s));' % (expr, n)] if n and d.depth == 1 else []
        if t.name == 'char' and 'null-terminated' in d.len:
            if d.depth == 2:
                return self.loop(expr, n, ['null_touch_string(%s[i]);' % expr])
            return ['null_touch_string(%s);' % expr]
        if d.depth == 2:
            inner = 'null_touch(%s[i], sizeof(*%s[i]));' % (expr, expr)
            body = self.element('%s[i]' % expr, d, 1, siblings, prefix) or \
                ['if (%s[i])' % expr, '\t' + inner]
            return self.loop(expr, n, body) if n else []
        if n is None:
            body = self.element('(*%s)' % expr, d, 0, siblings, prefix)
            return body or ['null_touch(%s, sizeof(*%s));' % (expr, expr)]
        touch = ['null_touch(%s, (size_t)(%s) * sizeof(*%s));' % (expr, n, expr)]
        return touch + self.loop(expr, n, self.element('%s[i]' % expr, d, 0, siblings, prefix))

    def members(self, t):
        out = []
        for m in t.members:
            out += self.pointer('s->' + m.name, m, t.members, 's->')
        return out

    def function(self, t):
        chained = t.is_chained()
        lines = ['static void members_%s(struct null_call *c, const %s *s)' % (t.name, t.name), '{',
                 '\tnull_touch(s, sizeof(*s));']
        lines += ['\t' + line for line in self.members(t)] + ['}', '']
        lines += ['void null_walk_%s(struct null_call *c, const %s *s)' % (t.name, t.name), '{']
        if chained:
            lines += ['\tif ((int)s->sType != %s)' % t.stype,
                      '\t\tnull_complain(c, "was given a %s of another sType");' % t.name]
        lines += ['\tmembers_%s(c, s);' % t.name]
        if chained:
            lines += ['\tnull_walk_chain(c, s->pNext);']
        return lines + ['}', '']

    def chain(self):
        lines = ['static void node(struct null_call *c, const VkBaseInStructure *s)', '{',
                 '\tconst void *p = s;', '', '\tswitch ((int)s->sType) {']
        for t in self.world.walked:
            if t.is_chained() and t.extends:
                lines += ['\tcase %s:' % t.stype, '\t\tmembers_%s(c, p);' % t.name, '\t\tbreak;']
        numbers = ['%d' % self.world.reg.constant(n) for n in LOADER_STYPES]
        lines += ['\tcase %s:' % n for n in numbers + self.world.foreign] + ['\t\tbreak;']
        lines += ['\tdefault:',
                  '\t\tnull_complain(c, "was given a chain with the unknown sType %d", '
                  '(int)s->sType);', '\t}', '}', '']
        twice = [t.stype for t in self.world.walked if t.allows_duplicate and t.is_chained()]
        lines += ['static bool may_repeat(int stype)', '{', '\tswitch (stype) {']
        lines += ['\tcase %s:' % s for s in twice]
        lines += ['\tcase %s:' % n for n in numbers]
        lines += ['\t\treturn true;', '\tdefault:', '\t\treturn false;', '\t}', '}', '']
        lines += ['void null_walk_chain(struct null_call *c, const void *next)', '{',
                  '\tfor (const VkBaseInStructure *s = next; s; s = s->pNext) {',
                  '\t\tnode(c, s);',
                  '\t\tfor (const VkBaseInStructure *o = next; o != s; o = o->pNext) {',
                  '\t\t\tif (o->sType == s->sType && !may_repeat((int)s->sType))',
                  '\t\t\t\tnull_complain(c, "was given a chain with sType %d twice", '
                  '(int)s->sType);',
                  '\t\t}', '\t}', '}', '']
        return lines


class Filler:
    """Emits code that writes an output to its last byte."""

    def __init__(self, world):
        self.world = world
        self.known = {t.name for t in world.filled}

    def value(self, expr, d):
        t = d.type
        if t.kind == 'struct' and t.name in self.known:
            return ['null_fill_%s(&%s);' % (t.name, expr)]
        if t.kind in ('scalar', 'enum'):
            return ['%s = (%s)1;' % (expr, d.type_name)]
        if t.kind in ('handle', 'union', 'struct'):
            return ['memset(&%s, 0, sizeof(%s));' % (expr, expr)]
        return []

    def fixed(self, expr, d):
        if d.type.kind in ('scalar', 'enum') and d.type_name == 'char':
            return ['(void)snprintf(%s, sizeof(%s), "null");' % (expr, expr)]
        body = self.value('%s[i]' % expr, d)
        if body and len(d.dims) == 1:
            return ['for (uint32_t i = 0; i < %s; i++)' % d.dims[0]] + ['\t' + b for b in body]
        return ['memset(%s, 0, sizeof(%s));' % (expr, expr)]

    def function(self, t):
        lines = ['void null_fill_%s(%s *s)' % (t.name, t.name), '{']
        counts = {}
        for m in t.members:
            if m.depth == 1 and m.len and not m.is_const:
                counts.setdefault(m.len[0], []).append(m)
        for m in t.members:
            expr = 's->' + m.name
            if m.name in ('sType', 'pNext') or m.depth or m.bits:
                continue
            if m.name in counts:
                arrays = counts[m.name]
                if any(a.type.kind == 'void' for a in arrays):
                    lines += ['\tif (s->%s)' % arrays[0].name,
                              '\t\tmemset(s->%s, 0x5a, (size_t)%s);' % (arrays[0].name, expr),
                              '\t%s += null_too_many();' % expr]
                    continue
                there = ' && '.join('s->' + a.name for a in arrays)
                lines += ['\tif (!(%s) || %s > 2)' % (there, expr), '\t\t%s = 2;' % expr]
                for a in arrays:
                    body = self.value('s->%s[i]' % a.name, a)
                    if not body:
                        continue
                    lines += ['\tfor (uint32_t i = 0; s->%s && i < %s; i++)' % (a.name, expr)]
                    lines += ['\t\t' + b for b in body]
                lines += ['\tif (%s)' % there, '\t\t%s += null_too_many();' % expr]
            elif m.dims:
                lines += ['\t' + line for line in self.fixed(expr, m)]
            else:
                lines += ['\t' + line for line in self.value(expr, m)]
        return lines + ['}', '']

    def chain(self):
        lines = ['void null_fill_chain(struct null_call *c, void *next)', '{',
                 '\tfor (VkBaseOutStructure *s = next; s; s = s->pNext) {',
                 '\t\tvoid *p = s;', '', '\t\tswitch ((int)s->sType) {']
        for t in self.world.filled:
            if t.is_chained() and t.extends:
                lines += ['\t\tcase %s:' % t.stype, '\t\t\tnull_fill_%s(p);' % t.name,
                          '\t\t\tbreak;']
        lines += ['\t\tcase %s:' % n for n in self.world.foreign] + ['\t\t\tbreak;']
        lines += ['\t\tdefault:',
                  '\t\t\tnull_complain(c, "was given an output chain with the unknown sType %d", '
                  '(int)s->sType);', '\t\t}',
                  '\t\tfor (const VkBaseOutStructure *o = next; o != s; o = o->pNext) {',
                  '\t\t\tif (o->sType == s->sType)',
                  '\t\t\t\tnull_complain(c, "was given an output chain with sType %d twice", '
                  '(int)s->sType);',
                  '\t\t}', '\t}', '}', '']
        return lines


class Entry:
    """Emits the entry point of a command."""

    def __init__(self, world, walker, filler):
        self.world = world
        self.walker = walker
        self.filler = filler

    def failure(self, c, code):
        if c.ret.kind == 'void':
            return 'return;'
        return 'return %s;' % (code if c.ret.name == 'VkResult' else '0')

    def checks(self, c):
        lines = []
        for p in c.params:
            if p is dispatchable(c):
                continue
            if p.type_name == 'VkAllocationCallbacks':
                lines += ['if (pAllocator)',
                          '\tnull_complain(c, "was given an allocator");']
            elif is_input(p):
                lines += self.walker.pointer(p.name, p, c.params, '')
        return lines

    def created(self, c):
        """The parameter that receives new objects, for commands that make some."""
        last = c.params[-1]
        if c.name.startswith('vkCreate') and is_output(last) and last.type.kind == 'handle':
            return last
        return None

    def create(self, c, out):
        n = length(out, c.params, '')
        dev = 'c->dev'
        one = ['struct null_rec *r = null_new(%s, %s, NULL);' % (out.type.objtype, dev), '']
        if n is None:
            return one + ['*%s = NULL_HANDLE(%s, r);' % (out.name, out.type_name),
                          'return r ? VK_SUCCESS : VK_ERROR_OUT_OF_HOST_MEMORY;']
        body = one + ['%s[i] = NULL_HANDLE(%s, r);' % (out.name, out.type_name),
                      'if (!r)', '\tresult = VK_ERROR_OUT_OF_HOST_MEMORY;']
        return ['VkResult result = VK_SUCCESS;', '',
                'for (uint32_t i = 0; i < %s; i++) {' % n] + ['\t' + b for b in body] + \
            ['}', 'return result;']

    def fill(self, c):
        """Fills the outputs; arrays with a count that goes both ways have two elements."""
        lines = []
        arrays = [p for p in c.params if is_output(p) and p.len]
        both = {p.name for p in c.params if is_output(p) and not p.len
                and any(a.len[0] == p.name for a in arrays)}
        for p in c.params:
            if not is_output(p) or p.name in both or p.type.kind == 'opaque':
                continue
            if p.len and p.len[0] in both:
                lines += self.counted(p, p.len[0])
            elif p.len:
                lines += self.array(p, length(p, c.params, ''))
            elif p.type.kind != 'void':
                lines += self.single(p)
        return lines

    def single(self, p):
        body = self.filler.value('(*%s)' % p.name, p)
        if p.type.is_chained():
            body = ['null_fill_chain(c, %s->pNext);' % p.name] + body
        return ['if (%s) {' % p.name] + ['\t' + b for b in body] + ['}']

    def array(self, p, n):
        if p.type.kind == 'void':
            return ['if (%s)' % p.name, '\tmemset(%s, 0x5a, (size_t)(%s));' % (p.name, n)]
        return ['for (uint64_t i = 0; %s && i < (uint64_t)(%s); i++) {' % (p.name, n)] + \
            ['\t' + b for b in self.array_element(p)] + ['}']

    def array_element(self, p):
        body = self.filler.value('%s[i]' % p.name, p)
        if p.type.is_chained():
            body = ['null_fill_chain(c, %s[i].pNext);' % p.name] + body
        return body

    def counted(self, p, count):
        most = '64' if p.type.kind == 'void' else '2'
        lines = ['if (!%s || *%s > %s)' % (p.name, count, most), '\t*%s = %s;' % (count, most)]
        return lines + self.array(p, '*' + count)

    def action(self, c):
        out = self.created(c)
        lines = []
        if 'VK_ERROR_DEVICE_LOST' in c.errors:
            lines += ['if (null_is_lost(c))', '\t' + self.failure(c, 'VK_ERROR_DEVICE_LOST')]
        if c.name in self.world.hand:
            args = ', '.join(['c'] + [p.name for p in hand_params(c)])
            # The hand-written ones know about lost devices themselves.
            return ['%snull_do_%s(%s);' % ('' if c.ret.kind == 'void' else 'return ', c.name, args)]
        if out is not None:
            return lines + self.create(c, out)
        if c.name.startswith('vkDestroy'):
            return lines + ['null_end(null_rec_of(%s));' % hand_params(c)[0].name]
        lines += self.fill(c)
        if c.ret.kind != 'void':
            lines += ['return %s;' % ('VK_SUCCESS' if c.ret.name == 'VkResult' else '1')]
        return lines

    def function(self, c):
        first = dispatchable(c)
        lines = ['static VKAPI_ATTR %s VKAPI_CALL entry_%s(%s)'
                 % (c.ret.name, c.name, ', '.join(c_decl(p) for p in c.params)), '{',
                 '\tstruct null_call call = null_enter(NULL_CMD_%s, %s, %s);'
                 % (c.name, first.name if first else 'NULL',
                    first.type.objtype if first else 'VK_OBJECT_TYPE_UNKNOWN'),
                 '\tstruct null_call *c = &call;', '']
        lines += ['\t' + line for line in self.checks(c)]
        lines += ['\tif (c->is_bad)', '\t\t' + self.failure(c, 'VK_ERROR_UNKNOWN')]
        lines += ['\t' + line for line in self.action(c)]
        return lines + ['}', '']


BANNER = '/* Generated by gen/null_icd.py from vk.xml %s: do not edit. */'


def header_text(world):
    lines = ['#ifndef PECTEN_NULL_GEN_H', '#define PECTEN_NULL_GEN_H', '', 'enum null_cmd {']
    lines += ['\tNULL_CMD_%s,' % c.name for c in world.commands] + ['};', '']
    for c in world.commands:
        if c.name in world.hand:
            lines.append('%s null_do_%s(%s);' % (
                c.ret.name, c.name,
                ', '.join(['struct null_call *c'] + [c_decl(p) for p in hand_params(c)])))
    lines += ['', 'void null_walk_chain(struct null_call *c, const void *next);',
              'void null_fill_chain(struct null_call *c, void *next);']
    for t in world.walked:
        if t.kind == 'struct':
            lines.append('void null_walk_%s(struct null_call *c, const %s *s);' % (t.name, t.name))
    for t in world.filled:
        if t.kind == 'struct':
            lines.append('void null_fill_%s(%s *s);' % (t.name, t.name))
    return lines + ['', '#endif']


def table_text(world):
    lines = ['#include "null_internal.h"', '']
    lines += ['const struct null_extension null_extensions[] = {']
    lines += ['\t{ "%s", %d, %s },' % (x.name, max(1, x.spec_version),
                                     'true' if any(c for _, _, c in x.blocks) else 'false')
              for x in world.extensions]
    lines += ['};', 'const uint32_t null_extension_count = %d;' % len(world.extensions),
              '_Static_assert(%d <= 32 * NULL_EXT_WORDS, "room for a bit for each extension");'
              % len(world.extensions), '']
    lines += ['const char *const null_command_names[] = {']
    lines += ['\t"%s",' % c.name for c in world.commands] + ['};', '']
    lines += ['_Atomic(uint64_t) null_counts[%d];' % len(world.commands),
              'const uint32_t null_cmd_count = %d;' % len(world.commands), '']
    return lines


def entry_text(world, entry):
    lines = ['#include <string.h>', '', '#include "null_internal.h"', '']
    for c in world.commands:
        lines += entry.function(c)
    lines += ['const struct null_command null_commands[] = {']
    for name, c in sorted(world.names.items()):
        first = dispatchable(c)
        exts = (world.exts_of(name)[:MAX_EXTS] + [-1] * MAX_EXTS)[:MAX_EXTS]
        lines.append('\t{ "%s", (PFN_vkVoidFunction)entry_%s, NULL_CMD_%s, %d, %d, { %s } },' % (
            name, c.name, c.name, LEVELS[first.type_name] if first else GLOBAL,
            world.is_core(name), ', '.join(str(i) for i in exts)))
    lines += ['};', 'const uint32_t null_command_count = %d;' % len(world.names)]
    return lines


def write(folder, name, version, lines):
    text = '\n'.join(['/* SPDX-License-Identifier: Apache-2.0 */', BANNER % version] + lines)
    with open(os.path.join(folder, name), 'w', encoding='utf-8') as f:
        f.write(text + '\n')


def find_hand(paths):
    found = set()
    for path in paths:
        with open(path, encoding='utf-8') as f:
            found.update(re.findall(r'^\w+\s+null_do_(vk\w+)\(', f.read(), re.M))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--xml', required=True, help='vk.xml')
    parser.add_argument('--header', required=True, help='vulkan_core.h of the same version')
    parser.add_argument('--commands', required=True, help='venus-commands.tsv')
    parser.add_argument('--out', required=True, help='folder for the generated files')
    parser.add_argument('hand', nargs='*', help='C files with hand-written functions')
    args = parser.parse_args()

    with open(args.header, encoding='utf-8') as f:
        header = f.read()
    with open(args.commands, encoding='utf-8') as f:
        numbered = [line.split()[1] for line in f if line[:1].isdigit()]
    try:
        reg = registry.load([args.xml])
    except registry.BadRegistry as e:
        sys.exit('null_icd.py: %s' % e)
    hand = find_hand(args.hand)
    world = World(reg, header, numbered, hand)
    lost = hand - {c.name for c in world.commands}
    if lost:
        sys.exit('null_icd.py: no such command: %s' % ', '.join(sorted(lost)))

    walker, filler = Walker(world), Filler(world)
    version = '%d.%d.%d' % reg.version
    walk = ['#include "null_internal.h"', '']
    for t in world.walked:
        if t.kind == 'struct':
            walk += walker.function(t)
    fill = ['#include <stdio.h>', '#include <string.h>', '', '#include "null_internal.h"', '']
    for t in world.filled:
        if t.kind == 'struct':
            fill += filler.function(t)
    write(args.out, 'null_gen.h', version, header_text(world))
    write(args.out, 'null_table.c', version, table_text(world))
    write(args.out, 'null_walk.c', version, walk + walker.chain())
    write(args.out, 'null_fill.c', version, fill + filler.chain())
    write(args.out, 'null_entry.c', version, entry_text(world, Entry(world, walker, filler)))


if __name__ == '__main__':
    main()
