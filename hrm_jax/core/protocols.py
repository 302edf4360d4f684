"""What floors ask of what is wired into them, so that none need know another's names."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from hrm_jax.core.types import Batch, Carry, Outputs, Prompt, Variables


class RecurrentModel(Protocol):
    """A model as the training step takes it: one step of thought at a time, or one text.

    A batch is a pytree of arrays with a first axis B. What a carry and outputs are is between the
    model and its loss: `Batch`, `Carry` and `Outputs` for puzzles; `TextBatch`, nothing and
    `TextOutputs` for text.
    """

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables."""
        ...

    def initial_carry(self, variables: Variables, batch: Any) -> Any:
        """Returns the carry before the first step on batches shaped like `batch`: leaves [B, ...]."""
        ...

    def step(
        self,
        variables: Variables,
        carry: Any,
        batch: Any,
        *,
        key: PRNGKeyArray | None = None,
        row_offsets: Float[Array, "B E"] | None = None,
    ) -> tuple[Any, Any]:
        """Returns the new carry, and outputs; see `hrm_jax.models.puzzle_model.PuzzleModel.step`.

        A model with puzzle rows gets `row_offsets`, and its carry is a `Carry`.
        """
        ...


class ThinkingModel(Protocol):
    """A model as inference takes it: puzzles start and end when the caller says, not the model."""

    def initial_carry(self, variables: Variables, batch: Batch) -> Carry:
        """Returns a carry in the model's initial state, in which every sequence has halted."""
        ...

    def think(self, variables: Variables, carry: Carry) -> tuple[Carry, Outputs]:
        """Takes one step of every sequence, halted or not; see `PuzzleModel.think`."""
        ...


class StepLoss(Protocol):
    """A loss of one step, summed over the batch."""

    def __call__(self, carry: Any, outputs: Any, /) -> tuple[Float[Array, ""], PyTree[Any]]:
        """Returns the summed loss, and metrics summed over the batch."""
        ...


class TextCache(Protocol):
    """What a language model keeps of the text so far: a pytree, donated to the step after it."""

    @property
    def lengths(self) -> Int[Array, " B"]:
        """Tokens of each row so far."""
        ...

    @property
    def room(self) -> int:
        """Tokens that each row has room for, those it holds included."""
        ...

    def require_room(self, tokens: int) -> None:
        """Raises `CacheOverflowError` unless every row has room for `tokens` more."""
        ...


class LanguageModel(Protocol):
    """A model of text as pure functions of its variables; hashable, a static argument of `jit`."""

    @property
    def vocab_size(self) -> int:
        """V."""
        ...

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables, float32."""
        ...

    def logits(
        self,
        variables: Variables,
        tokens: Int[Array, "B T"],
        *,
        token_types: Int[Array, "B T"] | None = None,
        segment_ids: Int[Array, "B T"] | None = None,
        lengths: Int[Array, " B"] | None = None,
    ) -> Float[Array, "B T V"]:
        """Scores of the token after each one; see `hrm_jax.models.text_model.TextModel.logits`."""
        ...

    def prefill(
        self,
        variables: Variables,
        tokens: Int[Array, "B T"],
        *,
        room: int,
        token_types: Int[Array, "B T"] | None = None,
        lengths: Int[Array, " B"] | None = None,
    ) -> tuple[Float[Array, "B V"], TextCache]:
        """Reads prompts, padded on the right: the logits after each, and a cache of `room`."""
        ...

    def decode(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: Any
    ) -> tuple[Float[Array, "B T V"], TextCache]:
        """Reads T more tokens of every row: the logits after each, and the cache with them."""
        ...


@dataclasses.dataclass(frozen=True)
class InfillingTokens:
    """The tokens that mark a text with a hole: `prefix ... suffix ... middle`, then the filling.

    Attributes:
      prefix, suffix, middle: what stands before each part.
    """

    prefix: int
    suffix: int
    middle: int


class Tokenizer(Protocol):
    """Text to tokens and back."""

    @property
    def vocab_size(self) -> int:
        """V: tokens are 0 to V - 1."""
        ...

    @property
    def bos_token(self) -> int | None:
        """What a text begins with, where the model was trained so."""
        ...

    @property
    def eos_tokens(self) -> tuple[int, ...]:
        """What a text ends with, the usual one first; at least one."""
        ...

    @property
    def infilling(self) -> InfillingTokens | None:
        """The marks of fill-in-the-middle, where there are any."""
        ...

    def encode(self, text: str) -> list[int]:
        """Returns the tokens of a part of a text, none of them special, whatever it says."""
        ...

    def begin(self, text: str) -> list[int]:
        """Returns the tokens of what a text begins with: `bos_token`, if there is one, then `text`.

        Where models were trained with a space before every text, it is among them.
        """
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Returns the text of tokens, special ones left out, broken characters as U+FFFD."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """Returns what a token adds to a text, in UTF-8; nothing for a special one.

        The pieces of `encode(text)`, joined, are the text's bytes.
        """
        ...

    def save(self, folder: Any) -> None:
        """Writes what `hrm_jax.data.text.tokenizers.load_tokenizer(folder)` reads."""
        ...


class Completer(Protocol):
    """Something that writes: a model with its tokenizer, or a test's table of answers."""

    def __call__(
        self,
        prompts: Sequence[Prompt],
        *,
        seeds: Sequence[int],
        stop: Sequence[str],
        max_tokens: int,
    ) -> list[str]:
        """Returns a completion for each prompt, without it, and cut before the first of `stop` in it.

        Args:
          prompts: any number.
          seeds: one for each; a completion depends on its prompt and its seed, not on neighbours.
          stop: texts that end a completion.
          max_tokens: longest completion.
        """
        ...
