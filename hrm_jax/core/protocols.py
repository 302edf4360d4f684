"""Protocols by which layers of the code use each other without importing one another."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from hrm_jax.core.texts import Prompt
from hrm_jax.core.types import Batch, Carry, Outputs, Variables


class RecurrentModel(Protocol):
    """A model as the training step takes it: one step of thought, or one text, at a time.

    A batch is a pytree of arrays with a first axis B. The types of carry and outputs are a matter
    of the model and its loss: `Batch`, `Carry` and `Outputs` for puzzles; `TextBatch`, None and
    `TextOutputs` for text.
    """

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables."""
        ...

    def initial_carry(self, variables: Variables, batch: Any) -> Any:
        """Returns the carry before the first step on batches like `batch`, leaves [B, ...]."""
        ...

    def begin(
        self, variables: Variables, carry: Any, batch: Any, *, key: PRNGKeyArray
    ) -> tuple[Any, Any]:
        """Returns what a step is about and the step's random draws, leaves [B, ...] in both.

        It depends on no trained parameter, and everything random is drawn here for the whole batch,
        so that `think` may be given the rows in parts. Without randomness the draws are None.
        """
        ...

    def think(
        self,
        variables: Variables,
        begun: Any,
        /,
        *,
        draws: Any = None,
        row_offsets: Float[Array, "B E"] | None = None,
    ) -> tuple[Any, Any]:
        """Returns the new carry and the outputs of some rows of what `begin` returned.

        Only a model with puzzle rows is given `row_offsets`; its carry is a `Carry`.
        """
        ...


class ThinkingModel(Protocol):
    """A model as inference takes it, where the caller decides when puzzles start and end."""

    def initial_carry(self, variables: Variables, batch: Batch) -> Carry:
        """Returns a carry with the model's initial states, in which every sequence has halted."""
        ...

    def think(self, variables: Variables, carry: Carry) -> tuple[Carry, Outputs]:
        """Takes one step with every sequence, halted or not; see `PuzzleModel.think`."""
        ...


class StepLoss(Protocol):
    """A loss of one step, summed over the batch."""

    def __call__(self, carry: Any, outputs: Any, /) -> tuple[Float[Array, ""], PyTree[Any]]:
        """Returns the summed loss, and metrics summed over the batch."""
        ...


class TextCache(Protocol):
    """A language model's cache of the text so far: a pytree, donated to the next step."""

    @property
    def lengths(self) -> Int[Array, " B"]:
        """Number of tokens of each row so far."""
        ...

    @property
    def room(self) -> int:
        """Number of tokens that each row has room for, those it holds included."""
        ...

    def require_room(self, tokens: int) -> None:
        """Raises `CacheOverflowError` unless every row has room for `tokens` more."""
        ...


class LanguageModel(Protocol):
    """A text model as pure functions of its variables; hashable, a static argument of `jit`."""

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
        """Returns the logits of the token after each one; see `TextModel.logits`."""
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
        """Returns the logits after prompts, padded on the right, and a cache with `room` tokens."""
        ...

    def empty_cache(self, B: int, room: int) -> TextCache:
        """Returns a cache of B rows without tokens, with room for `room` in each."""
        ...

    def extend(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: Any, counts: Int[Array, " B"]
    ) -> tuple[Float[Array, "B V"], TextCache]:
        """Appends `counts` of T tokens to the rows; returns the logits after the last of each."""
        ...

    def splice(
        self,
        cache: Any,
        other: Any,
        begin: Int[Array, ""],
        end: Int[Array, ""],
        by: Int[Array, ""],
    ) -> TextCache:
        """Returns a cache with the places `begin` to `end` from another, where they stood earlier.

        See `TextModel.splice`.
        """
        ...

    def decode(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: Any
    ) -> tuple[Float[Array, "B T V"], TextCache]:
        """Appends T tokens to every row; returns the logits after each, and the new cache."""
        ...


@dataclasses.dataclass(frozen=True)
class InfillingTokens:
    """The tokens that mark the parts of a text with a hole: `prefix ... suffix ... middle ...`.

    Attributes:
      prefix, suffix, middle: the token before each part; the middle is what fills the hole. Without
        a middle the order is `suffix ... prefix ...`, and what fills the hole follows the prefix,
        as in Codestral.
      both_orders: whether the model was also trained on `prefix suffix ... middle ...`, where the
        text behind the hole comes first and the text before it follows the last mark.
    """

    prefix: int
    suffix: int
    middle: int | None
    both_orders: bool = False

    @property
    def suffix_may_come_first(self) -> bool:
        """Whether the text behind a hole may be read before the one before it."""
        return self.both_orders or self.middle is None


class Marker(NamedTuple):
    """A token that is written within a text by its name, such as `<|im_end|>`.

    Attributes:
      token: its number.
      special: whether it is no part of what the text says; others, as `<think>`, are text to the
        model's users and are found in any text.
    """

    token: int
    special: bool


class Tokenizer(Protocol):
    """Converts text to tokens and back."""

    @property
    def vocab_size(self) -> int:
        """V: tokens are 0 to V - 1."""
        ...

    @property
    def bos_token(self) -> int | None:
        """The token that begins a text, if the model was trained with one."""
        ...

    @property
    def eos_tokens(self) -> tuple[int, ...]:
        """The tokens that end a text, the usual one first; at least one."""
        ...

    @property
    def infilling(self) -> InfillingTokens | None:
        """The tokens of fill-in-the-middle, if there are any."""
        ...

    @property
    def markers(self) -> Mapping[str, Marker]:
        """The tokens that `encode_marked` finds in a text, by name."""
        ...

    @property
    def special_names(self) -> Mapping[str, str]:
        """Names of tokens by what they are for, such as `bos_token`; read by chat templates."""
        ...

    def encode(self, text: str) -> list[int]:
        """Returns the tokens of a part of a text; none is special, whatever the text says."""
        ...

    def encode_marked(self, text: str) -> list[int]:
        """Returns the tokens of a whole text in which names of markers are these tokens.

        Nothing is put before it. What `data.text.markers.hide` has hidden is text.
        """
        ...

    def begin(self, text: str) -> list[int]:
        """Returns the tokens of a text's beginning: `bos_token`, if there is one, then `text`.

        For a model that was trained with a space before every text, that space is included.
        """
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Returns the text of tokens, without special ones, with broken characters as U+FFFD."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """Returns the UTF-8 bytes that a token adds to a text; none for a special token.

        The pieces of `encode(text)`, joined, are the text's bytes.
        """
        ...

    def save(self, folder: Any) -> None:
        """Writes the files that `hrm_jax.data.text.tokenizers.load_tokenizer(folder)` reads."""
        ...


class Completer(Protocol):
    """Completes prompts: a model with its tokenizer, or a test's table of answers."""

    def __call__(
        self,
        prompts: Sequence[Prompt],
        *,
        seeds: Sequence[int],
        stop: Sequence[str],
        max_tokens: int,
    ) -> Sequence[str | None]:
        """Returns a completion of each prompt, without the prompt, cut before the first stop text.

        None stands for the completion of a prompt that is longer than the model's context.

        Args:
          prompts: the prompts.
          seeds: one for each prompt; a completion depends on its prompt and its seed alone.
          stop: texts that end a completion.
          max_tokens: largest number of tokens of a completion.
        """
        ...
