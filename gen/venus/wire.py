# SPDX-License-Identifier: Apache-2.0
"""Turns a registry into what travels: shapes of members, sets of structs, layouts.

The rules are those of the wire format of VK_EXT_command_serialization, wire version 1.
"""

import re

from . import commands as table
from . import extensions
from .registry import BadRegistry

IN, OUT, INOUT = 'in', 'out', 'in/out'


class CannotTravel(BadRegistry):
    """A member for which the wire has no form; nothing is wrong with the registry."""


class Shape:
    """How one member or parameter travels.

    form: stype, pnext      the head of a chained struct
          value             scalar, enum, handle, struct or union by value
          fixed             array inside of the struct, with its count in front
          string, strings   NUL-terminated; array of them
          array             pointer with a length; a blob if elem is None
          single            pointer to one
          singles           array of pointers to one each
          arrays            array of arrays
          never             optional and impossible to send: the marker is always 0
    """

    def __init__(self, decl, form, elem=None):
        self.decl = decl
        self.name = decl.name
        self.form = form
        self.elem = elem
        self.null_ok = decl.is_optional or decl.is_unchecked
        self.count = None       # fixed: int; array: C expression, %s stands for the owner
        self.count2 = None
        self.is_length = False  # of a dynamic array
        self.direction = IN

    def is_blob(self):
        return self.form == 'array' and self.elem is None

    def is_handle(self):
        return self.elem is not None and self.elem.kind == 'handle'

    def is_struct(self):
        return self.elem is not None and self.elem.kind in ('struct', 'union')

    def is_scalar(self):
        return self.elem is not None and self.elem.kind in ('scalar', 'enum')


class WireCommand:
    def __init__(self, number, command, cls):
        self.number = number
        self.command = command
        self.name = command.name
        self.short = command.name[2:]
        self.cls = cls
        self.level = table.level_of(command.name)
        self.shapes = []
        self.loses_device = 'VK_ERROR_DEVICE_LOST' in command.errors

    def first_handle(self):
        """Type of the dispatchable handle that the command begins with, or None."""
        if self.shapes and self.shapes[0].form == 'value' and self.shapes[0].is_handle():
            return self.shapes[0].elem
        return None

    def is_instance_level(self):
        t = self.first_handle()
        return t is None or t.name in ('VkInstance', 'VkPhysicalDevice')

    def outs(self):
        return [s for s in self.shapes if s.direction != IN]


def _depends(text, have):
    """Value of a "depends" expression: + is and, a comma is or, both of one precedence."""
    tokens = re.findall(r'[A-Za-z0-9_:]+|[+,()]', text)
    at = 0

    def term():
        nonlocal at
        if at >= len(tokens):
            raise BadRegistry('the registry has the incomplete expression "%s"' % text)
        tok = tokens[at]
        at += 1
        if tok == '(':
            value = expr()
            at += 1
            return value
        return tok.split('::')[0] in have

    def expr():
        nonlocal at
        value = term()
        while at < len(tokens) and tokens[at] in '+,':
            op = tokens[at]
            at += 1
            right = term()
            value = (value and right) if op == '+' else (value or right)
        return value

    return expr()


def _c_expr(text, names, where):
    """C expression for a length, each member name with a %s in front."""
    def put(m):
        word = m.group(0)
        if word in names:
            return '%s' + word
        if re.match(r'VK_[A-Z0-9_]+$', word) or m.group(0).isdigit():
            return word
        raise BadRegistry('%s has the length "%s", which names no member' % (where, text))

    head, arrow, rest = text.partition('->')
    if arrow:
        if head not in names:
            raise BadRegistry('%s has the length "%s", which names no parameter' % (where, text))
        return '%s' + head + '->' + rest
    return re.sub(r'[A-Za-z_][A-Za-z0-9_]*', put, text)


class World:
    """What of a registry travels."""

    def __init__(self, reg, numbers, exts=None):
        self.reg = reg
        self.exts = exts if exts is not None else extensions.EXTENSIONS
        self._shapes = {}
        self._sendable = {}
        self._min = {}
        self._layout = {}
        self._optional = {(reg.canonical(owner), member)
                          for owner, member in table.load_pairs(table.OPTIONAL_FILE)}
        self._supported()
        self._commands(numbers)
        self._roots()
        self._needs()
        self._bounded()

    # What core versions and extensions bring.

    def _supported(self):
        reg = self.reg
        have = {'VK_VERSION_1_%d' % n for n in range(extensions.CORE_MINOR + 1)}
        features = []
        for name, number, blocks in reg.features:
            major, minor = (int(n) for n in number.split('.'))
            if major == 1 and minor <= extensions.CORE_MINOR:
                have.add(name)
                features.append(blocks)
        missing = [n for n in self.exts if n not in reg.extensions]
        if missing:
            raise BadRegistry('the registry lacks the extension %s; it needs to be %d.%d.%d or '
                              'newer' % ((missing[0],) + extensions.PROTOCOL_VERSION))
        have.update(self.exts)
        self.supported = set()
        for blocks in features + [reg.extensions[n].blocks for n in self.exts]:
            for depends, types, _ in blocks:
                if depends is None or _depends(depends, have):
                    self.supported.update(reg.canonical(t) for t in types)

    # Shapes.

    def shapes(self, t):
        """Shapes of a struct's or union's members, in the order of the wire."""
        if t.name not in self._shapes:
            self._shapes[t.name] = self._struct_shapes(t)
        return self._shapes[t.name]

    def _struct_shapes(self, t):
        names = {m.name for m in t.members}
        out = []
        for i, m in enumerate(t.members):
            if i == 0 and t.stype:
                out.append(Shape(m, 'stype'))
            elif i == 1 and t.stype and m.name == 'pNext':
                out.append(Shape(m, 'pnext'))
            else:
                out.append(self._shape(m, names, t.name))
        if t.kind == 'union':
            return out
        self._mark_lengths(out)
        # A length must come before its array, wherever C puts it.
        for s in list(out):
            if s.form in ('array', 'arrays', 'singles', 'strings') and s.decl.len:
                for other in out[out.index(s) + 1:]:
                    if s.count and re.search(r'%s' + other.name + r'\b', s.count):
                        out.remove(other)
                        out.insert(out.index(s), other)
        return out

    def _mark_lengths(self, shapes):
        for s in shapes:
            if s.form in ('array', 'arrays', 'singles', 'strings'):
                for other in shapes:
                    if re.search(r'%s' + other.name + r'\b(?!->)', s.count or ''):
                        other.is_length = True

    def _shape(self, d, names, where):
        s = self._bare_shape(d, names, where)
        if (where, d.name) in table.MAY_BE_LEFT_OUT or (where, d.name) in self._optional:
            s.null_ok = True
        return s

    def _bare_shape(self, d, names, where):
        t = d.type
        if d.bits is not None:
            raise CannotTravel('%s.%s is a bit-field; none can travel' % (where, d.name))
        if d.depth == 0 and d.dims:
            if len(d.dims) != 1:
                raise CannotTravel('%s.%s has several dimensions; none of that kind can travel'
                                   % (where, d.name))
            s = Shape(d, 'fixed', t)
            s.count = self.reg.constant(d.dims[0])
            return s
        if d.depth == 0:
            return Shape(d, 'value', t)
        lens = [d.altlen] if d.altlen else list(d.len)
        if not lens or (lens == ['1'] and d.depth == 1):
            return Shape(d, 'single', t)
        if lens[0] == 'null-terminated':
            return Shape(d, 'string', t)
        if d.depth == 1:
            s = Shape(d, 'array', None if t.kind == 'void' else t)
            s.count = _c_expr(lens[0], names, '%s.%s' % (where, d.name))
        elif d.depth == 2 and len(lens) == 2 and lens[1] == 'null-terminated':
            s = Shape(d, 'strings', t)
            s.count = _c_expr(lens[0], names, '%s.%s' % (where, d.name))
        elif d.depth == 2 and len(lens) == 2 and lens[1] == '1':
            s = Shape(d, 'singles', t)
            s.count = _c_expr(lens[0], names, '%s.%s' % (where, d.name))
        elif d.depth == 2 and (where, d.name) in table.SECOND_LENGTH:
            s = Shape(d, 'arrays', t)
            s.count = _c_expr(lens[0], names, '%s.%s' % (where, d.name))
            s.count2 = table.SECOND_LENGTH[(where, d.name)]
        else:
            return Shape(d, 'single', self.reg.types['void'])
        return s

    def sendable(self, s):
        """Whether a member can travel; an optional one that cannot becomes "never"."""
        if s.form in ('stype', 'pnext', 'string', 'strings', 'never') or s.is_blob():
            return True
        t = s.elem
        if t.kind in ('scalar', 'enum', 'handle'):
            ok = True
        elif t.kind in ('struct', 'union'):
            ok = self.type_sendable(t)
        else:
            ok = False
        if not ok and s.form in ('single', 'array', 'singles', 'arrays') and s.decl.is_optional:
            s.form = 'never'
            return True
        return ok

    def type_sendable(self, t):
        if t.name not in self._sendable:
            self._sendable[t.name] = False  # a recursive struct cannot travel
            try:
                shapes = self.shapes(t)
            except CannotTravel:
                return False
            if t.kind == 'union':
                ok = any(self.union_member_sendable(s) for s in shapes)
            else:
                ok = all([self.sendable(s) for s in shapes])
            self._sendable[t.name] = ok
        return self._sendable[t.name]

    def union_member_sendable(self, s):
        if s.is_struct():
            return s.elem.name in self.supported and self.type_sendable(s.elem)
        return s.elem is not None and s.elem.kind in ('scalar', 'enum', 'handle')

    # Commands.

    def _commands(self, numbers):
        self.commands = []
        for number, name in numbers:
            c = self.reg.commands.get(name)
            if c is None:
                raise BadRegistry('the registry lacks the command %s; it needs to be %d.%d.%d or '
                                  'newer' % ((name,) + extensions.PROTOCOL_VERSION))
            w = WireCommand(number, c, table.class_of(name))
            if w.cls != 'refused':
                self._command_shapes(w)
            self.commands.append(w)

    def _command_shapes(self, w):
        c = w.command
        names = {p.name for p in c.params}
        if c.ret.kind not in ('void', 'scalar', 'enum'):
            raise BadRegistry('%s cannot travel because it returns %s, but is not among the '
                              'refused commands' % (c.name, c.ret.name))
        for p in c.params:
            s = self._shape(p, names, c.name)
            if p.type_name == 'VkAllocationCallbacks':
                s.form = 'never'
            elif not self.sendable(s):
                raise BadRegistry('%s cannot travel because of its parameter %s, but is not among '
                                  'the refused commands' % (c.name, p.name))
            if p.depth > 0 and not p.is_const and s.form != 'never':
                s.direction = OUT
            w.shapes.append(s)
        self._mark_lengths(w.shapes)
        for s in w.shapes:
            if s.direction == OUT and (s.is_length or (c.name, s.name) in table.IN_OUT):
                s.direction = INOUT
            if s.count and s.form != 'fixed':
                for other in w.shapes:
                    if other.form == 'single' and other.is_length:
                        s.count = re.sub(r'%s' + other.name + r'\b(?!->)', '*%s' + other.name,
                                         s.count)

    def live(self):
        return [c for c in self.commands if c.cls != 'refused']

    # Chains.

    def _roots(self):
        self.chains = {}
        for t in self.reg.types.values():
            if t.kind != 'struct' or not t.stype or not t.extends:
                continue
            if t.name not in self.supported or t.name in table.NOT_CHAINED:
                continue
            if not self.type_sendable(t):
                continue
            for root in t.extends:
                self.chains.setdefault(root, []).append(t)
        for nodes in self.chains.values():
            nodes.sort(key=lambda n: self.reg.constant(n.stype))

    def chain(self, t):
        return self.chains.get(t.name, [])

    # Which structs are needed, and in which roles.

    def _needs(self):
        self.full, self.partial, self.reply = {}, {}, {}
        self.in_roots, self.out_roots = {}, {}  # structs on their own
        self.in_nodes, self.out_nodes = {}, {}  # structs in chains
        for c in self.live():
            for s in c.shapes:
                if not s.is_struct() or s.form == 'never':
                    continue
                if s.direction == IN:
                    self._need(s.elem, 'full', c.name)
                else:
                    if s.direction == INOUT:
                        raise BadRegistry('%s has an in/out struct, which cannot travel' % c.name)
                    self._need(s.elem, 'partial', c.name)

    def _need(self, t, role, where, is_node=False):
        """Notes that @t travels: full, or partial with a full reply; in a chain or on its own."""
        if t.is_chained():
            alone = self.in_roots if role == 'full' else self.out_roots
            if not is_node and t.name not in alone:
                alone[t.name] = t
                for node in self.chain(t):
                    self._need(node, role, t.name, True)
            if is_node:
                (self.in_nodes if role == 'full' else self.out_nodes)[t.name] = t
        sets = [self.full] if role == 'full' else [self.partial, self.reply]
        if t.name in sets[0]:
            return
        for x in sets:
            x[t.name] = t
        if role == 'partial' and t.kind == 'union':
            raise BadRegistry('%s returns the union %s; that cannot travel' % (where, t.name))
        if role == 'partial':
            self._counted(t)
        for s in self.shapes(t):
            if t.kind == 'union' and not self.union_member_sendable(s):
                continue
            self.sendable(s)
            if s.is_struct() and s.form != 'never':
                self._need(s.elem, role, t.name)

    def _counted(self, t):
        """Refuses arrays that the driver fills in, but whose count we could not cut down."""
        counts = {'%s' + s.name for s in self.shapes(t)
                  if s.form == 'value' and s.is_scalar() and s.elem.size in (4, 8)}
        for s in self.shapes(t):
            if s.form in ('array', 'arrays', 'singles', 'strings') and (
                    s.form != 'array' or s.count not in counts):
                raise BadRegistry('%s returns the array %s, which no member counts; that cannot '
                                  'travel' % (t.name, s.name))

    def _bounded(self):
        """Refuses a registry whose structs could nest without end: decoding follows them."""
        done = set()

        def visit(t, alone, path):
            key = (t.name, alone)
            if key in path:
                raise BadRegistry('%s can contain itself through %s; such structs cannot travel'
                                  % (t.name, path[-1][0]))
            if key in done:
                return
            for s in self.shapes(t):
                if s.is_struct() and s.form != 'never' and (
                        t.kind != 'union' or self.union_member_sendable(s)):
                    visit(s.elem, True, path + [key])
            if alone and t.is_chained():
                for node in self.chain(t):
                    visit(node, False, path + [key])
            done.add(key)

        for t in list(self.in_roots.values()) + list(self.out_roots.values()):
            visit(t, True, [])

    # Fewest bytes on the wire.

    def min_wire(self, s, partial=False):
        """Fewest bytes that a member takes."""
        if s.form == 'stype':
            return 4
        if s.form == 'value':
            if partial and not s.is_handle() and not s.is_struct() and not s.is_length:
                return 0
            return self.min_elem(s.elem, partial)
        if s.form == 'fixed':
            if s.is_scalar():
                return 0 if partial else 8 + _pad(s.count * s.elem.size)
            return 8 + s.count * self.min_elem(s.elem, partial)
        return 8

    def min_elem(self, t, partial=False):
        """Fewest bytes that one element of an array takes."""
        if t is None:
            return 1
        if t.kind in ('scalar', 'enum'):
            return max(t.size, 4)
        if t.kind == 'handle':
            return 8
        key = (t.name, partial)
        if key not in self._min:
            if t.kind == 'union':
                self._min[key] = 4 + min(self.min_wire(s) for s in self.shapes(t)
                                         if self.union_member_sendable(s))
            else:
                self._min[key] = sum(self.min_wire(s, partial) for s in self.shapes(t))
        return self._min[key]

    # C layouts, to find what may be copied as it is.

    def layout(self, t):
        """(size, alignment, is the wire's layout the same) of a type in C on 64-bit hosts."""
        if t.kind in ('scalar', 'enum'):
            return t.size, t.size, t.size in (4, 8)
        if t.kind != 'struct':
            return 8, 8, False
        if t.name not in self._layout:
            off, align, same = 0, 1, not t.is_chained()
            for s, m in zip(self.shapes(t), t.members):
                if s.decl is not m:
                    same = False
                if m.depth or m.dims or s.form != 'value':
                    same, size, a = False, 8, 8
                else:
                    size, a, inner = self.layout(m.type)
                    same = same and inner and m.type.kind != 'handle'
                if off % a:
                    same, off = False, off + a - off % a
                off, align = off + size, max(align, a)
            if off % align:
                same = False
            self._layout[t.name] = (off, align, same)
        return self._layout[t.name]

    def is_packed(self, t):
        """Whether an array of @t in memory is byte for byte what travels."""
        return t is not None and t.kind == 'struct' and self.layout(t)[2]


def _pad(n):
    return (n + 3) & ~3
