"""The options that both clients take; one that is left out, or None, is the server's to choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict


class ClassifyOptions(TypedDict, total=False):
    """Of `classify`. `language`: that of the texts, which the adapter must have been made for.
    `head`: the task, for an adapter with several. `top_k`: labels a text at most. `truncate`: read
    the beginning of a text that is too long. `threshold`: the score from which the likeliest label
    is the decision. `explain`: say why (`result.explanation`; 16 texts at most). `key`: what a
    canary chooses by, in place of the text."""

    language: str | None
    head: str | None
    top_k: int | None
    truncate: bool | None
    threshold: float | None
    explain: bool | None
    key: str | None


class TagOptions(TypedDict, total=False):
    """Of `tag`. `language`: that of the texts, which the adapter must have been made for.
    `truncate`: read the beginning of a text that is too long. `key`: what a canary chooses by, in
    place of the text."""

    language: str | None
    truncate: bool | None
    key: str | None


class TranslateOptions(TypedDict, total=False):
    """Of `translate` and `translate_stream`. `source`: left out, each text's language is detected.
    `adapter`: left out, the one made for the languages, or two, through English, unless `pivot` is
    False; what went through it says so (`result.via`). `format`: html keeps the markup.
    `allow_experimental`: whether a direction of that class may be chosen; left out, the server's
    setting. `glossary`: terms with what is to be written for them. `key`: what a canary chooses by,
    in place of the text."""

    source: str | None
    adapter: str | None
    pivot: bool | None
    allow_experimental: bool | None
    glossary: Mapping[str, str] | None
    format: Literal["text", "html"] | None
    key: str | None
    beam: int | None
    n_best: int | None
    length_penalty: float | None
    no_repeat: int | None
    temperature: float | None
    seed: int | None


class EmbedOptions(TypedDict, total=False):
    """Of `embed`. `adapter`: left out, the server's own. `dimensions`: values of each vector, one
    of the lengths the adapter gives. `encoding`: float, base64, int8 or binary. `truncate`: read
    the beginning of a text that is too long. `key`: what a canary chooses by, in place of the first
    text."""

    adapter: str | None
    dimensions: int | None
    encoding: Literal["float", "base64", "int8", "binary"] | None
    truncate: bool | None
    key: str | None


class SimilarityOptions(TypedDict, total=False):
    """Of `similarity`: as of `embed`."""

    adapter: str | None
    dimensions: int | None
    truncate: bool | None
    key: str | None


class StreamOptions(TypedDict, total=False):
    """Of `stream`. `top_k`: labels a row at most."""

    top_k: int | None


class RowsOptions(TypedDict, total=False):
    """Of `classify_rows` and `batch`. `top_k`: labels a row at most."""

    top_k: int | None


class AddOptions(TypedDict, total=False):
    """Of `add`. `alias`: of the new version; left out, it is the champion and answers every row of
    its name. `who` and `why` are kept in the history."""

    alias: str | None
    who: str | None
    why: str | None


class ChangeOptions(TypedDict, total=False):
    """Of what changes a route. `revision`: of the route that you have read; where it was changed
    meanwhile, the change is refused (409)."""

    who: str | None
    why: str | None
    revision: int | None


class RouteOptions(ChangeOptions, total=False):
    """Of `set_route`. `aliases`: versions by alias. `canary`: {"alias", "weight", "roll_back"?},
    `shadow`: {"alias", "share"?}; what is left out ends."""

    aliases: Mapping[str, str] | None
    canary: Mapping[str, Any] | None
    shadow: Mapping[str, Any] | None


class PromoteOptions(ChangeOptions, total=False):
    """Of `promote`. `if_agreement`: only if the version's agreement with the champion is shown to
    be that, on `min_rows` rows. `force`: why it is served although transfer harmed it."""

    if_agreement: float | None
    min_rows: int | None
    force: str | None


def given(options: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The options that are not left out. Raises `TypeError` for one that `kind` does not have."""
    if unknown := sorted(options.keys() - kind.__annotations__.keys()):
        known = ", ".join(kind.__annotations__)
        raise TypeError(f"there is no option {unknown[0]!r}; there are: {known}")
    return {name: value for name, value in options.items() if value is not None}
