import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.data.text.markers import BREAK, hide, is_marker

MARKERS = ["<|im_end|>", "<|im|>", "</s>", "<s>", "[INST]", "<", "<|im_end|><|x|>"]
PIECES = st.lists(st.sampled_from([*MARKERS, "<|im_", "end|>", "<|", "s>", " ", "\n", "a", "["]))


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
    assert not any(marker in hidden for marker in MARKERS if len(marker) > 1)
    assert hidden.replace(BREAK, "") == text


@given(PIECES.map("".join), PIECES.map("".join))
def test_two_texts_make_no_marker_together(one, other):
    for joined in (hide(one, MARKERS), hide(one, MARKERS).strip()):
        together = joined + hide(other, MARKERS)
        assert not any(marker in together for marker in MARKERS if len(marker) > 1)


def test_a_text_without_markers_stays():
    assert hide("a < b and c > d", ["<|im_end|>"]) == "a < b and c > d"
    assert hide("x", []) == "x"
