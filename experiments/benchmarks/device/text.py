"""Part "text": HRM-Text with random weights: how fast B writes, what training L and XL needs."""

import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import jax_decode
from experiments.benchmarks.device.part import Job, Part, Result, Setting, measure, table_of
from hrm_jax.convert import holding
from hrm_jax.convert.pytorch import from_state_dict, text_name, to_state_dict
from hrm_jax.core.texts import TextBatch
from hrm_jax.losses.language import language_loss
from hrm_jax.models.hrm_text import HrmText, HrmTextConfig, hrm_text
from hrm_jax.models.text_step import TextStep
from hrm_jax.training.first_state import init_state
from hrm_jax.training.optimizers import OptimConfig, make_optimizers
from hrm_jax.training.step import make_train_step

PROMPT_TOKENS = 512
TOKENS = 128
ROWS_TO_TRAIN = 2


def run(setting: Setting) -> Result:
    """Writes with B, held in several ways; compiles the steps of L and XL, runs those that fit."""
    size, sizes = ("nano", ("nano",)) if setting.small else ("B", ("L", "XL"))

    def writing(held: str) -> Job:
        return f"{size} writes, {held}", functools.partial(_write, size, held, setting.small)

    training = [(f"{one} trains", functools.partial(_train, one, setting.small)) for one in sizes]
    # Quantising comes last, as the host takes a while for it.
    jobs = [writing("float32"), writing("bfloat16"), *training, writing("int4")]
    return measure(setting, jobs)


def _config(size: str, compute_dtype: str, small: bool) -> HrmTextConfig:
    """Returns the config of a size; a small one with as few layers and calls as there can be."""
    changes = {"layers_per_stack": 1, "H_cycles": 1, "L_cycles": 1} if small else {}
    return hrm_text(size, compute_dtype=compute_dtype, **changes)


def _write(size: str, held: str, small: bool) -> dict[str, Any]:
    """Returns tokens per second of reading a prompt and of writing after it, for one text.

    Args:
      size: of HRM-Text.
      held: what the weights are held in, one of `holding.HOLDINGS`.
      small: whether the text is short.
    """
    prompt_tokens = 16 if small else PROMPT_TOKENS
    tokens = 4 if small else TOKENS
    model = HrmText(_config(size, holding.compute_dtype(held), small))
    variables = jax.jit(model.init)(jax.random.key(0))
    if holding.is_quantised(held):
        weights = to_state_dict(variables, text_name)
        variables = from_state_dict(model, weights, text_name, held)
    else:
        variables = jax.tree.map(lambda x: x.astype(held), variables)
    prompt = [(7 * i) % model.vocab_size for i in range(1, prompt_tokens + 1)]
    text = jax_decode.Text(model, variables, prompt, tokens)
    # Compiles, and is not timed.
    text.decode(tokens)
    rates = {}
    for phase, amount, count in (("decode", tokens, tokens), ("prefill", 1, prompt_tokens)):
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            getattr(text, phase)(amount)
            seconds.append(time.perf_counter() - start)
        # The median of three.
        rates[f"{phase}_tokens_per_second"] = count / sorted(seconds)[1]
    return rates


def _train(size: str, small: bool) -> dict[str, Any]:
    """Returns the memory of a training step that recomputes calls, and its speed if it fits."""
    config = _config(size, "bfloat16", small)
    tokens = 64 if small else config.max_length
    schedule = dataclasses.replace(config.schedule, recompute=True)
    model = TextStep(HrmText(config), schedule)
    optimizers = make_optimizers(OptimConfig(), 1000)
    token_bytes = jnp.ones(config.vocab_size, jnp.int32)
    loss = functools.partial(language_loss, token_bytes=token_bytes)
    step = functools.partial(make_train_step(loss, optimizers), model)
    ids = jax.random.randint(jax.random.key(1), (ROWS_TO_TRAIN, tokens), 0, config.vocab_size)
    batch = TextBatch(ids, ids, jnp.zeros_like(ids), jnp.ones_like(ids))
    make_state = functools.partial(init_state, model, optimizers)
    # Shapes alone: the memory is known from compilation, before anything is allocated.
    state = jax.eval_shape(make_state, jax.random.key(0), batch)
    compiled = jax.jit(step, donate_argnums=0).lower(state, batch).compile()
    memory: Any = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    # Results that take the memory of donated arguments count once.
    needed += memory.output_size_in_bytes - memory.alias_size_in_bytes
    row = {"gibibytes": needed / 2**30, "temporary_gibibytes": memory.temp_size_in_bytes / 2**30}
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit", 0)
    if needed < 0.9 * limit or small:
        state = jax.jit(make_state)(jax.random.key(0), batch)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            state, metrics = compiled(state, batch)
            jax.block_until_ready(metrics)
            seconds.append(time.perf_counter() - start)
        row["train_tokens_per_second"] = ROWS_TO_TRAIN * tokens / min(seconds)
    return row


def _table(rows: list[dict[str, Any]]):
    columns = {
        "HRM-Text": "{name}",
        "written, tokens/s": "{decode_tokens_per_second:.0f}",
        "read, tokens/s": "{prefill_tokens_per_second:,.0f}",
        "trained, tokens/s": "{train_tokens_per_second:,.0f}",
        "GiB": "{gibibytes:.1f}",
        "of it temporary": "{temporary_gibibytes:.1f}",
    }
    return table_of("text: random weights, one text; training on 2 x 4,096 tokens", columns, rows)


PART = Part("HRM-Text: writing, and the memory of training", 1.5, run, _table)
