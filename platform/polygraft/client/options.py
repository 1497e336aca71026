"""The options that both clients take; one that is left out, or None, is the server's to choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict


class ClassifyOptions(TypedDict, total=False):
    """Of `classify`. `language`: that of the texts, which the adapter must have been made for.
    `head`: the task, for an adapter with several. `top_k`: labels a text at most. `truncate`: read
    the beginning of a text that is too long. `threshold`: the score from which the likeliest label
    is the decision. `explain`: say why (`result.explanation`; 16 texts at most)."""

    language: str | None
    head: str | None
    top_k: int | None
    truncate: bool | None
    threshold: float | None
    explain: bool | None


class TranslateOptions(TypedDict, total=False):
    """Of `translate` and `translate_stream`. `source`: left out, each text's language is detected.
    `adapter`: left out, the one made for the languages, or two, through English, unless `pivot` is
    False; what went through it says so (`result.via`). `format`: html keeps the markup."""

    source: str | None
    adapter: str | None
    pivot: bool | None
    format: Literal["text", "html"] | None
    beam: int | None
    n_best: int | None
    length_penalty: float | None
    no_repeat: int | None
    temperature: float | None
    seed: int | None


class EmbedOptions(TypedDict, total=False):
    """Of `embed`. `adapter`: left out, the server's own. `dimensions`: values of each vector, one
    of the lengths the adapter gives. `encoding`: float, base64, int8 or binary. `truncate`: read
    the beginning of a text that is too long."""

    adapter: str | None
    dimensions: int | None
    encoding: Literal["float", "base64", "int8", "binary"] | None
    truncate: bool | None


class SimilarityOptions(TypedDict, total=False):
    """Of `similarity`: as of `embed`."""

    adapter: str | None
    dimensions: int | None
    truncate: bool | None


class StreamOptions(TypedDict, total=False):
    """Of `stream`. `top_k`: labels a row at most."""

    top_k: int | None


class RowsOptions(TypedDict, total=False):
    """Of `classify_rows` and `batch`. `top_k`: labels a row at most."""

    top_k: int | None


def given(options: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The options that are not left out. Raises `TypeError` for one that `kind` does not have."""
    if unknown := sorted(options.keys() - kind.__annotations__.keys()):
        known = ", ".join(kind.__annotations__)
        raise TypeError(f"there is no option {unknown[0]!r}; there are: {known}")
    return {name: value for name, value in options.items() if value is not None}
