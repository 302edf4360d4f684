"""The llama.cpp contestant of the llama suite: greedy decoding of equal rows from one GGUF file."""

import os
from collections.abc import Callable

import llama_cpp as cpp

_CHUNK = 512


# Of the module: a callback that ctypes made has to live as long as the library may call it.
@cpp.llama_log_callback
def _say_nothing(level: int, text: bytes, data: object) -> None:
    """Drops what the library tells."""


def build(
    path: str, prompt: list[int], tokens: int, rows: int, phase: str
) -> Callable[[int], None]:
    """Returns `run(steps)`; see `experiments.benchmarks.jax_decode.build`.

    Args:
      path: the file.
      prompt: the tokens read, of every row.
      tokens: that a turn writes at most.
      rows: texts written together.
      phase: "decode" or "prefill".
    """
    text = _Text(path, prompt, tokens, rows)
    return text.decode if phase == "decode" else text.prefill


def greedy(path: str, prompt: list[int], tokens: int) -> list[int]:
    """Returns the likeliest tokens after a prompt, `tokens` of them."""
    text = _Text(path, prompt, tokens, 1)
    text.decode(tokens)
    return text.written


class _Text:
    """Rows of one text that are written repeatedly."""

    def __init__(self, path: str, prompt: list[int], tokens: int, rows: int):
        cpp.llama_log_set(_say_nothing, None)
        cpp.llama_backend_init()
        threads = len(os.sched_getaffinity(0))
        self.model = cpp.llama_model_load_from_file(path.encode(), cpp.llama_model_default_params())
        settings = cpp.llama_context_default_params()
        # Room of all rows together, with a token more than is written in each.
        settings.n_ctx = rows * (len(prompt) + tokens + 1)
        settings.n_batch = settings.n_ubatch = _CHUNK
        settings.n_seq_max = rows
        settings.n_threads = settings.n_threads_batch = threads
        self.context = cpp.llama_init_from_model(self.model, settings)
        self.memory = cpp.llama_get_memory(self.context)
        self.sampler = cpp.llama_sampler_init_greedy()
        self.batch = cpp.llama_batch_init(_CHUNK, 0, 1)
        self.prompt = prompt
        self.rows = rows
        self.first: int | None = None
        self.written: list[int] = []

    def _run(self, entries: list[tuple[int, int, int, bool]]) -> None:
        """Computes tokens given as (token, position, row, whether logits are wanted)."""
        for i, (token, position, row, wanted) in enumerate(entries):
            self.batch.token[i] = token
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = row
            self.batch.logits[i] = wanted
        self.batch.n_tokens = len(entries)
        status = cpp.llama_decode(self.context, self.batch)
        if status:
            raise RuntimeError(f"llama_decode failed with status {status}")

    def _read(self, row: int) -> int:
        # Positions begin at 0 again, so nothing of the row's last turn may be left.
        cpp.llama_memory_seq_rm(self.memory, row, -1, -1)
        last = len(self.prompt) - 1
        # Logits are wanted after the last token alone.
        entries = [(token, i, row, i == last) for i, token in enumerate(self.prompt)]
        for begin in range(0, len(entries), _CHUNK):
            self._run(entries[begin : begin + _CHUNK])
        return cpp.llama_sampler_sample(self.sampler, self.context, -1)

    def prefill(self, steps: int) -> None:
        for _ in range(steps):
            self._read(0)

    def decode(self, steps: int) -> None:
        """Writes `steps` tokens in every row after the prompt, which is read once."""
        # In the first turn, which is not timed: decoding is measured without the prompt.
        if self.first is None:
            firsts = [self._read(row) for row in range(self.rows)]
            self.first = firsts[0]
        begin = len(self.prompt)
        for row in range(self.rows):
            # What the turn before wrote; the prompt stays.
            cpp.llama_memory_seq_rm(self.memory, row, begin, -1)
        tokens = [self.first] * self.rows
        self.written = []
        for step in range(steps):
            self._run([(tokens[row], begin + step, row, True) for row in range(self.rows)])
            tokens = [
                cpp.llama_sampler_sample(self.sampler, self.context, row)
                for row in range(self.rows)
            ]
            self.written.append(tokens[0])
