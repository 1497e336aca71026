"""Commands that say which version of an adapter a server answers with: `route`, `promote`,
`rollback`, `history`, `compare`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from polygraft.cli.app import AsJson, Key, Server, Why, app, err, out, report_errors, user
from polygraft.errors import DataError

Name = Annotated[str, typer.Argument(help="Name of an adapter that is served.")]
Versioned = Annotated[
    str, typer.Argument(help="NAME, for its candidate; or NAME@ALIAS, NAME@VERSION.")
]
Revision = Annotated[
    int | None,
    typer.Option(help="Of the route that you have read: refused where it was changed since."),
]
URL = "http://127.0.0.1:3000"


@app.command()
@report_errors
def route(
    name: Name,
    alias: Annotated[
        list[str] | None,
        typer.Option(metavar="ALIAS=VERSION", help="Set an alias; may be given several times."),
    ] = None,
    canary: Annotated[
        str | None,
        typer.Option(metavar="ALIAS=WEIGHT", help="Share of the rows that it answers: 0.05."),
    ] = None,
    shadow: Annotated[
        str | None, typer.Option(metavar="ALIAS", help="Computes rows too; nobody sees it.")
    ] = None,
    max_errors: Annotated[
        float | None, typer.Option(help="Take the canary back beyond this share of errors.")
    ] = None,
    max_shift: Annotated[
        float | None,
        typer.Option(help="Take it back when its labels are shifted by more than that, 0 to 1."),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(help="Take it back when it agrees less with the champion; needs --shadow."),
    ] = None,
    min_rows: Annotated[int, typer.Option(help="Rows of the canary before it is judged.")] = 200,
    clear: Annotated[bool, typer.Option("--clear", help="End canary and shadow.")] = False,
    why: Why = "",
    revision: Revision = None,
    server: Server = URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show what is served as NAME, or change it. A change sets the whole route: a canary or shadow
    that is not given ends.

    Example: `polygraft route spam-sw --alias candidate=46e174b8f99e --canary candidate=0.1 --shadow
    candidate --max-errors 0.01`
    """
    from polygraft.client import Client

    bounds = {"error_rate": max_errors, "label_shift": max_shift, "agreement": min_agreement}
    bounds = {name: bound for name, bound in bounds.items() if bound is not None}
    with Client(server, key=key) as client:
        if alias or canary or shadow or clear:
            tried: dict[str, Any] | None = None
            if canary is not None:
                tried_alias, weight = _pair(canary, "--canary")
                tried = {"alias": tried_alias, "weight": _number(weight, "--canary")}
                if bounds:
                    tried["roll_back"] = {**bounds, "min_rows": min_rows}
            elif bounds:
                raise DataError("--canary", ["bounds are those of a canary; give one"])
            shown = client.set_route(
                name,
                aliases=dict(_pair(one, "--alias") for one in alias or []),
                canary=tried,
                shadow=None if shadow is None else {"alias": shadow},
                who=user(),
                why=why,
                revision=revision,
            )
        else:
            shown = client.show_route(name)
    _show(shown, as_json)


@app.command()
@report_errors
def promote(
    version: Versioned,
    if_agreement: Annotated[
        float | None,
        typer.Option(help="Only if its agreement with the champion is shown to be so much."),
    ] = None,
    min_rows: Annotated[int, typer.Option(help="Rows that --if-agreement needs.")] = 1,
    force: Annotated[
        str | None,
        typer.Option(
            metavar="REASON", help="Serve it although transfer harmed it; kept in its manifest."
        ),
    ] = None,
    why: Why = "",
    revision: Revision = None,
    server: Server = URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Make a version the champion: it answers every row of its name, at once. The champion before
    is kept, for `polygraft rollback`.

    Example: `polygraft promote spam-sw@candidate --if-agreement 0.98 --min-rows 500`
    """
    from polygraft.adapters.reference import Reference
    from polygraft.client import Client

    named = Reference.parse(version)
    with Client(server, key=key) as client:
        shown = client.promote(
            named.name,
            named.at or "candidate",
            if_agreement=if_agreement,
            min_rows=min_rows,
            force=force,
            who=user(),
            why=why,
            revision=revision,
        )
    _show(shown, as_json)


@app.command()
@report_errors
def rollback(
    name: Name,
    why: Why = "",
    revision: Revision = None,
    server: Server = URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """End the canary of NAME; where there is none, the champion before is the champion again."""
    from polygraft.client import Client

    with Client(server, key=key) as client:
        shown = client.roll_back(name, who=user(), why=why, revision=revision)
    _show(shown, as_json)


@app.command()
@report_errors
def history(name: Name, server: Server = URL, as_json: AsJson = False) -> None:
    """Who changed what is served as NAME, when and why; the newest first."""
    from polygraft.client import Client

    with Client(server) as client:
        answer = client.history(name)
    if as_json:
        out.print_json(answer.model_dump_json())
        return
    table = Table("revision", "when", "who", "what", "champion", "why")
    for c in answer.history:
        table.add_row(str(c.revision), c.at, c.who, c.what, c.champion or "", c.why)
    out.print(table)


@app.command()
@report_errors
def compare(
    version: Versioned,
    against: Annotated[str, typer.Option(help="Alias or version.")] = "champion",
    server: Server = URL,
    as_json: AsJson = False,
) -> None:
    """Two versions by the rows that the server has observed since the route was set, each figure
    with its 95% interval."""
    from polygraft.adapters.reference import Reference
    from polygraft.client import Client

    named = Reference.parse(version)
    with Client(server) as client:
        answer = client.compare(named.name, named.at or "candidate", against)
    if as_json:
        out.print_json(answer.model_dump_json())
        return
    both = (answer.version, answer.against)
    table = Table("", *(one.version for one in both))
    table.add_row("rows", *(str(one.rows) for one in both))
    table.add_row("errors", *(_figure(one.error_rate) for one in both))
    for quantile in ("p10", "p50", "p90"):
        table.add_row(f"score {quantile}", *(_figure(one.scores.get(quantile)) for one in both))
    table.add_row("ms a row", *(_figure(one.milliseconds) for one in both))
    out.print(table)
    err.print(
        f"label shift {_figure(answer.label_shift)}; on {answer.pairs} rows that both computed: "
        f"agreement {_figure(answer.agreement)}, kappa {_figure(answer.kappa)}",
        highlight=False,
    )


def _figure(figure: Any) -> str:
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]" if figure else "-"


def _pair(given: str, option: str) -> tuple[str, str]:
    """Raises `DataError`."""
    name, marked, value = given.partition("=")
    if not marked:
        raise DataError(option, [f"it is {given!r}; give two parts with = between"])
    return name, value


def _number(given: str, option: str) -> float:
    """Raises `DataError`."""
    try:
        return float(given)
    except ValueError:
        raise DataError(option, [f"the weight is {given!r}; give a share such as 0.05"]) from None


def _show(route: Any, as_json: bool) -> None:
    if as_json:
        out.print_json(route.model_dump_json())
        return
    out.print(f"{route.name}@{route.version}, revision {route.revision}", highlight=False)
    for alias, version in sorted(route.aliases.items()):
        out.print(f"  {alias:12} {version}", highlight=False)
    if route.canary:
        out.print(f"  canary       {route.canary.alias}, {route.canary.weight:g} of the rows")
    if route.shadow:
        out.print(f"  shadow       {route.shadow.alias}, {route.shadow.share:g} of the rows")
    others = sorted(set(route.versions) - set(route.aliases.values()))
    if others:
        out.print(f"  others       {', '.join(others)}", highlight=False)
