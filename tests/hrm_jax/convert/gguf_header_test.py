import struct

import jax
import pytest

pytest.importorskip("gguf", reason="needs the extra foundation")

from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.convert.gguf_header import read_header
from hrm_jax.convert.llama import llama_weights
from hrm_jax.convert.weights import WeightsError
from hrm_jax.models.llama import Llama, LlamaConfig
from tests.hrm_jax.convert.gguf_files import TOKENS, write_gguf

CONFIG = LlamaConfig(
    vocab_size=len(TOKENS),
    hidden_size=32,
    num_layers=1,
    num_heads=2,
    num_key_heads=1,
    head_size=16,
    mlp_width=32,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    variables = Llama(CONFIG).init(jax.random.key(0))
    write_gguf(path, CONFIG, llama_weights(CONFIG, variables))
    return path


def test_an_intact_file_passes(path):
    read_header(path)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_header_that_is_cut_off_is_refused(path, data, tmp_path_factory):
    content = path.read_bytes()
    header = content.rindex(b"blk.0.")  # within the list of tensors
    cut = tmp_path_factory.getbasetemp() / "cut.gguf"
    cut.write_bytes(content[: data.draw(st.integers(0, header))])
    with pytest.raises(WeightsError, match=r"expected a GGUF file, got .* fetch it anew"):
        read_header(cut)


@pytest.mark.parametrize(
    ("place", "form", "value", "message"),
    [
        (0, "4s", b"GGML", "does not begin with GGUF"),
        (4, "<I", 1, "its version is 1"),
        (8, "<Q", 2**40, "axes|ends before byte"),  # the number of tensors
        (16, "<Q", 2**40, "unknown type|ends before byte"),  # the number of values
        (24, "<Q", 2**63, "ends before byte"),  # the length of the first name
    ],
)
def test_counts_beyond_the_file_are_refused_at_once(path, tmp_path, place, form, value, message):
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, place, value)
    (tmp_path / "damaged.gguf").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_header(tmp_path / "damaged.gguf")


def test_a_long_array_is_not_read_past_the_end(path, tmp_path):
    content = bytearray(path.read_bytes())
    key = b"tokenizer.ggml.tokens"
    count = content.index(key) + len(key) + 4 + 4  # behind the types of value and elements
    struct.pack_into("<Q", content, count, 2**60)
    (tmp_path / "damaged.gguf").write_bytes(content)
    with pytest.raises(WeightsError, match="ends before byte"):
        read_header(tmp_path / "damaged.gguf")
