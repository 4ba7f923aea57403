#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the demo model: a small Llama on the six novels of Jane Austen.

Needs PyTorch; made for one fast GPU and two minutes, runs on a CPU as well.  Prepare:

    tools/debroot -n trixie janeausten r-cran-janeaustenr        (prints ROOT)
    python3 tools/demo_model/text.py ROOT austen.txt
    python3 tools/demo_model/bpe.py austen.txt demo-data
    python3 tools/train_demo_model.py --data demo-data --seconds 110 --out OUT

What it leaves in OUT, renewed every --save-every seconds so that being stopped costs
little: last.gguf, best.gguf (lowest loss on held-out chapters), record.json,
samples.txt.
"""
import argparse
import copy
import datetime
import json
import math
import pathlib
import signal
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "demo_model"))
import bpe  # noqa: E402
import gguf  # noqa: E402

EPS, ROPE_BASE = 1e-5, 10000.0
PROMPTS = ["It was a delightful visit;", "Mr. Darcy smiled.", "Emma had hardly reached the house when",
           "The next morning,", "She could not help thinking that a computer"]
SHAPES = {
    # embd, layers, heads, kv heads, ffn, context
    "demo": (384, 6, 6, 2, 1024, 512),
    "tiny": (64, 2, 2, 1, 96, 64),
}
COMPILE_LIMIT_S = 50


class Block(nn.Module):
    def __init__(self, embd, heads, kv_heads, ffn, dropout):
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, embd // heads
        kv = kv_heads * self.size
        self.attn_norm = nn.RMSNorm(embd, eps=EPS)
        self.attn_q = nn.Linear(embd, embd, bias=False)
        self.attn_k = nn.Linear(embd, kv, bias=False)
        self.attn_v = nn.Linear(embd, kv, bias=False)
        self.attn_output = nn.Linear(embd, embd, bias=False)
        self.ffn_norm = nn.RMSNorm(embd, eps=EPS)
        self.ffn_gate = nn.Linear(embd, ffn, bias=False)
        self.ffn_up = nn.Linear(embd, ffn, bias=False)
        self.ffn_down = nn.Linear(ffn, embd, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        h = self.attn_norm(x)
        q = rotate(self.attn_q(h).view(b, t, self.heads, self.size), cos, sin)
        k = rotate(self.attn_k(h).view(b, t, self.kv_heads, self.size), cos, sin)
        v = self.attn_v(h).view(b, t, self.kv_heads, self.size)
        share = self.heads // self.kv_heads
        k, v = k.repeat_interleave(share, dim=2), v.repeat_interleave(share, dim=2)
        a = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
                                           is_causal=True)
        x = x + self.dropout(self.attn_output(a.transpose(1, 2).reshape(b, t, -1)))
        h = self.ffn_norm(x)
        return x + self.dropout(self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h)))


def rotate(x, cos, sin):
    """Rotary positions on neighbouring pairs, which is how llama.cpp pairs them for Llama."""
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


class Llama(nn.Module):
    def __init__(self, shape, vocab, dropout):
        super().__init__()
        embd, layers, heads, kv_heads, ffn, context = shape
        self.shape, self.vocab = shape, vocab
        self.token_embd = nn.Embedding(vocab, embd)
        self.blk = nn.ModuleList(Block(embd, heads, kv_heads, ffn, dropout) for _ in range(layers))
        self.output_norm = nn.RMSNorm(embd, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        size = embd // heads
        angle = torch.arange(context)[:, None] * ROPE_BASE ** (-torch.arange(0, size, 2) / size)
        self.register_buffer("cos", angle.cos()[:, None, :], persistent=False)
        self.register_buffer("sin", angle.sin()[:, None, :], persistent=False)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                into_stream = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(p, std=0.02 / (math.sqrt(2 * layers) if into_stream else 1))

    def forward(self, ids):
        t = ids.shape[1]
        cos, sin = self.cos[:t], self.sin[:t]
        x = self.dropout(self.token_embd(ids))
        for block in self.blk:
            x = block(x, cos, sin)
        return F.linear(self.output_norm(x), self.token_embd.weight)

    def tensors(self):
        """Arrays under the names that GGUF has for them; the output matrix is the embedding's."""
        return {n: p.detach().float().cpu().numpy() for n, p in self.named_parameters()}


def loss_of(model, ids):
    logits = model(ids[:, :-1])
    return F.cross_entropy(logits.float().reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))


def entries(shape, tok, record):
    """What llama.cpp needs to know, and where the model comes from."""
    embd, layers, heads, kv_heads, ffn, context = shape
    return {
        "general.architecture": "llama",
        "general.name": "pecten demo: Jane Austen",
        "general.description": "Small Llama trained on the six novels of Jane Austen, for pecten's demonstration",
        "general.license": "apache-2.0",
        "general.source.description": record["text"],
        "general.file_type": 7,
        "general.quantization_version": 2,
        "pecten.training_record": json.dumps(record),
        "llama.context_length": context,
        "llama.embedding_length": embd,
        "llama.block_count": layers,
        "llama.feed_forward_length": ffn,
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": kv_heads,
        "llama.rope.dimension_count": embd // heads,
        "llama.rope.freq_base": ROPE_BASE,
        "llama.attention.layer_norm_rms_epsilon": EPS,
        "llama.vocab_size": len(tok.tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tok.tokens,
        "tokenizer.ggml.token_type": [3] + [1] * (len(tok.tokens) - 1),
        "tokenizer.ggml.merges": [f"{a} {b}" for a, b in tok.merges],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
    }


@torch.no_grad()
def continue_text(model, tok, prompt, tokens, device):
    """Greedy continuation of a prompt, as the demo shows it."""
    ids = tok.encode(prompt)
    for _ in range(tokens):
        window = torch.tensor([ids[-model.shape[5]:]], device=device)
        ids.append(int(model(window)[0, -1].argmax()))
        if ids[-1] == 0:
            break
    return tok.decode(ids)


class Run:
    def __init__(self, args):
        torch.manual_seed(args.seed)
        torch.set_float32_matmul_precision("high")
        self.args = args
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        data = np.load(args.data / "tokens.npz")
        self.train = torch.tensor(data["train"].astype(np.int64), device=self.device)
        self.held_out = torch.tensor(data["held_out"].astype(np.int64), device=self.device)
        about = json.loads((args.data / "tokenizer.json").read_text())
        self.tok = bpe.Tokenizer(about["merges"])
        self.shape = SHAPES[args.shape]
        self.context = self.shape[5]
        self.model = Llama(self.shape, len(self.tok.tokens), args.dropout).to(self.device)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        matrices = [p for p in self.model.parameters() if p.ndim == 2]
        vectors = [p for p in self.model.parameters() if p.ndim != 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": args.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=args.lr, betas=(0.9, 0.95), fused=self.device == "cuda")
        self.record = {
            "text": "The six completed novels of Jane Austen (public domain), from the Debian package "
                    "r-cran-janeaustenr 1.0.0-1 (MIT); names of accents and dashes made ASCII",
            "text_bytes": about["text_bytes"], "text_sha256": about["text_sha256"],
            "tokens": len(self.train), "held_out_tokens": len(self.held_out),
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "date": datetime.date.today().isoformat(), "torch": torch.__version__,
            "device": torch.cuda.get_device_name() if self.device == "cuda" else "CPU",
            "arguments": {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(args).items()
                          if k not in ("data", "out")},
        }
        self.best, self.step, self.losses = math.inf, 0, []

    def half(self):
        """16-bit arithmetic where the device is made for it."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

    def batch(self):
        at = torch.randint(len(self.train) - self.context - 1, (self.args.batch, 1), device=self.device)
        return self.train[at + torch.arange(self.context + 1, device=self.device)]

    def learn(self, loss_function, lr):
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with self.half():
            loss = loss_function(self.model, self.batch())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        keep = min(self.args.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)
        self.step += 1
        return loss.detach()

    @torch.no_grad()
    def measure(self, ids):
        """Mean loss in nats a token over whole windows, with the averaged weights."""
        n = min((len(ids) - 1) // self.context, 64 if self.device == "cuda" else 8)
        windows = torch.stack([ids[i * self.context:(i + 1) * self.context + 1] for i in range(n)])
        with self.half():
            return sum(float(loss_of(self.average, w)) * len(w) for w in windows.split(8)) / n

    def save(self, name):
        path = self.args.out / f"{name}.gguf"
        new = path.with_suffix(".new")
        gguf.write(new, entries(self.shape, self.tok, self.record), self.average.tensors())
        new.replace(path)
        (self.args.out / "record.json").write_text(json.dumps(self.record, indent=2) + "\n")

    def report(self, seconds):
        """Measures, notes and keeps what there is now."""
        held_out, seen = self.measure(self.held_out), self.measure(self.train)
        self.record.update(seconds=round(seconds, 1), steps=self.step,
                           tokens_seen=self.step * self.args.batch * self.context,
                           epochs=round(self.step * self.args.batch * self.context / len(self.train), 1),
                           loss_train=round(seen, 4), loss_held_out=round(held_out, 4))
        print(f"{seconds:6.1f} s  step {self.step}  {self.record['epochs']} epochs  loss {seen:.3f}  "
              f"held out {held_out:.3f}", flush=True)
        if held_out < self.best:
            self.best = held_out
            self.save("best")

    def samples(self):
        out = [json.dumps({k: self.record[k] for k in ("seconds", "steps", "loss_train", "loss_held_out")})]
        for prompt in PROMPTS:
            out.append(continue_text(self.average, self.tok, prompt, self.args.sample_tokens, self.device))
        with open(self.args.out / "samples.txt", "a") as f:
            f.write("\n---\n".join(out) + "\n======\n")


def warm(run):
    """The loss function to use, compiled if that works here, and warmed up."""
    def give_up(*_):
        raise TimeoutError(f"compiling took more than {COMPILE_LIMIT_S} s")

    if run.device != "cuda" and not run.args.compile:
        return loss_of
    start = time.monotonic()
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(COMPILE_LIMIT_S)
    try:
        fast = torch.compile(loss_of, dynamic=False)
        with run.half():
            for _ in range(3):
                fast(run.model, run.batch()).backward()
        run.optimizer.zero_grad(set_to_none=True)
        if run.device == "cuda":
            torch.cuda.synchronize()
        print(f"compiled in {time.monotonic() - start:.1f} s", flush=True)
        return fast
    except Exception as e:  # any failure of the compiler: the plain way is slower, not wrong
        run.optimizer.zero_grad(set_to_none=True)
        print(f"not compiled ({type(e).__name__}: {str(e)[:200]}); going on without", flush=True)
        return loss_of
    finally:
        signal.alarm(0)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=pathlib.Path, required=True)
    p.add_argument("--out", type=pathlib.Path, required=True)
    p.add_argument("--seconds", type=float, default=110, help="wall-clock time to train for")
    p.add_argument("--save-every", type=float, default=30)
    p.add_argument("--shape", choices=SHAPES, default="demo")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=1.5e-3)
    p.add_argument("--weight-decay", type=float, default=0.1)
    p.add_argument("--dropout", type=float, default=0.15)
    p.add_argument("--average", type=float, default=0.998, help="share kept by the averaged weights a step")
    p.add_argument("--sample-tokens", type=int, default=100)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--compile", action="store_true", help="compile on a CPU as well")
    p.add_argument("--steps", type=int, default=1 << 30, help="stop after so many, if the time is not up")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args)
    print(f"{run.record['device']}, torch {torch.__version__}: {run.record['parameters']} parameters, "
          f"{len(run.train)} tokens", flush=True)
    loss_function = warm(run)

    start = time.monotonic()
    next_look, next_save = 0.0, args.save_every
    while True:
        now = time.monotonic() - start
        part = now / args.seconds
        if part >= 1 or run.step >= args.steps:
            break
        lr = args.lr * min((run.step + 1) / 200, 1) * (0.02 + 0.98 * (1 + math.cos(math.pi * part)) / 2)
        loss = run.learn(loss_function, lr)
        if run.step % 20 == 0:
            float(loss)         # waits for the device, so that the clock means something
        if now >= next_look:
            run.report(now)
            next_look = now + args.seconds / 22
        if now >= next_save:
            run.save("last")
            next_save += args.save_every
    run.report(time.monotonic() - start)
    run.save("last")
    print("saved", flush=True)
    run.samples()
    print((args.out / "samples.txt").read_text(), flush=True)


if __name__ == "__main__":
    main()
