# SPDX-License-Identifier: Apache-2.0
"""One function for each command: decodes the parameters, executes, answers; and the table."""

import re

from . import commands as table
from . import header, out, structs
from .out import Writer
from .structs import Decoder, Encoder, c_bool
from .wire import IN, INOUT


class ArgDecoder(Decoder):
    """Decodes parameters: into struct venus_args_X (owner 'a.') or into locals (owner '')."""

    def __init__(self, world, w, command):
        super().__init__(world, w)
        self.command = command
        self.owner = 'a.' if command.cls == 'hand' else ''
        self.by_hand = command.cls == 'hand'

    def declare(self, s):
        """Local variable of a parameter, with its value if that is one expression."""
        w = self.w
        t = s.elem
        if s.form == 'fixed':
            w('%s %s[%d] = { 0 };' % (t.name, s.name, s.count))
        elif s.form == 'string':
            w('const char *%s = NULL;' % s.name)
        elif s.is_blob():
            w('void *%s = NULL;' % s.name)
        elif s.form in ('arrays', 'singles'):
            w('const %s **%s = NULL;' % (t.name, s.name))
        elif s.form in ('array', 'single'):
            w('%s *%s = NULL;' % (t.name, s.name))

    def param(self, s, is_first):
        w = self.w
        place = self.owner + s.name
        t = s.elem
        if s.form == 'never':
            w('venus_dec_null(d);')
            return
        if is_first and self.command.first_handle():
            self.first(t, place)
            return
        if not self.by_hand:
            self.declare(s)
        if s.form == 'value':
            lead = '' if self.by_hand else t.name + ' '
            if t.kind == 'handle' and self.by_hand:
                w('%s = venus_dec_obj(d, %s);' % (place, out.obj(t)))
            else:
                self.element(t, lead + place, 'full')
        elif s.direction != IN and s.is_handle() and self.by_hand:
            self.ids(s, place)
        elif s.is_handle() and s.form == 'array' and self.by_hand:
            self.objects(s, place)
        elif s.direction == IN:
            self.member(s, self.owner, 'full')
        elif s.direction == INOUT:
            self.member(s, self.owner, 'full')
        elif s.form == 'array':
            self.array(s, place, self.owner, 'partial', 'n_' + s.name)
        else:
            self.member(s, self.owner, 'partial')

    def first(self, t, place):
        w = self.w
        if self.by_hand:
            w('%s = venus_dec_first(d, %s);' % (place, out.obj(t)))
            w('if (!%s)\nreturn;' % place)
        else:
            w('struct venus_obj *first = venus_dec_first(d, %s);' % out.obj(t))
            w('if (!first)\nreturn;')
            w('%s %s = %s;' % (t.name, place, out.to_handle(t, 'first->handle')))

    def ids(self, s, place):
        """Ids that the guest chose for objects to come."""
        w = self.w
        if s.form == 'single':
            if s.null_ok:
                w('if (venus_dec_present(d)) {')
            else:
                w('if (!venus_dec_must(d))\nreturn;\n{')
            w('%s = venus_dec_alloc(d, 1, sizeof(*%s));' % (place, place))
            w('if (!%s)\nreturn;' % place)
            w('*%s = venus_dec_new_id(d);' % place)
            w('}')
            return
        w('uint64_t n_%s = venus_dec_count(d, %s, %s, 8);'
          % (s.name, out.count_of(s, self.owner), c_bool(s.null_ok)))
        w('if (n_%s != 0) {' % s.name)
        w('%s = venus_dec_alloc(d, n_%s, sizeof(*%s));' % (place, s.name, place))
        w('if (!%s)\nreturn;' % place)
        w('venus_dec_packed(d, %s, n_%s, 8);' % (place, s.name))
        w('}')

    def objects(self, s, place):
        """Records of an array of objects."""
        w = self.w
        w('{')
        w('uint64_t n = venus_dec_count(d, %s, %s, 8);'
          % (out.count_of(s, self.owner), c_bool(s.null_ok)))
        w('if (n != 0) {')
        w('%s = venus_dec_alloc(d, n, sizeof(*%s));' % (place, place))
        w('if (!%s)\nreturn;' % place)
        w('for (uint64_t i = 0; i < n; i++)')
        w('%s[i] = venus_dec_obj(d, %s);' % (place, out.obj(s.elem)))
        w('}\n}')


class ReplyEncoder(Encoder):
    """Encodes what a command returns."""

    def param(self, s, owner, by_hand):
        w = self.w
        place = owner + s.name
        if s.is_handle() and by_hand:
            if s.form == 'single':
                w('venus_enc_marker(&e, %s != NULL);' % place)
                w('if (%s)\nvenus_enc_u64(&e, *%s);' % (place, place))
            else:
                w('venus_enc_u64(&e, n_%s);' % s.name)
                w('if (n_%s != 0)\nvenus_enc_packed(&e, %s, n_%s, 8);' % (s.name, place, s.name))
            return
        start = len(w.lines)
        if s.form == 'array':
            w('venus_enc_u64(e, n_%s);' % s.name)
            w('if (n_%s != 0) {' % s.name)
            self.elements(s.elem, place, 'n_' + s.name)
            w('}')
        else:
            self.member(s, owner)
        for i in range(start, len(w.lines)):
            w.lines[i] = re.sub(r'\(e([,)])', r'(&e\1', w.lines[i])


def count_parameter(c, s):
    """The in/out parameter that counts the elements of the out array @s, or None."""
    for other in c.shapes:
        if other.direction == INOUT and s.count == '*%s' + other.name:
            return other
    return None


def clamp(c, w, owner):
    """A driver that returns fewer elements says so; it never gets to return more."""
    for s in c.outs():
        if s.form != 'array':
            continue
        n = count_parameter(c, s)
        if n is None:
            continue
        w('if (%s%s) {' % (owner, s.name))
        w('if (*%s%s > n_%s)' % (owner, n.name, s.name))
        w('*%s%s = (%s)n_%s;' % (owner, n.name, n.elem.name, s.name))
        w('n_%s = *%s%s;' % (s.name, owner, n.name))
        w('}')


def reply(world, c, w, owner, ret):
    """The end of a command: an answer if one is wanted, else word of a lost device."""
    by_hand = c.cls == 'hand'
    enc = ReplyEncoder(world, w)
    w('if (cmd_flags & VENUS_CMD_REPLY) {')
    w('struct venus_enc e;\n')
    w('if (!venus_reply_begin(d, &e, VENUS_CMD_%s))\nreturn;' % c.name)
    if ret:
        rtype = c.command.ret
        w(out.write_scalar(rtype, ret).replace('(e,', '(&e,'))
    for s in c.outs():
        if c.cls == 'create' and s.is_handle():
            w('venus_enc_marker(&e, true);\nvenus_enc_u64(&e, id);')
        else:
            enc.param(s, owner, by_hand)
    w('venus_reply_end(d, &e);')
    if c.loses_device:
        w('} else if (%s == VK_ERROR_DEVICE_LOST) {' % ret)
        w('venus_dec_device_lost(d);')
    w('}')


def arguments(c):
    """What the driver's function is called with, as C."""
    args = []
    for i, s in enumerate(c.shapes):
        if s.form == 'never':
            args.append('NULL')
        elif (c.name, s.name) in table.STRIDE_IS_SIZEOF:
            args.append('sizeof(%s)' % table.STRIDE_IS_SIZEOF[(c.name, s.name)])
        elif c.cls == 'create' and s.direction != IN and s.is_handle():
            args.append('&made')
        else:
            args.append(s.name)
    return ', '.join(args)


def driver(c):
    return 'venus_dec_vki(d)' if c.is_instance_level() else '&d->dev->vk'


def need_function(c, w):
    w('const struct %s *vk = %s;' % ('venus_vki' if c.is_instance_level() else 'venus_vkd',
                                     driver(c)))
    w('if (unlikely(!vk->%s)) {' % c.short)
    w('venus_dec_fatal(d, "is nothing that the host\'s driver offers");')
    w('return;\n}')


def run_hand(world, c, w):
    dec = ArgDecoder(world, w, c)
    w('void venus_run_%s(struct venus_dec *d, uint32_t cmd_flags)\n{' % c.name)
    w('struct venus_args_%s a = { 0 };\n' % c.name)
    for i, s in enumerate(c.shapes):
        dec.param(s, i == 0)
    w('if (d->failed)\nreturn;')
    w('venus_do_%s(d, &a);' % c.name)
    w('if (d->failed)\nreturn;')
    clamp(c, w, 'a.')
    reply(world, c, w, 'a.', 'a.ret' if c.command.ret.kind != 'void' else None)
    w('}\n')


def run_generic(world, c, w):
    dec = ArgDecoder(world, w, c)
    w('void venus_run_%s(struct venus_dec *d, uint32_t cmd_flags)\n{' % c.name)
    for i, s in enumerate(c.shapes):
        dec.param(s, i == 0)
    for s in c.shapes:
        if (c.name, s.name) in table.STRIDE_IS_SIZEOF:
            w('(void)%s;' % s.name)
    w('if (d->failed)\nreturn;')
    need_function(c, w)
    for limit, first, count in table.RANGES.get(c.name, []):
        w('if (!venus_check_range(d, VENUS_LIMIT_%s, %s, %s))\nreturn;' % (limit, first, count))
    call = 'vk->%s(%s);' % (c.short, arguments(c))
    if c.command.ret.kind == 'void':
        w(call)
    else:
        w('%s ret = %s' % (c.command.ret.name, call))
    clamp(c, w, '')
    reply(world, c, w, '', 'ret' if c.command.ret.kind != 'void' else None)
    w('}\n')


def run_create(world, c, w):
    dec = ArgDecoder(world, w, c)
    made = c.outs()[0]
    w('void venus_run_%s(struct venus_dec *d, uint32_t cmd_flags)\n{' % c.name)
    for i, s in enumerate(c.shapes):
        if s is made:
            w('if (!venus_dec_must(d))\nreturn;')
            w('uint64_t id = venus_dec_new_id(d);')
        else:
            dec.param(s, i == 0)
    w('if (d->failed)\nreturn;')
    need_function(c, w)
    w('struct venus_obj *o = venus_obj_reserve(d, id, %s, sizeof(*o));' % out.obj(made.elem))
    w('if (!o)\nreturn;')
    w('%s made = VK_NULL_HANDLE;' % made.elem.name)
    call = 'vk->%s(%s);' % (c.short, arguments(c))
    if c.name in table.KEPT:
        w('VkResult ret = VK_ERROR_OUT_OF_HOST_MEMORY;')
        w('if (venus_obj_weigh(d, o, %s))\nret = %s' % (table.KEPT[c.name], call))
    else:
        w('VkResult ret = ' + call)
    w('if (ret >= 0 && made != VK_NULL_HANDLE)')
    w('venus_obj_publish(d, o, (uint64_t)(uintptr_t)made, NULL);')
    w('else')
    w('venus_obj_cancel(d, o);')
    reply(world, c, w, '', 'ret')
    w('}\n')


def run_destroy(world, c, w):
    t = c.shapes[1].elem
    w('void venus_run_%s(struct venus_dec *d, uint32_t cmd_flags)\n{' % c.name)
    dec = ArgDecoder(world, w, c)
    dec.param(c.shapes[0], True)
    w('struct venus_obj *o = venus_dec_obj(d, %s);' % out.obj(t))
    w('venus_dec_null(d);')
    w('if (d->failed)\nreturn;')
    need_function(c, w)
    w('if (o && venus_obj_remove(d, o))')
    w('vk->%s(%s, %s, NULL);' % (c.short, c.shapes[0].name, out.to_handle(t, 'o->handle')))
    reply(world, c, w, '', None)
    w('}\n')


RUN = {'hand': run_hand, 'generic': run_generic, 'create': run_create, 'destroy': run_destroy}


def run_header(world, source):
    """venus_run.h: the functions of the command table."""
    w = Writer()
    w(out.head('Functions that decode and execute commands, for the table alone.', source))
    w('#ifndef PECTEN_VENUS_RUN_H\n#define PECTEN_VENUS_RUN_H\n')
    w('#include "venus/venus_gen.h"\n')
    for c in world.live():
        w('void venus_run_%s(struct venus_dec *d, uint32_t cmd_flags);' % c.name)
    w('\n#endif')
    return w.text()


def command_table(world, source):
    """venus_cmds.c: the command table and the list of extensions."""
    w = Writer()
    w(out.head('Which commands and extensions there are.', source))
    w('#include "venus/venus_run.h"\n')
    w('#include <stddef.h>\n')
    w('const struct venus_cmd venus_cmds[VENUS_CMD_COUNT] = {')
    rows = {c.number: (c.name, c) for c in world.commands}
    rows.update({n: (name, None) for n, name in table.RETIRED.items()
                 if n < max(rows)})
    for number in sorted(rows):
        name, c = rows[number]
        if c is None or c.cls == 'refused':
            w('[%d] = { "%s", NULL, 0 },' % (number, name))
        else:
            w('[%d] = { "%s", venus_run_%s, %s },' % (number, name, name, c.level))
    w('};\n')
    w('const struct venus_ext venus_exts[] = {')
    rows = header.ext_rows(world)
    for name, number, version, is_device in rows:
        w('{ "%s", %d, %d, %s },' % (name, number, version, c_bool(is_device)))
    w('};')
    w('const unsigned venus_ext_count = %d;' % len(rows))
    return w.text()


def files(world, source):
    result = {'venus_run.h': run_header(world, source), 'venus_cmds.c': command_table(world, source)}
    for chapter, _ in structs.CHAPTERS:
        w = Writer()
        w(out.head('Commands of the chapter "%s".' % chapter, source))
        w('#include "venus/venus_run.h"\n')
        w('#include "venus/dev.h"\n#include "venus/enc.h"\n#include "venus/venus_chains.h"\n')
        for c in world.live():
            if structs.chapter_of(c.name) == chapter:
                RUN[c.cls](world, c, w)
        result['venus_cmds_%s.c' % chapter] = w.text()
    return result
