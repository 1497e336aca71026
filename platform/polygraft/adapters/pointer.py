"""`pointer.json`, one small file a name: which version is served, to whom, and how that came about.

    aliases     champion, candidate or any other -> version; never to another alias, so none can
                go round in a circle
    route       who gets which alias: a canary's share of the rows, a shadow
    previous    champions before, the last one at the end: what `rolled_back` goes back to
    history     who changed what, when and why; the last `MAX_HISTORY` changes
    revision    counts the changes: a writer says which one it has seen (compare-and-swap)

What changes a pointer here returns another one. Does not: open files (see `library`), or load
adapters.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from polygraft.adapters.layout import VERSION
from polygraft.adapters.reference import SHORTEST, is_alias
from polygraft.errors import AdapterError, InvalidOption, UnknownVersion, listed, problems_of

CHAMPION, CANDIDATE = "champion", "candidate"
MAX_HISTORY, MAX_PREVIOUS, MAX_ALIASES = 100, 5, 32
MAX_WHY = 1_000  # characters
Share = Annotated[FiniteFloat, Field(gt=0, le=1)]
Version = Annotated[str, Field(pattern=VERSION.pattern)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bounds(Strict):
    """When a canary is taken back by itself: as soon as the whole 95% interval of one of these
    figures lies beyond its bound, with `min_rows` rows of the canary at least."""

    error_rate: Share | None = Field(
        None, description="its rows that end in an error of the server, as a share"
    )
    label_shift: Share | None = Field(
        None,
        description="total variation distance between its labels and the champion's, 0 to 1",
    )
    agreement: Share | None = Field(
        None, description="with the champion on rows that both computed; needs a shadow too"
    )
    min_rows: int = Field(200, ge=1, description="rows that it answered before it is judged")


class Canary(Strict):
    """An alias that answers a share of the rows: those whose key, or else text, falls into it."""

    alias: str = CANDIDATE
    weight: Share = Field(description="share of the rows, above 0, at most 1")
    roll_back: Bounds | None = Field(None, description="taken back by itself beyond these bounds")


class Shadow(Strict):
    """An alias that computes rows again after the champion has answered them; nobody sees what it
    says. It is the first to be dropped when there is much to do."""

    alias: str = CANDIDATE
    share: Share = Field(1.0, description="share of the rows that it computes too")


class Route(Strict):
    """What chooses a version for the rows that only give a name: the champion, unless said."""

    canary: Canary | None = None
    shadow: Shadow | None = None

    @property
    def aliases(self) -> list[str]:
        return [one.alias for one in (self.canary, self.shadow) if one]


What = Literal["add", "promote", "rollback", "route", "withdraw"]


class Change(Strict):
    """One line of a name's history. `champion`: the version that was it afterwards."""

    revision: int
    at: str = Field(description="UTC, ISO 8601")
    who: str
    what: What
    why: str = ""
    champion: str | None = None
    aliases: dict[str, str] = {}
    route: Route = Route()


class Pointer(Strict):
    """The content of `pointer.json`. The one of a name without the file points to nothing."""

    format: Literal[1] = 1
    revision: int = Field(0, ge=0)
    aliases: dict[str, Version] = Field({}, max_length=MAX_ALIASES)
    route: Route = Route()
    previous: list[Version] = Field([], max_length=MAX_PREVIOUS)
    withdrawn: bool = Field(False, description="not served, also where a layer below has it")
    history: list[Change] = Field([], max_length=MAX_HISTORY)

    @model_validator(mode="after")
    def _is_consistent(self) -> Pointer:
        check_aliases(self.aliases)
        for alias in self.route.aliases:
            if alias not in self.aliases:
                raise ValueError(f"route: there is no alias {alias!r}")
        return self

    @property
    def champion(self) -> str | None:
        return self.aliases.get(CHAMPION)

    @property
    def versions(self) -> set[str]:
        """Those that it points to."""
        return {*self.aliases.values(), *self.previous}

    def as_file(self) -> bytes:
        return (self.model_dump_json(indent=1) + "\n").encode()


def check_aliases(aliases: Mapping[str, str]) -> None:
    """Raises `ValueError` for a name that no alias can have."""
    for alias in aliases:
        if not is_alias(alias):
            raise ValueError(
                f"{alias[:40]!r} is no alias: a letter, then a-z, 0-9, '.', '_' and '-', at most "
                f"32 characters, and not {SHORTEST} to 12 hex digits, which begin a version"
            )


def read(content: bytes, name: str) -> Pointer:
    """Raises `AdapterError` for a file that is cut off or was changed."""
    try:
        return Pointer.model_validate_json(content)
    except ValidationError as error:
        problems = listed(problems_of(error.errors(include_url=False, include_input=False)))
        raise AdapterError(
            f"the pointer file of {name!r} cannot be read ({problems}); put its last copy back, or "
            f"delete it and say again which version is served: polygraft promote {name}@VERSION"
        ) from None


def added(
    pointer: Pointer, version: str, who: str, why: str = "", *, alias: str = CHAMPION
) -> Pointer:
    """`version` under `alias`. As the champion it answers every row from now on: a route that was
    there ends."""
    _require_alias(alias)
    if alias == CHAMPION:
        return _crowned(pointer, version, who, "add", why)
    aliases = pointer.aliases | {alias: version}
    return _changed(pointer, who, "add", why, aliases=aliases)


def promoted(pointer: Pointer, version: str, who: str, why: str = "") -> Pointer:
    """`version` as the champion; canary and shadow end."""
    return _crowned(pointer, version, who, "promote", why)


def rolled_back(pointer: Pointer, who: str, why: str = "") -> Pointer:
    """What callers get as it was before: without the canary (and the shadow), where there is one;
    else with the champion before this one. Raises `InvalidOption` where there was none."""
    if pointer.route.canary:
        return _changed(pointer, who, "rollback", why, route=Route())
    if not pointer.previous:
        raise InvalidOption("there is no champion before this one; promote a version by its name")
    *previous, version = pointer.previous
    aliases = pointer.aliases | {CHAMPION: version}
    return _changed(
        pointer, who, "rollback", why, aliases=aliases, previous=previous, route=Route()
    )


def routed(
    pointer: Pointer, route: Route, aliases: Mapping[str, str], who: str, why: str = ""
) -> Pointer:
    """With another route, and `aliases` besides those there are. Raises `UnknownVersion` for an
    alias that stands for nothing."""
    for alias in aliases:
        _require_alias(alias)
    aliases = {**pointer.aliases, **aliases}
    for alias in route.aliases:
        if alias not in aliases:
            raise UnknownVersion("this one", alias, sorted(aliases))
    return _changed(pointer, who, "route", why, aliases=aliases, route=route)


def withdrawn(pointer: Pointer, who: str, why: str = "") -> Pointer:
    """Points to nothing, and hides what lies in a layer below."""
    empty = {"aliases": {}, "previous": [], "route": Route(), "withdrawn": True}
    return _changed(pointer, who, "withdraw", why, **empty)


def _require_alias(alias: str) -> None:
    try:
        check_aliases({alias: ""})
    except ValueError as error:
        raise InvalidOption(str(error)) from None


def _crowned(pointer: Pointer, version: str, who: str, what: What, why: str) -> Pointer:
    previous = list(pointer.previous)
    if pointer.champion and pointer.champion != version:
        previous = [*(v for v in previous if v != version), pointer.champion][-MAX_PREVIOUS:]
    aliases = pointer.aliases | {CHAMPION: version}
    return _changed(pointer, who, what, why, aliases=aliases, previous=previous, route=Route())


def _changed(pointer: Pointer, who: str, what: What, why: str, **fields: object) -> Pointer:
    changed = pointer.model_copy(update={"withdrawn": False, **fields})
    change = Change(
        revision=pointer.revision + 1,
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        who=who[:MAX_WHY],
        what=what,
        why=why[:MAX_WHY],
        champion=changed.champion,
        aliases=changed.aliases,
        route=changed.route,
    )
    history = [*pointer.history, change][-MAX_HISTORY:]
    return changed.model_copy(update={"revision": change.revision, "history": history})
