#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo model's tokenizer: byte-level BPE with GPT-2's way to split words.

usage: tools/demo_model/bpe.py TEXT OUT-FOLDER

Learns the merges from TEXT (plain ASCII, as text.py writes it) and writes
OUT-FOLDER/tokenizer.json and OUT-FOLDER/tokens.npz (the text as token numbers, and
which chapters are held out of the training).  Deterministic.

llama.cpp reads the same tokenizer from a GGUF file as model "gpt2", pre-tokenizer "gpt-2".
"""
import collections
import hashlib
import json
import pathlib
import re
import sys

VOCAB = 4096
CHAPTER = "<|endoftext|>"
HOLD_OUT = 53                   # every 53rd chapter is for measuring, not for learning

# GPT-2's expression; letters and digits are ASCII here because the text is.
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def byte_names():
    """One printable character for each byte, as GPT-2's vocabulary files have it."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {b: chr(b) for b in plain}
    for b in range(256):
        names.setdefault(b, chr(256 + len(names) - len(plain)))
    return names


NAMES = byte_names()
BYTES = {c: b for b, c in NAMES.items()}


def named(word):
    return tuple(NAMES[b] for b in word.encode())


def join(word, pair):
    out, i = [], 0
    while i < len(word):
        if word[i:i + 2] == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def learn(text, merges_wanted):
    """Returns the merges, most useful first; ties go to the pair that sorts first."""
    count = collections.Counter(w for c in text.split(CHAPTER) for w in WORDS.findall(c))
    words = {named(w): n for w, n in count.items()}
    pairs, where = collections.Counter(), collections.defaultdict(set)

    def add(word, n):
        for pair in zip(word, word[1:]):
            pairs[pair] += n
            where[pair].add(word)

    for word, n in words.items():
        add(word, n)
    merges = []
    while len(merges) < merges_wanted:
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        for word in sorted(where.pop(best)):
            n = words.pop(word, 0)
            if not n:
                continue
            for pair in zip(word, word[1:]):
                pairs[pair] -= n
            new = join(word, best)
            words[new] = words.get(new, 0) + n
            add(new, n)
        del pairs[best]
    return merges


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.tokens = [CHAPTER] + [NAMES[b] for b in range(256)] + [a + b for a, b in self.merges]
        self.number = {t: i for i, t in enumerate(self.tokens)}
        self.cache = {}

    def word(self, text):
        ids = self.cache.get(text)
        if ids is None:
            parts = named(text)
            while len(parts) > 1:
                pair = min(zip(parts, parts[1:]), key=lambda p: self.rank.get(p, 1 << 30))
                if pair not in self.rank:
                    break
                parts = join(parts, pair)
            ids = self.cache[text] = [self.number[p] for p in parts]
        return ids

    def encode(self, text):
        """Token numbers of a text; the chapter mark becomes token 0."""
        out = []
        for i, part in enumerate(text.split(CHAPTER)):
            if i:
                out.append(0)
            for w in WORDS.findall(part):
                out += self.word(w)
        return out

    def decode(self, ids):
        raw = b"".join(b"" if i == 0 else bytes(BYTES[c] for c in self.tokens[i]) for i in ids)
        return raw.decode(errors="replace")

    @classmethod
    def load(cls, path):
        return cls(json.loads(pathlib.Path(path).read_text())["merges"])


def main():
    import numpy as np
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1])
    text = pathlib.Path(sys.argv[1]).read_text()
    out = pathlib.Path(sys.argv[2])
    tok = Tokenizer(learn(text, VOCAB - 257))
    if len(tok.number) != VOCAB:
        sys.exit(f"bpe.py: {VOCAB - len(tok.number)} merges give the same token twice")
    out.mkdir(parents=True, exist_ok=True)
    parts = {False: [], True: []}
    for i, chapter in enumerate(text.split(CHAPTER)[1:]):
        parts[i % HOLD_OUT == HOLD_OUT - 1] += tok.encode(CHAPTER + chapter)
    for ids in parts.values():
        if tok.encode(tok.decode(ids)) != [i for i in ids if i]:
            sys.exit("bpe.py: the tokenizer does not give its own text back")
    (out / "tokenizer.json").write_text(json.dumps({
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(), "text_bytes": len(text),
        "merges": tok.merges}) + "\n")
    np.savez_compressed(out / "tokens.npz", train=np.array(parts[False], np.uint16),
                        held_out=np.array(parts[True], np.uint16))
    print(f"{len(text)} bytes, {len(parts[False])} tokens to learn from, {len(parts[True])} held out")


if __name__ == "__main__":
    main()
