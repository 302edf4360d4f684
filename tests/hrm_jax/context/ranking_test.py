import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.context.ranking import scores, words_of

WORDS = st.lists(st.sampled_from(["aa", "bb", "cc", "dd"]), max_size=8).map(" ".join)


def test_compound_words_count_whole_and_in_parts():
    assert words_of("parse_date(x)") == {"parse_date": 1, "parse": 1, "date": 1}
    assert words_of("HTTPServer toJSON") == {
        **{"HTTPServer": 1, "http": 1, "server": 1},
        **{"toJSON": 1, "to": 1, "json": 1},
    }
    assert words_of("1 + 2") == {}


def test_rare_words_count_more_and_long_texts_less():
    documents = [words_of(text) for text in ("common", "common rare", "common " * 9, "common")]
    found = scores({"common": 1, "rare": 1}, documents)
    assert found[1] == max(found)
    other = scores({"rare": 1}, [words_of("rare"), words_of("rare " + "many words " * 9)])
    assert other[0] > other[1]
    assert scores({"rare": 2}, documents) == pytest.approx(
        [2 * one for one in scores({"rare": 1}, documents)]
    )


@given(st.lists(WORDS, max_size=5), WORDS)
def test_only_texts_with_a_word_of_the_query_count(texts, query):
    documents = [words_of(text) for text in texts]
    found = scores(dict.fromkeys(words_of(query), 1.0), documents)
    for document, score in zip(documents, found, strict=True):
        assert (score > 0) == bool(document.keys() & words_of(query).keys())
