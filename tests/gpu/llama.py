#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp generates the same text through the renderer as natively, byte for byte.

"Natively" means behind a layer that hides what the guest's Venus cannot offer, so that llama.cpp
picks the same shaders (design.md, 5.4).  --repeat and --at-once make it an endurance test.
"""
import argparse
import concurrent.futures
import os
import sys
import time

import guest
import make_model

PROMPT = "ba be bi bo bu da de di do du"
# Venus cannot carry VK_NV_cooperative_matrix2; llama.cpp looks for it by another way as well.
ENV = {"GGML_VK_VISIBLE_DEVICES": "0", "GGML_VK_DISABLE_COOPMAT2": "1"}
MODEL_AT = "/opt/model.gguf"
# llama-completion prints from a thread of its own, and now and then ends, with status 0, before
# that thread has printed all; natively, too.  A whole text ends like this.
END = "\n\n"
TRIES = 5


def model_path(size):
    """The random model of a size, made once."""
    path = os.path.join(guest.CACHE, "gpu-tests", f"random-{size}-1.gguf")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        make_model.make(path, size, 1)
    return path


def command(tokens):
    """llama-completion with a prompt of ours, always the same."""
    return ["llama-completion", "-m", MODEL_AT, "-ngl", "99", "--device", "Vulkan0", "-p", PROMPT,
            "-n", str(tokens), "--temp", "0", "--seed", "1", "--ignore-eos", "-no-cnv",
            "--no-warmup", "-t", "1", "-c", "1024"]


class Completion:
    """What one run of llama-completion wrote, and how long it took."""

    def __init__(self, session, model, tokens, timeout):
        start = time.monotonic()
        r = session.run(command(tokens), env=ENV, binds=[(model, MODEL_AT)], timeout=timeout)
        self.seconds = time.monotonic() - start
        self.status, self.text, self.messages = r.returncode, r.stdout, r.stderr

    def is_cut(self):
        return self.status == 0 and not self.text.endswith(END)

    def why_bad(self, tokens):
        if self.status != 0:
            return f"exit status {self.status}: {self.messages.strip()[-500:]}"
        if "offloaded" in self.messages and "0/" in self.messages.split("offloaded", 1)[1][:6]:
            return "nothing ran on the device"
        if self.is_cut():
            return f"cut short {TRIES} times in a row: ...{self.text[-40:]!r}"
        if len(self.text.split()) < tokens // 2:
            return f"too little text: {self.text[:100]!r}"
        return None


def complete(session, model, tokens, timeout):
    """A run whose text is whole."""
    for _ in range(TRIES):
        run = Completion(session, model, tokens, timeout)
        if not run.is_cut():
            break
        print(f"    # {session.label}: llama-completion has not printed its last words; again",
              flush=True)
    return run


def first_difference(a, b):
    n = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"differs at byte {n} of {len(a)}: {a[max(0, n - 20):n + 20]!r} / {b[max(0, n - 20):n + 20]!r}"


def check(a, g, model, references):
    """One guest: its native reference, then all its runs.  Returns the number of failures.

    @references keeps native runs by what they were shown: most guests are shown the same.
    """
    failures = 0
    with guest.Server(a.host, cache=True) as server:
        remote = server.session(g)
        shown = guest.extensions(remote)
        want = references.get(tuple(shown))
        if not want:
            reference = guest.behind_layer(guest.native(a.host, cache=True), shown,
                                           server.unmappable())
            want = references[tuple(shown)] = complete(reference, model, a.tokens, a.timeout)
        bad = want.why_bad(a.tokens)
        if bad:
            raise guest.Failure(f"llama-completion fails natively: {bad}")

        def one(_):
            return complete(remote, model, a.tokens, a.timeout)

        with concurrent.futures.ThreadPoolExecutor(a.at_once) as pool:
            runs = list(pool.map(one, range(a.repeat)))
        for i, got in enumerate(runs):
            bad = got.why_bad(a.tokens)
            if not bad and got.text != want.text:
                bad = first_difference(want.text, got.text)
            if bad:
                failures += 1
                print(f"    run {i + 1}: {bad}")
        if not server.alive():
            failures += 1
            print("    the server died")
        seconds = [r.seconds for r in runs]
        print(f"{'not ok' if failures else 'ok'} - llama-completion, host {a.host}, guest {g}: "
              f"{a.tokens} tokens equal to native in {a.repeat - failures} of {a.repeat} runs, "
              f"{a.at_once} at once; native {want.seconds:.1f} s, remote "
              f"{min(seconds):.1f} to {max(seconds):.1f} s")
        if failures:
            print("    server: " + "\n            ".join(server.log().strip().splitlines()[-8:]))
    return failures


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    guest.add_arguments(ap)
    ap.add_argument("--tokens", type=int, default=200)
    ap.add_argument("--size", choices=make_model.SIZES, default="7m")
    ap.add_argument("--model", help="use this GGUF instead of a random one")
    ap.add_argument("--make-model", action="store_true", help="make the model and stop")
    ap.add_argument("--repeat", type=int, default=1)
    ap.add_argument("--at-once", type=int, default=1)
    ap.add_argument("--timeout", type=float, default=900)
    a = ap.parse_args()
    model = a.model or model_path(a.size)
    if a.make_model:
        print(f"{model}: {os.path.getsize(model) / 1e6:.1f} MB")
        return 0
    why = guest.can_run()
    if why:
        guest.skip(why)
    references = {}
    return 1 if sum(check(a, g, model, references) for g in guest.chosen_guests(a)) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except guest.Failure as e:
        print(f"llama.py: {e}", file=sys.stderr)
        sys.exit(1)
