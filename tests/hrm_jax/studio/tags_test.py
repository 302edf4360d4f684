import json

import pytest

from hrm_jax.studio.tags import MOST_TAGS, TAGS, TagError, read_tags, write_tags


def test_tags_are_words_in_order_each_once(tmp_path):
    write_tags(tmp_path, ["slow", " #fast", "slow", "<b>"])
    assert read_tags(tmp_path) == ["<b>", "fast", "slow"]
    write_tags(tmp_path, [])
    assert read_tags(tmp_path) == []


@pytest.mark.parametrize(
    "tags", [["two words"], [""], ["x" * 41], [str(n) for n in range(MOST_TAGS + 1)]]
)
def test_what_is_no_tag_is_refused(tmp_path, tags):
    with pytest.raises(TagError, match="expected up to 20 words of up to 40 characters"):
        write_tags(tmp_path, tags)
    assert not (tmp_path / TAGS).exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", []),
        ("{", []),
        ('{"tags": 3}', []),
        ('{"tags": {"a": 1}}', []),
        (json.dumps({"tags": ["a", 3, None, "b c", "x" * 99, "a"]}), ["a"]),
        (json.dumps({"tags": [str(n) for n in range(100)]}), sorted(map(str, range(100)))[:20]),
    ],
)
def test_damaged_files_have_the_tags_that_are_whole(tmp_path, content, found):
    (tmp_path / TAGS).write_text(content)
    assert read_tags(tmp_path) == found


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "secret").write_text('{"tags": ["secret"]}')
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / TAGS).symlink_to(tmp_path / "secret")
    assert read_tags(tmp_path / "run") == []
    write_tags(tmp_path / "run", ["mine"])
    assert read_tags(tmp_path / "run") == ["mine"]
    assert read_tags(tmp_path) == []
    assert "secret" in (tmp_path / "secret").read_text()
