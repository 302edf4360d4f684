"""Code as a task: model, loss, data and measures of a run, from its configuration."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from hrm_jax.convert.language import LoadedLanguageModel, load_language_model
from hrm_jax.core.config import ConfigError, check
from hrm_jax.core.mesh import batch_share, check_divisible
from hrm_jax.core.protocols import Tokenizer
from hrm_jax.core.texts import TextBatch, TextOutputs
from hrm_jax.core.types import Variables
from hrm_jax.data.text.batches import TextConfig, as_text_batch, evaluation_batches, text_batches
from hrm_jax.data.text.source import Text, fingerprint, tokenize
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.writing import Writer
from hrm_jax.losses.language import TextMetrics, average_text_metrics, language_loss
from hrm_jax.models.hrm_llama import HrmLlama, HrmLlamaConfig
from hrm_jax.models.hrm_text import HrmText
from hrm_jax.models.llama import Llama, LlamaConfig
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_model import TextModel
from hrm_jax.models.text_step import TextStep
from hrm_jax.tasks.code.config import CodeConfig, CodeEvaluationConfig, ModelConfig
from hrm_jax.tasks.code.data import TOKENIZER, TextSplits, chosen, make_tokenizer, read_splits
from hrm_jax.tasks.code.evaluation import bits_per_byte
from hrm_jax.tasks.code.probes import probe
from hrm_jax.tasks.code.samples import Sample, first_lines, parse_rate, write_samples
from hrm_jax.training.batches import PlacedBatches
from hrm_jax.training.curriculum import Curriculum
from hrm_jax.training.flops import matmul_flops
from hrm_jax.training.loop import Hooks
from hrm_jax.training.state import TrainState
from hrm_jax.training.step import compute_gradients
from hrm_jax.training.task import Task


def language_model(config: ModelConfig) -> TextModel[Any]:
    """Returns the model of a configuration, without values."""
    if isinstance(config, HrmLlamaConfig):
        return HrmLlama(config)
    return Llama(config) if isinstance(config, LlamaConfig) else HrmText(config)


@dataclasses.dataclass(frozen=True)
class CodeReport:
    """Results of an evaluation.

    Attributes:
      bits: `bits_per_byte` over all texts, and of each language; see `tasks.code.evaluation`.
      samples: functions that the model wrote; empty where none were asked for.
    """

    bits: Mapping[str, float]
    samples: tuple[Sample, ...]

    def as_dict(self) -> dict[str, float]:
        """Returns all measures by name; `parse_rate` is among them where there are samples."""
        return {**self.bits, **({"parse_rate": parse_rate(self.samples)} if self.samples else {})}


@dataclasses.dataclass(frozen=True)
class CodeTask(Task):
    """A training run on code, made from its configuration.

    Attributes:
      config: of the run.
      folder: the run's; `load` puts the tokenizer there, or finds it there.
    """

    config: CodeConfig = dataclasses.field()  # without it, Task's config would be the default
    folder: pathlib.Path = dataclasses.field()

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The run's tokenizer.

        Raises:
          FileNotFoundError: `load` was not called before.
        """
        from hrm_jax.data.text.tokenizers import load_tokenizer

        return load_tokenizer(self.folder / TOKENIZER)

    @functools.cached_property
    def token_bytes(self) -> np.ndarray:
        """Bytes that each token adds to a text, int32 [V]; 0 for those without a meaning."""
        tokens = range(self.tokenizer.vocab_size)
        V = self.config.vocab_size
        sizes = [len(self.tokenizer.token_bytes(token)) for token in tokens]
        # The model's vocabulary may be larger than the tokenizer's; the tokens above add no bytes.
        return np.pad(np.array(sizes, np.int32), (0, V - len(sizes)))

    @functools.cached_property
    def model(self) -> TextStep:
        """The model with the gradient boundary that it has at the end of training."""
        return self.model_at(self.config.loop.steps)

    def loss(self, carry: None, outputs: TextOutputs, /) -> tuple[Float[Array, ""], TextMetrics]:
        """Returns the mean over the labels of a batch, times B; see `language_loss`."""
        return language_loss(carry, outputs, token_bytes=jnp.asarray(self.token_bytes))

    def model_at(self, step: int) -> TextStep:
        """Returns the model as the step after `step` steps trains it.

        The number of calls that carry gradient grows during the warm-up of `border`; from then on,
        and without `border`, the models are equal.
        """
        config = self.config
        model = language_model(self.config.model)
        if isinstance(config.model, LlamaConfig):
            # A plain transformer has no recurrent calls to truncate or recompute.
            return TextStep(model)
        schedule = config.model.schedule
        if config.border is not None:
            cycles = config.model.H_cycles, config.model.L_cycles
            calls = config.border.calls(step, config.loop.steps)
            schedule = Schedule.from_gradient_calls(*cycles, calls)
        schedule = dataclasses.replace(schedule, recompute=config.recompute_calls)
        return TextStep(model, schedule)

    def abstract_batch(self, phase: int = 0) -> TextBatch:
        """Returns shapes and dtypes of a phase's global batch, int32 [B, T] each."""
        shape = self.config.batch_rows(phase), self.config.row_tokens(phase)
        tokens: Any = jax.ShapeDtypeStruct(shape, np.int32)
        return TextBatch(tokens, tokens, tokens, tokens)

    def flops_per_token(self) -> float:
        """Returns the FLOP of matrix products for a token in the last steps of training."""
        key = jax.random.key(0)
        batch = self.abstract_batch()
        # Shapes are enough to count products: nothing is computed or held in memory.
        variables = jax.eval_shape(self.model.init, key)
        loss = functools.partial(
            language_loss, token_bytes=jnp.zeros(self.config.vocab_size, jnp.int32)
        )
        step = functools.partial(compute_gradients, self.model, loss)
        flops = matmul_flops(lambda *args: step(*args)[0], variables, None, batch, key)
        return flops / self.config.batch_tokens

    def load(self) -> TextSplits:
        """Returns all texts, read once, and saves the tokenizer in the run's folder.

        Raises:
          ConfigError: there is no such corpus or tokenizer, or the model has fewer tokens than it.
        """
        return self._splits

    @functools.cached_property
    def _splits(self) -> TextSplits:
        splits = read_splits(self.config.data)
        make_tokenizer(self.config, splits.train, self.folder)
        known = self.config.vocab_size
        needed = self.tokenizer.vocab_size
        check(
            known >= needed,
            "model.vocab_size",
            expected=f"at least the {needed} tokens of the tokenizer",
            got=known,
            remedy="set it to that",
        )
        return splits

    def fingerprint(self, data: TextSplits) -> str:
        """Returns the fingerprint of the training texts."""
        return fingerprint(data.train)

    def training_batches(self, data: TextSplits, mesh: Mesh) -> Curriculum:
        """Returns endless batches, phase after phase; each process holds its part of them."""
        config = self.config

        def batches_of(phase: int) -> PlacedBatches:
            rows = config.batch_rows(phase)
            check_divisible("batch_tokens / row_tokens", rows, mesh)
            # Processes that share layers draw the same part.
            index, count = batch_share(mesh)
            pipeline = TextConfig(
                batch_size=rows // count,
                seed=config.seed,
                process_index=index,
                process_count=count,
                row_tokens=config.row_tokens(phase),
                prefix=config.data.prefix,
                prefix_rate=config.data.prefix_rate,
                infilling_rate=config.data.infilling_rate,
            )
            source = tokenize(chosen(data.train, config.phases[phase]), self.tokenizer)
            return PlacedBatches(text_batches(source, pipeline), as_text_batch, mesh)

        # The first phase's batches are made here, so errors in the data surface before the run
        # starts.
        try:
            return Curriculum([phase.gate for phase in config.phases], batches_of)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError("data", str(error)) from error

    def average(self, sums: Mapping[str, float], steps: int) -> dict[str, float]:
        """Returns training metrics for the log, from their sums over `steps` steps."""
        del steps
        return average_text_metrics(sums)

    def hooks(self, data: TextSplits, batches: Curriculum, mesh: Mesh) -> Hooks:
        """Returns what the loop calls: averages, held-out measures, gates of phases, samples."""
        settings = self.config.validation
        written: list[Sample] = []

        def validate(state: TrainState) -> dict[str, float]:
            report = self.evaluate(state.averaged_variables, data.validation, settings, mesh)
            # For `look`, which is called after this.
            written[:] = report.samples
            return report.as_dict() | {"phase": batches.phase + 1}

        def look(state: TrainState) -> dict[str, Any]:
            # The state is that of the evaluation just before, which wrote the samples.
            variables = state.averaged_variables
            bidirectional = self.config.data.prefix == "bidirectional"
            model = self.model.model
            return probe(
                model, variables, self.tokenizer, written, prompts_are_prefixes=bidirectional
            )

        return Hooks(self.average, validate, batches.judge, look if settings.samples else None)

    def evaluate(
        self,
        variables: Variables,
        texts: Sequence[Text],
        config: CodeEvaluationConfig,
        mesh: Mesh,
    ) -> CodeReport:
        """Returns bits per byte of held-out texts, and functions that the model writes."""
        rows = self.config.data.row_tokens, self.config.data.prefix
        source = tokenize(config.chosen(texts), self.tokenizer)
        check_divisible("batch_rows", config.batch_rows, mesh)
        batches = evaluation_batches(source, config.batch_rows, rows[0], prefix=rows[1])
        bits = bits_per_byte(self.model, variables, batches, self.token_bytes, mesh)
        # Functions are taken from all texts, not from those that are cut and measured.
        python = [text.prefix + text.text for text in texts if text.language == "python"]
        samples = write_samples(
            self.writer(variables, config.batch_rows),
            first_lines(python, config.samples),
            max_tokens=config.sample_tokens,
            sampling=SamplingConfig(temperature=config.temperature),
        )
        return CodeReport(bits, tuple(samples))

    def start_from(self, fresh: Variables) -> Variables:
        """Returns the values of the config's foundation in place of fresh ones, where there is one.

        Raises:
          ConfigError: the foundation is another model than the config's.
          WeightsError, OSError: it cannot be read.
        """
        if not self.config.foundation:
            return fresh
        loaded = load_language_model(self.config.foundation)
        model = self.model.model
        # A plain foundation lacks the reasoning modules: they keep their fresh values.
        if isinstance(model, HrmLlama) and isinstance(loaded.model, Llama):
            values = model.join(model.parts(fresh)[0], loaded.variables)
        else:
            values = loaded.variables
        shapes = [jax.tree.map(jnp.shape, variables) for variables in (values, fresh)]
        check(
            shapes[0] == shapes[1],
            "foundation",
            expected="a model of the sizes of the config's",
            got=self.config.foundation,
            remedy="change model, or take another foundation",
        )
        # The fresh values' shardings: each array goes straight to the devices that hold its parts.
        return jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), values, fresh)

    def trained(self, variables: Variables) -> LoadedLanguageModel:
        """Returns the model with its tokenizer, for `convert.language.save_language_model`.

        Args:
          variables: on this host.
        """
        config = self.config.model
        tokenizer = self.tokenizer
        # What generation asks of a config, and training does not know before the tokenizer.
        ends = {"bos_token": tokenizer.bos_token, "eos_tokens": tokenizer.eos_tokens}
        if isinstance(config, HrmLlamaConfig):
            foundation = dataclasses.replace(config.foundation, **ends)
            config = dataclasses.replace(config, foundation=foundation)
        else:
            if not self.config.foundation:  # whose texts were as long as its config says
                rows = map(self.config.row_tokens, range(len(self.config.phases)))
                ends["max_length"] = max(rows)
            config = dataclasses.replace(config, **ends)
        origin = self.config.foundation or None
        model = language_model(config)
        return LoadedLanguageModel(model, variables, self.tokenizer, origin=origin)

    def writer(self, variables: Variables, batch_size: int) -> Writer:
        """Returns the model with its tokenizer, for writing up to `batch_size` texts at once."""
        return Writer(
            self.model.model,
            variables,
            self.tokenizer,
            max_length=self.config.data.row_tokens,
            batch_size=batch_size,
            prompts_are_prefixes=self.config.data.prefix == "bidirectional",
        )
