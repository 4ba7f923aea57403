# SPDX-License-Identifier: Apache-2.0
"""Decoders and encoders of structs and unions, and the tables of pNext chains."""

import re

from . import commands as table
from . import out
from .out import Writer

# Files, in this order: chapter, how its commands begin.  The first match wins.
CHAPTERS = (
    ('transport', r'vk\w+MESA$'),
    ('command', r'vkCmd|vk(Begin|End|Reset|Allocate|Free)CommandBuffer'),
    ('physical', r'vk(Enumerate|GetPhysicalDevice|CreateInstance|DestroyInstance|CreateDevice$)'),
    ('pipeline', r'vk\w*(Pipeline|Shader|RenderPass|Framebuffer|Render\w*Area|PrivateData)'),
    ('descriptor', r'vk\w*(Descriptor|Sampler|CustomBorder)'),
    ('resource', r'vk\w*(Image|Buffer|Acceleration)'),
    ('device', r'vk'),
)


class Decoder:
    """Emits the statements that decode members or parameters."""

    def __init__(self, world, w):
        self.world = world
        self.w = w

    def elements(self, t, n, role):
        """Decodes @n elements of @t into v[]."""
        w = self.w
        if t.kind in ('scalar', 'enum'):
            w('venus_dec_packed(d, v, %s, %d);' % (n, t.size))
        elif self.world.is_packed(t) and role == 'full':
            w('venus_dec_packed(d, v, %s, sizeof(*v));' % n)
        else:
            w('for (uint64_t i = 0; i < %s; i++)' % n)
            self.element(t, 'v[i]', role)

    def element(self, t, place, role, tag=None):
        """Decodes one element of @t into @place, a C lvalue."""
        w = self.w
        if t.kind in ('scalar', 'enum'):
            w('%s = %s;' % (place, out.read_scalar(t)))
        elif t.kind == 'handle':
            if role == 'partial':
                w('%s = %s;' % (place, out.to_handle(t, 'venus_dec_new_id(d)')))
            else:
                w('%s = %s;' % (place, out.to_handle(t, 'venus_dec_handle(d, %s)' % out.obj(t))))
        elif role == 'partial':
            if self.partial_is_empty(t):
                return
            w('venus_dec_%s_partial(d, &%s);' % (t.name, place))
        elif self.world.is_packed(t):
            w('venus_dec_packed(d, &%s, 1, sizeof(%s));' % (place, place))
        elif tag is not None:
            w('venus_dec_%s(d, &%s, (uint32_t)%s);' % (t.name, place, tag))
        else:
            w('venus_dec_%s(d, &%s);' % (t.name, place))

    def partial_is_empty(self, t):
        """Whether nothing at all is sent of a plain struct that is an out parameter."""
        return not t.is_chained() and all(
            s.form == 'fixed' and s.is_scalar()
            or s.form == 'value' and (self.partial_is_empty(s.elem) if s.is_struct() else
                                      not s.is_handle() and not s.is_length)
            for s in self.world.shapes(t))

    def member(self, s, owner, role):
        """One member of a struct: @owner is 's->'; @role is full or partial."""
        w = self.w
        place = owner + s.name
        if s.form == 'never':
            w('venus_dec_null(d);')
        elif s.form == 'value':
            if role == 'partial' and not (s.is_handle() or s.is_struct() or s.is_length):
                return
            tag = owner + s.decl.selector if s.decl.selector else None
            self.element(s.elem, place, role, tag)
        elif s.form == 'fixed':
            if s.is_scalar():
                if role == 'partial':
                    return
                w('venus_dec_fixed(d, %d);' % s.count)
                w('venus_dec_packed(d, %s, %d, %d);' % (place, s.count, s.elem.size))
                if s.elem.name == 'char':
                    w('%s[%d] = 0;' % (place, s.count - 1))
            else:
                w('venus_dec_fixed(d, %d);' % s.count)
                if role == 'partial' and s.is_struct() and self.partial_is_empty(s.elem):
                    return
                if role == 'full' and self.world.is_packed(s.elem):
                    w('venus_dec_packed(d, %s, %d, sizeof(%s[0]));' % (place, s.count, place))
                    return
                w('for (uint32_t i = 0; i < %d; i++)' % s.count)
                self.element(s.elem, place + '[i]', role)
        elif s.form == 'string':
            w('%s = venus_dec_string(d, %s);' % (place, c_bool(s.null_ok)))
        elif s.form == 'strings':
            w('{')
            w('uint64_t n = venus_dec_count(d, %s, %s, 8);'
              % (out.count_of(s, owner), c_bool(s.null_ok)))
            w('%s = n ? venus_dec_strings(d, n) : NULL;' % place)
            w('}')
        elif s.form == 'single':
            self.single(s, place, role)
        elif s.form == 'array':
            self.array(s, place, owner, role)
        elif s.form == 'singles':
            self.singles(s, place, owner)
        elif s.form == 'arrays':
            self.arrays(s, place, owner)

    def single(self, s, place, role):
        w = self.w
        if s.null_ok:
            w('if (venus_dec_present(d)) {')
        else:
            w('if (!venus_dec_must(d))\nreturn;')
            w('{')
        w('%s *v = venus_dec_alloc(d, 1, sizeof(*v));' % s.elem.name)
        w('if (!v)\nreturn;')
        if not (role == 'partial' and s.is_scalar()):
            self.element(s.elem, '(*v)', role) if not s.is_struct() else self.pointee(s.elem, role)
        w('%s = v;' % place)
        w('}')

    def pointee(self, t, role):
        """Decodes the struct that v points to."""
        w = self.w
        if role == 'partial':
            if not self.partial_is_empty(t):
                w('venus_dec_%s_partial(d, v);' % t.name)
        elif self.world.is_packed(t):
            w('venus_dec_packed(d, v, 1, sizeof(*v));')
        else:
            w('venus_dec_%s(d, v);' % t.name)

    def array(self, s, place, owner, role, n='n'):
        """A counted array; with a name of its own the count outlives the statements."""
        w = self.w
        t = s.elem
        scoped = n == 'n'
        if t is not None and t.kind in ('scalar', 'enum') and t.size == 2:
            raise ValueError('arrays of 16-bit numbers have no form on the wire')
        empty = role == 'partial' and (t is None or s.is_scalar()
                                       or s.is_struct() and self.partial_is_empty(t))
        least = 0 if empty else self.wire_size(t, role)
        if scoped:
            w('{')
        w('uint64_t %s = venus_dec_count(d, %s, %s, %d);'
          % (n, out.count_of(s, owner), c_bool(s.null_ok), least))
        if t is None and role == 'full':
            w('%s = %s ? venus_dec_blob(d, %s) : NULL;' % (place, n, n))
        else:
            w('if (%s != 0) {' % n)
            if t is None:
                w('%s = venus_dec_alloc_out(d, %s);' % (place, n))
                w('if (!%s)\nreturn;' % place)
            else:
                w('%s *v = venus_dec_alloc(d, %s, sizeof(*v));' % (t.name, n))
                w('if (!v)\nreturn;')
                if not empty:
                    self.elements(t, n, role)
                w('%s = v;' % place)
            if role == 'partial' and scoped:
                self.room(s, owner)
            w('}')
        if scoped:
            w('}')

    def room(self, s, owner):
        """The driver may change the count of an array that it fills in."""
        count = out.count_of(s, owner)
        self.w('venus_dec_room(d, &%s, sizeof(%s), n);' % (count, count))

    def wire_size(self, t, role):
        if t is not None and t.kind in ('scalar', 'enum'):
            return t.size
        return self.world.min_elem(t, role == 'partial')

    def singles(self, s, place, owner):
        w = self.w
        w('{')
        w('uint64_t n = venus_dec_count(d, %s, %s, 8);'
          % (out.count_of(s, owner), c_bool(s.null_ok)))
        w('if (n != 0) {')
        w('const %s **pp = venus_dec_alloc(d, n, sizeof(*pp));' % s.elem.name)
        w('if (!pp)\nreturn;')
        w('for (uint64_t i = 0; i < n; i++) {')
        w('if (!venus_dec_must(d))\nreturn;')
        w('%s *v = venus_dec_alloc(d, 1, sizeof(*v));' % s.elem.name)
        w('if (!v)\nreturn;')
        self.pointee(s.elem, 'full')
        w('pp[i] = v;')
        w('}')
        w('%s = pp;' % place)
        w('}')
        w('}')

    def arrays(self, s, place, owner):
        w = self.w
        w('{')
        w('uint64_t n = venus_dec_count(d, %s, %s, 8);'
          % (out.count_of(s, owner), c_bool(s.null_ok)))
        w('if (n != 0) {')
        w('const %s **pp = venus_dec_alloc(d, n, sizeof(*pp));' % s.elem.name)
        w('if (!pp)\nreturn;')
        w('for (uint64_t i = 0; i < n; i++) {')
        w('uint64_t m = venus_dec_count(d, %s, false, %d);'
          % (owner + s.count2, self.wire_size(s.elem, 'full')))
        w('if (m == 0)\ncontinue;')
        w('%s *v = venus_dec_alloc(d, m, sizeof(*v));' % s.elem.name)
        w('if (!v)\nreturn;')
        if s.is_scalar() or self.world.is_packed(s.elem):
            w('venus_dec_packed(d, v, m, sizeof(*v));')
        else:
            w('for (uint64_t j = 0; j < m; j++)')
            self.element(s.elem, 'v[j]', 'full')
        w('pp[i] = v;')
        w('}')
        w('%s = pp;' % place)
        w('}')
        w('}')


def c_bool(x):
    return 'true' if x else 'false'



class Encoder:
    """Emits the statements that encode members in full."""

    def __init__(self, world, w, prefix='venus_enc'):
        self.world = world
        self.w = w
        self.prefix = prefix    # of the functions that encode structs

    def element(self, t, place, tag=None):
        w = self.w
        if t.kind in ('scalar', 'enum'):
            w(out.write_scalar(t, place))
        elif t.kind == 'handle':
            w('venus_enc_u64(e, %s);' % out.from_handle(place))
        elif self.world.is_packed(t):
            w('venus_enc_packed(e, &%s, 1, sizeof(%s));' % (place, place))
        elif tag is not None:
            w('%s_%s(e, &%s, (uint32_t)%s);' % (self.prefix, t.name, place, tag))
        else:
            w('%s_%s(e, &%s);' % (self.prefix, t.name, place))

    def elements(self, t, v, n):
        """@n elements from the pointer or array @v."""
        w = self.w
        if t is None:
            w('venus_enc_packed(e, %s, %s, 1);' % (v, n))
        elif t.kind in ('scalar', 'enum'):
            w('venus_enc_packed(e, %s, %s, %d);' % (v, n, t.size))
        elif self.world.is_packed(t):
            w('venus_enc_packed(e, %s, %s, sizeof(%s[0]));' % (v, n, v))
        else:
            w('for (uint64_t i = 0; i < %s; i++)' % n)
            self.element(t, v + '[i]')

    def member(self, s, owner):
        w = self.w
        place = owner + s.name
        if s.form == 'never':
            w('venus_enc_marker(e, false);')
        elif s.form == 'value':
            self.element(s.elem, place, owner + s.decl.selector if s.decl.selector else None)
        elif s.form == 'fixed':
            w('venus_enc_u64(e, %d);' % s.count)
            self.elements(s.elem, place, '%d' % s.count)
        elif s.form == 'string':
            w('%s_string(e, %s);' % (self.prefix, place))
        elif s.form == 'strings':
            w('%s_strings(e, %s, %s);' % (self.prefix, place, out.count_of(s, owner)))
        elif s.form == 'single':
            w('venus_enc_marker(e, %s != NULL);' % place)
            w('if (%s) {' % place)
            if s.is_struct() and not self.world.is_packed(s.elem):
                w('%s_%s(e, %s);' % (self.prefix, s.elem.name, place))
            else:
                self.element(s.elem, place + '[0]')
            w('}')
        elif s.form == 'array':
            self.array(s, place, out.count_of(s, owner))
        elif s.form == 'singles':
            n = out.count_of(s, owner)
            w('venus_enc_u64(e, %s ? %s : 0);' % (place, n))
            w('if (%s) {' % place)
            w('for (uint64_t i = 0; i < %s; i++) {' % n)
            w('venus_enc_marker(e, true);')
            w('%s_%s(e, %s[i]);' % (self.prefix, s.elem.name, place))
            w('}\n}')
        elif s.form == 'arrays':
            n, m = out.count_of(s, owner), owner + s.count2
            w('venus_enc_u64(e, %s ? %s : 0);' % (place, n))
            w('if (%s) {' % place)
            w('for (uint64_t i = 0; i < %s; i++) {' % n)
            w('venus_enc_u64(e, %s);' % m)
            w('venus_enc_packed(e, %s[i], %s, sizeof(%s[i][0]));' % (place, m, place))
            w('}\n}')

    def array(self, s, place, n):
        """A counted array; @n is its length if it is not NULL."""
        w = self.w
        w('venus_enc_u64(e, %s ? %s : 0);' % (place, n))
        w('if (%s) {' % place)
        self.elements(s.elem, place, n)
        w('}')


def chapter_of(name):
    for chapter, pattern in CHAPTERS:
        if re.match(pattern, name):
            return chapter
    raise ValueError('no chapter for %s' % name)


def assign(world):
    """Type name -> chapter: that of the first command which needs it; chains have their own."""
    where = {}

    def visit(t, chapter, role_full):
        if t.kind not in ('struct', 'union') or (t.name, role_full) in seen:
            return
        seen.add((t.name, role_full))
        name = chapter
        if t.is_chained() and re.match(r'VkPhysicalDevice.*Features', t.name):
            name = 'features'
        elif t.is_chained() and re.match(r'VkPhysicalDevice.*Properties', t.name):
            name = 'properties'
        where.setdefault(t.name, name)
        for s in world.shapes(t):
            if s.elem is not None and s.form != 'never':
                visit(s.elem, chapter, role_full)
        for node in world.chain(t):
            visit(node, chapter, role_full)

    seen = set()
    for c in world.live():
        for s in c.shapes:
            if s.elem is not None and s.form != 'never':
                visit(s.elem, chapter_of(c.name), s.direction == 'in')
    return where


def is_function(world, t):
    """Whether a type has functions of its own: packed ones are copied in place."""
    return t.kind == 'union' or not world.is_packed(t)


def decl_decode(t, partial=False):
    extra = ', uint32_t want' if t.kind == 'union' and has_selector(t) else ''
    return 'void venus_dec_%s%s(struct venus_dec *d, %s *s%s)' % (
        t.name, '_partial' if partial else '', t.name, extra)


def decl_encode(t, prefix='venus_enc'):
    extra = ', uint32_t tag' if t.kind == 'union' and has_selector(t) else ''
    return 'void %s_%s(struct venus_enc *e, const %s *s%s)' % (prefix, t.name, t.name, extra)


def has_selector(t):
    return any(m.selection for m in t.members)


def header(world, source):
    """venus_structs.h: the functions below."""
    w = Writer()
    w(out.head('Decoders and encoders of structs; "_partial" is for out parameters.', source))
    w('#ifndef PECTEN_VENUS_STRUCTS_H\n#define PECTEN_VENUS_STRUCTS_H\n')
    w('#include <vulkan/vulkan_core.h>\n')
    w('#include "venus/venus_mesa.h"\n')
    w('struct venus_dec;\nstruct venus_enc;\n')
    for t in by_name(world.full):
        if needs_decoder(world, t):
            w(decl_decode(t) + ';')
    w()
    for t in by_name(world.partial):
        if needs_partial(world, t):
            w(decl_decode(t, True) + ';')
    w()
    for t in by_name(world.reply):
        if needs_encoder(world, t):
            w(decl_encode(t) + ';')
    checked = [t for t in by_name(world.full) if t.name in table.CHECKED]
    if checked:
        w('\n/* By hand, see check.c: breaches that drivers do not survive. */')
    for t in checked:
        w('void venus_check_%s(struct venus_dec *d, const %s *s);' % (t.name, t.name))
    w('\n/* Every sType that may travel, ascending. */')
    w('#define VENUS_STYPE_COUNT %d\n' % len(all_chained(world)))
    w('extern const VkStructureType venus_stypes[VENUS_STYPE_COUNT];\n')
    w('#endif')
    return w.text()


def by_name(types):
    return sorted(types.values(), key=lambda t: t.name)


def by_stype(world, types):
    return sorted(types, key=lambda t: world.reg.constant(t.stype))


def all_chained(world):
    types = {**world.full, **world.partial}
    return by_stype(world, [t for t in types.values() if t.is_chained()])


def all_nodes(world):
    return by_stype(world, {**world.in_nodes, **world.out_nodes}.values())


def needs_decoder(world, t):
    if t.is_chained():
        return t.name in world.in_roots
    return is_function(world, t)


def needs_partial(world, t):
    if t.is_chained():
        return t.name in world.out_roots
    return not Decoder(world, None).partial_is_empty(t)


def needs_encoder(world, t):
    if t.is_chained():
        return t.name in world.out_roots
    return is_function(world, t)


def members(world, t):
    return [s for s in world.shapes(t) if s.form not in ('stype', 'pnext')]


def mark_unused(w, at, *names):
    """Casts parameters to void that the lines from @at on do not mention."""
    text = '\n'.join(w.lines[at:])
    for n in names:
        if not re.search(r'\b%s\b' % n, text):
            w('(void)%s;' % n)


def checks(w, t):
    """What drivers take for granted of @t, all of whose members are decoded."""
    for limit, first, count in table.RANGES.get(t.name, []):
        w('venus_check_range(d, VENUS_LIMIT_%s, %s, %s);'
          % (limit, *(n if n.isdigit() else 's->' + n for n in (first, count))))
    if t.name in table.CHECKED:
        w('venus_check_%s(d, s);' % t.name)


def struct_decoder(world, w, t, role):
    """Functions that decode @t: its members for chains, and the whole."""
    partial = role == 'partial'
    is_node = t.name in (world.out_nodes if partial else world.in_nodes)
    alone = needs_partial(world, t) if partial else needs_decoder(world, t)
    dec = Decoder(world, w)

    def emit_members():
        start = len(w.lines)
        for s in members(world, t):
            dec.member(s, 's->', role)
        if role == 'full':
            checks(w, t)
        return len(w.lines) > start

    if is_node:
        w('void venus_members_%s%s(struct venus_dec *d, void *to)\n{'
          % (t.name, '_partial' if partial else ''))
        at = len(w.lines)
        w('%s *s = to;\n' % t.name)
        if not emit_members():
            del w.lines[at:]
            w('(void)d;\n(void)to;')
        else:
            mark_unused(w, at + 1, 's')
        w('}\n')
    if not alone:
        return
    w('%s\n{' % decl_decode(t, partial))
    if t.is_chained():
        w('venus_dec_stype(d, %s);' % t.stype)
        w('s->sType = %s;' % t.stype)
        if world.chain(t):
            w('s->pNext = venus_dec_next(d, &venus_root_%s, %s);' % (t.name, c_bool(partial)))
        else:
            w('venus_dec_null(d);')
        if is_node:
            w('venus_members_%s%s(d, s);' % (t.name, '_partial' if partial else ''))
            w('}\n')
            return
    at = len(w.lines)
    emit_members()
    if not t.is_chained():
        mark_unused(w, at, 's')
    w('}\n')


def union_decoder(world, w, t):
    dec = Decoder(world, w)
    w('%s\n{' % decl_decode(t))
    selected = has_selector(t)
    w('uint32_t tag = venus_dec_u32(d);\n')
    if selected:
        w('if (tag != want) {')
        w('venus_dec_fatal(d, "has a %s that is not what its owner says");' % t.name)
        w('return;\n}')
    w('switch (tag) {')
    for i, s in enumerate(world.shapes(t)):
        if not world.union_member_sendable(s):
            continue
        for case in union_cases(world, s, i):
            w('case %s:' % case)
        dec.member(s, 's->', 'full')
        w('break;')
    w('default:')
    w('venus_dec_fatal(d, "has a %s of an unknown kind");' % t.name)
    w('}\n}\n')


def union_cases(world, s, index):
    """Tags that select a member; values unknown to the headers are left out."""
    if not s.decl.selection:
        return ['%d' % index]
    return [v for v in s.decl.selection if v in world.reg.constants]


def struct_encoder(world, w, t, prefix='venus_enc'):
    enc = Encoder(world, w, prefix)

    def emit_members():
        start = len(w.lines)
        for s in members(world, t):
            enc.member(s, 's->')
        return len(w.lines) > start

    is_node = t.name in world.out_nodes
    if is_node:
        w('void venus_reply_%s(struct venus_enc *e, const void *from)\n{' % t.name)
        at = len(w.lines)
        w('const %s *s = from;\n' % t.name)
        if not emit_members():
            del w.lines[at:]
            w('(void)e;\n(void)from;')
        w('}\n')
    if not needs_encoder(world, t):
        return
    w('%s\n{' % decl_encode(t, prefix))
    if t.is_chained():
        w('venus_enc_i32(e, (int32_t)s->sType);')
        w('venus_enc_chain(e, s->pNext);')
    emit_members()
    w('}\n')


def chains_header(world, source):
    """venus_chains.h: what generated files share among each other."""
    w = Writer()
    w(out.head('Roots and nodes of pNext chains, for generated code alone.', source))
    w('#ifndef PECTEN_VENUS_CHAINS_H\n#define PECTEN_VENUS_CHAINS_H\n')
    w('#include "venus/pnext.h"\n')
    for name in sorted(set(world.in_roots) | set(world.out_roots)):
        if world.chain(world.reg.type(name)):
            w('extern const struct venus_root venus_root_%s;' % name)
    w()
    for t in by_name(world.in_nodes):
        w('void venus_members_%s(struct venus_dec *d, void *to);' % t.name)
    for t in by_name(world.out_nodes):
        w('void venus_members_%s_partial(struct venus_dec *d, void *to);' % t.name)
        w('void venus_reply_%s(struct venus_enc *e, const void *from);' % t.name)
    w('\n#endif')
    return w.text()


def chains_source(world, source):
    """venus_chains.c: the tables."""
    nodes = all_nodes(world)
    index = {t.name: i for i, t in enumerate(nodes)}
    w = Writer()
    w(out.head('Which structs may be chained to which.', source))
    w('#include "venus/venus_chains.h"\n')
    w('#include "venus/venus_structs.h"\n')
    w('const struct venus_node venus_nodes[] = {')
    for t in nodes:
        w('{ %s, sizeof(%s), %s, "%s",' % (t.stype, t.name, c_bool(t.allows_duplicate), t.name))
        w('\t%s, %s, %s },' % (
            'venus_members_' + t.name if t.name in world.in_nodes else 'NULL',
            'venus_members_%s_partial' % t.name if t.name in world.out_nodes else 'NULL',
            'venus_reply_' + t.name if t.name in world.out_nodes else 'NULL'))
    w('};')
    w('const unsigned venus_node_count = %d;\n' % len(nodes))
    w('_Static_assert(%d <= VENUS_NODES_MAX, "more nodes than venus_dec_chain() can tell apart");'
      % len(nodes))
    w('_Static_assert(sizeof(void *) == 8, "handles and sizes are 64 bits wide");\n')
    for name in sorted(set(world.in_roots) | set(world.out_roots)):
        chain = world.chain(world.reg.type(name))
        if not chain:
            continue
        w('static const uint16_t nodes_%s[] = {' % name)
        row = ['%d,' % index[t.name] for t in chain]
        for i in range(0, len(row), 16):
            w(' '.join(row[i:i + 16]))
        w('};')
        w('const struct venus_root venus_root_%s = { "%s", nodes_%s, %d };\n'
          % (name, name, name, len(chain)))
    w('const VkStructureType venus_stypes[VENUS_STYPE_COUNT] = {')
    for t in all_chained(world):
        w('%s,' % t.stype)
    w('};\n')
    packed = [t for t in by_name({**world.full, **world.partial}) if world.is_packed(t)]
    w('/* These are copied as they are: C lays them out as they travel. */')
    for t in packed:
        w('_Static_assert(sizeof(%s) == %d, "is copied as a whole");'
          % (t.name, world.layout(t)[0]))
    return w.text()


def files(world, source):
    where = assign(world)
    result = {
        'venus_structs.h': header(world, source),
        'venus_chains.h': chains_header(world, source),
        'venus_chains.c': chains_source(world, source),
    }
    types = {**world.full, **world.partial}
    for chapter in [c for c, _ in CHAPTERS] + ['features', 'properties']:
        w = Writer()
        w(out.head('Structs first seen in commands of the chapter "%s".' % chapter, source))
        w('#include "venus/venus_chains.h"\n#include "venus/venus_structs.h"\n')
        for name in sorted(n for n in types if where[n] == chapter):
            t = types[name]
            if t.kind == 'union':
                union_decoder(world, w, t)
                continue
            if name in world.full:
                struct_decoder(world, w, t, 'full')
            if name in world.partial:
                struct_decoder(world, w, t, 'partial')
                struct_encoder(world, w, t)
        result['venus_structs_%s.c' % chapter] = w.text()
    return result
