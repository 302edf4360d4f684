"""What a model of code writes: functions of held-out projects, from their first line on."""

import dataclasses
import re
from collections.abc import Sequence

from hrm_jax.core.types import Prompt
from hrm_jax.evaluation.syntax import parses
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.writing import Request, Writer

STOP = ("\ndef ", "\nclass ", "\n@", "\nif ", "\nasync ", "\n#")
"""What stands at the beginning of a line after a function of Python."""

_FUNCTION = re.compile(r"^def \w+\([^\n()]*\)(?: -> [^\n:]+)?:\n", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A function, and whether it is one.

    Attributes:
      prompt: its first line.
      completion: what the model wrote after it.
      parses: whether both together are Python. Where there was no room for more, as far as they go,
        and then there must be a whole line after the first, indented.
    """

    prompt: str
    completion: str
    parses: bool


def first_lines(texts: Sequence[str], count: int) -> list[str]:
    """Returns first lines of functions, `count` at equal distances; fewer if there are not as many."""
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
    """Lets a model go on from each prompt.

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
    written = [""] * len(prompts)
    cut = [False] * len(prompts)
    for piece in writer.write(requests):
        written[piece.request] += piece.text
        cut[piece.request] = piece.ending == "length"

    def judge(prompt: str, text: str, cut: bool) -> bool:
        body = text.rpartition("\n")[0] if cut else text
        begun = body.lstrip("\n").startswith((" ", "\t")) and bool(body.strip())
        return begun and parses(prompt + text, "python", cut=cut)

    parts = zip(prompts, written, cut, strict=True)
    return [Sample(prompt, text, judge(prompt, text, end)) for prompt, text, end in parts]


def parse_rate(samples: Sequence[Sample]) -> float:
    """Returns the share of samples that parse, 0 to 1."""
    return sum(sample.parses for sample in samples) / len(samples)


def as_text(samples: Sequence[Sample], title: str) -> str:
    """Samples for people, one below the other."""
    rule = "-" * 60
    parts = [f"{title}: {parse_rate(samples):.0%} of {len(samples)} parse"]
    for sample in samples:
        verdict = "parses" if sample.parses else "does not parse"
        parts.append(f"{rule} {verdict}\n{sample.prompt}{sample.completion}")
    return "\n".join(parts) + "\n"
