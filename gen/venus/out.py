# SPDX-License-Identifier: Apache-2.0
"""Writes C text: indentation, file heads, names and expressions that all emitters share."""

from .wire import IN

OBJTYPE_MISSING = 'VK_OBJECT_TYPE_UNKNOWN'


class Writer:
    """Lines of C, indented with tabs by the braces they hold."""

    def __init__(self):
        self.lines = []
        self.depth = 0
        self.hang = False  # the last line was an if or a for without a brace

    def __call__(self, text=''):
        for line in text.split('\n'):
            line = line.strip()
            if line.startswith('}'):
                self.depth -= 1
            label = line.startswith(('case ', 'default:'))
            pad = max(self.depth - (1 if label else 0), 0)
            pad += self.hang
            if line.startswith(('* ', '*/')):
                line = ' ' + line
            self.lines.append('\t' * pad + line if line else '')
            self.hang = line == 'else' or (line.startswith(('if (', 'for (')) and
                                            line.endswith(')'))
            if line.endswith('{'):
                self.depth += 1

    def text(self):
        return '\n'.join(part for line in self.lines for part in wrap(line)) + '\n'


WIDTH = 100


def width(line):
    """Columns that a line takes, with tabs of eight."""
    tabs = len(line) - len(line.lstrip('\t'))
    return tabs * 8 + len(line) - tabs


def wrap(line):
    """A line in parts of at most WIDTH columns, where it has commas or an assignment to break at."""
    indent = '\t' * (len(line) - len(line.lstrip('\t')) + 1)
    while width(line) > WIDTH and not line.lstrip().startswith(('#', '/*', '*')):
        at, quoted = 0, False
        for i, c in enumerate(line):
            if c == '"':
                quoted = not quoted
            if width(line[:i + 1]) > WIDTH:
                break
            if not quoted and (line[i:i + 2] == ', ' or line[i:i + 3] == ' = ' and not at):
                at = i + (1 if c == ',' else 2)
        if not at:
            break
        yield line[:at].rstrip()
        line = indent + line[at:].lstrip()
    yield line


def head(purpose, source):
    return ('/* SPDX-License-Identifier: Apache-2.0 */\n'
            '/* %s\n * Made by gen/venus.py from %s; changes are lost.\n */\n' % (purpose, source))


def obj(t):
    """The VkObjectType of a handle type."""
    return t.objtype or OBJTYPE_MISSING


def read_scalar(t):
    """Expression that decodes one scalar or enum."""
    if t.kind == 'enum':
        return '(%s)venus_dec_%s(d)' % (t.name, t.scalar)
    if t.name in ('int64_t', 'int16_t', 'int8_t', 'char'):
        return '(%s)venus_dec_%s(d)' % (t.name, t.scalar)
    return 'venus_dec_%s(d)' % t.scalar


def write_scalar(t, value):
    """Statement that encodes one scalar or enum."""
    if t.kind == 'enum':
        return 'venus_enc_%s(e, (%s)%s);' % (t.scalar, C_OF[t.scalar], value)
    if t.scalar in ('size',) or t.name == 'int64_t':
        return 'venus_enc_u64(e, (uint64_t)%s);' % value
    if t.scalar in ('u8', 'u16'):
        return 'venus_enc_u32(e, (uint32_t)%s);' % value
    return 'venus_enc_%s(e, %s);' % (t.scalar, value)


C_OF = {'i32': 'int32_t', 'u32': 'uint32_t', 'u64': 'uint64_t', 'f32': 'float', 'f64': 'double',
        'u8': 'uint8_t', 'u16': 'uint16_t', 'size': 'size_t'}


def to_handle(t, expr):
    return '(%s)(uintptr_t)%s' % (t.name, expr)


def from_handle(expr):
    return '(uint64_t)(uintptr_t)%s' % expr


def count_of(s, owner):
    """C expression for an array's expected length; owner is 's->', 'a.' or ''."""
    expr = s.count.replace('%s', owner)
    if s.decl.altlen:
        return '(uint64_t)(%s)' % expr
    return expr


def arg_type(s):
    """(type, declarator) of a member of struct venus_args_X."""
    t = s.elem
    if s.form == 'string':
        return 'const char *'
    if s.form == 'strings':
        return 'const char *const *'
    if s.is_blob():
        return 'void *'
    if s.is_handle():
        if s.direction != IN:
            return 'uint64_t *'
        return 'struct venus_obj *' if s.form == 'value' else 'struct venus_obj **'
    if s.form == 'value':
        return t.name + ' '
    if s.form in ('singles', 'arrays'):
        return 'const %s **' % t.name
    return t.name + ' *'
