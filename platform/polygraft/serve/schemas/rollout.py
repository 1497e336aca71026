"""What changes and tells the route of a name."""

from __future__ import annotations

from pydantic import BaseModel, Field

from polygraft.adapters.pointer import (
    CANDIDATE,
    MAX_ALIASES,
    MAX_WHY,
    Canary,
    Change,
    Pointer,
    Route,
    Shadow,
)
from polygraft.rollout.comparing import Comparison, Figure, VersionFigures
from polygraft.serve.schemas.fields import MAX_NAME, Name, Strict


class ChangeIn(Strict):
    """What is said of every change."""

    who: Name = Field("admin", description="who changes it, for the history")
    why: str = Field("", max_length=MAX_WHY, description="kept in the history")
    revision: int | None = Field(
        None, ge=0, description="that you have read; another one now is a Conflict"
    )


class RouteIn(ChangeIn):
    """The whole route of a name: what is left out ends."""

    aliases: dict[Name, Name] = Field(
        {},
        max_length=MAX_ALIASES,
        description="set first: alias to version, its beginning or alias",
    )
    canary: Canary | None = None
    shadow: Shadow | None = None

    @property
    def route(self) -> Route:
        return Route(canary=self.canary, shadow=self.shadow)


class PromoteIn(ChangeIn):
    version: Name = Field(CANDIDATE, description="alias, version or its beginning")
    force: str | None = Field(
        None, max_length=MAX_WHY, description="why it is served although transfer harmed it"
    )
    if_agreement: float | None = Field(
        None,
        gt=0,
        le=1,
        description="only if its agreement with the champion is shown to be so much at least",
    )
    min_rows: int = Field(1, ge=1, description="rows that `if_agreement` needs")


class RouteOut(BaseModel):
    """What is served as a name. `version` is the champion's."""

    name: str
    version: str
    revision: int
    aliases: dict[str, str]
    canary: Canary | None = None
    shadow: Shadow | None = None
    previous: list[str] = Field([], description="champions before, the last one at the end")
    versions: list[str] = Field(description="that can be asked for")


class HistoryResponse(BaseModel):
    """The last changes, the newest first."""

    name: str = Field(max_length=MAX_NAME)
    history: list[Change]


class FigureOut(BaseModel):
    """With its 95% interval."""

    value: float
    low: float
    high: float


class VersionOut(BaseModel):
    """`milliseconds` for which the callers of its rows waited."""

    version: str
    rows: int
    error_rate: FigureOut | None
    scores: dict[str, FigureOut] = Field(description="quantiles: p10, p50, p90")
    milliseconds: FigureOut | None


class CompareResponse(BaseModel):
    """Figures since the route was set; `agreement` and `kappa` of the `pairs`, rows that both
    computed."""

    name: str
    version: VersionOut
    against: VersionOut
    pairs: int
    agreement: FigureOut | None
    kappa: FigureOut | None
    label_shift: FigureOut | None


def route_out(name: str, champion: str, pointer: Pointer, versions: frozenset[str]) -> RouteOut:
    return RouteOut(
        name=name,
        version=champion,
        revision=pointer.revision,
        aliases=pointer.aliases,
        canary=pointer.route.canary,
        shadow=pointer.route.shadow,
        previous=pointer.previous,
        versions=sorted(versions),
    )


def comparison_out(name: str, comparison: Comparison) -> CompareResponse:
    return CompareResponse(
        name=name,
        version=_version(comparison.version),
        against=_version(comparison.against),
        pairs=comparison.pairs,
        agreement=_figure(comparison.agreement),
        kappa=_figure(comparison.kappa),
        label_shift=_figure(comparison.label_shift),
    )


def _version(figures: VersionFigures) -> VersionOut:
    return VersionOut(
        version=figures.version,
        rows=figures.rows,
        error_rate=_figure(figures.error_rate),
        scores={
            name: FigureOut(value=figure.value, low=figure.low, high=figure.high)
            for name, figure in figures.scores.items()
        },
        milliseconds=_figure(figures.milliseconds),
    )


def _figure(figure: Figure | None) -> FigureOut | None:
    if figure is None:
        return None
    return FigureOut(value=figure.value, low=figure.low, high=figure.high)
