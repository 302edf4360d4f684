"""Decides how much of what a model writes is one suggestion."""

from typing import NamedTuple


class Shape(NamedTuple):
    """What a suggestion may be.

    Attributes:
      max_lines: lines at most.
      indentation: columns of white space that the line with the cursor begins with.
    """

    max_lines: int
    indentation: int


class Shaped(NamedTuple):
    """The part of a text that is a suggestion.

    Attributes:
      text: the part.
      done: whether what comes after it does not matter.
    """

    text: str
    done: bool


def shape_at(before: str, after: str, max_lines: int) -> Shape:
    """Returns what a suggestion between two texts may be: one line where text follows on it."""
    line = before[before.rfind("\n") + 1 :]
    rest_of_line = after.split("\n", 1)[0]
    return Shape(1 if rest_of_line.strip() else max_lines, indentation(line))


def shaped(text: str, shape: Shape) -> Shaped:
    """Returns the part of a text that is a suggestion.

    It ends with the number of lines, before a blank line, or with the block that has the cursor.
    """
    begin = len(text) - len(text.lstrip())
    if begin == len(text):
        # White space alone, of which a model may write any amount.
        return Shaped("", shape.max_lines == 1 and "\n" in text)
    # What begins in the next line is nothing for this one.
    if shape.max_lines == 1 and "\n" in text[:begin]:
        return Shaped("", True)
    lines = text[begin:].split("\n")
    for index in range(1, len(lines)):
        if _is_over(lines, index, shape):
            return Shaped(text[:begin] + "\n".join(lines[:index]), True)
    return Shaped(text, False)


def indentation(line: str) -> int:
    """Returns the columns of white space that a line begins with; a tab counts as one."""
    return len(line) - len(line.lstrip())


def _is_over(lines: list[str], index: int, shape: Shape) -> bool:
    """Returns whether a suggestion is over before one of its lines, which is not the first."""
    line = lines[index].strip()
    if index >= shape.max_lines:
        return True
    if not line:
        # The last line may still get text, as the rest comes.
        is_whole = index < len(lines) - 1
        return is_whole
    # A bracket stands less deep than what it closes, and still belongs to it.
    return line[0] not in ")]}" and indentation(lines[index]) < shape.indentation
