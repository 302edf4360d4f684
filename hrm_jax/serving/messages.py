"""Bodies of requests, in OpenAI's and llama.cpp's protocols.

Fields that are not named here are ignored, as clients send many that mean nothing to this server.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

MOST_STOPS = 128  # editors send two dozen
MOST_CHOICES = 16
MOST_DEPTH = 100  # of lists and objects within each other
_SEED = 2**63

Text = Annotated[str, StringConstraints(max_length=4_000_000)]
Path = Annotated[str, StringConstraints(max_length=4096)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Stops = Annotated[list[Stop], Field(max_length=MOST_STOPS)]
Token = Annotated[int, Field(ge=0, lt=2**31)]
Tokens = Annotated[list[Token], Field(max_length=1_000_000)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=64)]
Temperature = Annotated[float, Field(ge=0, le=100)]
TopP = Annotated[float, Field(gt=0, le=1)]
TopK = Annotated[int, Field(ge=-1, lt=2**31)]
Seed = Annotated[int, Field(ge=-_SEED, lt=_SEED)]


class Message(BaseModel):
    """Base of all bodies."""

    # JSON's NaN and infinity are refused; what is unknown is not looked at.
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        """Takes null for a field that is not there, as clients send it for what they do not set."""
        if not isinstance(data, Mapping):
            return data
        return {name: value for name, value in data.items() if value is not None}


class Verify(Message):
    """How programs are verified before they are shown."""

    tests: Text | None = Field(None, description="tests in Python: asserts, test functions")
    doctests: bool = Field(False, description="the examples in the prompt are the tests")
    attempts: int = Field(10, ge=1, le=1000, description="candidates at most")
    seconds: float = Field(60.0, gt=0, le=3600, description="time for all of them")


class StreamOptions(Message):
    """What a stream has besides its text."""

    include_usage: bool = False


class Schema(Message):
    """A named JSON schema."""

    schema_: dict[str, Any] | bool | None = Field(None, alias="schema")


class ResponseFormat(Message):
    """What an answer has to be."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: Schema | None = None


class Writing(Message):
    """What requests for texts share in both protocols."""

    stop: Stop | Stops | None = None
    verify: Verify | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_too_deep(cls, data: Any) -> Any:
        """Refuses what is nested so deep that reading it would exceed Python's recursion limit."""
        level = _nested([data])
        for _ in range(MOST_DEPTH):
            level = [inner for value in level for inner in _nested(value)]
            if not level:
                return data
        raise ValueError(f"expected lists and objects nested at most {MOST_DEPTH} deep, got more")

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop sequences."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


def _nested(value: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
    """Returns the lists and objects that stand directly within one."""
    inner = value.values() if isinstance(value, Mapping) else value
    return [one for one in inner if isinstance(one, list | Mapping)]


class Asked(Writing):
    """What all of OpenAI's requests for texts share."""

    model: str | None = Field(None, description="ignored: the loaded model answers")
    max_tokens: int | None = Field(
        None, ge=-1, lt=2**31, description="-1: as many as the context has room for"
    )
    temperature: Temperature | None = Field(None, description="0 if unset: the likeliest tokens")
    top_p: TopP | None = None
    top_k: TopK | None = None
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)
    seed: Seed | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None

    @property
    def scores(self) -> int | None:
        """Likeliest tokens that are told beside each; None for no scores."""
        return None


class CompletionAsked(Asked):
    """The body of `/v1/completions`."""

    prompt: Text | Tokens | Texts | Annotated[list[Tokens], Field(max_length=64)] = ""
    suffix: Text | None = None
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=20, description="likeliest tokens beside each")

    @property
    def scores(self) -> int | None:
        """Likeliest tokens that are told beside each; None for no scores."""
        return self.logprobs


class Turn(BaseModel):
    """A message of a conversation; the template reads its other fields."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    role: str
    content: Text | list[dict[str, Any]] | None = None


class ChatAsked(Asked):
    """The body of `/v1/chat/completions`."""

    messages: Annotated[list[Turn], Field(min_length=1, max_length=10_000)]
    max_completion_tokens: int | None = Field(None, ge=-1, lt=2**31)
    n_predict: int | None = Field(
        None, ge=-1, lt=2**31, description="llama.cpp's name of max_tokens; 0: only reads"
    )
    tools: list[dict[str, Any]] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def scores(self) -> int | None:
        """Likeliest tokens that are told beside each; None for no scores."""
        return (self.top_logprobs or 0) if self.logprobs else None


class LlamaAsked(Writing):
    """What llama.cpp's requests for texts share."""

    n_predict: int = Field(
        -1,
        ge=-2,
        lt=2**31,
        validation_alias=AliasChoices("n_predict", "max_tokens"),
        description="-1: as many as there is room for; 0: only reads",
    )
    temperature: Temperature = 0.8
    top_k: TopK = 40
    top_p: Annotated[float, Field(ge=0, le=1)] = 0.95
    seed: Seed = -1
    stream: bool = False
    samplers: Any = Field(
        None, description="list or text, ignored: top_k, then top_p, then the temperature's draw"
    )
    t_max_predict_ms: int = Field(
        0,
        ge=-1,
        lt=2**31,
        description="time after the first token, once there is a line; 0 or -1 for any",
    )
    n_probs: int = Field(0, ge=0, le=20, description="likeliest tokens told beside each")
    response_fields: Annotated[list[str], Field(max_length=100)] = []
    json_schema: dict[str, Any] | bool | None = None
    grammar: Text | None = None


class LlamaCompletionAsked(LlamaAsked):
    """The body of `/completion`."""

    prompt: Text | Tokens = ""


class Neighbour(Message):
    """A file, or a part of one, that stands near the one that is edited."""

    filename: str = ""
    text: Text = ""


Neighbours = Annotated[list[Neighbour], Field(max_length=1000)]


class InfillAsked(LlamaAsked):
    """The body of `/infill`."""

    input_prefix: Text = ""
    input_suffix: Text = ""
    input_extra: Neighbours = []
    filename: Path = Field("", description="path of the file with the hole, within its project")
    project: Path = Field("", description="the project's name")
    prompt: Text = Field("", description="what stands behind the prefix, before the cursor")


class ContextAsked(Message):
    """The body of `/context`."""

    input_prefix: Text = Field("", description="the file before the hole, from its beginning")
    input_suffix: Text = ""
    input_extra: Neighbours = Field([], description="files of which parts may be shown")
    characters: int = Field(1000, ge=0, le=1_000_000, description="of all parts, at most")


class TokenizeAsked(Message):
    """The body of `/tokenize`."""

    content: Text
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeAsked(Message):
    """The body of `/detokenize`."""

    tokens: Tokens
