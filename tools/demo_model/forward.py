# SPDX-License-Identifier: Apache-2.0
"""The demo model's arithmetic in plain numpy: what every other implementation is compared with."""
import numpy as np


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def rotate(x, base):
    """Rotary positions on neighbouring pairs; x is [position, head, size]."""
    size = x.shape[-1]
    angle = np.arange(len(x))[:, None, None] * base ** (-np.arange(0, size, 2) / size)
    cos, sin = np.cos(angle), np.sin(angle)
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack((even * cos - odd * sin, even * sin + odd * cos), -1).reshape(x.shape)


def logits(model, ids):
    """Logits [position, token] of a gguf.Reader's model for a list of token numbers."""
    e = {k.split(".", 1)[1]: v for k, v in model.entries.items() if k.startswith("llama.")}
    eps, base = e["attention.layer_norm_rms_epsilon"], e["rope.freq_base"]
    heads, kv_heads = e["attention.head_count"], e["attention.head_count_kv"]
    w = {k.removesuffix(".weight"): v.astype(np.float64) for k, v in model.tensors.items()}
    x = w["token_embd"][ids]
    n, embd = x.shape
    size = embd // heads
    hidden = np.triu(np.full((n, n), -np.inf), 1)
    for i in range(e["block_count"]):
        b = f"blk.{i}."
        h = rms_norm(x, w[b + "attn_norm"], eps)
        q = rotate((h @ w[b + "attn_q"].T).reshape(n, heads, size), base)
        k = rotate((h @ w[b + "attn_k"].T).reshape(n, kv_heads, size), base)
        v = (h @ w[b + "attn_v"].T).reshape(n, kv_heads, size)
        out = np.empty_like(q)
        for head in range(heads):
            kv = head * kv_heads // heads
            score = q[:, head] @ k[:, kv].T / np.sqrt(size) + hidden
            score = np.exp(score - score.max(-1, keepdims=True))
            out[:, head] = score / score.sum(-1, keepdims=True) @ v[:, kv]
        x = x + out.reshape(n, embd) @ w[b + "attn_output"].T
        h = rms_norm(x, w[b + "ffn_norm"], eps)
        gate = h @ w[b + "ffn_gate"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w[b + "ffn_up"].T)) @ w[b + "ffn_down"].T
    return rms_norm(x, w["output_norm"], eps) @ w.get("output", w["token_embd"]).T
