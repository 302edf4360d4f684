"""`--split=FILE`: tasks for stories, proposed by rules or by a language model."""

import json
import pathlib
from collections.abc import Callable, Sequence

from absl import flags

from experiments.assignments.reading import read_backlog
from experiments.common.terminal import make_console, waiting
from hrm_jax.core.config import check
from hrm_jax.core.files import write_atomically
from hrm_jax.planning.formats.proposals import Splitter, propose, write_proposals
from hrm_jax.planning.formats.rows import Clock
from hrm_jax.planning.stories import Part, Story, parts_of, split_by_rules

_LEAST, _MOST, _TITLE = 2, 6, 80
_MAX_LENGTH, _MAX_TOKENS = 2048, 240
_SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "tasks": {
                "type": "array",
                "minItems": _LEAST,
                "maxItems": _MOST,
                "items": {"type": "string", "minLength": 8, "maxLength": _TITLE},
            }
        },
        "required": ["tasks"],
        "additionalProperties": False,
    }
)

Asker = Callable[[str], str | None]
"""Answers a request in words, or None where it does not fit."""


def split_stories(values: flags.FlagValues) -> int:
    """Writes proposed tasks for the stories of --backlog to the new file --split."""
    path = pathlib.Path(values.split)
    # A file of proposals is edited by hand, so none is ever written over.
    check(
        not path.exists() and path.suffix.lower() == ".csv",
        "split",
        expected="a new file that ends with .csv",
        got=str(path),
        remedy="name another",
    )
    rows, _, days = read_backlog(values)
    # The model is loaded only when the files are known to be fine.
    splitter = by_rules if not values.model else by_model(values.model, load_asker(values.model))
    with waiting(make_console(stderr=True, file=None), "splitting stories"):
        proposals = propose(rows, splitter, hours_per_day=Clock(days).hours_per_day)
    console = make_console(markup=False)
    if not proposals:
        console.print("no open story to be split: As a ... I want ... so that ...")
        return 0
    write_atomically(path, write_proposals(proposals))
    # Stories that were split, not those of the backlog: some have one part and stay whole.
    count = len({row["story"] for row in proposals})
    stories = "1 story" if count == 1 else f"{count} stories"
    console.print(
        f"wrote {path}: {len(proposals)} tasks proposed for {stories}. Nothing is assigned "
        f"before you write accepted there, and plan with --accept={path}",
        soft_wrap=True,
        highlight=False,
    )
    return 0


def by_rules(story: Story, skills: Sequence[str]) -> tuple[list[Part], str]:
    """Returns what rules propose; a `Splitter`."""
    return split_by_rules(story, skills), "rules"


def by_model(name: str, ask: Asker) -> Splitter:
    """Returns a splitter that asks a model, and takes the rules where its answer is of no use."""

    def split(story: Story, skills: Sequence[str]) -> tuple[list[Part], str]:
        titles = read_answer(ask(request(story, skills)))
        return (parts_of(story, titles), name) if titles else by_rules(story, skills)

    return split


def request(story: Story, skills: Sequence[str]) -> str:
    """Returns what the model is asked."""
    lines = [
        f"Split this user story into {_LEAST} to {_MOST} small development tasks.",
        f"Story: As a {story.role}, I want {story.goal}"
        + (f", so that {story.benefit}." if story.benefit else "."),
        *(f"Criterion: {criterion}" for criterion in story.criteria),
        *([f"Skills at hand: {', '.join(skills)}"] if skills else []),
        'Answer with JSON: {"tasks": ["title of a task", ...]}. Each title says what to do.',
    ]
    return "\n".join(lines)


def read_answer(answer: str | None) -> list[str]:
    """Returns the different titles of an answer; none where it is cut or says one thing only."""
    try:
        found = json.loads(answer or "")["tasks"]
        # The schema wants several titles, which a model may meet by repeating one: each counts
        # once.
        titles = list(dict.fromkeys(" ".join(str(title).split()) for title in found))
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    titles = [title for title in titles if title]
    return titles if len(titles) >= _LEAST else []


def load_asker(model: str) -> Asker:
    """Returns what asks a language model, held to JSON of titles; loads it."""
    # JAX and the model take seconds: rules do without.
    from hrm_jax.convert.language import load_language_model
    from hrm_jax.core.texts import Prompt
    from hrm_jax.data.text.chat import ChatError
    from hrm_jax.inference.text import grammars
    from hrm_jax.inference.text.writing import Writer

    loaded = load_language_model(model, dtype="auto")
    # The schema holds every token, so an answer fails to be JSON only by ending too early.
    writer = Writer(
        loaded.model,
        loaded.variables,
        loaded.tokenizer,
        max_length=_MAX_LENGTH,
        batch_size=1,
        constraint=grammars.json_schema(_SCHEMA),
    )

    def ask(text: str) -> str | None:
        try:
            prompt = loaded.conversation([{"role": "user", "content": text}])
        except ChatError:  # a model that only goes on with a text
            prompt = Prompt(f"{text}\n")
        return writer.complete([prompt], seeds=[0], max_tokens=_MAX_TOKENS)[0]

    return ask
