"""The transformers contestant of the decode and llama suites: greedy decoding with its cache.

The loop is that of `model.generate`, without anything else that it does.
"""

import pathlib
import warnings
from collections.abc import Callable

import torch
import transformers


def build(
    path: str, prompt: list[int], tokens: int, phase: str, rows: int = 1
) -> Callable[[int], None]:
    """Returns `run(steps)`, as `experiments.benchmarks.jax_decode.build_stored` does.

    Args:
      path: a folder, or a GGUF file, which is widened to float32.
      prompt, phase, rows: as there.
      tokens: of no use here, as the cache grows.
    """
    del tokens
    text = _Text(path, prompt, rows)
    return text.decode if phase == "decode" else text.prefill


def greedy(path: str, prompt: list[int], tokens: int) -> list[int]:
    """Returns the likeliest tokens after a prompt, `tokens` of them."""
    text = _Text(path, prompt)
    text.decode(tokens)
    return text.written


class _Text:
    """Equal texts, one or more, that are written repeatedly."""

    def __init__(self, path: str, prompt: list[int], rows: int = 1):
        # Bars and notes of its own would tear the table that is shown meanwhile.
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        warnings.simplefilter("ignore", FutureWarning)
        load = transformers.AutoModelForCausalLM.from_pretrained
        file = pathlib.Path(path)
        named = {"gguf_file": file.name} if file.is_file() else {}
        folder = file.parent if named else file
        self.model = load(folder, dtype=torch.float32, **named).eval()
        self.prompt = torch.tensor([prompt] * rows)
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
                written.append(int(token[0]))
            self.written = written
