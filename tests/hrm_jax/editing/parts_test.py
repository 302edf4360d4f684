"""What is sent and shown, in parts: shapes, windows, neighbours, settings, messages."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pathspec", reason="needs the extra editor")

from hrm_jax.core.config import ConfigError
from hrm_jax.editing.answers import ServerAway, ServerRefused
from hrm_jax.editing.documents import Change, Document, Documents
from hrm_jax.editing.neighbours import Neighbours, may_be_sent, name_of
from hrm_jax.editing.server import Server
from hrm_jax.editing.settings import Settings, settings_from
from hrm_jax.editing.shaping import Shape, shape_at, shaped
from hrm_jax.editing.suggesting import Gap, Suggester
from hrm_jax.editing.telling import Telling
from hrm_jax.editing.windows import Chunk, budget_of, prefix_within, suffix_within
from tests.infill_server import InfillServer

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


def test_what_parts_leave_of_their_budget_is_the_prefix_s():
    budget = budget_of(2400, with_context=True)
    assert budget == (1500, 100, 800)
    assert budget.prefix_beside([]) == 2300
    assert budget.prefix_beside([Chunk("a.py", "x" * 396)]) == 1900
    assert budget_of(2400, with_context=False) == (2300, 100, 0)


SHOWN = Settings()
USED = "def parse_date(text):\n    day, month = text.split('/')\n    return day, month\n"
UNUSED = "def mix_colours(first, second):\n    return [first, second, first, second]\n"


class Typing:
    """A document of a project, and what it is shown with."""

    def __init__(self, folder, text):
        self.folder = folder
        self.documents = Documents()
        self.neighbours = Neighbours(self.documents)
        self.uri = (folder / "main.py").as_uri()
        self.documents.open(Document(self.uri, "python", text))

    def chunks(self, settings=SHOWN, line=10**6):
        document = self.documents.get(self.uri)
        assert document is not None
        lines = document.text.split("\n")
        around = "\n".join(lines[:line]), "\n".join(lines[line:])
        return self.neighbours.chunks(document, around, settings, [self.folder.parent, self.folder])

    def names(self, *args, **kwargs):
        return [chunk.filename for chunk in self.chunks(*args, **kwargs)]


def test_neighbours_are_parts_of_what_is_used_that_may_be_sent(tmp_path):
    for folder in ("inner", "node_modules"):
        (tmp_path / folder).mkdir()
    for name in ("inner/dates.py", "beside.py", "secret.py", "other.md", "node_modules/dates.py"):
        (tmp_path / name).write_text(USED)
    (tmp_path / ".gitignore").write_text("secret.py\n")
    (tmp_path / "cut.py").write_bytes(b"parse_date = '\xff'\n" * 9)
    typing = Typing(tmp_path, "from inner import dates\n\ndue = dates.parse_date(")
    typing.documents.open(Document((tmp_path / "open.py").as_uri(), "python", USED + UNUSED))
    typing.documents.open(Document((tmp_path / "open.lua").as_uri(), "lua", USED))
    chunks = typing.chunks()
    assert {one.filename for one in chunks} == {"inner/dates.py", "beside.py", "open.py"}
    assert chunks[-1].filename == "inner/dates.py"  # it is imported
    assert all("parse_date" in one.text for one in chunks)
    assert typing.names(Settings(exclude=("*.py",))) == []
    assert typing.names(Settings(context=False)) == []


def test_neighbours_stay_while_somebody_stays_where_they_are(tmp_path):
    typing = Typing(tmp_path, "parse_date(\n" * 3 + "\n" * 60 + "mix_colours(\n" * 3)
    other = (tmp_path / "other.py").as_uri()
    typing.documents.open(Document(other, "python", USED))
    assert typing.names(line=3) == ["other.py"]
    typing.documents.change(other, [Change(UNUSED)])
    [before] = typing.chunks(line=20)
    assert "parse_date" in before.text
    # Elsewhere in the document, with another import, or when a document is closed: chosen anew.
    [after] = typing.chunks(line=66)
    assert "mix_colours" in after.text
    typing.documents.change(other, [Change(USED)])
    typing.documents.change(typing.uri, [Change("import x\nparse_date(")])
    [imported] = typing.chunks()
    assert "parse_date" in imported.text
    typing.documents.close(other)
    assert typing.names() == []


def test_what_a_document_has_beyond_its_window_is_shown_too(tmp_path):
    text = USED + "\n" * 5 + "x = 1\n" * 1000 + "due = parse_date("
    [chunk] = Typing(tmp_path, text).chunks()
    assert chunk == ("main.py", USED.rstrip())


def test_names_say_nothing_of_this_machine(tmp_path):
    path = tmp_path / "a" / "b.py"
    assert name_of(path, [tmp_path]) == "a/b.py"
    assert name_of(path, [tmp_path, tmp_path / "a"]) == "b.py"
    assert name_of(path, []) == "b.py"
    assert name_of(None, [tmp_path]) == "untitled"


def test_what_is_no_file_here_is_not_sent():
    assert may_be_sent(Document("untitled:1", "python", ""), Settings())
    assert not may_be_sent(Document("fugitive:///a.py", "python", ""), Settings())
    assert not may_be_sent(Document("file:///x/.env", "python", ""), Settings())


def test_settings_are_merged_and_checked():
    assert settings_from(None, None) == Settings()
    found = settings_from({"max_lines": 2, "context": True}, {"hrm_jax": {"max_lines": 3}})
    assert (found.max_lines, found.context) == (3, True)
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


@pytest.mark.parametrize(
    ("before", "max_milliseconds", "suggestion", "one_line"),
    [
        ("x = ", 100, "1", True),
        ("x = 1\n", 100, "1\ny = 2", False),
        ("x = ", 0, "1\ny = 2", False),
    ],
    ids=["within a line", "at its begin", "any time"],
)
def test_who_pauses_within_a_line_waits_for_the_rest_of_it_alone(
    before, max_milliseconds, suggestion, one_line
):
    server = InfillServer(lambda body: "1\ny = 2\n\n")
    settings = Settings(max_milliseconds=max_milliseconds)

    async def suggested(url: str) -> str:
        asked = Server(url)
        try:
            return await Suggester().suggest(asked, Gap("a", before, "\n"), settings)
        finally:
            await asked.close()

    with server.serving() as url:
        assert asyncio.run(suggested(url)) == suggestion
    assert server.asked[0]["stop"] == (["\n"] if one_line else [])
