import json
import re
import sys

import numpy as np
import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.constraints import ConstraintError
from hrm_jax.inference.text.grammars import Grammar, json_schema, lark
from hrm_jax.inference.text.healing import Vocabulary
from hrm_jax.inference.text.requests import Piece, Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.writing import Writer
from tests.hrm_jax.inference.text import tiny

WARM = SamplingConfig(temperature=1.0, top_p=0.9)
VOCABULARY = Vocabulary([*(bytes([byte]) for byte in range(256)), b"", b'": ', b"tr", b"true"])

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "kind": {"enum": ["a", "bc", None, 3]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3, "minItems": 1},
    },
    "required": ["name", "kind", "tags"],
    "additionalProperties": False,
}


def is_person(value) -> bool:
    return (
        list(value) == ["name", "kind", "tags"]
        and isinstance(value["name"], str)
        and len(value["name"]) <= 5
        and value["kind"] in ("a", "bc", None, 3)
        and 1 <= len(value["tags"]) <= 3
        and all(isinstance(tag, bool) for tag in value["tags"])
    )


SCHEMAS = [
    ({"enum": ["yes", "no", [1, 2]]}, lambda value: value in ("yes", "no", [1, 2])),
    (PERSON, is_person),
    (
        {"type": "array", "items": PERSON, "minItems": 1, "maxItems": 1},
        lambda value: len(value) == 1 and is_person(value[0]),
    ),
    (
        {"type": "string", "pattern": "^[a-c]{2,4}-[0-9]+$", "maxLength": 9},
        lambda value: re.fullmatch("[a-c]{2,4}-[0-9]+", value) and len(value) <= 9,
    ),
    (
        {"type": "integer", "minimum": 17, "maximum": 1234},
        lambda value: isinstance(value, int) and 17 <= value <= 1234,
    ),
    (
        {"$ref": "#/$defs/tree", "$defs": {"tree": {"anyOf": [{"type": "null"}, {"const": 7}]}}},
        lambda value: value in (None, 7),
    ),
]


def writer(**changes) -> Writer:
    model, variables = tiny.hrm_text()
    return Writer(model, variables, tiny.ByteTokenizer(), **{"batch_size": 4, **changes})


def written(writer: Writer, requests: list[Request]) -> list[tuple[str, Piece]]:
    """The text of each request, and its last piece."""
    texts = [""] * len(requests)
    last = {}
    for piece in writer.write(requests):
        texts[piece.request] += piece.text
        last[piece.request] = piece
    return [(text, last[number]) for number, text in enumerate(texts)]


@pytest.mark.parametrize(("schema", "is_valid"), SCHEMAS)
def test_what_a_model_of_random_weights_completes_is_valid(schema, is_valid):
    constraint = json_schema(json.dumps(schema))
    asked = [
        Request(Prompt("x" * seed), seed, (), 100, sampling, constraint=constraint)
        for seed in range(1, 5)
        for sampling in (SamplingConfig(), WARM)
    ]
    completed = [text for text, last in written(writer(), asked) if last.ending == "end"]
    assert completed
    for text in completed:
        assert is_valid(json.loads(text)), text


def test_any_json_is_a_schema_too():
    asked = [
        Request(Prompt("x"), seed, (), 60, WARM, constraint=json_schema("{}")) for seed in range(6)
    ]
    for text, last in written(writer(), asked):
        text.encode("utf-8")
        if last.ending == "end":
            json.loads(text)


def test_rows_of_a_batch_do_not_disturb_each_other():
    constraints = [
        json_schema("{}"),
        None,
        json_schema(json.dumps(PERSON)),
        None,
        lark('start: "a"+'),
    ]
    asked = [
        Request(Prompt("def" * 3), seed, (), 24, WARM, constraint=constraint)
        for seed, constraint in enumerate(constraints)
    ]
    texts = [text for text, _ in written(writer(), asked)]
    # Rows are filled in this order, so their neighbours are others.
    others = [asked[number] for number in (4, 3, 0, 1, 1, 2)]
    again = [text for text, _ in written(writer(), others)]
    assert again == [texts[number] for number in (4, 3, 0, 1, 1, 2)]
    assert set(texts[4]) == {"a"}


def test_the_device_draws_what_masked_sampling_would():
    """Without limits, the probabilities of what is allowed are those of the softmax over it."""
    constraint = lark('start: "a" | "b" | "c"')
    asked = [
        Request(Prompt("x"), seed, (), 2, SamplingConfig(temperature=2.0), constraint=constraint)
        for seed in range(200)
    ]
    texts = [text for text, _ in written(writer(), asked)]
    model, variables = tiny.hrm_text()
    logits = np.asarray(model.logits(variables, np.array([[ord("x")]])))[0, 0, [97, 98, 99]] / 2
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    found = np.array([texts.count(letter) for letter in "abc"]) / len(texts)
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_rules_know_which_tokens_may_come():
    rules = json_schema('{"type": "object"}').rules(Prompt(""), VOCABULARY)
    texts = VOCABULARY.texts
    for text in (b"", b"{", b'{"a', b'{"a": tr', b'{"a":1}'):
        mask = rules.next_tokens(text)
        assert mask is not None
        viable = [bool(added) and rules.is_viable(text + added) for added in texts]
        assert mask.tolist() == viable, text
    assert rules.is_complete(b'{"a":1}')
    assert not rules.is_complete(b'{"a":1')
    assert not rules.is_viable(b'{"a"]')
    assert not rules.is_complete(b'{"a"]')


def test_a_stop_sequence_ends_what_is_complete_alone():
    constraint = lark(r"start: /[a-z]+(\n[a-z]+)*/")
    quoted = lark(r"start: /'[ab]{6,9}'/")
    asked = [
        Request(Prompt("x"), 0, ("b", "\n"), 40, WARM, constraint=constraint),
        Request(Prompt("x"), 0, ("b",), 40, WARM, constraint=quoted),
        Request(Prompt("x"), 0, ("'",), 40, WARM, constraint=quoted),
    ]
    texts = [text for text, _ in written(writer(), asked)]
    assert re.fullmatch("[ac-z]+", texts[0])
    assert re.fullmatch("'a{6,9}'", texts[1])
    assert texts[2] == ""  # nothing may be written


@pytest.mark.parametrize(
    ("make", "text", "message"),
    [
        (json_schema, "{", "expected a schema in JSON"),
        (json_schema, "[" * 200_000, "expected a schema in JSON"),
        (json_schema, '{"not":' * 900 + "{}" + "}" * 900, "expected a schema"),
        (json_schema, "[1]", "expected a schema, an object in JSON, got list"),
        (json_schema, '{"type": "thing"}', "expected a schema that can be followed"),
        (json_schema, '{"minimum": 5, "maximum": 3, "type": "number"}', "can be followed"),
        (json_schema, '{"$ref": "http://elsewhere"}', "expected a schema that can be followed"),
        (lark, "start: nothing", "expected a grammar that can be followed"),
        (lark, "", "expected a grammar that can be followed"),
    ],
)
def test_what_cannot_be_followed_is_refused(make, text, message):
    with pytest.raises(ConstraintError, match=message):
        make(text)


def test_a_vocabulary_without_some_bytes_is_refused():
    rules = Grammar(json_schema("{}").source).rules(Prompt(""), Vocabulary([b"a", b""]))
    with pytest.raises(ConstraintError, match="expected a vocabulary that can spell"):
        rules.is_viable(b"{")


def test_without_its_package_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(ConstraintError, match=r"pip install 'hrm-jax\[codegen\]'"):
        json_schema("{}")
