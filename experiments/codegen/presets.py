"""Named configurations of the code experiment."""

from hrm_jax.core.config import replace
from hrm_jax.core.mesh import MeshConfig
from hrm_jax.models.hrm_llama import HrmLlamaConfig
from hrm_jax.models.hrm_text import hrm_text
from hrm_jax.models.llama import SMOLLM2_135M, LlamaConfig
from hrm_jax.models.recurrence import BorderWarmup
from hrm_jax.tasks.code.config import CodeConfig, CodeDataConfig, CodeEvaluationConfig, Phase
from hrm_jax.training.curriculum import Gate
from hrm_jax.training.optimizers import OptimConfig
from hrm_jax.training.run_config import LoopConfig

_MINUTE = CodeConfig(
    description="a tiny HRM-Text on bytes, to see everything run in about a minute",
    model=hrm_text(
        "nano",
        # 256 bytes, the end of a text, and three marks of a hole: `ByteTokenizer`.
        vocab_size=260,
        hidden_size=64,
        num_heads=2,
        head_size=32,
        mlp_width=128,
        layers_per_stack=1,
        H_cycles=1,
        L_cycles=2,
    ),
    border=BorderWarmup(max_calls=3),
    optim=OptimConfig(learning_rate=3e-3, weight_decay=0.1, warmup_steps=10, ema_decay=0.9),
    data=CodeDataConfig(tokenizer="bytes", row_tokens=128),
    phases=(Phase(Gate(steps=40), languages=("python",), longest_bytes=2000), Phase()),
    loop=LoopConfig(steps=80, log_every=10, evaluate_every=20, checkpoint_every=40),
    validation=CodeEvaluationConfig(texts=4, longest_bytes=1000, samples=4, sample_tokens=32),
    test=CodeEvaluationConfig(texts=8, longest_bytes=1000, samples=8, sample_tokens=32),
    batch_tokens=1024,
)

_NANO = CodeConfig(
    description="HRM-Text for two CPU cores: learns Python and C in less than 20 minutes",
    model=hrm_text("nano", vocab_size=1024, H_cycles=2, L_cycles=2, prefix_lm=False),
    border=BorderWarmup(max_calls=5),
    optim=OptimConfig(
        learning_rate=2e-3,
        weight_decay=0.1,
        warmup_steps=50,
        lr_min_ratio=0.05,
        ema_decay=0.98,
    ),
    data=CodeDataConfig(tokenizer="bpe", vocab_size=1024, row_tokens=256),
    # Syntax first: short files of the one language whose syntax is measured, until what the model
    # writes parses, or for 200 steps.
    phases=(
        Phase(
            Gate("parse_rate", at_least=0.8, steps=200, otherwise="go_on"),
            languages=("python",),
            longest_bytes=8_000,
        ),
        Phase(),
    ),
    loop=LoopConfig(steps=500, log_every=10, evaluate_every=100, checkpoint_every=100),
    validation=CodeEvaluationConfig(
        texts=32, longest_bytes=2_000, samples=16, sample_tokens=64, temperature=0.5
    ),
    test=CodeEvaluationConfig(
        texts=64, longest_bytes=8_000, samples=64, sample_tokens=96, temperature=0.5
    ),
    batch_tokens=4096,
)

_FIRST_LOOK = replace(
    _NANO,
    {
        "description": "nano for a few minutes: fewer steps, all texts from the start",
        "optim.warmup_steps": 20,
        "optim.ema_decay": 0.95,
        # The first phase of nano may take 200 steps, more than there are here.
        "phases": (Phase(),),
        "loop.steps": 150,
        "loop.evaluate_every": 50,
        "loop.checkpoint_every": 50,
        "test.texts": 32,
        "test.longest_bytes": 4_000,
        "test.samples": 32,
    },
)

_TRANSFORMER_NANO = replace(
    _NANO,
    {
        "description": "a plain transformer with the training FLOP a token of nano",
        "model": LlamaConfig(
            vocab_size=1024,
            hidden_size=256,
            # Sizes by which a token takes the FLOP of nano, 1 % more or less; a test counts both.
            num_layers=6,
            num_heads=4,
            num_key_heads=4,
            head_size=64,
            mlp_width=816,
            tie_embeddings=False,
        ),
        # A plain transformer has no recurrence to backpropagate through.
        "border": None,
    },
)


def _published(size: str, mesh: MeshConfig, description: str) -> CodeConfig:
    """Returns HRM-Text as its research repository trains it: 196,608 tokens a step, PrefixLM."""
    return CodeConfig(
        description=description,
        model=hrm_text(size, compute_dtype="bfloat16"),
        border=BorderWarmup(),
        recompute_calls=True,
        optim=OptimConfig(
            learning_rate=2.2e-4, weight_decay=0.1, warmup_steps=2000, ema_decay=0.9999
        ),
        data=CodeDataConfig(
            vocab_size=65536,
            row_tokens=4096,
            prefix="bidirectional",
            prefix_rate=0.5,
            infilling_rate=0.5,
        ),
        loop=LoopConfig(steps=100_000, log_every=50, evaluate_every=2_500, checkpoint_every=2_500),
        mesh=mesh,
        validation=CodeEvaluationConfig(texts=256, longest_bytes=0, samples=64, sample_tokens=256),
        test=CodeEvaluationConfig(texts=0, longest_bytes=0, samples=256, sample_tokens=256),
        batch_tokens=196_608,
    )


_SMOLLM2 = replace(SMOLLM2_135M, {"compute_dtype": "bfloat16"})

_REASONED_SMOLLM2 = CodeConfig(
    description="reasoning modules on SmolLM2-135M, which stays as it is: for one GPU",
    model=HrmLlamaConfig(foundation=_SMOLLM2),
    foundation="smollm2-135m",
    optim=OptimConfig(learning_rate=1e-3, weight_decay=0.1, warmup_steps=200, lr_min_ratio=0.1),
    data=CodeDataConfig(tokenizer="foundation", row_tokens=1024),
    loop=LoopConfig(steps=5_000, log_every=10, evaluate_every=250, checkpoint_every=250),
    validation=CodeEvaluationConfig(texts=64, samples=32, sample_tokens=128),
    test=CodeEvaluationConfig(texts=0, longest_bytes=0, samples=256, sample_tokens=256),
    batch_tokens=32_768,
)

_TASKS_SMOLLM2 = CodeConfig(
    description="SmolLM2-135M learns to solve small tasks in Python: two CPU cores",
    model=_SMOLLM2,
    foundation="smollm2-135m",
    optim=OptimConfig(learning_rate=1e-4, weight_decay=0.1, warmup_steps=10, lr_min_ratio=0.1),
    data=CodeDataConfig(
        tokenizer="foundation",
        row_tokens=256,
        form="exercises",
        longest_exercise=600,
        tasks="mbpp",
        prefix="causal",
    ),
    loop=LoopConfig(steps=60, log_every=5, evaluate_every=30, checkpoint_every=30),
    validation=CodeEvaluationConfig(texts=64),
    test=CodeEvaluationConfig(texts=0, samples=16, sample_tokens=128),
    batch_tokens=1024,
)

_REASONED_TASKS_SMOLLM2 = replace(
    _TASKS_SMOLLM2,
    {
        "description": "reasoning modules on SmolLM2-135M learn what tasks_smollm2 learns",
        "model": HrmLlamaConfig(foundation=_SMOLLM2, layers_per_level=1),
        "optim.learning_rate": 1e-3,
        "loop.steps": 94,  # for the same FLOP: a token takes 0.63 times as many
        "loop.evaluate_every": 47,
        "loop.checkpoint_every": 47,
    },
)

PRESETS = {
    "first_look": _FIRST_LOOK,
    "nano": _NANO,
    "minute": _MINUTE,
    "transformer_nano": _TRANSFORMER_NANO,
    "reasoned_smollm2": _REASONED_SMOLLM2,
    "tasks_smollm2": _TASKS_SMOLLM2,
    "reasoned_tasks_smollm2": _REASONED_TASKS_SMOLLM2,
    "hrm_text_b": _published("B", MeshConfig(), "HRM-Text B (arXiv 2605.20613): 8 GPUs"),
    "hrm_text_l": _published("L", MeshConfig(model=2), "HRM-Text L: 16 GPUs or TPU cores"),
    "hrm_text_xl": _published("XL", MeshConfig(model=4), "HRM-Text XL: 32 GPUs or TPU cores"),
}
"""Presets by name, as `--preset` takes it."""
