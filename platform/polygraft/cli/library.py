"""Commands on the library's folder, without a server: `library ls`, `library gc`."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from rich.table import Table

from polygraft.cli.app import AsJson, LibraryFolder, app, err, out, report_errors
from polygraft.errors import DataError, PolygraftError

library_app = typer.Typer(no_args_is_help=True, help="The library: adapters and their versions.")
app.add_typer(library_app, name="library")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@library_app.command("ls")
@report_errors
def list_library(
    name: Annotated[str | None, typer.Argument(help="Only the versions of this adapter.")] = None,
    library: LibraryFolder = None,
    as_json: AsJson = False,
) -> None:
    """Adapters of the library with their versions, and what points to each."""
    from polygraft.adapters.library import open_library

    shelf = open_library(library)
    rows: list[dict[str, Any]] = []
    for one in shelf.names() if name is None else [name]:
        try:
            pointer, versions = shelf.pointer(one), shelf.versions(one)
            served = shelf.folder(one)
        except PolygraftError as error:
            err.print(f"[red]refused[/] {one}: {error}", highlight=False)
            continue
        for version, folder in sorted(versions.items()):
            aliases = sorted(a for a, to in pointer.aliases.items() if to == version)
            if folder == served and pointer.champion is None:
                aliases.append("served")
            rows.append({"adapter": one, "version": version, "aliases": aliases, "in": str(folder)})
    if as_json:
        out.print_json(data=rows)
        return
    table = Table("adapter", "version", "aliases", "in")
    for row in rows:
        table.add_row(row["adapter"], row["version"], ", ".join(row["aliases"]), row["in"])
    out.print(table)


@library_app.command("gc")
@report_errors
def collect(
    grace: Annotated[
        str,
        typer.Option(help="How long a version stays that nothing points to: 90s, 30m, 12h, 7d."),
    ] = "7d",
    library: LibraryFolder = None,
    as_json: AsJson = False,
) -> None:
    """Delete versions that no alias points to, nor a roll back would go to, once the grace time is
    over. Bundled adapters, and those that were trained in place, stay."""
    from polygraft.adapters.library import open_library

    gone = open_library(library).collect(_seconds(grace))
    if as_json:
        out.print_json(data=gone)
        return
    for named in gone:
        out.print(named, highlight=False)
    err.print(f"{len(gone)} versions deleted")


def _seconds(given: str) -> float:
    """Raises `DataError`."""
    read = re.fullmatch(r"(\d{1,9})([smhd])", given.strip())
    if not read:
        raise DataError("--grace", [f"it is {given!r}; give a number with s, m, h or d, as in 7d"])
    return int(read[1]) * _UNITS[read[2]]
