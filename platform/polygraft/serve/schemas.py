"""What the API takes and gives, as pydantic models; the client uses the same ones.

Rows are checked one by one (`read_rows`), so that a bad row is answered in its place and the others
are not lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SkipValidation,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.config import JsonDict

from polygraft.architectures.text import not_unicode
from polygraft.errors import InvalidRow, PolygraftError
from polygraft.runtime.rows import Answer, Layer, Row
from polygraft.runtime.search import MAX_BEAM, MAX_NO_REPEAT, MAX_PENALTY, MAX_TEMPERATURE, Search

LONGEST_NAME, TOLD, MOST_FIELDS = 128, 10, 64


def _valid_unicode(text: str) -> str:
    if problem := not_unicode(text):
        raise ValueError(problem)
    return text


Name = Annotated[str, StringConstraints(max_length=LONGEST_NAME), AfterValidator(_valid_unicode)]
Text = Annotated[str, AfterValidator(_valid_unicode)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, given: Any) -> Any:
        """Each unknown field is an error of its own, and 400,000 of them took seconds."""
        if isinstance(given, dict) and len(given) > MOST_FIELDS:
            raise ValueError(f"{len(given):,} fields, at most {MOST_FIELDS} are read")
        return given


def _within(low: float, high: float) -> JsonDict:
    """Bounds for the OpenAPI document; `Search` checks them, together with what else makes no
    sense."""
    return {"minimum": low, "maximum": high}


class SearchIn(_Strict):
    """How to look for a translation."""

    beam: int = Field(1, description="1: greedy", json_schema_extra=_within(1, MAX_BEAM))
    n_best: int = Field(
        1,
        description="translations a text, at most the beam",
        json_schema_extra=_within(1, MAX_BEAM),
    )
    length_penalty: float = Field(
        1.0,
        description="log-probability is divided by length to this power",
        json_schema_extra=_within(-MAX_PENALTY, MAX_PENALTY),
    )
    no_repeat: int = Field(
        0,
        description="no sequence of so many tokens twice; 0: no such rule",
        json_schema_extra=_within(0, MAX_NO_REPEAT),
    )
    temperature: float = Field(
        0.0,
        description="above 0: tokens are drawn, not the likeliest taken",
        json_schema_extra=_within(0, MAX_TEMPERATURE),
    )
    seed: int | None = Field(None, description="the same seed draws the same text")

    def search(self) -> Search:
        """Raises `InvalidRow`."""
        return Search(
            self.beam,
            self.n_best,
            float(self.length_penalty),
            self.no_repeat,
            float(self.temperature),
            self.seed,
        )


class LayerIn(_Strict):
    """An adapter in a stack."""

    adapter: Name
    weight: float = Field(1.0, description="how much its update counts")


Stack = Annotated[list[Name | LayerIn], Field(min_length=1, max_length=8)]


class RowIn(SearchIn):
    """One text for one adapter, or for a stack of which the last one answers."""

    adapter: Name | None = None
    stack: Stack | None = Field(
        None,
        description=(
            "names or {adapter, weight}, in place of adapter: usually a language, then the task"
        ),
    )
    text: Text
    head: Name | None = Field(None, description="the task, for an adapter with several heads")
    language: Name | None = Field(
        None, description="ISO 639 code of the text; must be one the adapter was made for"
    )
    truncate: bool = Field(
        False, description="read the beginning of a text that is too long, instead of an error"
    )
    target: Name | None = Field(
        None, description="language to write, for a translation adapter with several"
    )


# Rows and texts are checked one by one, after they are counted: the document says what they are,
# pydantic lets them pass.
UncheckedRow = SkipValidation[RowIn]
UncheckedText = SkipValidation[str]


class ClassifyRequest(_Strict):
    """`adapter` or `stack` with `text` or `texts`; or `rows`, each row with its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "adapter": "spam-en",
                    "text": "WIN a FREE phone now! Text WIN to 80182",
                    "top_k": 1,
                },
                {
                    "rows": [
                        {"adapter": "spam-en", "text": "See you at 5"},
                        {"adapter": "spam-sw", "text": "Nitume pesa?"},
                    ]
                },
            ]
        }
    )
    adapter: Name | None = None
    stack: Stack | None = Field(None, description="in place of adapter, as in a row")
    text: UncheckedText | None = Field(None, description="one text")
    texts: list[UncheckedText] | None = Field(None, description="several texts")
    language: Name | None = None
    head: Name | None = Field(None, description="the task, for an adapter with several heads")
    truncate: bool = False
    rows: list[UncheckedRow] | None = None
    top_k: int | None = Field(
        None, ge=1, description="labels a row at most; left out: all, up to 50,000 of all rows"
    )


class BatchRequest(_Strict):
    """Rows of any task, each with its own adapter."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "rows": [
                        {"adapter": "spam-en", "text": "WIN a FREE phone now! Text WIN to 80182"},
                        {
                            "adapter": "en-yo",
                            "text": "The market opens at nine.",
                            "target": "yo",
                            "beam": 4,
                        },
                    ]
                }
            ]
        }
    )
    rows: list[UncheckedRow]
    top_k: int | None = Field(
        None,
        ge=1,
        description=(
            "labels a classified row at most; left out: all, of all rows together up to 50,000"
        ),
    )


class ErrorBody(BaseModel):
    code: str = Field(description="name of the error class, stable")
    message: str = Field(description="what went wrong, why, and what to do")


class LabelOut(BaseModel):
    label: str
    score: float


class RowOut(BaseModel):
    """A row's answer, or its `adapter` and `error`; what does not apply is left out. Tasks that are
    added may answer with fields of their own."""

    model_config = ConfigDict(extra="allow")
    adapter: str | None = None
    version: str | None = None
    stack: list[str] | None = Field(
        None, description="name@version of the adapters under the one that answered"
    )
    label: str | None = None
    score: float | None = None
    labels: list[LabelOut] | None = None
    translation: str | None = None
    alternatives: list[str] | None = Field(
        None, description="the other translations asked for, best first"
    )
    source: str | None = None
    target: str | None = None
    cut: bool | None = Field(
        None, description="true: a sentence reached the bound on its length before it ended"
    )
    error: ErrorBody | None = None


class ClassifyResponse(BaseModel):
    """`results[i]` answers the i-th row or text of the request."""

    results: list[RowOut]


class AdapterOut(BaseModel):
    """An adapter that is served."""

    name: str
    version: str
    task: str
    languages: list[str]
    labels: list[str] = []
    heads: dict[str, list[str]] = Field({}, description="labels of its further heads, by task")
    directions: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(
        [], description="translation: from, to"
    )
    parent: str | None
    stack: list[str] = Field(
        [],
        description="what it was trained on top of, and lies on unless the request says otherwise",
    )
    description: str


class Refused(BaseModel):
    """An adapter in the library that is not served, and why."""

    name: str
    error: ErrorBody


class AdaptersResponse(BaseModel):
    adapters: list[AdapterOut]
    refused: list[Refused] = []
    free_slots: int
    backbone: str


class ErrorResponse(BaseModel):
    error: ErrorBody


def read_rows(
    request: ClassifyRequest, check_count: Callable[[int], None]
) -> list[Row | PolygraftError]:
    """The request's rows in order; one that is not usable becomes its error. Raises `InvalidRow`
    for a bad mix of fields.

    `check_count` is told how many there are before any is read."""
    given = [name for name in ("text", "texts", "rows") if name in request.model_fields_set]
    if len(given) != 1:
        raise InvalidRow(
            f"send exactly one of text, texts or rows (got {', '.join(given) or 'none'}); e.g. "
            '{"adapter": "spam-en", "text": "hello"}'
        )
    who = {
        name: value
        for name in ("adapter", "stack")
        if (value := getattr(request, name)) is not None
    }
    if request.rows is not None:
        outer = [
            name
            for name in ("adapter", "stack", "language", "head", "truncate")
            if name in request.model_fields_set
        ]
        if outer:
            raise InvalidRow(
                f"with rows, each row says its own {', '.join(outer)}; leave that out beside rows"
            )
        check_count(len(request.rows))
        return [read_row(row) for row in request.rows]
    if not who:
        raise InvalidRow(
            "adapter is missing: name the adapter that should answer, GET /v1/adapters lists them"
        )
    texts: list[Any] = [request.text] if request.texts is None else request.texts
    check_count(len(texts))
    common = who | {
        "language": request.language,
        "truncate": request.truncate,
        "head": request.head,
    }
    return [read_row(common | {"text": text}) for text in texts]


def read_row(raw: Any) -> Row | PolygraftError:
    """One row of a request, or its error."""
    if not isinstance(raw, dict):
        return InvalidRow('a row is an object: {"adapter": "spam-en", "text": "hello"}')
    try:
        row = RowIn.model_validate(raw)
        if (row.adapter is None) == (row.stack is None):
            raise InvalidRow("say who answers, with either adapter or stack")
        under, answers = None, Layer(row.adapter or "")
        if row.stack is not None:
            *under, answers = [
                Layer(x) if isinstance(x, str) else Layer(x.adapter, x.weight) for x in row.stack
            ]
        return Row(
            answers.adapter,
            row.text,
            row.language,
            row.truncate,
            row.target,
            row.search(),
            None if under is None else tuple(under),
            row.head,
            answers.weight,
        )
    except ValidationError as error:
        return InvalidRow(
            problems(
                error.errors(include_url=False, include_input=False, include_context=False), "row"
            )
        )
    except InvalidRow as error:
        return error


def problems(found: Sequence[Any], subject: str, skip: int = 0) -> str:
    """Pydantic's errors in one line: where, without the first `skip` parts of the place, and what;
    `TOLD` of them at most."""
    lines = [
        f"{'.'.join(map(str, e['loc'][skip:]))[:LONGEST_NAME] or subject}: {_said(e['msg'])}"
        for e in found[:TOLD]
    ]
    return "; ".join(lines) + (
        f"; and {len(found) - TOLD} more problems" if len(found) > TOLD else ""
    )


def _said(message: str) -> str:
    """Pydantic's message as the end of a sentence."""
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def row_out(answer: Answer | PolygraftError, adapter: str | None) -> RowOut:
    """An engine's answer as the API gives it."""
    if isinstance(answer, PolygraftError):
        return RowOut(adapter=adapter, error=ErrorBody.model_validate(answer.payload()))
    return RowOut(
        adapter=answer.adapter,
        version=answer.version,
        stack=answer.stack or None,
        **answer.fields(),
    )
