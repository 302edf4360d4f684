"""Samples of a model of code: functions of held-out projects, continued from their first line."""

import dataclasses
import re
from collections.abc import Sequence

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.syntax import parses
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.writing import Writer

STOP = ("\ndef ", "\nclass ", "\n@", "\nif ", "\nasync ", "\n#")
"""What begins a line that no longer belongs to a Python function."""

_FUNCTION = re.compile(r"^def \w+\([^\n()]*\)(?: -> [^\n:]+)?:\n", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A written function, and whether it parses.

    Attributes:
      prompt: its first line.
      completion: what the model wrote after it.
      parses: whether both together are Python. A completion that was cut off for its length has to
        parse as far as it goes, and to have a whole, indented line after the first.
    """

    prompt: str
    completion: str
    parses: bool


def first_lines(texts: Sequence[str], count: int) -> list[str]:
    """Returns up to `count` first lines of functions, at equal distances in sorted order."""
    # Sorted, so that the choice does not depend on the order of the texts.
    found = sorted({match[0] for text in texts for match in _FUNCTION.finditer(text)})
    count = min(count, len(found))
    return [found[index * len(found) // count] for index in range(count)]


def write_samples(
    writer: Writer,
    prompts: Sequence[str],
    *,
    max_tokens: int,
    sampling: SamplingConfig,
    seed: int = 0,
) -> list[Sample]:
    """Returns what a model writes after each prompt, and whether it parses.

    Prompts that leave no room for a token in the model's texts are left out: some first lines are
    as long as a row.

    Args:
      writer: the model.
      prompts: first lines.
      max_tokens: longest completion.
      sampling: how tokens are drawn.
      seed: of the first prompt's draws; the others count on from it.
    """
    requests = [
        Request(Prompt(prompt), seed + number, STOP, max_tokens, sampling)
        for number, prompt in enumerate(prompts)
    ]
    # Seeds were given before, so a prompt that is left out changes no other's draws.
    requests = [request for request in requests if writer.fits(request)]
    prompts = [request.prompt.prefix for request in requests]
    written = [""] * len(prompts)
    cut = [False] * len(prompts)
    for piece in writer.write(requests):
        written[piece.request] += piece.text
        cut[piece.request] = piece.ending == "length"

    def judge(prompt: str, text: str, cut: bool) -> bool:
        # The line at which the completion was cut does not count.
        body = text.rpartition("\n")[0] if cut else text
        # A model that writes no body at all must not pass: with `cut` an empty body would be
        # accepted.
        begun = body.lstrip("\n").startswith((" ", "\t")) and bool(body.strip())
        return begun and parses(prompt + text, "python", cut=cut)

    parts = zip(prompts, written, cut, strict=True)
    return [Sample(prompt, text, judge(prompt, text, end)) for prompt, text, end in parts]


def parse_rate(samples: Sequence[Sample]) -> float:
    """Returns the share of samples that parse, 0 to 1."""
    return sum(sample.parses for sample in samples) / len(samples)


def as_text(samples: Sequence[Sample], title: str) -> str:
    """Returns samples as text, one below the other, with the share that parses."""
    rule = "-" * 60
    parts = [f"{title}: {parse_rate(samples):.0%} of {len(samples)} parse"]
    for sample in samples:
        verdict = "parses" if sample.parses else "does not parse"
        parts.append(f"{rule} {verdict}\n{sample.prompt}{sample.completion}")
    return "\n".join(parts) + "\n"
