# SPDX-License-Identifier: Apache-2.0
"""The guest's side, for tests: tables that an interpreter reads, and calls of the right types.

Also the ends of the round trip: functions of a driver that hands what it is called with to a test.
"""

import re

from . import commands as table
from . import out
from .out import Writer
from .runner import driver
from .structs import by_name, c_bool, members, union_cases
from .wire import IN, INOUT, OUT

FORMS = {f: 'VNC_' + f.upper() for f in
         ('value', 'fixed', 'string', 'strings', 'array', 'single', 'singles', 'arrays', 'never')}


def elem(s):
    if s.elem is None:
        return 'VNC_BLOB'
    if s.elem.kind in ('scalar', 'enum'):
        return 'VNC_SCALAR'
    return {'handle': 'VNC_HANDLE', 'struct': 'VNC_STRUCT', 'union': 'VNC_STRUCT',
            'void': 'VNC_BLOB'}.get(s.elem.kind, 'VNC_SCALAR')


def length(world, s, fields):
    """Designated initialisers that say how long an array is."""
    if not s.count or s.form == 'fixed':
        return []
    names = [f.name for f in fields]
    text = s.count.replace('%s', '')
    if not re.search(r'%s', s.count):
        value = eval(re.sub(r'[A-Z_][A-Z0-9_]+',  # pylint: disable=eval-used
                            lambda m: str(world.reg.constant(m.group(0))), text))
        return ['.len = VNC_LEN_CONST', '.len_field = %d' % value]
    pointer, arrow, member = text.partition('->')
    if arrow:
        f = fields[names.index(pointer)]
        return ['.len = VNC_LEN_MEMBER', '.len_field = %d' % names.index(pointer),
                '.len_offset = offsetof(%s, %s)' % (f.elem.name, member)]
    for pattern, kind in ((r'(\w+)', 'FIELD'), (r'\*(\w+)', 'DEREF'), (r'(\w+) / 4', 'DIV4'),
                          (r'\((\w+) \+ 31\) / 32', 'ROUND32')):
        m = re.fullmatch(pattern, text)
        if m:
            return ['.len = VNC_LEN_' + kind, '.len_field = %d' % names.index(m.group(1))]
    raise ValueError('no way to say the length "%s"' % text)


def field(world, s, fields, offset, index, union=None):
    parts = ['.name = "%s"' % s.name, '.form = ' + FORMS[s.form], '.elem = ' + elem(s),
             '.offset = ' + offset]
    if s.direction != IN:
        parts.append('.dir = ' + {OUT: 'VNC_OUT', INOUT: 'VNC_INOUT'}[s.direction])
    if s.null_ok:
        parts.append('.null_ok = true')
    if s.is_length:
        parts.append('.is_length = true')
    if s.is_scalar():
        parts.append('.size = %d' % s.elem.size)
    if s.is_handle():
        parts.append('.objtype = ' + out.obj(s.elem))
    if s.is_struct() and s.form != 'never':
        parts.append('.type = &vnc_' + s.elem.name)
    if s.form == 'fixed':
        parts.append('.count = %d' % s.count)
        if union is None and offset.isdigit():
            parts.append('.by_pointer = true')
    parts += length(world, s, fields)
    if s.count2:
        infos, member = re.match(r'(\w+)\[i\]\.(\w+)$', s.count2).groups()
        names = [f.name for f in fields]
        f = fields[names.index(infos)]
        parts += ['.len2_field = %d' % names.index(infos),
                  '.len_offset = offsetof(%s, %s)' % (f.elem.name, member)]
    sel = -1
    if s.decl.selector:
        sel = [f.name for f in fields].index(s.decl.selector)
    parts.append('.selector = %d' % sel)
    if union:
        tags = union_cases(world, s, index)
        parts += ['.tags = (const int32_t[]){ %s }' % ', '.join(tags),
                  '.tags_count = %d' % len(tags)]
    return '{ %s },' % ', '.join(parts)


def tables_header(world, source):
    w = Writer()
    w(out.head("Vulkan's structs and commands as tables, for tests.", source))
    w('#ifndef PECTEN_VNC_TABLES_H\n#define PECTEN_VNC_TABLES_H\n')
    w('#include "client/vnc.h"\n')
    for t in by_name({**world.full, **world.partial}):
        w('extern const struct vnc_struct vnc_%s;' % t.name)
    w('\n#endif')
    return w.text()


def structs_source(world, source, part):
    """One half of the structs: those that begin with VkPhysicalDevice, or the others."""
    w = Writer()
    w(out.head("Vulkan's structs as tables, for tests.", source))
    w('#include "venus/vnc_tables.h"\n')
    w('#include <stddef.h>\n')
    w('#include "venus/venus_mesa.h"\n')
    types = by_name({**world.full, **world.partial})
    for t in types:
        if t.name.startswith('VkPhysicalDevice') != (part == 'physical'):
            continue
        fields = members(world, t)
        if t.kind == 'union':
            rows = [(i, s) for i, s in enumerate(fields) if world.union_member_sendable(s)]
        else:
            rows = list(enumerate(fields))
        if rows:
            w('static const struct vnc_field fields_%s[] = {' % t.name)
            for i, s in rows:
                w(field(world, s, fields, 'offsetof(%s, %s)' % (t.name, s.name), i,
                        t if t.kind == 'union' else None))
            w('};')
        nodes = world.chain(t) if t.name in world.in_roots or t.name in world.out_roots else []
        if nodes:
            w('static const struct vnc_struct *const nodes_%s[] = {' % t.name)
            for n in nodes:
                w('&vnc_%s,' % n.name)
            w('};')
        w('const struct vnc_struct vnc_%s = {' % t.name)
        w('.name = "%s",\n.size = sizeof(%s),' % (t.name, t.name))
        w('.stype = %s,' % (t.stype or 'VK_STRUCTURE_TYPE_MAX_ENUM'))
        w('.is_union = %s,' % c_bool(t.kind == 'union'))
        if rows:
            w('.fields_count = %d,\n.fields = fields_%s,' % (len(rows), t.name))
        if nodes:
            w('.nodes_count = %d,\n.nodes = nodes_%s,' % (len(nodes), t.name))
        w('};\n')
    if part == 'physical':
        return w.text()
    w('const struct vnc_struct *const vnc_structs[] = {')
    for t in types:
        w('&vnc_%s,' % t.name)
    w('};')
    w('const unsigned vnc_struct_count = %d;' % len(types))
    return w.text()


def commands_source(world, source):
    w = Writer()
    w(out.head("Vulkan's commands as tables, for tests.", source))
    w('#include "venus/vnc_tables.h"\n')
    w('#include <stddef.h>\n')
    w('#include "venus/venus_mesa.h"\n')
    for c in world.live():
        w('static const struct vnc_field fields_%s[] = {' % c.name)
        for i, s in enumerate(c.shapes):
            w(field(world, s, c.shapes, '%d' % (8 * i), i))
        w('};')
    w('\nconst struct vnc_cmd vnc_cmds[] = {')
    for c in world.live():
        ret = c.command.ret
        w('{ "%s", %d, %d, %d, fields_%s },'
          % (c.name, c.number, max(ret.size, 4) if ret.kind != 'void' else 0, len(c.shapes),
             c.name) if c.shapes else
          '{ "%s", %d, %d, 0, NULL },' % (c.name, c.number, 0))
    w('};')
    w('const unsigned vnc_cmd_count = %d;' % len(world.live()))
    return w.text()


def parameters(c):
    """C parameters of a command, as its prototype has them."""
    out_list = []
    for s, p in zip(c.shapes, c.command.params):
        if p.dims:
            out_list.append('%s%s %s[%s]' % ('const ' if p.is_const else '', p.type_name, p.name,
                                             p.dims[0]))
        elif p.depth == 2:
            out_list.append('const %s *const *%s' % (p.type_name, p.name))
        else:
            out_list.append('%s%s %s%s' % ('const ' if p.is_const else '', p.type_name,
                                           '*' * p.depth, p.name))
        del s
    return ', '.join(out_list)


def slot(s, p):
    """A parameter as 64 bits."""
    if p.depth or p.dims or s.is_handle():
        return '(uint64_t)(uintptr_t)%s' % p.name
    if s.elem.scalar in ('f32', 'f64'):
        return 'vnc_float_slot(&%s, sizeof(%s))' % (p.name, p.name)
    if s.elem.scalar == 'i32':
        return '(uint32_t)%s' % p.name
    return p.name


def calls_header(world, source):
    w = Writer()
    w(out.head('Requests and replies with the types of Vulkan, for tests.', source))
    w('#ifndef PECTEN_VNC_CALLS_H\n#define PECTEN_VNC_CALLS_H\n')
    w('#include "client/vnc.h"\n#include "venus/venus_mesa.h"\n')
    w('#include <string.h>\n')
    w('static inline uint64_t vnc_float_slot(const void *f, size_t size)\n{')
    w('uint64_t v = 0;\n\nmemcpy(&v, f, size);\nreturn v;\n}\n')
    for i, c in enumerate(world.live()):
        ret = c.command.ret
        slots = ', '.join(slot(s, p) for s, p in zip(c.shapes, c.command.params))
        w('static inline void vnc_%s(struct vnc_buf *b, bool wants_reply, %s)\n{'
          % (c.name, parameters(c)))
        w('const uint64_t s[] = { %s };\n' % slots)
        w('vnc_request(b, &vnc_cmds[%d], s, wants_reply);' % i)
        w('}\n')
        w('static inline %s vnc_reply_%s(struct vnc_view *v, %s)\n{'
          % (ret.name, c.name, parameters(c)))
        w('const uint64_t s[] = { %s };\n' % slots)
        w('%svnc_reply(v, &vnc_cmds[%d], s);'
          % ('' if ret.kind == 'void' else 'return (%s)' % ret.name, i))
        w('}\n')
    w('#endif')
    return w.text()


def check_source(world, source):
    """The far ends of the round trip: a driver and handlers that report to the test."""
    w = Writer()
    w(out.head('A driver and handlers that report their arguments to a test.', source))
    w('#include "client/vnt.h"\n')
    w('#include "venus/dev.h"\n#include "venus/venus_gen.h"\n#include "venus/vnc_calls.h"\n')
    for i, c in enumerate(world.live()):
        ret = c.command.ret
        back = '' if ret.kind == 'void' else 'return (%s)' % ret.name
        if c.cls == 'hand':
            w('void venus_do_%s(struct venus_dec *d, struct venus_args_%s *a)\n{'
              % (c.name, c.name))
            w('uint64_t s[] = { %s };\n' % ', '.join(hand_slot(s) for s in c.shapes))
            w('(void)d;')
            if not any(s.form != 'never' for s in c.shapes):
                w('(void)a;')
            call = 'vnt_called(&vnc_cmds[%d], s);' % i
            w(call if ret.kind == 'void' else 'a->ret = (%s)%s' % (ret.name, call))
            w('}\n')
            continue
        w('static VKAPI_ATTR %s VKAPI_CALL fake_%s(%s)\n{' % (ret.name, c.name, parameters(c)))
        slots = ', '.join(slot(s, p) for s, p in zip(c.shapes, c.command.params))
        w('uint64_t s[] = { %s };\n' % slots)
        for j, s in enumerate(c.shapes):
            if (c.name, s.name) in table.STRIDE_IS_SIZEOF:
                w('if (%s == sizeof(%s))' % (s.name, table.STRIDE_IS_SIZEOF[(c.name, s.name)]))
                w('s[%d] = vnt_sent(%d);' % (j, j))
        w('%svnt_called(&vnc_cmds[%d], s);' % (back + ' ' if back else '', i))
        w('}\n')
    w('void vnt_fake(struct venus_vki *vki, struct venus_vkd *vkd)\n{')
    for c in world.live():
        if c.cls != 'hand':
            w('%s->%s = fake_%s;' % ('vki' if driver(c).startswith('venus') else 'vkd', c.short,
                                     c.name))
    w('}\n')
    w('bool vnt_is_create(const struct vnc_cmd *cmd)\n{')
    for cls in ('create',):
        w('switch (cmd->number) {')
        for c in world.live():
            if c.cls == cls:
                w('case %d:' % c.number)
        w('return true;\ndefault:\nreturn false;\n}')
    w('}\n')
    w('bool vnt_is_destroy(const struct vnc_cmd *cmd)\n{')
    w('switch (cmd->number) {')
    for c in world.live():
        if c.cls == 'destroy':
            w('case %d:' % c.number)
    w('return true;\ndefault:\nreturn false;\n}')
    w('}')
    return w.text()


def hand_slot(s):
    name = 'a->' + s.name
    if s.form == 'never':
        return '0'
    if s.is_handle():
        if s.direction != IN:
            return '(uint64_t)(uintptr_t)%s' % name
        if s.form == 'value':
            return 'vnt_handle(%s)' % name
        return 'vnt_handles(%s, %s)' % (name, out.count_of(s, 'a->'))
    if s.form == 'value':
        if s.elem.scalar == 'i32':
            return '(uint32_t)%s' % name
        return name
    return '(uint64_t)(uintptr_t)%s' % name


def files(world, source):
    return {
        'vnc_tables.h': tables_header(world, source),
        'vnc_structs.c': structs_source(world, source, 'other'),
        'vnc_physical.c': structs_source(world, source, 'physical'),
        'vnc_cmds.c': commands_source(world, source),
        'vnc_calls.h': calls_header(world, source),
        'vnt_check.c': check_source(world, source),
    }
