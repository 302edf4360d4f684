"""The configuration of a run on code: model, data, phases, and how it is measured."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias

from hrm_jax.core.config import check, configclass, field
from hrm_jax.core.mesh import MeshConfig
from hrm_jax.data.corpus.documents import CORPUS_FILE
from hrm_jax.data.text.languages import LANGUAGES
from hrm_jax.data.text.source import Text
from hrm_jax.models.hrm_llama import HrmLlamaConfig
from hrm_jax.models.hrm_text import HrmTextConfig
from hrm_jax.models.llama import LlamaConfig
from hrm_jax.models.recurrence import BorderWarmup
from hrm_jax.training.curriculum import Gate
from hrm_jax.training.optimizers import OptimConfig
from hrm_jax.training.run_config import LoopConfig

ModelConfig: TypeAlias = HrmTextConfig | LlamaConfig | HrmLlamaConfig
"""A language model: HRM-Text, a plain transformer, or reasoning modules on a foundation."""


@configclass
class CodeDataConfig:
    """The texts to learn from, and the tokenizer."""

    corpus: str = field(
        "at_hand",
        help="at_hand, the code that comes with Python and this package; or name or folder of a "
        "corpus that experiments.make_corpus has prepared",
        # A folder of the same name may hold the sources of a corpus that is named.
        path_holds=CORPUS_FILE,
    )
    data_dir: str = field(
        "", help="prepared corpora; HRM_JAX_DATA or ~/.cache/hrm_jax if empty", path_holds="."
    )
    form: Literal["files", "exercises"] = field(
        "files",
        help="whole files; or exercises: each function of Python that has a docstring is to be "
        "written from its first line and docstring",
    )
    longest_exercise: int = field(0, help="bytes of an exercise at most; 0 for any", at_least=0)
    tasks: Literal["none", "mbpp"] = field(
        "none", help="mbpp: its training tasks as well, with those of its validation held out"
    )
    suite_data: str = field(
        "", help="folder of MBPP's file; HRM_JAX_CODE_DATA if empty", path_holds="."
    )
    tokenizer: str = field(
        "bpe",
        help="bytes; bpe, trained on the corpus; foundation, that of the model trained from; or "
        "the folder of a tokenizer",
    )
    vocab_size: int = field(1024, help="for bpe: tokens at most", at_least=2)
    row_tokens: int = field(256, help="T, tokens a row; longer files are cut", at_least=8)
    prefix: Literal["bidirectional", "causal", "learned"] = field(
        "learned",
        help="what a text answers to is learned like all else; or only the answer is, and the "
        "prefix sees itself in one direction (causal) or both (bidirectional)",
    )
    prefix_rate: float = field(
        0.0,
        help="share of texts of which a random part becomes a prefix",
        at_least=0,
        at_most=1,
        remedy="0.5 is half of the texts",
    )
    infilling_rate: float = field(
        0.0,
        help="share of texts that are learned with a hole",
        at_least=0,
        at_most=1,
        remedy="0.5 is half of the texts",
    )


@configclass
class Phase:
    """A part of a run: which texts it learns from, and the condition that ends it."""

    gate: Gate = dataclasses.field(default_factory=Gate)
    languages: tuple[str, ...] = field(
        (),
        help="languages of its texts; all if empty",
        one_of=LANGUAGES,
        remedy="leave it empty for all",
    )
    longest_bytes: int = field(0, help="longest text it learns from; 0 for any", at_least=0)
    row_tokens: int = field(0, help="T in this phase; 0 for that of the data", at_least=0)


@configclass
class CodeEvaluationConfig:
    """How a model is measured on held-out projects: bits per byte, and samples that parse."""

    texts: int = field(
        32, help="texts of each language, spread over the split; 0 for all", at_least=0
    )
    longest_bytes: int = field(4000, help="of a text that are looked at; 0 for all", at_least=0)
    batch_rows: int = field(16, help="rows at once", at_least=1)
    samples: int = field(
        0, help="functions that the model writes, to see how many parse; 0: none", at_least=0
    )
    sample_tokens: int = field(96, help="longest function written", at_least=1)
    temperature: float = field(0.0, help="of the sampling; 0 takes the likeliest token", at_least=0)

    def chosen(self, texts: Sequence[Text]) -> list[Text]:
        """Returns texts of each language at equal distances, cut to `longest_bytes`."""
        found = []
        for language in sorted({str(text.language) for text in texts}):
            # Evenly spread within each language, so that none is measured by its first files alone.
            own = [text for text in texts if str(text.language) == language]
            count = min(self.texts or len(own), len(own))
            found += [own[index * len(own) // count] for index in range(count)]
        return [self._cut(text) for text in found]

    def _cut(self, text: Text) -> Text:
        if not self.longest_bytes:
            return text
        # The cut may fall within a character, which errors="ignore" drops.
        begin = text.text.encode()[: self.longest_bytes].decode(errors="ignore")
        return text._replace(text=begin)


@configclass
class CodeConfig:
    """The whole configuration of a run on code."""

    description: str = field("", help="what this preset is for")
    model: ModelConfig = dataclasses.field(default_factory=HrmTextConfig)
    foundation: str = field(
        "",
        help="path or name of a model whose values training starts from; fresh ones if empty",
        path_holds=".",
    )
    border: BorderWarmup | None = field(
        None, help="warm-up of truncated backpropagation; None: as the model's schedule has it"
    )
    recompute_calls: bool = field(
        False, help="the backward pass computes the calls of a level again, for less memory"
    )
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    data: CodeDataConfig = dataclasses.field(default_factory=CodeDataConfig)
    phases: tuple[Phase, ...] = field(
        (Phase(),),
        help="what it learns from, one part after the other",
        nonempty=True,
        remedy="add one",
    )
    loop: LoopConfig = dataclasses.field(default_factory=LoopConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    validation: CodeEvaluationConfig = dataclasses.field(default_factory=CodeEvaluationConfig)
    test: CodeEvaluationConfig = dataclasses.field(
        default_factory=lambda: CodeEvaluationConfig(texts=0, samples=64)
    )
    batch_tokens: int = field(4096, help="tokens a step, over all devices and processes")
    seed: int = field(0, help="of initialisation, order and holes")

    def __post_init__(self):
        """Raises ConfigError where the parts do not fit each other."""
        for index, phase in enumerate(self.phases):
            row_tokens = self.row_tokens(index)
            check(
                self.batch_tokens % row_tokens == 0,
                "batch_tokens",
                expected=f"a multiple of the {row_tokens} tokens of a row",
                got=self.batch_tokens,
                remedy="change it, or data.row_tokens",
            )
            check(
                # 0 steps, for no limit, pass as well.
                phase.gate.steps % self.loop.evaluate_every == 0,
                f"phases[{index}].gate.steps",
                expected=f"a multiple of loop.evaluate_every={self.loop.evaluate_every}",
                got=phase.gate.steps,
                remedy="gates are looked at after evaluations",
            )
        self._check_border()

    def _check_border(self) -> None:
        # A plain transformer has no calls to truncate or compute again.
        calls = 0 if isinstance(self.model, LlamaConfig) else self.model.schedule.num_calls
        check(
            calls > 0 or not self.recompute_calls,
            "recompute_calls",
            expected="a model that recurs",
            got=type(self.model).__name__,
            remedy="set it to False",
        )
        got = self.border and self.border.max_calls
        check(
            got is None or got <= calls,
            "border.max_calls",
            expected=f"at most the {calls} calls of the model",
            got=got,
            remedy="set border=None for a model that does not recur",
        )

    @property
    def vocab_size(self) -> int:
        """V, of the model."""
        return self.model.vocab_size

    def row_tokens(self, phase: int) -> int:
        """Returns T, the tokens of a row, in a phase."""
        return self.phases[phase].row_tokens or self.data.row_tokens

    def batch_rows(self, phase: int) -> int:
        """Returns B, the rows of a batch over all processes, in a phase."""
        return self.batch_tokens // self.row_tokens(phase)
