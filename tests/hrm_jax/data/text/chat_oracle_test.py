"""Conversations beside `apply_chat_template` of transformers, on published templates.

The templates are those that the packages `trl` and `axolotl` carry, of Llama, Qwen, Mistral, Gemma,
DeepSeek, Phi and others; the packages are not imported. `pip install --no-deps trl axolotl`.
"""

import datetime
import importlib.util
import pathlib
import re
import warnings

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from hrm_jax.data.text.chat import ChatError, ChatTemplate, conversation
from hrm_jax.data.text.token_bytes import byte_alphabet
from hrm_jax.data.text.wrapped_tokenizer import WrappedTokenizer

pytestmark = pytest.mark.oracle

PACKAGES = ("trl", "axolotl")
_MARKER = re.compile(r"<[|\uff5c][^<>\s{}]+[|\uff5c]>|</?\w+>|\[/?[A-Z_]+\]")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Says what the weather is in a town, in °C & more",
            "parameters": {
                "type": "object",
                "properties": {"town": {"type": "string", "description": "its name"}},
                "required": ["town"],
            },
        },
    }
]
SYSTEM = {"role": "system", "content": "You are brief. "}
USER = {"role": "user", "content": " Write a function that adds `a` & 'b'.\n"}
ANSWER = {"role": "assistant", "content": "def add(a, b):\n    return a + b\n"}
THINKING = {"role": "assistant", "content": "<think>\nIs 1 < 2?\n</think>\n\nIt is."}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call12345",
            "type": "function",
            "function": {"name": "weather", "arguments": {"town": "Zürich"}},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "call12345", "name": "weather", "content": '{"t": 3}'}
CONVERSATIONS = {
    "user": ([USER], None),
    "system": ([SYSTEM, USER], None),
    "turns": ([SYSTEM, USER, ANSWER, USER], None),
    "thinking": ([USER, THINKING, USER], None),
    "tools": ([SYSTEM, USER, CALL, RESULT], TOOLS),
    "two systems": ([USER, SYSTEM, SYSTEM], None),
}


def published_templates() -> dict[str, str]:
    """The text of each template, by package and file; those of training apart, and each once."""
    found = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for path in sorted(pathlib.Path(spec.origin).parent.rglob("*.jinja")):
            text = path.read_text(encoding="utf-8")
            if text not in found.values():
                found[f"{package}/{path.stem}"] = text
    return found


@pytest.fixture(scope="module")
def transformers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pytest.importorskip("transformers")
        found.PreTrainedTokenizerFast  # noqa: B018  it is imported when it is asked for
    return found


@pytest.fixture(scope="module")
def templates(transformers) -> dict[str, str]:
    found = published_templates()
    if not found:
        pytest.skip("needs the templates of: pip install --no-deps trl axolotl")
    assert len(found) >= 30
    return found


def both_tokenizers(transformers, template: str):
    """A byte-level tokenizer with the template's markers, as transformers' class and as ours."""
    tokenizer = tokenizers.Tokenizer(models.BPE(byte_alphabet(), []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    markers = sorted({*_MARKER.findall(template), "<bos>", "<eos>"})
    special = [marker for marker in markers if not re.fullmatch(r"</?\w+>", marker)]
    tokenizer.add_special_tokens([*special, "<bos>", "<eos>"])
    tokenizer.add_tokens([marker for marker in markers if marker not in special])
    names = {"bos_token": "<bos>", "eos_token": "<eos>"}
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, chat_template=template, **names
    )
    ours = WrappedTokenizer(
        tokenizers.Tokenizer.from_str(tokenizer.to_str()),
        eos_tokens=["<eos>"],
        bos_token="<bos>",
        special_names=names,
    )
    return theirs, ours


@pytest.mark.parametrize("name", list(CONVERSATIONS))
def test_published_templates_give_the_tokens_of_transformers(transformers, templates, name):
    messages, tools = CONVERSATIONS[name]
    written = 0
    for source, template in templates.items():
        theirs, ours = both_tokenizers(transformers, template)
        now = datetime.datetime.now()
        try:
            expected = theirs.apply_chat_template(
                messages, tools=tools, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        except Exception:
            with pytest.raises(ChatError):
                conversation(ours, ChatTemplate(template), messages, tools=tools, now=now)
            continue
        prompt = conversation(ours, ChatTemplate(template), messages, tools=tools, now=now)
        assert list(prompt.tokens or ()) == expected, source
        written += 1
    # Many templates refuse a system's turn in the middle, and some know no tools.
    assert written >= {"two systems": 10}.get(name, 30)


def test_an_answer_begun_is_gone_on_with_as_theirs(transformers, templates):
    messages = [USER, {"role": "assistant", "content": "def add(a, b):\n    return"}]
    written = 0
    for source, template in templates.items():
        theirs, ours = both_tokenizers(transformers, template)
        try:
            expected = theirs.apply_chat_template(
                messages, continue_final_message=True, tokenize=True, return_dict=False
            )
        except Exception:
            continue
        prompt = conversation(ours, ChatTemplate(template), messages)
        assert list(prompt.tokens or ()) == expected, source
        written += 1
    assert written >= 30
