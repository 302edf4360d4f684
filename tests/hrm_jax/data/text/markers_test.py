import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.data.text.markers import find_reserved, hide, is_marker, show

MARKERS = [
    "<|im_end|>",
    "<|im|>",
    "</s>",
    "<s>",
    "[INST]",
    "<",
    "<\uff5cUser\uff5c>",
    "EOT",
    "TOKEN",
]
PIECES = st.lists(
    st.sampled_from([*MARKERS, "<|im_", "end|>", "<|", "s>", " ", "\n", "a", "[", "EO", "T"])
)


@pytest.mark.parametrize(
    ("name", "special", "marks"),
    [
        ("<|im_end|>", True, True),
        ("word", True, True),
        ("<think>", False, True),
        ("<\uff5cUser\uff5c>", False, True),
        ("[TOOL_CALLS]", False, True),
        ("word", False, False),
        ("    ", False, False),
        ("<", False, False),
    ],
)
def test_markers_are_special_or_have_brackets(name, special, marks):
    assert is_marker(name, special=special) == marks


@given(PIECES.map("".join))
def test_no_marker_is_left_and_no_character_is_lost(text):
    hidden = hide(text, MARKERS)
    assert not any(marker in hidden for marker in MARKERS)
    assert show(hidden) == text


@given(st.lists(PIECES.map("".join)), st.lists(st.sampled_from(["<", "|>", "<|", "im_end", ""])))
def test_hidden_texts_make_no_marker_with_what_is_around_them(texts, around):
    joined = "".join(
        hide(text, MARKERS).strip() + other for text, other in zip(texts, around, strict=False)
    )
    for marker in MARKERS[:5]:
        assert marker not in joined


def test_what_is_readable_stays():
    text = "<think>a<s></think>"
    hidden = hide(text, MARKERS, readable=["<think>", "</think>"])
    assert hidden.startswith("<think>a")
    assert hidden.endswith("</think>")
    assert "<s>" not in hidden
    assert show(hidden) == text


def test_a_text_without_brackets_stays():
    assert hide("a and b", ["<|im_end|>"]) == "a and b"


def test_reserved_characters_are_found():
    assert find_reserved("a < b") is None
    assert find_reserved("a \ufdd0 b") == "\ufdd0"
