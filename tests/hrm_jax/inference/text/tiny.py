"""A byte tokenizer, and models small enough for tests."""

import dataclasses
import functools
from types import MappingProxyType

import jax

from hrm_jax.convert.llama import llama_variables, llama_weights
from hrm_jax.core.protocols import InfillingTokens, Marker
from hrm_jax.core.types import Variables
from hrm_jax.data.text.markers import show
from hrm_jax.models.hrm_text import HrmText, HrmTextConfig
from hrm_jax.models.llama import Llama, LlamaConfig

END, PREFIX, SUFFIX, MIDDLE = range(256, 260)
MARKS = InfillingTokens(PREFIX, SUFFIX, MIDDLE)


@dataclasses.dataclass(unsafe_hash=True)
class ByteTokenizer:
    """A token for every byte, and four special ones."""

    vocab_size: int = 260
    bos_token: int | None = None
    eos_tokens: tuple[int, ...] = (END,)
    infilling: InfillingTokens | None = MARKS
    markers = MappingProxyType({"<end>": Marker(END, special=True)})
    special_names = MappingProxyType({"eos_token": "<end>"})

    def encode_marked(self, text):
        texts = (self.encode(show(part)) for part in text.split("<end>"))
        return functools.reduce(lambda before, after: [*before, END, *after], texts)

    def encode(self, text):
        return list(text.encode())

    def begin(self, text):
        return ([] if self.bos_token is None else [self.bos_token]) + self.encode(text)

    def decode(self, tokens):
        return b"".join(map(self.token_bytes, tokens)).decode(errors="replace")

    def token_bytes(self, token):
        return bytes([token]) if token < 256 else b""

    def save(self, folder):
        raise NotImplementedError


@functools.cache
def hrm_text() -> tuple[HrmText, Variables]:
    """A model of 300 tokens, more than the tokenizer has.

    Its weights are so large that every token matters to the next.
    """
    config = HrmTextConfig(
        vocab_size=300,
        hidden_size=32,
        num_heads=2,
        head_size=16,
        mlp_width=64,
        layers_per_stack=1,
        H_cycles=1,
        L_cycles=2,
        L_bp_cycles=(1,),
    )
    model = HrmText(config)
    return model, jax.tree.map(lambda x: 3 * x, model.init(jax.random.key(1)))


@functools.cache
def quantised_llama() -> tuple[Llama, Variables]:
    """A decoder of 300 tokens in 8 bits, of sizes that the kernels for them take.

    The texts that it writes soon repeat themselves.
    """
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=96,
        num_layers=2,
        num_heads=4,
        num_key_heads=2,
        head_size=16,
        mlp_width=32,
    )
    model = Llama(config)
    variables = model.init(jax.random.key(2))
    return model, llama_variables(model, llama_weights(config, variables), "int8")
