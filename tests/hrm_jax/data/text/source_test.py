"""Texts in memory: what tells one series of them from another."""

from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.data.text.source import Text, fingerprint

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=3)  # surrogates as well
TEXTS = st.lists(
    st.builds(Text, ANY_TEXT, ANY_TEXT, st.sampled_from([None, "python", "c"])), max_size=3
)


@given(TEXTS, TEXTS)
def test_equal_fingerprints_mean_equal_texts(texts, others):
    assert (fingerprint(texts) == fingerprint(others)) == (texts == others)
    assert fingerprint(iter(texts)) == fingerprint(texts)


def test_neighbours_do_not_run_into_each_other():
    splits = ([Text("ab")], [Text("a"), Text("b")], [Text("b", "a")], [Text("", "ab")])
    assert len({fingerprint(texts) for texts in splits}) == len(splits)
