# SPDX-License-Identifier: Apache-2.0
"""Reads a Vulkan registry (vk.xml) into plain objects.

Only what the wire format needs is kept: types, members, commands, numbers of sTypes and
extensions, and what each core version and extension requires.  Nothing here knows of Venus.
"""

import re
import xml.etree.ElementTree as ET


class BadRegistry(Exception):
    """The registry cannot be used; the text is one sentence for the user."""


# C's own types: kind of scalar, bytes in memory.
C_SCALARS = {
    'char': ('u8', 1), 'int8_t': ('u8', 1), 'uint8_t': ('u8', 1),
    'int16_t': ('u16', 2), 'uint16_t': ('u16', 2),
    'uint32_t': ('u32', 4), 'int32_t': ('i32', 4),
    'uint64_t': ('u64', 8), 'int64_t': ('u64', 8),
    'float': ('f32', 4), 'double': ('f64', 8), 'size_t': ('size', 8),
}


class Decl:
    """A struct member or a command parameter."""

    def __init__(self, name, type_name):
        self.name = name
        self.type_name = type_name  # as written, aliases not resolved
        self.type = None            # class Type, set when the registry is complete
        self.depth = 0              # levels of pointers
        self.is_const = False       # the outermost pointee is const
        self.dims = []              # sizes of a fixed array: int or name of a constant
        self.bits = None
        self.len = []               # one entry for each level of pointers
        self.altlen = None
        self.is_optional = False    # the outermost pointer may be NULL
        self.is_unchecked = False   # noautovalidity
        self.selector = None
        self.selection = []
        self.stype = None


class Type:
    """kind: scalar, enum, handle, struct, union, void or opaque (never on the wire)."""

    def __init__(self, name, kind):
        self.name = name
        self.kind = kind
        self.scalar = None      # scalar, enum: u8 u16 u32 i32 u64 f32 f64 size
        self.size = 0           # scalar, enum: bytes in memory
        self.objtype = None     # handle: name of the VkObjectType
        self.members = []       # struct, union
        self.extends = []       # struct: names of the roots it may be chained to
        self.stype = None       # struct: name of its sType
        self.allows_duplicate = False

    def is_chained(self):
        return self.stype is not None


class Command:
    def __init__(self, name):
        self.name = name
        self.ret = None         # class Type
        self.params = []
        self.errors = []
        self.successes = []


class Extension:
    def __init__(self, name, number, is_device, spec_version):
        self.name = name
        self.number = number
        self.is_device = is_device
        self.spec_version = spec_version
        self.blocks = []        # (depends or None, type names, command names)


class Registry:
    def __init__(self):
        self.types = {}         # name -> Type, canonical names only
        self.aliases = {}       # type or command alias -> name
        self.commands = {}
        self.features = []      # (name, number, blocks)
        self.extensions = {}
        self.constants = {}     # API constants and enum values: name -> int
        self.version = None     # (major, minor, patch)

    def canonical(self, name):
        seen = set()
        while name in self.aliases and name not in seen:
            seen.add(name)
            name = self.aliases[name]
        return name

    def type(self, name):
        return self.types.get(self.canonical(name))

    def constant(self, name):
        seen = set()
        while isinstance(name, str):
            if name in seen or name not in self.constants:
                raise BadRegistry("the registry uses the constant %s but does not define it" % name)
            seen.add(name)
            name = self.constants[name]
        return name


def _api_ok(element):
    api = element.get('api')
    return api is None or 'vulkan' in api.split(',')


def _text(element):
    """All of an element's text but its comments."""
    out = [element.text or '']
    for child in element:
        if child.tag != 'comment':
            out.append(_text(child))
        out.append(child.tail or '')
    return ''.join(out)


def _number(text):
    """Value of a C constant such as 4, 0x10, (~0U), 1000.0F; None for what has none."""
    text = text.strip().strip('()')
    m = re.fullmatch(r'(~?)(0[xX][0-9a-fA-F]+|-?[0-9]+)([uUlL]*)(-[0-9])?', text)
    if not m:
        return None
    value = int(m.group(2), 0)
    if m.group(1):
        value = ~value & (2 ** 64 - 1 if 'LL' in m.group(3).upper() else 2 ** 32 - 1)
    if m.group(4):
        value += int(m.group(4))
    return value


def _decl(element, where):
    name_el, type_el = element.find('name'), element.find('type')
    if name_el is None or type_el is None or not name_el.text or not type_el.text:
        raise BadRegistry('%s has a member without a name or a type' % where)
    d = Decl(name_el.text.strip(), type_el.text.strip())
    before = (element.text or '') + ' '
    after = type_el.tail or ''
    d.depth = after.count('*')
    d.is_const = 'const' in before.split()
    tail = name_el.tail or ''
    for child in element:
        if child.tag == 'enum':
            tail += (child.text or '') + (child.tail or '')
    tail = tail.strip()
    m = re.match(r':\s*([0-9]+)', tail)
    if m:
        d.bits = int(m.group(1))
    for dim in re.findall(r'\[([^]]*)\]', tail):
        d.dims.append(int(dim) if dim.isdigit() else dim)
    if element.get('len'):
        d.len = element.get('len').split(',')
    d.altlen = element.get('altlen')
    d.is_optional = (element.get('optional') or '').split(',')[0] == 'true'
    d.is_unchecked = element.get('noautovalidity') == 'true'
    d.selector = element.get('selector')
    d.selection = [s for s in (element.get('selection') or '').split(',') if s]
    d.stype = element.get('values')
    return d


def _read_types(reg, root):
    pending = {}
    for el in root.iterfind('types/type'):
        if not _api_ok(el):
            continue
        name = el.get('name') or el.findtext('name') or el.findtext('proto/name')
        category = el.get('category')
        if not name or category in ('define', 'include'):
            continue
        if el.get('alias'):
            reg.aliases[name] = el.get('alias')
            continue
        if name in reg.types:
            raise BadRegistry('the registry defines the type %s twice' % name)
        if category in ('struct', 'union'):
            t = Type(name, category)
            t.extends = (el.get('structextends') or '').split(',') if el.get('structextends') else []
            t.allows_duplicate = el.get('allowduplicate') == 'true'
            for m in el.iterfind('member'):
                if not _api_ok(m):
                    continue
                d = _decl(m, name)
                if any(o.name == d.name for o in t.members):
                    raise BadRegistry('%s has two members named %s' % (name, d.name))
                t.members.append(d)
            if t.members and t.members[0].name == 'sType' and t.members[0].stype:
                t.stype = t.members[0].stype
        elif category == 'handle':
            t = Type(name, 'handle')
            t.objtype = el.get('objtypeenum')
        elif category == 'enum':
            t = Type(name, 'enum')
            t.scalar, t.size = 'i32', 4
        elif category in ('bitmask', 'basetype'):
            base = el.findtext('type')
            t = Type(name, 'scalar' if base else 'opaque')
            if base and '*' not in _text(el):
                pending[name] = base
            else:
                t.kind = 'opaque'
        elif name == 'void':
            t = Type(name, 'void')
        elif name in C_SCALARS:
            t = Type(name, 'scalar')
            t.scalar, t.size = C_SCALARS[name]
        else:
            t = Type(name, 'opaque')
        reg.types[name] = t
    for name, base in pending.items():
        seen = set()
        while base in pending and base not in seen:
            seen.add(base)
            base = pending[base]
        target = reg.types.get(base)
        if base in C_SCALARS:
            reg.types[name].scalar, reg.types[name].size = C_SCALARS[base]
        elif target is not None and target.scalar:
            reg.types[name].scalar, reg.types[name].size = target.scalar, target.size
        else:
            reg.types[name].kind = 'opaque'


def _read_enums(reg, root):
    for block in root.iterfind('enums'):
        wide = block.get('bitwidth') == '64'
        t = reg.types.get(block.get('name'))
        if wide and t is not None:
            t.scalar, t.size = 'u64', 8
        for e in block.iterfind('enum'):
            if not _api_ok(e):
                continue
            _read_enum_value(reg, e, None)
    # A bitmask of 64 bits names its enum with "bitvalues"; the enum may be empty.
    for block in root.iterfind('types/type'):
        if block.get('bitvalues') and block.get('category') == 'bitmask':
            t, bits = reg.type(block.findtext('name') or ''), reg.type(block.get('bitvalues'))
            if t is not None and bits is not None and t.size == 8:
                bits.scalar, bits.size = 'u64', 8


def _read_enum_value(reg, e, ext_number):
    name = e.get('name')
    if e.get('alias'):
        reg.constants.setdefault(name, e.get('alias'))
        return
    if e.get('offset') is not None:
        number = int(e.get('extnumber') or ext_number or 0)
        if number == 0:
            raise BadRegistry('the value %s has an offset but no extension' % name)
        value = 1000000000 + (number - 1) * 1000 + int(e.get('offset'))
        if e.get('dir') == '-':
            value = -value
    elif e.get('value') is not None:
        value = _number(e.get('value'))
    elif e.get('bitpos') is not None:
        value = 1 << int(e.get('bitpos'))
    else:
        return
    if value is None:
        return
    old = reg.constants.get(name)
    if isinstance(old, int) and old != value:
        raise BadRegistry('the registry gives %s the values %d and %d' % (name, old, value))
    reg.constants[name] = value


def _read_commands(reg, root):
    for el in root.iterfind('commands/command'):
        if not _api_ok(el):
            continue
        if el.get('alias'):
            reg.aliases[el.get('name')] = el.get('alias')
            continue
        proto = el.find('proto')
        if proto is None:
            raise BadRegistry('the registry has a command without a prototype')
        c = Command(proto.findtext('name'))
        c.ret = proto.findtext('type')
        c.errors = (el.get('errorcodes') or '').split(',')
        c.successes = (el.get('successcodes') or '').split(',')
        for p in el.iterfind('param'):
            if _api_ok(p):
                c.params.append(_decl(p, c.name))
        reg.commands[c.name] = c


def _block(reg, require, ext_number):
    types = [t.get('name') for t in require.iterfind('type')]
    commands = [c.get('name') for c in require.iterfind('command')]
    for e in require.iterfind('enum'):
        if _api_ok(e):
            _read_enum_value(reg, e, ext_number)
    return (require.get('depends'), types, commands)


def _read_requirements(reg, root):
    for f in root.iterfind('feature'):
        if not _api_ok(f):
            continue
        blocks = [_block(reg, r, None) for r in f.iterfind('require') if _api_ok(r)]
        reg.features.append((f.get('name'), f.get('number'), blocks))
    for x in root.iterfind('extensions/extension'):
        number = x.get('number')
        supported = (x.get('supported') or '').split(',')
        ext = Extension(x.get('name'), int(number or 0), x.get('type') == 'device', 0)
        for r in x.iterfind('require'):
            if not _api_ok(r):
                continue
            for e in r.iterfind('enum'):
                if (e.get('name') or '').endswith('_SPEC_VERSION') and e.get('value'):
                    ext.spec_version = int(e.get('value'))
            # A disabled extension only reserves numbers; its values must not shadow real ones.
            if 'vulkan' in supported:
                ext.blocks.append(_block(reg, r, number))
        if 'vulkan' in supported:
            reg.extensions[ext.name] = ext


def _read_version(reg, root):
    minor = 0
    for f in root.iterfind('feature'):
        m = re.fullmatch(r'VK_VERSION_1_([0-9]+)', f.get('name') or '')
        if m:
            minor = max(minor, int(m.group(1)))
    for el in root.iterfind('types/type'):
        if el.get('category') == 'define' and el.findtext('name') == 'VK_HEADER_VERSION':
            if _api_ok(el):
                m = re.search(r'VK_HEADER_VERSION\D*([0-9]+)', _text(el))
                if m:
                    reg.version = (1, minor, int(m.group(1)))
    if reg.version is None:
        raise BadRegistry('the file is not a Vulkan registry: it has no VK_HEADER_VERSION')


def _resolve(reg):
    def fix(d, where):
        d.type = reg.type(d.type_name)
        if d.type is None:
            raise BadRegistry('%s uses the type %s, which the registry does not define'
                              % (where, d.type_name))

    for t in reg.types.values():
        for m in t.members:
            fix(m, t.name)
        t.extends = [reg.canonical(e) for e in t.extends]
    for c in reg.commands.values():
        for p in c.params:
            fix(p, c.name)
        ret = reg.type(c.ret)
        if ret is None:
            raise BadRegistry('%s returns the unknown type %s' % (c.name, c.ret))
        c.ret = ret


def load(paths, check=None):
    """Registry made of the given files: vk.xml first, then additions to it.

    check(registry) sees the version before anything else is read and may raise BadRegistry.
    """
    root = None
    for path in paths:
        try:
            tree = ET.parse(path).getroot()
        except OSError as e:
            raise BadRegistry('cannot read %s: %s' % (path, e.strerror)) from e
        except ET.ParseError as e:
            raise BadRegistry('%s is not well-formed XML: %s' % (path, e)) from e
        if tree.tag != 'registry':
            raise BadRegistry('%s is not a Vulkan registry: its root is <%s>' % (path, tree.tag))
        if root is None:
            root = tree
        else:
            root.extend(list(tree))
    reg = Registry()
    _read_version(reg, root)
    if check:
        check(reg)
    _read_types(reg, root)
    _read_enums(reg, root)
    _read_commands(reg, root)
    _read_requirements(reg, root)
    _resolve(reg)
    return reg
