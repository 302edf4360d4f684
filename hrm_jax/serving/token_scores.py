"""Formats the log-probabilities of tokens: OpenAI's two forms, and llama.cpp's."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from hrm_jax.core.protocols import Tokenizer
from hrm_jax.inference.text.requests import Scored


class TokenScores:
    """Formats scores with the texts of a tokenizer's tokens."""

    def __init__(self, tokenizer: Tokenizer):
        """Stores the tokenizer."""
        self._tokenizer = tokenizer

    @functools.cached_property
    def _special(self) -> Mapping[int, str]:
        return {marker.token: name for name, marker in self._tokenizer.markers.items()}

    def of_chat(self, scores: Sequence[Scored]) -> dict[str, Any]:
        """Returns the form of chat completions."""
        return {
            "content": [
                {
                    **self._entry(one.token, one.logprob),
                    "top_logprobs": [self._entry(*other) for other in one.likeliest],
                }
                for one in scores
            ],
            "refusal": None,
        }

    def of_text(self, scores: Sequence[Scored]) -> dict[str, Any]:
        """Returns the form of completions; offsets are those within what is written."""
        offsets = []
        offset = 0
        for one in scores:
            offsets.append(offset)
            offset += len(self._tokenizer.token_bytes(one.token).decode(errors="replace"))
        return {
            "tokens": [self._text(one.token) for one in scores],
            "token_logprobs": [one.logprob for one in scores],
            "top_logprobs": [
                {self._text(token): logprob for token, logprob in one.likeliest} for one in scores
            ],
            "text_offset": offsets,
        }

    def of_llama(self, scores: Sequence[Scored]) -> list[dict[str, Any]]:
        """Returns llama.cpp's form."""
        return [
            {
                "id": one.token,
                **self._entry(one.token, one.logprob),
                "top_logprobs": [
                    {"id": token, **self._entry(token, logprob)} for token, logprob in one.likeliest
                ],
            }
            for one in scores
        ]

    def _entry(self, token: int, logprob: float) -> dict[str, Any]:
        data = self._tokenizer.token_bytes(token)
        return {"token": self._text(token), "logprob": logprob, "bytes": list(data)}

    def _text(self, token: int) -> str:
        """Returns the text of a token; bytes that are none by themselves as OpenAI names them."""
        data = self._tokenizer.token_bytes(token)
        # Markers have no bytes of their own, so they are told by name.
        if not data:
            return self._special.get(token, "")
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
