#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Full vulkaninfo natively and through the renderer: every difference must be an expected one.

vulkaninfo_expected.txt lists them, each with its reason.  A difference that is not listed fails
the test, and so does a vulkaninfo that ends with an error.
"""
import argparse
import os
import re
import sys

import guest

TIMEOUT_S = 600
EXPECTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vulkaninfo_expected.txt")
ARGV = ["vulkaninfo", "--show-formats"]  # --show-all crashes natively on lavapipe 22.3


def leaf(body):
    """Splits a line's text into its name and its value."""
    m = re.match(r"(.*?)(?: *= (\S+))?:? count = (\d+)$", body)  # heads a list
    if m:
        return m[1].rstrip(" :"), m[2] or ""
    m = re.match(r"(VK_\w+) *: (extension revision \d+)$", body)
    if m:
        return m.groups()
    key, _, value = body.partition(" = ")
    return key.rstrip(" :"), value.strip()


def parse_formats(lines):
    """The groups of formats as {format/tiling: features}: how they are grouped says nothing."""
    out, formats, field, features = {}, [], None, []

    def put():
        if field:
            for f in formats:
                out[f"format/{f}/{field}"] = " ".join(sorted(features))

    for line in lines:
        body = line.strip()
        m = re.match(r"(\w+Features): *(count = \d+)?$", body)
        if m:
            put()
            field, features = m[1], []
        elif body.startswith("Common Format Group") or body.startswith("Unsupported Formats"):
            put()
            formats, field = [], None
        elif body.startswith("FORMAT_FEATURE_"):
            features.append(body[len("FORMAT_FEATURE_"):])
        elif body.startswith("FORMAT_"):
            formats.append(body)
    put()
    return out


def parse(text):
    """Text of vulkaninfo as {path: value}; a path is the headings above a line, joined by '/'."""
    out, stack = {}, []
    lines = text.splitlines()
    for i, line in enumerate(lines):
        body = line.strip()
        if body.startswith("Format Properties"):
            out.update(parse_formats(lines[i:]))
            break
        if not body or set(body) <= {"-", "="}:
            continue
        depth = len(line) - len(line.lstrip("\t"))
        # Underlined headings of a device stand in column 0, as does their device.
        stack = [s for s in stack if s[0] < depth]
        key, value = leaf(body)
        path = "/".join([s[1] for s in stack] + [key])
        if path in out and out[path] != value:
            out[path] += " | " + value
        else:
            out[path] = value
        stack.append((depth, key))
    return out


class Expected:
    """The list of expected differences; knows which entries were used."""

    def __init__(self, path):
        self.rules = []
        with open(path, encoding="utf-8") as f:
            for n, line in enumerate(f, 1):
                line = line.rstrip("\n")
                if not line.strip() or line.startswith("#"):
                    continue
                m = re.match(r"(25|26|vm|\*) ([-+~]+) (\S+)\s+(\S.*)$", line)
                if not m:
                    raise guest.Failure(
                        f"vulkaninfo_expected.txt:{n}: not 'GUEST SIGNS REGEX REASON'")
                self.rules.append((m[1], m[2], re.compile(m[3]), m[4]))

    def reason(self, guest_name, sign, path):
        for where, signs, regex, why in self.rules:
            if where in ("*", guest_name[:2]) and sign in signs and \
                    regex.fullmatch(path.replace(" ", "_")):
                return why
        return None


def differences(native, remote):
    """(sign, path, text) for each: '-' native only, '+' remote only, '~' other value."""
    for path in sorted(set(native) | set(remote)):
        if path not in remote:
            yield "-", path, native[path]
        elif path not in native:
            yield "+", path, remote[path]
        elif native[path] != remote[path]:
            yield "~", path, f"{native[path]} -> {remote[path]}"


def is_of_absent_struct(path, other):
    """A struct of an extension that one side lacks: the extension's own line tells why."""
    head = path.split("/")[0]
    return bool(re.fullmatch(r"VkPhysicalDevice\w+", head)) and \
        not any(p == head or p.startswith(head + "/") for p in other)


def full(session, env=None):
    r = session.run(ARGV, timeout=TIMEOUT_S, env=env)
    if r.returncode != 0:
        raise guest.Failure(f"vulkaninfo ends with status {r.returncode} ({session.label}): "
                            + (r.stderr.strip() or r.stdout.strip())[-500:])
    return r.stdout


def remote_text(host, guest_name):
    with guest.Server(host) as server:
        return full(server.session(guest_name))


def kept(a, name):
    with open(os.path.join(a.saved, f"{a.host}-{name}.txt"), encoding="utf-8") as f:
        return f.read()


def save(folder, host, texts):
    """Keeps {name: text} for kept()."""
    os.makedirs(folder, exist_ok=True)
    for name, text in texts.items():
        with open(os.path.join(folder, f"{host}-{name}.txt"), "w", encoding="utf-8") as f:
            f.write(text)


def compare(label, names, native_text, text, show_expected=False):
    """Prints what differs and what it comes to; returns how many differences nothing explains.

    Rules for any guest of @names count.
    """
    expected = Expected(EXPECTED)
    native, remote = parse(native_text), parse(text)
    known = unknown = lost = 0
    for sign, path, what in differences(native, remote):
        reason = next(filter(None, (expected.reason(n, sign, path) for n in names)), None)
        if reason is None and sign != "~" and \
                is_of_absent_struct(path, remote if sign == "-" else native):
            lost += 1
            continue
        if reason is None:
            unknown += 1
            print(f"    unexpected {sign} {path} = {what}")
        else:
            known += 1
            if show_expected:
                print(f"    expected {sign} {path} = {what}  # {reason}")
    print(f"{'not ok' if unknown else 'ok'} - vulkaninfo, {label}: "
          f"{len(remote)} values, {known} differ as expected, {lost} are in structs of "
          f"extensions that one side lacks, {unknown} unexpected")
    return unknown


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    guest.add_arguments(ap)
    ap.add_argument("--all", action="store_true", help="print expected differences, too")
    ap.add_argument("--save", metavar="DIR", help="keep the texts there")
    ap.add_argument("--saved", metavar="DIR", help="compare texts that --save kept, run nothing")
    a = ap.parse_args()
    why = None if a.saved else guest.can_run()
    if why:
        guest.skip(why)
    failures = 0
    guests = a.guest or ["25", "26", "26nts", "25root"]
    native_text = kept(a, "native") if a.saved else full(guest.native(a.host))
    for g in guests:
        text = kept(a, g) if a.saved else remote_text(a.host, g)
        if a.save:
            save(a.save, a.host, {"native": native_text, g: text})
        if g == "25root":  # another version of vulkaninfo: its text differs by itself
            print(f"ok - vulkaninfo, host {a.host}, guest {g}: {len(text.splitlines())} lines")
            continue
        failures += bool(compare(f"host {a.host}, guest {g}", [g], native_text, text, a.all))
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"vulkaninfo.py: {e}", file=sys.stderr)
        sys.exit(1)
