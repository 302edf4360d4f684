"""A small vocabulary as SentencePiece writes them, and how it is applied, from the definition.

Reference: `llm_tokenizer_spm_session` of llama.cpp, and section 3.1 of Kudo and Richardson, arXiv
1808.06226: of all neighbours whose union is a token, the two with the highest score are joined, the
leftmost first, until there are none.
"""

import itertools

NORMAL = 1
UNKNOWN = 2
CONTROL = 3
BYTE = 6
_WORDS = (
    "▁t",
    "he",
    "▁the",
    "▁th",
    "in",
    "▁▁",
    "er",
    "ing",
    "▁in",
    "her",
    "▁▁▁▁",
    "th",
    "▁a",
    "▁t▁",
)
_CHARACTERS = tuple("▁theinragé")
NAMES = ("<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *_WORDS, *_CHARACTERS)
KINDS = (UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (len(_WORDS) + len(_CHARACTERS)))
SCORES = (*[0.0] * 259, *(float(-place) for place in range(len(_WORDS) + len(_CHARACTERS))))
_TOKEN = {name: token for token, name in enumerate(NAMES)}


def by_definition(text: str) -> list[int]:
    """The tokens of a text that begins with no space of its own making."""
    pieces = list(text.replace(" ", "▁"))
    while True:
        joined = [
            (-SCORES[_TOKEN[left + right]], place)
            for place, (left, right) in enumerate(itertools.pairwise(pieces))
            if left + right in _TOKEN
        ]
        if not joined:
            break
        _, place = min(joined)
        pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
    return [token for piece in pieces for token in _tokens(piece)]


def _tokens(piece: str) -> list[int]:
    if piece in _TOKEN:
        return [_TOKEN[piece]]
    return [_TOKEN[f"<0x{byte:02X}>"] for byte in piece.encode()]
