import dataclasses

import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.prompts import PromptError, encode_prompt
from tests.hrm_jax.inference.text import tiny
from tests.hrm_jax.inference.text.tiny import MIDDLE, PREFIX, SUFFIX, ByteTokenizer


def test_a_text_to_be_continued_is_itself():
    assert encode_prompt(ByteTokenizer(), Prompt("ab")).tokens == [97, 98]


def test_a_text_begins_as_the_model_was_trained():
    assert encode_prompt(ByteTokenizer(bos_token=7), Prompt("a")).tokens == [7, 97]
    assert encode_prompt(ByteTokenizer(bos_token=7), Prompt("")).tokens == [7]


def test_a_hole_is_marked():
    tokens = encode_prompt(ByteTokenizer(bos_token=7), Prompt("a", suffix="b")).tokens
    assert tokens == [7, PREFIX, 97, SUFFIX, 98, MIDDLE]


def test_the_suffix_may_come_first():
    marks = dataclasses.replace(tiny.MARKS, both_orders=True)
    tokenizer = ByteTokenizer(bos_token=7, infilling=marks)
    tokens = encode_prompt(tokenizer, Prompt("a", suffix="b"), suffix_first=True).tokens
    assert tokens == [7, PREFIX, SUFFIX, 98, MIDDLE, 97]
    # A prompt without a hole has no order.
    assert encode_prompt(ByteTokenizer(), Prompt("a"), suffix_first=True).tokens == [97]


def test_a_hole_may_be_at_the_end():
    tokens = encode_prompt(ByteTokenizer(), Prompt("a", suffix="")).tokens
    assert tokens == [PREFIX, 97, SUFFIX, MIDDLE]


def test_without_marks_for_holes_the_prefix_goes_on():
    assert encode_prompt(ByteTokenizer(infilling=None), Prompt("a", suffix="b")).tokens == [97]


def test_nothing_cannot_be_continued():
    with pytest.raises(PromptError, match="at least one token"):
        encode_prompt(ByteTokenizer(), Prompt(""))
