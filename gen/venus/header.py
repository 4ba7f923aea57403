# SPDX-License-Identifier: Apache-2.0
"""venus_gen.h: functions of the driver, arguments of hand-written commands, the command table."""

from . import commands as table
from . import out

PLACES = ('VkInstance', 'VkPhysicalDevice')


def driver_functions(world):
    """(instance level, device level): canonical names of the functions we may call, sorted."""
    names = {c.name for c in world.commands if not c.name.endswith('MESA')}
    names.update(n for n in table.ALSO_LOADED if n in world.reg.commands)
    inst, dev = [], []
    for name in sorted(names):
        c = world.reg.commands[name]
        first = c.params[0].type.name if c.params else ''
        if first in PLACES or name in GLOBAL or name == 'vkGetDeviceProcAddr':
            inst.append(name)
        else:
            dev.append(name)
    return inst, dev


GLOBAL = ('vkCreateInstance', 'vkEnumerateInstanceVersion', 'vkEnumerateInstanceLayerProperties',
          'vkEnumerateInstanceExtensionProperties')


def aliases(world, name):
    return sorted(a for a in world.reg.aliases
                  if a != name and world.reg.canonical(a) == name)


def mesa_types(world, source):
    """venus_mesa.h: C types of the private extensions."""
    w = out.Writer()
    w(out.head('Types of VK_EXT_command_serialization and VK_MESA_venus_protocol.', source))
    w('#ifndef PECTEN_VENUS_MESA_H\n#define PECTEN_VENUS_MESA_H\n')
    w('#include <stddef.h>\n#include <stdint.h>\n')
    w('#include <vulkan/vulkan_core.h>\n')
    private = {n for x in ('VK_EXT_command_serialization', 'VK_MESA_venus_protocol')
               if x in world.exts for _, types, _ in world.reg.extensions[x].blocks for n in types}
    types = [t for t in world.reg.types.values() if t.kind == 'struct' and t.name in private]
    for t in types:
        if t.stype:
            w('#define %s ((VkStructureType)%d)' % (t.stype, world.reg.constant(t.stype)))
    w()
    for t in types:
        w('typedef struct %s {' % t.name)
        for m in t.members:
            w('%s%s %s%s;' % ('const ' if m.is_const else '', m.type_name, '*' * m.depth, m.name))
        w('} %s;' % t.name)
        w()
    w('#endif')
    return w.text()


def gen_header(world, source):
    w = out.Writer()
    w(out.head('What generated and hand-written code know of each other.', source))
    w('#ifndef PECTEN_VENUS_GEN_H\n#define PECTEN_VENUS_GEN_H\n')
    w('#include <stdbool.h>\n#include <stdint.h>\n')
    w('#include <vulkan/vulkan_core.h>\n')
    w('#include "venus/venus_mesa.h"\n#include "venus/venus_structs.h"\n')
    w('struct venus_dec;\nstruct venus_device;\nstruct venus_obj;\n')
    w('/* Flags of a command: the guest wants a reply. */\n#define VENUS_CMD_REPLY 1u\n')
    w('/* Where a command may come from: a submission to the context, a ring. */')
    w('#define VENUS_LEVEL_CTX  1u\n#define VENUS_LEVEL_RING 2u\n')
    top = max(c.number for c in world.commands) + 1
    w('#define VENUS_CMD_COUNT %d\n' % top)
    w('/* Numbers of the commands. */')
    w('enum venus_cmd_number {')
    for c in world.commands:
        w('VENUS_CMD_%s = %d,' % (c.name, c.number))
    w('};\n')
    w('/* One entry of the command table.  A name without run(): known, and refused. */')
    w('struct venus_cmd {')
    w('const char *name;')
    w('void (*run)(struct venus_dec *d, uint32_t flags);')
    w('uint8_t level;')
    w('};\n')
    w('extern const struct venus_cmd venus_cmds[VENUS_CMD_COUNT];\n')
    w('/* Extensions that travel, in the order of their names. */')
    w('struct venus_ext {')
    w('const char *name;')
    w('uint32_t number;')
    w('uint32_t spec_version;')
    w('bool is_device;')
    w('};\n')
    w('extern const struct venus_ext venus_exts[];\nextern const unsigned venus_ext_count;\n')
    inst, dev = driver_functions(world)
    for what, names, comment in (('venus_vki', inst, 'Functions of an instance, and global ones.'),
                                 ('venus_vkd', dev, 'Functions of a device.')):
        w('/* %s  NULL where the driver has none. */' % comment)
        w('struct %s {' % what)
        for n in names:
            w('PFN_%s %s;' % (n, n[2:]))
        w('};\n')
    w('/**\n'
      ' * venus_vki_load() - fetch the functions of an instance, by core name or else by an alias\n'
      ' * @instance: VK_NULL_HANDLE for the global functions alone\n'
      ' */')
    w('void venus_vki_load(struct venus_vki *vk, PFN_vkGetInstanceProcAddr get, '
      'VkInstance instance);\n')
    w('/* venus_vkd_load() - the same for a device. */')
    w('void venus_vkd_load(struct venus_vkd *vk, PFN_vkGetDeviceProcAddr get, VkDevice device);\n')
    w('/**\n'
      ' * venus_destroy_handle() - destroy a host object that a device owns\n'
      ' *\n'
      ' * Does nothing for objects that go with their pool or with the device (command buffers,\n'
      ' * descriptor sets, queues).\n'
      ' */')
    w('void venus_destroy_handle(struct venus_device *dev, VkObjectType type, uint64_t handle);\n')
    for c in world.live():
        if c.cls != 'hand':
            continue
        w('struct venus_args_%s {' % c.name)
        for s in c.shapes:
            if s.form == 'never':
                continue
            w('%s%s;' % (out.arg_type(s), s.name))
        if c.command.ret.kind != 'void':
            w('%s ret;' % c.command.ret.name)
        w('};')
        w('void venus_do_%s(struct venus_dec *d, struct venus_args_%s *a);\n' % (c.name, c.name))
    w('#endif')
    return w.text()


def loaders(world, source):
    """venus_load.c: the functions that fill the tables of the driver's functions."""
    inst, dev = driver_functions(world)
    w = out.Writer()
    w(out.head("Fetches the driver's functions and destroys handles by their type.", source))
    w('#include "venus/venus_gen.h"\n')
    w('#include <stddef.h>\n')
    w('#include "venus/dev.h"\n')
    w('void venus_vki_load(struct venus_vki *vk, PFN_vkGetInstanceProcAddr get, '
      'VkInstance instance)\n{')
    w('*vk = (struct venus_vki){ 0 };')
    for n in inst:
        if n in GLOBAL:
            w('vk->%s = (PFN_%s)get(NULL, "%s");' % (n[2:], n, n))
    w('vk->GetInstanceProcAddr = get;')
    w('if (!instance)\nreturn;')
    for n in inst:
        if n in GLOBAL or n == 'vkGetInstanceProcAddr':
            continue
        w('vk->%s = (PFN_%s)get(instance, "%s");' % (n[2:], n, n))
        for a in aliases(world, n):
            w('if (!vk->%s) {' % n[2:])
            w('vk->%s = (PFN_%s)get(instance, "%s");' % (n[2:], n, a))
            w('}')
    w('}\n')
    w('void venus_vkd_load(struct venus_vkd *vk, PFN_vkGetDeviceProcAddr get, VkDevice device)\n{')
    w('*vk = (struct venus_vkd){ 0 };')
    for n in dev:
        w('vk->%s = (PFN_%s)get(device, "%s");' % (n[2:], n, n))
        for a in aliases(world, n):
            w('if (!vk->%s) {' % n[2:])
            w('vk->%s = (PFN_%s)get(device, "%s");' % (n[2:], n, a))
            w('}')
    w('}\n')
    w('void venus_destroy_handle(struct venus_device *dev, VkObjectType type, uint64_t handle)\n{')
    w('const struct venus_vkd *vk = &dev->vk;')
    w('VkDevice device = (VkDevice)(uintptr_t)dev->obj.handle;')
    w()
    w('switch ((int)type) {')
    have = {c.name for c in world.commands}
    for n in table.DESTROY + table.DESTROY_OF_HAND:
        if n not in have:
            continue
        t = world.reg.commands[n].params[1].type
        w('case %s:' % out.obj(t))
        w('if (vk->%s) {' % n[2:])
        w('vk->%s(device, (%s)(uintptr_t)handle, NULL);' % (n[2:], t.name))
        w('}\nbreak;')
    w('default:\nbreak;')
    w('}\n}')
    return w.text()


def ext_rows(world):
    """(name, number, specVersion to offer, is a device extension), by name."""
    rows = []
    for name in sorted(world.exts):
        x = world.reg.extensions[name]
        rows.append((name, x.number, min(world.exts[name], x.spec_version), x.is_device))
    return rows
