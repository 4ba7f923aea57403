# SPDX-License-Identifier: Apache-2.0
"""Reads and writes GGUF files: the part of the format that the demo model uses.

A file is: magic, version, number of tensors, number of entries; the entries (key,
kind, value); for each tensor its name, shape (fastest dimension first), kind and
offset; padding; the tensors, each at a multiple of 32 bytes.  All little-endian.
"""
import struct

import numpy as np

U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "?",
           10: "<Q", 11: "<q", 12: "<d"}
TYPE_F32, TYPE_Q8_0 = 0, 8
BLOCK = 32                      # weights of a q8_0 block: one 16-bit scale, 32 signed bytes
ALIGN = 32


def q8_0(a):
    """Bytes of a matrix as q8_0 blocks; rows must be multiples of 32 long."""
    a = np.ascontiguousarray(a, np.float32)
    if a.shape[-1] % BLOCK:
        raise ValueError(f"rows of {a.shape[-1]} weights do not fill q8_0 blocks")
    blocks = a.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    out = np.empty(len(blocks), np.dtype([("scale", "<f2"), ("q", "i1", BLOCK)]))
    out["scale"] = scale
    out["q"] = np.rint(blocks * inverse[:, None])
    return out.tobytes()


def from_q8_0(raw, shape):
    blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("q", "i1", BLOCK)]))
    return (blocks["q"].astype(np.float32) * blocks["scale"].astype(np.float32)[:, None]).reshape(shape)


def _string(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(v):
    """Kind and bytes of an entry's value: str, bool, int, float, or a list of one of these."""
    if isinstance(v, str):
        return STRING, _string(v)
    if isinstance(v, bool):
        return BOOL, struct.pack("?", v)
    if isinstance(v, int):
        return U32, struct.pack("<I", v)
    if isinstance(v, float):
        return F32, struct.pack("<f", v)
    kind = _value(v[0])[0]
    if kind == U32:
        kind, body = I32, struct.pack(f"<{len(v)}i", *v)
    else:
        body = b"".join(_value(x)[1] for x in v)
    return ARRAY, struct.pack("<IQ", kind, len(v)) + body


def write(path, entries, tensors):
    """entries: key to value; tensors: name to float array. Matrices become q8_0, vectors stay f32."""
    head, infos, bodies, offset = [], [], [], 0
    for key, v in entries.items():
        kind, body = _value(v)
        head.append(_string(key) + struct.pack("<I", kind) + body)
    for name, a in tensors.items():
        kind = TYPE_Q8_0 if a.ndim == 2 else TYPE_F32
        body = q8_0(a) if a.ndim == 2 else np.ascontiguousarray(a, "<f4").tobytes()
        infos.append(_string(name) + struct.pack(f"<I{a.ndim}Q", a.ndim, *reversed(a.shape))
                     + struct.pack("<IQ", kind, offset))
        body += bytes(-len(body) % ALIGN)
        bodies.append(body)
        offset += len(body)
    front = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(entries)) + b"".join(head + infos)
    with open(path, "wb") as f:
        f.write(front + bytes(-len(front) % ALIGN))
        f.writelines(bodies)


class Reader:
    """entries: key to value; tensors: name to float array."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.raw = f.read()
        self.at = 0
        magic, version, n_tensors, n_entries = self._take("<4sIQQ")
        if magic != b"GGUF" or version != 3:
            raise ValueError(f"{path} is not a GGUF file of version 3")
        self.entries, self.kinds, infos = {}, {}, []
        for _ in range(n_entries):
            key = self._string()
            self.entries[key] = self._read(self._take("<I")[0])
        for _ in range(n_tensors):
            name = self._string()
            n_dims, = self._take("<I")
            dims = self._take(f"<{n_dims}Q")
            infos.append((name, dims[::-1], *self._take("<IQ")))
        start = self.at + -self.at % ALIGN
        self.tensors = {}
        for name, shape, kind, offset in infos:
            count = int(np.prod(shape))
            size = {TYPE_F32: 4 * count, TYPE_Q8_0: count // BLOCK * (BLOCK + 2)}[kind]
            body = self.raw[start + offset:start + offset + size]
            if len(body) != size:
                raise ValueError(f"{path} ends within tensor {name}")
            self.kinds[name] = kind
            self.tensors[name] = (np.frombuffer(body, "<f4").reshape(shape) if kind == TYPE_F32
                                  else from_q8_0(body, shape))

    def _take(self, form):
        out = struct.unpack_from(form, self.raw, self.at)
        self.at += struct.calcsize(form)
        return out

    def _string(self):
        n, = self._take("<Q")
        self.at += n
        return self.raw[self.at - n:self.at].decode()

    def _read(self, kind):
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            inner, n = self._take("<IQ")
            return [self._read(inner) for _ in range(n)]
        return self._take(SCALARS[kind])[0]
