#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo model is what it says it is, and llama.cpp computes with it what plain numpy does.

First the file: size, shapes, tokenizer, training record.  Then llama.cpp's server answers the same
prompts on the CPU, on a host's Vulkan driver and through the renderer; the probability of every
token after every step must be numpy's, within a tolerance, and the same for the last two.
"""
import argparse
import contextlib
import http.client
import json
import os
import socket
import sys
import tempfile
import time

import guest

DEBIAN_PYTHON = "/usr/bin/python3"

try:
    import numpy as np
except ImportError:
    # A python3 that somebody put before Debian's in PATH has not Debian's modules.
    if sys.executable == DEBIAN_PYTHON or not os.path.exists(DEBIAN_PYTHON):
        guest.skip("numpy is missing; run: apt-get install python3-numpy")
    os.execv(DEBIAN_PYTHON, [DEBIAN_PYTHON, *sys.argv])

sys.path.insert(0, os.path.join(guest.TOP, "tools", "demo_model"))
# pylint: disable=wrong-import-position
import bpe      # noqa: E402
import forward  # noqa: E402
import gguf     # noqa: E402

MODEL = os.path.join(guest.TOP, "models", "demo.gguf")
SIZE_MAX = 12_000_000
SHAPES = {"attn_q": (384, 384), "attn_k": (128, 384), "attn_v": (128, 384), "attn_output": (384, 384),
          "ffn_gate": (1024, 384), "ffn_up": (1024, 384), "ffn_down": (384, 1024),
          "attn_norm": (384,), "ffn_norm": (384,)}
PROMPTS = ["She could not help thinking that a computer", "Mr. Darcy smiled; and \"Oh!\" said Emma, \"how"]
STEPS = 6
# Differences of log probabilities, over the tokens that matter (above LIKELY).  The CPU backend
# rounds activations to 8 bits, Vulkan's to 16-bit floats or not at all; a wrong kernel is off by 1 and more.
LIKELY = -12.0
TOLERANCE = {"CPU": 0.5, "GPU": 0.05}
ANSWER_S = 600


def check_file(model):
    """Yields what is wrong with the file."""
    entries = model.entries
    if os.path.getsize(MODEL) > SIZE_MAX:
        yield f"larger than {SIZE_MAX} bytes"
    want = {"token_embd.weight": (4096, 384), "output_norm.weight": (384,)}
    want.update({f"blk.{i}.{name}.weight": shape for i in range(6) for name, shape in SHAPES.items()})
    got = {name: a.shape for name, a in model.tensors.items()}
    for name in sorted(set(want) | set(got)):
        if want.get(name) != got.get(name):
            yield f"{name} is {got.get(name)} and not {want.get(name)}"
    for name, a in model.tensors.items():
        if not np.isfinite(a).all() or not a.any():
            yield f"{name} is not filled with numbers"
        if a.ndim == 2 and model.kinds[name] != gguf.TYPE_Q8_0:
            yield f"{name} is not q8_0"
    if entries["general.architecture"] != "llama" or entries["general.license"] != "apache-2.0":
        yield "architecture or licence is not as stated"
    with open(os.path.join(guest.TOP, "models", "demo.json"), encoding="ascii") as f:
        record = json.load(f)
    if json.loads(entries["pecten.training_record"]) != record:
        yield "the training record inside is not models/demo.json"
    if record["parameters"] != sum(a.size for a in model.tensors.values()):
        yield "the number of parameters is not the record's"


def check_tokenizer(tokenizer, entries):
    if entries["tokenizer.ggml.tokens"] != tokenizer.tokens:
        yield "the tokens are not what the merges give"
    for text in PROMPTS + ["  two spaces,\n\nnew lines, 12 numbers, and \u00fcnicode"]:
        if tokenizer.decode(tokenizer.encode(text)) != text:
            yield f"{text!r} does not survive the tokenizer"


class LlamaServer:
    """llama-server in a root, on a unix socket, for the length of a with block."""

    def __init__(self, session, device):
        self.dir = tempfile.TemporaryDirectory(prefix="pecten-llama-")
        self.sock = os.path.join(self.dir.name, "llama.sock")
        self.log = tempfile.TemporaryFile()
        gpu = ["--device", "Vulkan0", "-ngl", "99"] if device == "GPU" else ["--device", "none", "-ngl", "0"]
        self.process = session.popen(
            ["llama-server", "-m", "/opt/models/demo.gguf", "--host", "/opt/llama/llama.sock", "-ub", "1", "-fa", "off",
             "-c", "256", "-np", "1", "-t", "2", "--no-warmup", "--no-webui", *gpu],
            env={"GGML_VK_VISIBLE_DEVICES": "0", "GGML_VK_DISABLE_COOPMAT": "1", "GGML_VK_DISABLE_COOPMAT2": "1"},
            binds=[(os.path.dirname(MODEL), "/opt/models"), (self.dir.name, "/opt/llama")],
            stdout=self.log, stderr=self.log)

    def __enter__(self):
        end = time.monotonic() + ANSWER_S
        while True:
            with contextlib.suppress(OSError):
                if self.ask("GET", "/health")[0] == 200:
                    return self
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                text = self.log.read().decode(errors="replace")
                self.__exit__()
                raise guest.Failure(f"llama-server does not start: {text[-600:]}")
            time.sleep(0.1)

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("localhost", timeout=ANSWER_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(ANSWER_S)
        with contextlib.closing(connection):
            connection.sock.connect(self.sock)
            connection.request(method, path, json.dumps(body) if body else None,
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def steps(self, prompt, vocabulary):
        """(token numbers chosen, log probabilities [step, token]) after a prompt."""
        status, answer = self.ask("POST", "/completion", {
            "prompt": prompt, "n_predict": STEPS, "temperature": 0, "n_probs": vocabulary, "cache_prompt": False,
            "ignore_eos": False})
        if status != 200:
            raise guest.Failure(f"llama-server answers {status}: {answer}")
        rows = answer["completion_probabilities"]
        out = np.full((len(rows), vocabulary), -np.inf)
        for i, row in enumerate(rows):
            for top in row["top_logprobs"]:
                out[i, top["id"]] = top["logprob"]
        return [row["id"] for row in rows], out

    def __exit__(self, *_):
        guest.kill_group(self.process)
        self.process.wait()
        self.log.close()
        self.dir.cleanup()


def expected(model, ids, chosen):
    """numpy's log probabilities after a prompt, if those tokens are chosen."""
    logits = forward.logits(model, ids + chosen[:-1])[len(ids) - 1:]
    high = logits.max(-1, keepdims=True)
    return logits - high - np.log(np.exp(logits - high).sum(-1, keepdims=True))


def difference(got, want):
    """The largest difference between two tables, over the tokens that matter in either."""
    matter = (want > LIKELY) | (got > LIKELY)
    return float(np.abs(got[matter] - want[matter]).max())


class Checks:
    def __init__(self):
        self.failures = 0

    def say(self, good, text):
        print(f"{'ok' if good else 'not ok'} - {text}", flush=True)
        self.failures += not good


def compute(checks, model, tokenizer, session, device, label):
    """One way to compute; its tables, for comparison with another."""
    tables = []
    with LlamaServer(session, device) as server:
        for prompt in PROMPTS:
            ids = tokenizer.encode(prompt)
            status, answer = server.ask("POST", "/tokenize", {"content": prompt})
            checks.say(status == 200 and answer["tokens"] == ids, f"{label}: llama.cpp's tokens of {prompt[:20]!r}")
            chosen, table = server.steps(prompt, len(tokenizer.tokens))
            want = expected(model, ids, chosen)
            off = difference(table, want)
            checks.say(len(chosen) == STEPS and off <= TOLERANCE[device],
                       f"{label}: {len(chosen)} steps after {prompt[:20]!r} are numpy's within {off:.4f} "
                       f"(at most {TOLERANCE[device]})")
            near = all(want[i].max() - want[i, c] <= 2 * TOLERANCE[device] for i, c in enumerate(chosen))
            checks.say(near, f"{label}: it chooses the likeliest token")
            tables.append((chosen, table))
    return tables


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    guest.add_arguments(ap)
    ap.add_argument("--file-only", action="store_true", help="do not run llama.cpp")
    a = ap.parse_args()
    checks = Checks()
    model = gguf.Reader(MODEL)
    tokenizer = bpe.Tokenizer(m.split(" ") for m in model.entries["tokenizer.ggml.merges"])
    wrong = [*check_file(model), *check_tokenizer(tokenizer, model.entries)]
    checks.say(not wrong, "models/demo.gguf" + "".join(f"\n    {w}" for w in wrong))
    if a.file_only:
        return 1 if checks.failures else 0
    why = guest.can_run()
    if why:
        guest.skip(why)
    here = guest.native(a.host, cache=True)
    compute(checks, model, tokenizer, here, "CPU", "CPU")
    native = compute(checks, model, tokenizer, here, "GPU", f"{a.host}, native")
    for g in guest.chosen_guests(a):
        with guest.Server(a.host, cache=True) as server:
            remote = compute(checks, model, tokenizer, server.session(g), "GPU", f"{a.host}, guest {g}")
            for (c1, t1), (c2, t2) in zip(native, remote):
                off = difference(t2, t1)
                checks.say(c1 == c2 and off <= TOLERANCE["GPU"],
                           f"{a.host}, guest {g}: as native within {off:.4f}")
            checks.say(server.alive(), "the renderer's server is alive")
    return 1 if checks.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"not ok - {e}")
        sys.exit(1)
