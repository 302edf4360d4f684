import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tree_sitter_language_pack", reason="needs the extra codegen or editor")

from hrm_jax.context.choosing import File, choose, imported_names, stems

DATES = File(
    "app/dates.py",
    "def parse_date(text):\n    day, month = text.split('/')\n    return day, month\n\n\n"
    "def unrelated_helper(value):\n    return [value for _ in range(10)]\n",
)
COLOURS = File("app/colours.py", "def mix_colours(first, second):\n    return first + second\n")
FILES = st.lists(st.sampled_from([DATES, COLOURS]), unique=True)


def test_parts_that_are_named_nearby_are_chosen():
    before = "from app import dates\n\n\ndef due(text):\n    day = dates.parse_d"
    [found] = choose([COLOURS, DATES], before, "\n", 120)
    assert found.filename == "app/dates.py"
    assert found.text.startswith("def parse_date(text):")
    assert "unrelated" not in found.text


def test_the_likeliest_file_stands_last():
    before = "mix_colours(parse_date(day), parse_date(month))\n"
    found = choose([DATES, COLOURS], before, "", 400)
    assert [file.filename for file in found] == ["app/colours.py", "app/dates.py"]


def test_what_is_imported_counts_more():
    texts = ["def go(one):\n    return one + one + one + one\n"] * 2
    files = [File("left.py", texts[0]), File("right.py", texts[1])]
    for module in ("left", "right"):
        found = choose(files, f"import {module}\n\n\nx = go(", ")", 60)
        assert [file.filename for file in found] == [f"{module}.py"]


@given(FILES, st.sampled_from(["parse_date(", "mix_colours(first", "nothing"]), st.integers(0, 300))
def test_what_is_chosen_fits_and_stands_in_its_file(files, before, characters):
    found = choose(files, before, "", characters)
    assert sum(len(file.filename) + len(file.text) + 2 for file in found) <= characters
    assert len({file.filename for file in found}) == len(found)
    texts = dict(files)
    for file in found:
        assert set(file.text.split("\n")) <= set(texts[file.filename].split("\n"))
    assert found == choose(files, before, "", characters)


def test_imports_name_files_in_many_languages():
    text = (
        'import os.path\nfrom .a import b\n#include "c/d.h"\nconst e = require("./f")\nuse g::h;\n'
    )
    assert imported_names(text) >= {"os", "a", "b", "c", "d", "f", "g", "h"}
    assert stems("src/a/dates.test.ts") == {"dates"}
    assert stems("a/__init__.py") == {"a"}
