"""User stories, and the tasks that rules make of them: `As a ... I want ... so that ...`.

What is proposed is a beginning for a person to change. Parts are, the first that gives two or more:
items of a list in the description (those under a heading that names criteria, if there are any;
ticked ones are done), names of scenarios, verbs of the goal (`search and filter orders`), and
skills, if the story needs several. Behind all of them stands a check of what the story is for.
"""

import re
from collections.abc import Sequence

from hrm_jax.core.config import configclass, field

_STORY = re.compile(
    r"\bas\s+(?:an?|the)\s+(?P<role>[^,\n]+?),?\s+i\s+(?:want|need|wish|would\s+like)\s+"
    r"(?P<goal>.+?)(?:,?\s+so\s+(?:that\s+)?(?P<benefit>.+?))?\s*(?:[.!](?:\s|\Z)|\n\s*\n|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+(?:\[(?P<tick>[ xX])\]\s*)?(?P<text>\S.*)\Z")
_SCENARIO = re.compile(r"\s*scenario(?:\s+outline)?:\s*(?P<text>\S.*)\Z", re.IGNORECASE)
_HEADING = re.compile(r"criteri|\bdone when\b|\bdefinition of done\b", re.IGNORECASE)
_JOINT = re.compile(r"\s*(?:,\s*and\s+|;\s*|,\s+|\s+and\s+)")
_NO_VERB = {"a", "an", "the", "my", "our", "their", "his", "her", "its", "all", "any", "each"}

CHECK_SHARE = 0.1
"""The check's share of the story's estimate."""

_MOST_PARTS = 12
_SHORT = 3
"""Words from which on a criterion speaks for itself."""


@configclass
class Story:
    """What a story says.

    Attributes:
      role: who wants it.
      goal: what, as a phrase that begins with a verb where it was `I want to ...`.
      benefit: what for; empty where it does not say.
      criteria: what is to be true, or done, of its list; without what is ticked.
    """

    role: str
    goal: str
    benefit: str = ""
    criteria: tuple[str, ...] = ()


@configclass
class Part:
    """A task that is proposed.

    Attributes:
      skills: who does it, one person for each; None for those of the story.
      share: of the story's estimate.
      last: whether it comes after all others.
    """

    title: str
    skills: tuple[str, ...] | None = None
    share: float = field(1.0, help="of the story's estimate", more_than=0, at_most=1)
    last: bool = False


def read_story(title: str, description: str) -> Story | None:
    """Returns what a story says, or None where neither text is one."""
    match = _STORY.search(title) or _STORY.search(description)
    if match is None:
        return None
    role, goal, benefit = (" ".join((match[name] or "").split()) for name in _STORY.groupindex)
    return Story(role, re.sub(r"\Ato\s+", "", goal), benefit, _criteria(description))


def split_by_rules(story: Story, skills: Sequence[str]) -> list[Part]:
    """Returns the tasks that rules propose; none where a story is of one piece.

    Args:
      story: what is to be split.
      skills: all that the story needs.
    """
    # What a person has listed goes before what a phrase suggests.
    if len(story.criteria) > 1:
        titles = [_whole_title(story, criterion) for criterion in story.criteria]
    else:
        titles = _verbs(story.goal)
    if len(titles) > 1:
        return parts_of(story, titles)
    if len(skills) > 1:
        share = _share(story, len(skills))
        parts = [Part(f"{story.goal}: {skill}", (skill,), share) for skill in skills]
        return parts + _check(story)
    return parts_of(story, [story.goal]) if story.benefit else []


def parts_of(story: Story, titles: Sequence[str]) -> list[Part]:
    """Returns tasks of these titles, and the check of what the story is for."""
    titles = [" ".join(title.split()) for title in titles][:_MOST_PARTS]
    share = _share(story, len(titles))
    parts = [Part(title[:1].upper() + title[1:], None, share) for title in titles]
    return parts + _check(story)


def _whole_title(story: Story, criterion: str) -> str:
    """Returns a criterion that says what it is about: a short one stands behind the goal."""
    short = len(criterion.split()) < _SHORT
    return f"{story.goal}: {criterion}" if short else criterion


def _share(story: Story, parts: int) -> float:
    return (1 - CHECK_SHARE if story.benefit else 1.0) / parts


def _check(story: Story) -> list[Part]:
    if not story.benefit:
        return []
    return [Part(f"Check that {story.benefit}", (), CHECK_SHARE, last=True)]


def _criteria(description: str) -> tuple[str, ...]:
    items: list[tuple[bool, str]] = []
    under, scenarios = False, []
    for line in description.splitlines():
        item, scenario = _ITEM.match(line), _SCENARIO.match(line)
        if item:
            # A ticked item is done, and none of the tasks.
            if (item["tick"] or " ") == " ":
                items.append((under, item["text"].strip()))
        elif scenario:
            scenarios.append(scenario["text"].strip())
        elif line.strip():
            # A line of text that is no item begins another part of the description.
            under = bool(_HEADING.search(line))
    named = [text for inside, text in items if inside]
    return tuple(named or [text for _, text in items] or scenarios)


def _verbs(goal: str) -> list[str]:
    """Returns a phrase for each verb of a goal; one of a single word takes the last one's object.

    A phrase that begins with an article belongs to the one before: `edit a user and a role`.
    """
    phrases: list[str] = []
    for piece in _JOINT.split(goal):
        words = piece.split()
        if not words:
            continue
        # After an article comes a second object of the same verb.
        if phrases and words[0].lower() in _NO_VERB:
            phrases[-1] = f"{phrases[-1]} and {piece}"
        else:
            phrases.append(piece)
    last = phrases[-1].split() if phrases else []
    if len(last) < 2:  # `search orders and customers`: the last word is a thing, not a verb
        return [goal]
    return [phrase if " " in phrase else " ".join([phrase, *last[1:]]) for phrase in phrases]
