#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a Llama-architecture GGUF with random weights, the same for the same seed.

Needs nothing but Python: it is also run on bare machines with a GPU.  The vocabulary is
SentencePiece-like with byte tokens; rows of the output matrix that belong to bytes and control
tokens are zero, so that greedy sampling gives printable pseudo-words.
"""
import argparse
import os
import random
import statistics
import struct
import sys

SIZES = {
    #        layers embd  ff    heads kv  vocab  context
    "7m":   (8,     256,  704,  8,    8,  512,   2048),
    "160m": (12,    768,  2048, 12,   12, 32000, 2048),
    "1b":   (16,    2048, 8192, 32,   8,  32000, 4096),
}
F32, F16 = 0, 1
U32, FLOAT, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TOKEN_NORMAL, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_BYTE = 1, 2, 3, 6
ALIGN = 32
CHUNK = 1 << 22


def string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def entry(key, kind, value):
    out = string(key) + struct.pack("<I", kind)
    if kind == U32:
        return out + struct.pack("<I", value)
    if kind == FLOAT:
        return out + struct.pack("<f", value)
    if kind == BOOL:
        return out + struct.pack("<B", value)
    assert kind == STRING
    return out + string(value)


def array(key, kind, values):
    out = [string(key), struct.pack("<IIQ", ARRAY, kind, len(values))]
    if kind == STRING:
        out += [string(v) for v in values]
    else:
        out.append(struct.pack(f"<{len(values)}{'f' if kind == FLOAT else 'i'}", *values))
    return b"".join(out)


def vocabulary(n):
    """Tokens, scores, kinds: control, 256 bytes, a space, then pseudo-words."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + ["\u2581"]
    kinds = [TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_CONTROL] + [TOKEN_BYTE] * 256 + [TOKEN_NORMAL]
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = ["\u2581" + s for s in syllables]
    words += ["\u2581" + s + t for s in syllables for t in syllables]
    words += ["\u2581" + s + t + u for s in syllables[:10] for t in syllables for u in syllables]
    words = words[:n - len(tokens)]
    if len(tokens) + len(words) != n:
        raise SystemExit(f"make_model: cannot make {n} tokens")
    tokens += words
    kinds += [TOKEN_NORMAL] * len(words)
    return tokens, [-float(i) for i in range(n)], kinds


class Weights:
    """Normally distributed 16-bit floats, from a table of 256 quantiles."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        dist = statistics.NormalDist()
        self.quantiles = [dist.inv_cdf((i + 0.5) / 256) for i in range(256)]

    def write(self, f, count, std):
        half = [struct.pack("<e", q * std) for q in self.quantiles]
        low, high = bytes(h[0] for h in half), bytes(h[1] for h in half)
        while count:
            n = min(count, CHUNK)
            picks = self.rng.randbytes(n)
            out = bytearray(2 * n)
            out[0::2] = picks.translate(low)
            out[1::2] = picks.translate(high)
            f.write(out)
            count -= n


def tensors(layers, embd, ff, heads, kv, vocab):
    """Name, dimensions (fastest first), type, standard deviation; 0 means ones."""
    head = embd // heads
    yield "token_embd.weight", (embd, vocab), F16, 1.0
    for i in range(layers):
        b = f"blk.{i}."
        yield b + "attn_norm.weight", (embd,), F32, 0
        yield b + "attn_q.weight", (embd, embd), F16, 1.5 / embd ** 0.5
        yield b + "attn_k.weight", (embd, kv * head), F16, 1.5 / embd ** 0.5
        yield b + "attn_v.weight", (embd, kv * head), F16, 1.0 / embd ** 0.5
        yield b + "attn_output.weight", (embd, embd), F16, 1.0 / embd ** 0.5
        yield b + "ffn_norm.weight", (embd,), F32, 0
        yield b + "ffn_gate.weight", (embd, ff), F16, 1.0 / embd ** 0.5
        yield b + "ffn_up.weight", (embd, ff), F16, 1.0 / embd ** 0.5
        yield b + "ffn_down.weight", (ff, embd), F16, 1.0 / ff ** 0.5
    yield "output_norm.weight", (embd,), F32, 0
    yield "output.weight", (embd, vocab), F16, 1.0 / embd ** 0.5


def count(dims):
    n = 1
    for d in dims:
        n *= d
    return n


def make(path, size, seed):
    layers, embd, ff, heads, kv, vocab, context = SIZES[size]
    tokens, scores, kinds = vocabulary(vocab)
    meta = [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, f"pecten random {size}"),
        entry("general.file_type", U32, 1),
        entry("llama.block_count", U32, layers),
        entry("llama.context_length", U32, context),
        entry("llama.embedding_length", U32, embd),
        entry("llama.feed_forward_length", U32, ff),
        entry("llama.attention.head_count", U32, heads),
        entry("llama.attention.head_count_kv", U32, kv),
        entry("llama.attention.layer_norm_rms_epsilon", FLOAT, 1e-5),
        entry("llama.rope.dimension_count", U32, embd // heads),
        entry("llama.rope.freq_base", FLOAT, 10000.0),
        entry("llama.vocab_size", U32, vocab),
        entry("tokenizer.ggml.model", STRING, "llama"),
        array("tokenizer.ggml.tokens", STRING, tokens),
        array("tokenizer.ggml.scores", FLOAT, scores),
        array("tokenizer.ggml.token_type", I32, kinds),
        entry("tokenizer.ggml.bos_token_id", U32, 1),
        entry("tokenizer.ggml.eos_token_id", U32, 2),
        entry("tokenizer.ggml.unknown_token_id", U32, 0),
        entry("tokenizer.ggml.add_bos_token", BOOL, 1),
        entry("tokenizer.ggml.add_space_prefix", BOOL, 1),
    ]
    plan, infos, offset, params = [], [], 0, 0
    for name, dims, kind, std in tensors(layers, embd, ff, heads, kv, vocab):
        n = count(dims)
        infos.append(string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset))
        plan.append((name, n, kind, std, offset))
        offset += -(-n * (4 if kind == F32 else 2) // ALIGN) * ALIGN
        params += n

    weights = Weights(seed)
    silent = sum(k != TOKEN_NORMAL for k in kinds)
    tmp = f"{path}.{os.getpid()}"
    with open(tmp, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(meta)))
        f.write(b"".join(meta + infos))
        f.write(b"\0" * (-f.tell() % ALIGN))
        base = f.tell()
        for name, n, kind, std, at in plan:
            f.write(b"\0" * (base + at - f.tell()))
            if kind == F32:
                f.write(struct.pack("<f", 1.0) * n)
            elif name == "output.weight":
                f.write(bytes(2 * silent * embd))
                weights.write(f, n - silent * embd, std)
            else:
                weights.write(f, n, std)
        f.write(b"\0" * (-f.tell() % ALIGN))
    os.rename(tmp, path)
    return params


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--size", choices=SIZES, default="7m")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("path")
    a = ap.parse_args()
    params = make(a.path, a.size, a.seed)
    print(f"{a.path}: {params / 1e6:.1f} M parameters, {os.path.getsize(a.path) / 1e6:.1f} MB",
          file=sys.stderr)


if __name__ == "__main__":
    main()
