import pytest

from experiments.rendering.files import MOST_PUZZLES, RenderError, check_picture, save_picture

FIRST_BYTES = {"steps.html": b"<!doctype html>", "steps.png": b"\x89PNG", "STEPS.GIF": b"GIF89a"}


@pytest.mark.parametrize("name", FIRST_BYTES)
def test_the_suffix_is_the_format(name, trace, tmp_path):
    path = tmp_path / name
    path.write_text("an older picture")
    save_picture([trace], path)
    assert path.read_bytes().startswith(FIRST_BYTES[name])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["steps.svg", "steps", "html", ".png", "steps.html.gz"])
def test_another_suffix_is_refused(name, trace, tmp_path):
    with pytest.raises(RenderError, match=r"expected a picture named \*\.html, \.png, \.gif, got"):
        save_picture([trace], tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(RenderError, match=r"expected a folder at .*nowhere, found none"):
        check_picture(tmp_path / "nowhere" / "steps.png", 1)


def test_too_many_puzzles_are_refused(tmp_path):
    check_picture(tmp_path / "steps.png", MOST_PUZZLES)
    with pytest.raises(RenderError, match="expected at most 12 puzzles in a picture, got 13"):
        check_picture(tmp_path / "steps.png", MOST_PUZZLES + 1)
