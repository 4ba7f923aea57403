#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of gen/venus.py.

  venus_test.py             runs them
  venus_test.py --update    writes expected.txt anew: read the difference before committing it
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
GEN = os.path.join(ROOT, 'gen')
sys.path.insert(0, GEN)
sys.dont_write_bytecode = True

import venus.commands  # noqa: E402
import venus.registry  # noqa: E402
import vulkan_root  # noqa: E402
from venus import extensions, wire  # noqa: E402
from venus.registry import BadRegistry  # noqa: E402

# The program has the name of its package.
_spec = importlib.util.spec_from_file_location('venus_main', os.path.join(GEN, 'venus.py'))
venus_main = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(venus_main)

TEN = os.path.join(HERE, 'ten.xml')
EXPECTED = os.path.join(HERE, 'expected.txt')
NUMBERS = [(18, 'vkQueueSubmit'), (23, 'vkMapMemory'), (42, 'vkCreateEvent'),
           (43, 'vkDestroyEvent'), (44, 'vkGetEventStatus'),
           (306, 'vkCmdBuildAccelerationStructuresKHR')]
EXTS = {'VK_KHR_nodes': 2}


def world_of(text):
    """World of a changed ten.xml."""
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'vk.xml')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        reg = venus.registry.load([path], lambda r: venus_main.check_version(r, 'vk.xml'))
        return wire.World(reg, NUMBERS, EXTS)


def ten():
    with open(TEN, encoding='utf-8') as f:
        return f.read()


def output():
    """Everything made from ten.xml that says something, in one text."""
    world = world_of(ten())
    out = []
    for name, text in venus_main.outputs(world, 'ten.xml').items():
        body = [line for line in text.split('\n') if line and not line.startswith('#include')]
        if len(body) > 4:  # more than its head
            out.append('/* ==== %s */\n%s' % (name, text))
    return '\n'.join(out)


class Golden(unittest.TestCase):
    """What is made of ten structs."""

    maxDiff = 20000

    def test_output_is_as_expected(self):
        with open(EXPECTED, encoding='utf-8') as f:
            self.assertEqual(f.read(), output())

    def test_output_is_the_same_every_time(self):
        self.assertEqual(output(), output())


class Refusals(unittest.TestCase):
    """Registries that cannot be used are refused with a sentence that says why."""

    def refused(self, old, new, sentence):
        text = ten()
        self.assertIn(old, text)
        with self.assertRaises(BadRegistry) as c:
            world_of(text.replace(old, new))
        self.assertIn(sentence, str(c.exception))
        self.assertEqual(str(c.exception).count('\n'), 0)

    def test_no_xml(self):
        with self.assertRaisesRegex(BadRegistry, 'is not well-formed XML'):
            world_of('<registry><types>')

    def test_no_registry(self):
        with self.assertRaisesRegex(BadRegistry, 'its root is <html>'):
            world_of('<html></html>')

    def test_no_file(self):
        with self.assertRaisesRegex(BadRegistry, 'cannot read /nowhere/vk.xml: No such file'):
            venus.registry.load(['/nowhere/vk.xml'])

    def test_no_version(self):
        self.refused('#define <name>VK_HEADER_VERSION</name> 343', '',
                     'it has no VK_HEADER_VERSION')

    def test_too_old(self):
        text = ten().replace('name="VK_VERSION_1_9" number="1.9"',
                             'name="VK_VERSION_1_3" number="1.3"')
        with self.assertRaises(BadRegistry) as c:
            world_of(text.replace('</name> 343<', '</name> 309<'))
        self.assertRegex(str(c.exception), r'is of Vulkan 1\.3\.309, but 1\.4\.343 or newer is '
                                           r'needed: run "tools/debroot .*-Dvulkan_root$')

    def test_type_without_definition(self):
        self.refused('<type>VkKind</type> <name>kind</name>',
                     '<type>VkNone</type> <name>kind</name>',
                     'VkOwner uses the type VkNone, which the registry does not define')

    def test_type_twice(self):
        self.refused('name="VkOwner"', 'name="VkRange"', 'defines the type VkRange twice')

    def test_member_twice(self):
        self.refused('<name>wide</name>', '<name>half</name>', 'VkOdd has two members named half')

    def test_member_without_name(self):
        self.refused('<member><type>VkWide</type> <name>wide</name></member>',
                     '<member><type>VkWide</type></member>',
                     'VkOdd has a member without a name or a type')

    def test_length_that_names_nothing(self):
        self.refused('len="fenceCount"', 'len="fences"',
                     'VkNodeInfo.pFences has the length "fences", which names no member')

    def test_length_of_a_parameter_that_names_nothing(self):
        self.refused('len="ownerCount"', 'len="owners"',
                     'vkQueueSubmit.pOwners has the length "owners", which names no member')

    def test_constant_without_definition(self):
        self.refused('<enum name="VK_LABEL_SIZE" value="8"/>', '',
                     'uses the constant VK_LABEL_SIZE but does not define it')

    def test_value_twice(self):
        self.refused('<enum name="VK_STRUCTURE_TYPE_PROPS" value="8"/>',
                     '<enum name="VK_STRUCTURE_TYPE_ROOT_INFO" value="8"/>',
                     'gives VK_STRUCTURE_TYPE_ROOT_INFO the values 7 and 8')

    def test_bit_field(self):
        self.refused('<type>uint32_t</type> <name>geometryCount</name>',
                     '<type>uint32_t</type> <name>geometryCount</name>:24',
                     'cannot travel because of its parameter pInfos')

    def test_missing_command(self):
        self.refused('<name>vkGetEventStatus</name>', '<name>vkGetOtherStatus</name>',
                     'the registry lacks the command vkGetEventStatus; it needs to be 1.4.343')

    def test_missing_extension(self):
        self.refused('name="VK_KHR_nodes" number="5"', 'name="VK_KHR_edges" number="5"',
                     'the registry lacks the extension VK_KHR_nodes; it needs to be 1.4.343')

    def test_command_that_cannot_travel(self):
        self.refused('<type>VkFence</type> <name>fence</name>', '<type>int</type> <name>fd</name>',
                     'vkQueueSubmit cannot travel because of its parameter fd, but is not among '
                     'the refused commands')

    def test_returned_union(self):
        self.refused('<type>VkOdd</type> <name>odd</name>', '<type>VkColour</type> <name>odd</name>',
                     'VkProps returns the union VkColour; that cannot travel')

    def test_returned_array_without_a_count(self):
        self.refused('len="kindCount"', 'len="latexmath:[1]" altlen="kindCount / 2"',
                     'VkPropsNode returns the array pKinds, which no member counts; that cannot')

    def test_endless_chain(self):
        self.refused('<member><type>uint32_t</type> <name>fenceCount</name></member>',
                     '<member><type>uint32_t</type> <name>fenceCount</name></member>'
                     '<member>const <type>VkRootInfo</type>* <name>pRoot</name></member>',
                     'VkRootInfo can contain itself through VkNodeInfo; such structs cannot travel')

    def test_endless_struct(self):
        self.refused('<type>uint32_t</type> <name>geometryCount</name>',
                     '<type>VkBuildInfo</type> <name>self</name>',
                     'cannot travel because of its parameter pInfos')


class Headers(unittest.TestCase):
    """vulkan_root.py: which headers are taken."""

    def folder(self, d, patch):
        os.makedirs(os.path.join(d, 'usr/include/vulkan'))
        os.makedirs(os.path.join(d, 'usr/share/vulkan/registry'))
        with open(os.path.join(d, 'usr/include/vulkan/vulkan_core.h'), 'w', encoding='utf-8') as f:
            f.write('#define VK_HEADER_VERSION %d\n#define VK_HEADER_VERSION_COMPLETE '
                    'VK_MAKE_API_VERSION(0, 1, 4, VK_HEADER_VERSION)\n' % patch)
        with open(os.path.join(d, 'usr/share/vulkan/registry/vk.xml'), 'w', encoding='utf-8'):
            pass

    def test_new_enough(self):
        with tempfile.TemporaryDirectory() as d:
            self.folder(d, 343)
            self.assertEqual(vulkan_root.find(d, 'false'), (d, None))

    def test_trixies_are_too_old(self):
        with tempfile.TemporaryDirectory() as d:
            self.folder(d, 309)
            root, why = vulkan_root.find(d, 'false')
            self.assertIsNone(root)
            self.assertRegex(why, r'are version 1\.4\.309, but 1\.4\.343 or newer are needed: run '
                                  r'"tools/debroot .*-Dvulkan_root$')

    def test_nothing_there(self):
        root, why = vulkan_root.find('/nowhere', 'false')
        self.assertIsNone(root)
        self.assertIn('has no usr/include/vulkan/vulkan_core.h', why)


class Table(unittest.TestCase):
    """The command table against the classes, and against the registry in use."""

    def numbers(self):
        return venus.commands.load_numbers(os.path.join(GEN, 'venus-commands.tsv'))

    def test_every_number_once(self):
        numbers = [n for n, _ in self.numbers()] + list(venus.commands.RETIRED)
        self.assertEqual(sorted(numbers), list(range(346)))

    def test_classes_name_known_commands_once(self):
        names = {name for _, name in self.numbers()}
        c = venus.commands
        listed = c.HAND + c.CREATE + c.DESTROY + c.REFUSED
        self.assertEqual(sorted(listed), sorted(set(listed)))
        self.assertEqual(set(listed) - names, set())
        self.assertEqual(set(c.CONTEXT_ONLY + c.RING_ONLY) - names, set())

    def test_registry_in_use(self):
        """Every command is executed or refused by name; every sType of the protocol is there."""
        xml = os.environ.get('VULKAN_XML')
        if not xml:
            self.skipTest('VULKAN_XML names no registry')
        reg = venus.registry.load([xml, os.path.join(GEN, 'mesa.xml')])
        world = wire.World(reg, self.numbers())
        self.assertEqual(len(world.commands), 345)
        self.assertEqual(len(world.live()) + len(venus.commands.REFUSED), 345)
        venus_main.check_protocol(world, os.path.join(GEN, 'venus-stypes.tsv'))

    def test_missing_struct_is_refused(self):
        with tempfile.NamedTemporaryFile('w', suffix='.tsv') as f:
            f.write('7\tVkRootInfo\n99\tVkOtherInfo\n')
            f.flush()
            with self.assertRaises(BadRegistry) as c:
                venus_main.check_protocol(world_of(ten()), f.name)
        self.assertIn('has no VkOtherInfo with the sType 99', str(c.exception))

    def test_pointers_stay_optional(self):
        """A registry that demands what guests used to leave out changes nothing."""
        xml = os.environ.get('VULKAN_XML')
        if not xml:
            self.skipTest('VULKAN_XML names no registry')
        with open(xml, encoding='utf-8') as f:
            text = f.read()
        old = '<member optional="true">const <type>VkSpecializationInfo</type>*'
        self.assertIn(old, text)
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, 'vk.xml')
            with open(path, 'w', encoding='utf-8') as f:
                f.write(text.replace(old, old.replace(' optional="true"', '')))
            reg = venus.registry.load([path, os.path.join(GEN, 'mesa.xml')])
        world = wire.World(reg, self.numbers())
        shapes = world.shapes(reg.type('VkPipelineShaderStageCreateInfo'))
        self.assertEqual([s.null_ok for s in shapes if s.name == 'pSpecializationInfo'], [True])

    def test_extensions(self):
        self.assertEqual(len(extensions.EXTENSIONS), 187)


class Program(unittest.TestCase):
    """The command line."""

    def test_error_is_one_sentence(self):
        with tempfile.TemporaryDirectory() as d:
            r = subprocess.run([sys.executable, os.path.join(GEN, 'venus.py'), '--xml', TEN,
                                '--private', os.path.join(GEN, 'mesa.xml'), '--out', d],
                               stderr=subprocess.PIPE, text=True, check=False)
            self.assertNotEqual(r.returncode, 0)
            self.assertEqual(len(r.stderr.strip().split('\n')), 1)
            self.assertTrue(r.stderr.startswith('venus.py: '), r.stderr)
            self.assertEqual(os.listdir(d), [])


if __name__ == '__main__':
    if sys.argv[1:] == ['--update']:
        with open(EXPECTED, 'w', encoding='utf-8') as target:
            target.write(output())
    else:
        unittest.main(verbosity=2)
