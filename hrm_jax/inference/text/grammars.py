"""Texts of a grammar: JSON by a schema, or what a grammar in Lark's form says, by `llguidance`.

The package comes with the extra `codegen`, and is imported where a text begins.
"""

import dataclasses
import functools
import json
from typing import Any

import numpy as np
from jaxtyping import Bool

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.constraints import ConstraintError
from hrm_jax.inference.text.healing import MOST_OWED, Vocabulary


@dataclasses.dataclass(frozen=True)
class Grammar:
    """A text of a grammar. Make one by `json_schema` or `lark`.

    Attributes:
      source: the grammar in the form of `llguidance`.
    """

    source: str

    def rules(self, prompt: Prompt, vocabulary: Vocabulary) -> "GrammarRules":
        """Returns the rules of a text after any prompt."""
        del prompt
        return GrammarRules(self.source, vocabulary)


def json_schema(schema: str) -> Grammar:
    """Returns the grammar of JSON that a schema allows; `{}` allows all.

    Raises:
      ConstraintError: the schema is not JSON, or has a part that is not supported; `llguidance` is
        not installed.
    """
    try:
        loaded = json.loads(schema)
    # Brackets too deep for the parser.
    except (ValueError, RecursionError) as error:
        raise ConstraintError(f"expected a schema in JSON, got an error in it: {error}") from error
    if not isinstance(loaded, dict):
        raise ConstraintError(f"expected a schema, an object in JSON, got {type(loaded).__name__}")
    try:
        grammar = _llguidance().LLMatcher.grammar_from_json_schema(loaded)
    except (ValueError, RecursionError) as error:  # numbers beyond 64 bits
        raise ConstraintError(f"expected a schema that can be followed, got: {error}") from error
    return _checked(grammar, "schema")


def lark(grammar: str) -> Grammar:
    """Returns a grammar from Lark's form, with a rule `start`.

    Raises:
      ConstraintError: it has an error, or a part that is not supported; `llguidance` is not
        installed.
    """
    return _checked(_llguidance().LLMatcher.grammar_from_lark(grammar), "grammar")


def _checked(source: str, kind: str) -> Grammar:
    failed, messages = _llguidance().LLMatcher.validate_grammar_with_warnings(source)
    if failed:
        raise ConstraintError(
            f"expected a {kind} that can be followed, got one with an error: "
            f"{' '.join(messages)}; leave out what is not supported"
        )
    return Grammar(source)


class GrammarRules:
    """The rules of a text of a grammar; see `constraints.Rules`."""

    def __init__(self, source: str, vocabulary: Vocabulary):
        """Begins an empty text."""
        self._vocabulary = vocabulary
        self._begun = _llguidance().LLMatcher(_tokenizer(vocabulary), source, log_level=0)
        # Each text that does not go on from the last one begins with another copy.
        self._matcher = self._begun.deep_copy()
        # What the matcher has read.
        self._read = b""
        self._next: Bool[np.ndarray, " V"] | None = None

    def is_viable(self, text: bytes) -> bool:
        """Returns whether a text of the grammar may begin so."""
        tokens = _spell(self._vocabulary, text[len(self._shared(text)) :])
        # Validating consumes nothing, so the matcher stays where it is.
        return self._matcher.validate_tokens(tokens) == len(tokens)

    def is_complete(self, text: bytes) -> bool:
        """Returns whether it is a text of the grammar."""
        return self._move_to(text) and self._matcher.is_accepting()

    def next_tokens(self, text: bytes) -> Bool[np.ndarray, " V"]:
        """Returns which tokens may come next."""
        if not self._move_to(text) or self._matcher.is_stopped():
            return np.zeros(len(self._vocabulary.texts), bool)
        if self._next is None:
            # A bit for each token, the lowest first, filled up to whole words.
            bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            mask = np.unpackbits(bits, bitorder="little")[: len(self._vocabulary.texts)].astype(
                bool
            )
            # Tokens without text are no part of a text of the grammar.
            self._next = mask & self._has_text
        return self._next

    def certain(self, text: bytes) -> int:
        """Returns the length of all of it: no text is cut back."""
        return len(text)

    @functools.cached_property
    def _has_text(self) -> Bool[np.ndarray, " V"]:
        return np.array([bool(text) for text in self._vocabulary.texts])

    def _shared(self, text: bytes) -> bytes:
        """Returns what the matcher has read, with which a text begins: all it has, or nothing."""
        if not text.startswith(self._read):
            self._matcher = self._begun.deep_copy()
            self._read = b""
            self._next = None
        return self._read

    def _move_to(self, text: bytes) -> bool:
        """Lets the matcher read a text; returns whether it is viable."""
        rest = text[len(self._shared(text)) :]
        if not rest:
            return True
        tokens = _spell(self._vocabulary, rest)
        if self._matcher.validate_tokens(tokens) < len(tokens):
            return False
        self._matcher.consume_tokens(tokens)
        self._read = text
        self._next = None
        return True


@functools.lru_cache(maxsize=2)
def _numbers(vocabulary: Vocabulary) -> dict[bytes, int]:
    """Returns the token of each text."""
    return {text: token for token, text in enumerate(vocabulary.texts) if text}


def _spell(vocabulary: Vocabulary, text: bytes) -> list[int]:
    """Returns tokens of which a text consists, the longest first.

    Raises:
      ConstraintError: there are none.
    """
    numbers = _numbers(vocabulary)
    tokens = []
    while text:
        # Any spelling serves, as the grammar is one of bytes.
        lengths = range(min(len(text), MOST_OWED), 0, -1)
        length = next((n for n in lengths if text[:n] in numbers), 0)
        if not length:
            raise ConstraintError(
                f"expected a vocabulary that can spell {text[:1]!r}, got one without this byte; "
                "leave the grammar out"
            )
        tokens.append(numbers[text[:length]])
        text = text[length:]
    return tokens


@functools.lru_cache(maxsize=2)
def _tokenizer(vocabulary: Vocabulary) -> Any:
    """Returns a vocabulary as `llguidance` takes it."""
    end = len(vocabulary.texts)

    class Tokens:
        # One more token ends a text, as the model's may be several, or beyond the vocabulary.
        eos_token_id = end
        bos_token_id = None
        tokens = (
            # A byte that no UTF-8 text has, for the special tokens.
            *(text or b"\xff" for text in vocabulary.texts),
            b"<end>",
        )
        special_token_ids = (
            *(token for token, text in enumerate(vocabulary.texts) if not text),
            end,
        )

        def __call__(self, text: bytes) -> list[int]:
            return _spell(vocabulary, text)

    llguidance = _llguidance()
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(Tokens()))


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise ConstraintError(
            "expected the package llguidance, which follows grammars; "
            "pip install 'hrm-jax[codegen]'"
        ) from error
    return llguidance
