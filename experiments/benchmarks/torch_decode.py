"""The transformers contestant of the decode suite: greedy decoding with its cache.

The loop is that of `model.generate`, without anything else that it does.
"""

from collections.abc import Callable

import torch
import transformers


def build(folder: str, prompt: list[int], tokens: int, phase: str) -> Callable[[int], None]:
    """Returns `run(steps)`, as `experiments.benchmarks.jax_decode.build` does."""
    del tokens  # the cache grows
    text = _Text(folder, prompt)
    return text.decode if phase == "decode" else text.prefill


def greedy(folder: str, prompt: list[int], tokens: int) -> list[int]:
    """Returns the likeliest tokens after a prompt, `tokens` of them."""
    text = _Text(folder, prompt)
    text.decode(tokens)
    return text.written


class _Text:
    """One text that is written repeatedly."""

    def __init__(self, folder: str, prompt: list[int]):
        load = transformers.AutoModelForCausalLM.from_pretrained
        self.model = load(folder, dtype=torch.float32).eval()
        self.prompt = torch.tensor([prompt])
        self.written: list[int] = []

    @torch.inference_mode()
    def prefill(self, steps: int) -> None:
        for _ in range(steps):
            self._read()

    def _read(self):
        # Logits of the last token alone, as `generate` asks for.
        return self.model(input_ids=self.prompt, use_cache=True, logits_to_keep=1)

    def decode(self, steps: int) -> None:
        """Writes `steps` tokens after the prompt, which is read once."""
        with torch.inference_mode():
            if not hasattr(self, "cache"):
                first = self._read()
                self.cache = first.past_key_values
                self.first = first.logits[:, -1:].argmax(-1)
            # The cache grows with every token: those of the turn before are cut off.
            if turn_before := self.cache.get_seq_length() - self.prompt.shape[1]:
                self.cache.crop(-turn_before)
            token = self.first
            written = []
            for _ in range(steps):
                out = self.model(input_ids=token, past_key_values=self.cache, use_cache=True)
                token = out.logits[:, -1:].argmax(-1)
                written.append(int(token))
            self.written = written
