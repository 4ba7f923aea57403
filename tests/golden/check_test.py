#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tools/check says of a failed test, of whose output only the end may be kept."""

import importlib.machinery
import importlib.util
import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
_loader = importlib.machinery.SourceFileLoader("check", os.path.join(ROOT, "tools", "check"))
check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", _loader))
_loader.exec_module(check)

CMOCKA = """1..5
ok 1 - good
skipped: there are no terminals
not ok 2 # SKIP terminal
row 7
not ok 3 - numbers
# 0x1 != 0x2
# ../src/a_test.c:12: error: Failure!
not ok 4 - fixture Could not run test: 0
../src/a_test.c:14: error: Failure!Test setup failed
ok 5 - fine
# not ok - tests
(test program exited with status code 2)
"""
PYTHON_TAP = """1..2
not ok 1 - test_x: a sentence (0.1 s)
# status 1, want 0; stderr: b'no'
ok 2 - test_y: another (0.2 s)
"""
ASAN = """1..2
ok 1 - good
=================================================================
==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x6020
WRITE of size 1 at 0x6020 thread T0
    #0 0x5568 in hang ../src/a_test.c:15
    #1 0x7fb4  (/lib/libcmocka.so.0+0x58f7)
    #2 0x7fb5 in _cmocka_run_group_tests (/lib/libcmocka.so.0+0x5fda)
    #3 0x5569 in main ../src/a_test.c:17

SUMMARY: AddressSanitizer: heap-buffer-overflow ../src/a_test.c:15 in hang
Shadow bytes around the buggy address:
  0x0c047fff7fc0: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
==7==ABORTING
"""
UNITTEST = """.F
======================================================================
FAIL: test_usage_errors (__main__.CommandLine)
----------------------------------------------------------------------
Traceback (most recent call last):
  File "server_test.py", line 600, in test_usage_errors
    self.assertEqual(1, 2)
AssertionError: 1 != 2

----------------------------------------------------------------------
Ran 2 tests in 0.001s

FAILED (failures=1)
"""


class Check(unittest.TestCase):
    def test_subtests_are_counted(self):
        self.assertEqual(check.subtests(CMOCKA), (2, 1))
        self.assertEqual(check.subtests("ok 1 - a # SKIP why\nok 2 - b # 4 ms\n"), (1, 1))

    def test_failed_assertions_are_named(self):
        self.assertEqual(check.failures(CMOCKA, 10), [
            "not ok 3 - numbers",
            "# 0x1 != 0x2",
            "# ../src/a_test.c:12: error: Failure!",
            "not ok 4 - fixture Could not run test: 0",
            "../src/a_test.c:14: error: Failure!Test setup failed"])
        self.assertEqual(check.failures(PYTHON_TAP, 10), [
            "not ok 1 - test_x: a sentence (0.1 s)", "# status 1, want 0; stderr: b'no'"])
        self.assertEqual(check.failures(UNITTEST, 10), [
            "FAIL: test_usage_errors (__main__.CommandLine)",
            'File "server_test.py", line 600, in test_usage_errors',
            "AssertionError: 1 != 2"])

    def test_a_crash_is_shown_where_it_happened(self):
        said = check.failures(ASAN, 10)
        self.assertIn("AddressSanitizer", said[0])
        self.assertEqual(said[2], "#0 0x5568 in hang ../src/a_test.c:15")
        self.assertEqual(said[-1][:9], "SUMMARY: ")

    def test_what_says_nothing_is_shown_from_its_end(self):
        text = "".join(f"line {n}\n" for n in range(100))
        self.assertEqual(check.failures(text, 10), [f"line {n}" for n in range(95, 100)])
        self.assertEqual(check.failures("", 10), [])

    def test_it_is_short(self):
        text = "".join(f"not ok {n} - t{n}\n# a.c:{n}: error: Failure!\n" for n in range(1, 40))
        said = check.failures(text, 10)
        self.assertEqual(len(said), 10)
        self.assertEqual((said[0], said[-1]), ("not ok 1 - t1", "# a.c:39: error: Failure!"))


if __name__ == "__main__":
    unittest.main()
