"""A request's rows as the engine takes them, and its answers as the API gives them.

Rows are read one by one, so that a bad row is answered in its place and the others are not lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from polygraft.adapters.reference import Reference
from polygraft.errors import InvalidOption, InvalidRow, PolygraftError
from polygraft.runtime.rows import Answer, Row, WeightedAdapter
from polygraft.serve.schemas.classify import ClassifyRequest
from polygraft.serve.schemas.errors import ErrorBody, in_one_line
from polygraft.serve.schemas.fields import MAX_EXPLAINED, LayerIn, Name
from polygraft.serve.schemas.row import RowIn, RowOut
from polygraft.serve.schemas.tag import TagRequest
from polygraft.tasks.translation.glossary import read_glossary

OF_ALL = ("language", "truncate", "head", "threshold", "explain", "key")
"""What a request with `text` or `texts` says for all of them, where it has the field."""


def read_rows(
    request: ClassifyRequest | TagRequest, check_count: Callable[[int], None]
) -> list[Row | PolygraftError]:
    """The request's rows in order; one that is not usable becomes its error. Raises `InvalidRow`
    for a bad mix of fields.

    `check_count` is given their number before any is read."""
    sent = request.model_fields_set
    inputs = [name for name in ("text", "texts", "rows") if name in sent]
    if len(inputs) != 1:
        raise InvalidRow(
            f"send exactly one of text, texts or rows (got {', '.join(inputs) or 'none'}); e.g. "
            '{"adapter": "spam-en", "text": "hello"}'
        )
    if request.rows is not None:
        outer = [name for name in ("adapter", "stack", *OF_ALL) if name in sent]
        if outer:
            raise InvalidRow(
                f"with rows, each row says its own {', '.join(outer)}; leave that out beside rows"
            )
        check_count(len(request.rows))
        return read_each(request.rows)
    answering = {
        name: value
        for name in ("adapter", "stack")
        if (value := getattr(request, name)) is not None
    }
    if not answering:
        raise InvalidRow(
            "adapter is missing: name the adapter that should answer, GET /v1/adapters lists them"
        )
    texts: list[Any] = [request.text] if request.texts is None else request.texts
    check_count(len(texts))
    of_all = {name: getattr(request, name) for name in OF_ALL if hasattr(request, name)}
    common = answering | of_all
    return read_each([common | {"text": text} for text in texts])


class OneOrMany(Protocol):
    """A request for one `text` or for several `texts`."""

    text: str | None
    texts: list[str] | None

    @property
    def model_fields_set(self) -> set[str]: ...


def texts_of(request: OneOrMany) -> list[Any]:
    """The request's texts, not checked yet. Raises `InvalidRow` where it has both fields, or
    none."""
    inputs = [name for name in ("text", "texts") if name in request.model_fields_set]
    if len(inputs) != 1:
        raise InvalidRow(f"send exactly one of text or texts (got {', '.join(inputs) or 'none'})")
    return [request.text] if request.texts is None else request.texts


def read_each(raw: Sequence[Any]) -> list[Row | PolygraftError]:
    """The rows of a request, each or its error. Raises `InvalidRow` for more than `MAX_EXPLAINED`
    that are to be explained."""
    rows = [read_row(row) for row in raw]
    explained = sum(isinstance(row, Row) and row.explain for row in rows)
    if explained > MAX_EXPLAINED:
        raise InvalidRow(
            f"{explained} rows are to be explained, at most {MAX_EXPLAINED} of a request can be: "
            "each is computed once for every span; send several requests, or leave explain out of "
            "the others"
        )
    return rows


def read_row(raw: Any) -> Row | PolygraftError:
    """One row of a request, or its error."""
    if not isinstance(raw, dict):
        return InvalidRow('a row is an object: {"adapter": "spam-en", "text": "hello"}')
    try:
        return _row(RowIn.model_validate(raw))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        return InvalidRow(in_one_line(errors, "row", known=RowIn.model_fields))
    except InvalidRow as error:
        return error


def row_out(answer: Answer | PolygraftError, adapter: str | None) -> RowOut:
    """An answer of the engine as the API gives it; `adapter` is what the row of an error named."""
    if isinstance(answer, PolygraftError):
        return RowOut(adapter=adapter, error=ErrorBody.model_validate(answer.payload()))
    return RowOut(
        adapter=answer.adapter,
        version=answer.version,
        alias=answer.alias,
        stack=answer.stack or None,
        **answer.fields(),
    )


def _row(row: RowIn) -> Row:
    """Raises `InvalidRow`."""
    if row.stack is not None and row.adapter is None:
        *stack, answering = map(_weighted, row.stack)
    elif row.adapter is not None and row.stack is None:
        stack, answering = None, _weighted(row.adapter)
    else:
        raise InvalidOption("say who answers, with either adapter or stack")
    return Row(
        adapter=answering.adapter,
        text=row.text,
        language=row.language,
        truncate=row.truncate,
        target=row.target,
        search=row.search(),
        glossary=read_glossary(row.glossary),
        stack=None if stack is None else tuple(stack),
        head=row.head,
        weight=answering.weight,
        threshold=row.threshold,
        explain=row.explain,
        dimensions=row.dimensions,
        encoding=row.encoding,
        version=answering.version,
        key=row.key,
    )


def _weighted(entry: Name | LayerIn) -> WeightedAdapter:
    weight = entry.weight if isinstance(entry, LayerIn) else 1.0
    named = Reference.parse(entry.adapter if isinstance(entry, LayerIn) else entry)
    return WeightedAdapter(named.name, weight, named.at)
