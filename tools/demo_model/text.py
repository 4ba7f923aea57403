#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the text that the demo model is trained on.

usage: tools/demo_model/text.py DEB-ROOT OUT.txt

DEB-ROOT is a folder with the Debian package r-cran-janeaustenr unpacked
(`tools/debroot -n trixie janeausten r-cran-janeaustenr` prints one): the six
novels that Jane Austen completed, in the public domain, as R character vectors.

The result is plain ASCII, one chapter after another, each begun by a line
"<|endoftext|>", paragraphs on one line each and separated by one empty line.  The
same package gives the same bytes.
"""
import gzip
import pathlib
import re
import struct
import sys
import zlib

NIL, SYMBOL, PAIRS, CHARS, INTS, LIST, STRINGS = 254, 1, 2, 9, 13, 19, 16
REF = 255


class Unserialize:
    """Just enough of R's XDR serialization for vectors, lists and names."""

    def __init__(self, data):
        assert data[:2] == b"X\n", "not an XDR serialization"
        self.d, self.p, self.refs = data, 2, []
        version, _, _ = self.i32(), self.i32(), self.i32()
        if version == 3:
            self.take(self.i32())

    def i32(self):
        self.p += 4
        return struct.unpack_from(">i", self.d, self.p - 4)[0]

    def take(self, n):
        self.p += n
        return self.d[self.p - n:self.p]

    def item(self):
        flags = self.i32()
        kind, attr, tag = flags & 255, flags & 0x200, flags & 0x400
        if kind == NIL:
            return None
        if kind == REF:
            return self.refs[(flags >> 8) - 1]
        if kind == SYMBOL:
            self.refs.append(self.item())
            return self.refs[-1]
        if kind == CHARS:
            n = self.i32()
            return None if n < 0 else self.take(n).decode()
        if kind == PAIRS:
            assert not attr
            key = self.item() if tag else None
            value = self.item()
            return {key: value, **(self.item() or {})}
        n = self.i32()
        if kind in (STRINGS, LIST):
            value = [self.item() for _ in range(n)]
        elif kind in (INTS, 10):
            value = list(struct.unpack(f">{n}i", self.take(4 * n)))
        else:
            sys.exit(f"text.py: R object of kind {kind} is not expected here")
        names = (self.item() or {}).get("names") if attr else None
        return dict(zip(names, value)) if names else value


PLAIN = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2014": "--",
         "\u2013": "-", "\u00e0": "a", "\u00e9": "e", "\u00e8": "e", "\u00ea": "e",
         "\u00eb": "e", "\u00ef": "i", "\u00e2": "a", "\u00f4": "o", "\u00fb": "u",
         "\u00fc": "u", "\u00e6": "ae", "\u0153": "oe", "\u00a3": "L", "\u00e7": "c"}
HEADING = re.compile(r"^(CHAPTER|Chapter|VOLUME|Volume)\s+[IVXLC0-9]+\.?$")


def chapters(lines):
    """Splits one novel; what stands before the first chapter is left out."""
    out, inside = [], False
    for line in lines:
        line = "".join(PLAIN.get(c, c) for c in line).replace("_", "").strip()
        line = line.encode("ascii", "ignore").decode()
        if HEADING.match(line):
            if line.upper().startswith("CHAPTER"):
                out.append([])
                inside = True
            continue
        if line in ("THE END", "FINIS", "The End", "Finis") or line.startswith(("END OF", "End of")):
            continue
        if inside:
            out[-1].append(line)
    return ["\n".join(c).strip() for c in out]


def paragraphs(chapter):
    for p in re.split(r"\n\s*\n", chapter):
        p = re.sub(r"\s+", " ", p).strip()
        if p and not set(p) <= set("*- "):
            yield p


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1])
    data = pathlib.Path(sys.argv[1]) / "usr/lib/R/site-library/janeaustenr/data"
    index = Unserialize(gzip.decompress((data / "Rdata.rdx").read_bytes())).item()
    blob = (data / "Rdata.rdb").read_bytes()
    text = []
    for name, (at, size) in sorted(index["variables"].items()):
        raw = zlib.decompress(blob[at + 4:at + size])
        novel = chapters(Unserialize(raw).item())
        for chapter in novel:
            text.append("<|endoftext|>\n" + "\n\n".join(paragraphs(chapter)) + "\n")
        print(f"{name}: {len(novel)} chapters, {sum(map(len, novel))} characters", file=sys.stderr)
    pathlib.Path(sys.argv[2]).write_text("".join(text))


if __name__ == "__main__":
    main()
