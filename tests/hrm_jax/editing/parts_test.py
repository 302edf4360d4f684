"""What is sent and shown, in parts: shapes, windows, neighbours, settings, messages."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pathspec", reason="needs the extra editor")

from hrm_jax.core.config import ConfigError
from hrm_jax.editing.answers import ServerAway, ServerRefused
from hrm_jax.editing.documents import Change, Document, Documents
from hrm_jax.editing.neighbours import Neighbours, may_be_sent, name_of
from hrm_jax.editing.settings import Settings, settings_from
from hrm_jax.editing.shaping import Shape, shape_at, shaped
from hrm_jax.editing.suggesting import Gap, Suggester
from hrm_jax.editing.telling import Telling
from hrm_jax.editing.windows import (
    Neighbour,
    budget_of,
    chunks_of,
    lines_around,
    prefix_within,
    suffix_within,
)

LINES = st.text("ab ", max_size=12)
TEXTS = st.lists(LINES, max_size=20).map("\n".join)


@pytest.mark.parametrize(
    ("text", "shape", "part", "done"),
    [
        ("a + b\nc", Shape(1, 0), "a + b", True),
        ("a + b", Shape(1, 0), "a + b", False),
        ("  \n", Shape(8, 0), "", False),
        ("\nx", Shape(1, 0), "", True),
        ("\n    x\n    y", Shape(8, 4), "\n    x\n    y", False),
        ("\n    x\n\ny", Shape(8, 4), "\n    x", True),
        ("f(\n    x\n)\ny", Shape(8, 0), "f(\n    x\n)\ny", False),
        ("x\n    y\nz", Shape(8, 4), "x\n    y", True),
        ("x\n    y\n}\n", Shape(8, 4), "x\n    y\n}\n", False),
    ],
)
def test_a_suggestion_ends_with_its_lines_or_its_block(text, shape, part, done):
    assert shaped(text, shape) == (part, done)


def test_within_a_line_a_suggestion_is_one_line():
    assert shape_at("x\n    a = ", " + b\n", 8) == Shape(1, 4)
    assert shape_at("x\n\ta = ", "  \nb", 8) == Shape(8, 1)


@given(TEXTS, st.integers(1, 60))
def test_what_is_sent_of_a_document_fits_and_touches_the_cursor(text, size):
    assert text.endswith(prefix_within(text, size))
    assert text.startswith(suffix_within(text, size))
    assert max(len(prefix_within(text, size)), len(suffix_within(text, size))) <= size


def test_a_prefix_begins_at_the_same_line_while_half_of_it_is_typed():
    text = "".join(f"line {number}\n" for number in range(100))
    typing = "x = 1\n" * 50
    begins = [prefix_within(text + typing[:typed], 200)[:10] for typed in range(len(typing))]
    changes = sum(one != other for one, other in itertools.pairwise(begins))
    assert changes <= 3


@given(TEXTS, st.integers(-3, 30), st.integers(0, 200))
def test_lines_around_one_are_whole_and_fit(text, line, characters):
    found = lines_around(text, line, characters)
    assert len(found) <= characters
    assert not found or f"\n{found}\n" in f"\n{text}\n"


def test_the_most_recent_file_stands_last_and_all_fit():
    files = [Neighbour(f"{name}.py", "0123456789\n" * 50, 3) for name in "abcde"]
    chunks = chunks_of(files, 1000, 3)
    assert [chunk.filename for chunk in chunks] == ["c.py", "b.py", "a.py"]
    assert sum(len(chunk.text) + len(chunk.filename) for chunk in chunks) <= 1000
    assert chunks_of(files, 60, 3) == []
    assert budget_of(2400, with_context=True) == (1500, 100, 800)
    assert budget_of(2400, with_context=False) == (2300, 100, 0)


def test_neighbours_are_open_documents_that_may_be_sent(tmp_path):
    documents = Documents()
    text = "value = 1\n" * 20
    for name in ("a.py", "b.py", ".env.py", "c.md", "main.py"):
        language = "markdown" if name == "c.md" else "python"
        documents.open(Document((tmp_path / name).as_uri(), language, text))
    neighbours = Neighbours(documents)
    main = documents.get((tmp_path / "main.py").as_uri())
    assert main is not None
    settings = Settings(exclude=(".env*",))

    def names(settings=settings):
        chunks = neighbours.chunks(main, settings, [tmp_path.parent, tmp_path])
        return [chunk.filename for chunk in chunks]

    assert names() == ["a.py", "b.py"]
    # They stay while somebody stays in the document, but for what may not be sent any more.
    documents.change((tmp_path / "a.py").as_uri(), [Change("other = 2\n" * 20)])
    assert names() == ["a.py", "b.py"]
    documents.close((tmp_path / "b.py").as_uri())
    assert names() == ["a.py"]
    assert names(Settings(exclude=("*.py",))) == []
    assert names(Settings(context=False)) == []


def test_names_say_nothing_of_this_machine(tmp_path):
    inside = Document((tmp_path / "a" / "b.py").as_uri(), "python", "")
    assert name_of(inside, [tmp_path]) == "a/b.py"
    assert name_of(inside, []) == "b.py"
    assert name_of(Document("untitled:1", "python", ""), [tmp_path]) == "untitled"


def test_what_is_no_file_here_is_not_sent():
    assert may_be_sent(Document("untitled:1", "python", ""), Settings())
    assert not may_be_sent(Document("fugitive:///a.py", "python", ""), Settings())
    assert not may_be_sent(Document("file:///x/.env", "python", ""), Settings())


def test_settings_are_merged_and_checked():
    assert settings_from(None, None) == Settings()
    found = settings_from({"max_lines": 2, "context": False}, {"hrm_jax": {"max_lines": 3}})
    assert (found.max_lines, found.context) == (3, False)
    assert found.wants("lua")
    assert not settings_from({"languages": ["python"]}).wants("lua")
    assert settings_from({"hrm_jax": []}) == Settings()
    for wrong, told in [
        ({"max_line": 2}, r"hrm_jax\.max_line: unknown field; the nearest is max_lines"),
        ({"max_lines": 0}, r"hrm_jax\.max_lines: expected .*1 to 100, got 0; set 1 to 100"),
        ({"exclude": "x"}, r"hrm_jax\.exclude: expected"),
        ("all", r"hrm_jax: expected an object with settings, got 'all'"),
    ]:
        with pytest.raises(ConfigError, match=told):
            settings_from(wrong)


def test_each_trouble_is_told_once_until_the_server_answers():
    shown = []
    logged = []
    telling = Telling("http://127.0.0.1:9000", shown.append, logged.append)
    for _ in range(3):
        telling.failed(ServerAway("refused"))
        telling.failed(ServerRefused(503, "loading"))
        telling.failed(ServerRefused(401, "wrong key"))
    start = "python -m experiments.serve --model=qwen2.5-coder-0.5b --port=9000"
    assert shown == [
        f"No server answers at http://127.0.0.1:9000. Start one: {start}",
        "The server at http://127.0.0.1:9000 refuses: wrong key; start the language server with "
        "--api_key_file=FILE, which holds one of its keys",
    ]
    assert len(logged) == 1
    telling.answered()
    telling.failed(ServerAway("refused"))
    assert len(shown) == 3


def test_what_is_left_of_a_suggestion_is_known_while_it_is_typed():
    suggester = Suggester()
    suggester._remember(Gap("a", "x = ", "\n"), "foo(bar)")
    assert suggester.known(Gap("a", "x = ", "\n")) == "foo(bar)"
    assert suggester.known(Gap("a", "x = foo", "\n")) == "(bar)"
    assert suggester.known(Gap("a", "x = foo(bar)", "\n")) is None
    assert suggester.known(Gap("a", "x = fob", "\n")) is None
    assert suggester.known(Gap("b", "x = foo", "\n")) is None
    suggester._remember(Gap("a", "y = ", "\n"), "")
    assert suggester.known(Gap("a", "y = ", "\n")) == ""
    for number in range(300):
        suggester._remember(Gap("c", f"{number}", ""), "z")
    assert suggester.known(Gap("a", "x = ", "\n")) is None
    suggester.forget()
    assert suggester.known(Gap("c", "299", "")) is None
