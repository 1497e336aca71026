"""Commands that answer rows or speak to a server: `serve`, `key`, `predict`, `suggest`, `adapters
list|add|remove`."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from polygraft.architectures.folder import default_backbone
from polygraft.cli.app import (
    AsJson,
    Backbone,
    Key,
    LibraryFolder,
    Server,
    Why,
    adapters_app,
    app,
    err,
    out,
    report_errors,
    user,
)
from polygraft.errors import SettingsError


@app.command()
@report_errors
def serve(
    host: Annotated[
        str, typer.Option(help="IP address to listen on; 0.0.0.0 for every interface.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 3000,
    library: LibraryFolder = None,
    backbone: Backbone = None,
) -> None:
    """Serve every adapter of the library over HTTP, on BentoML.

    Settings beyond these are environment variables, POLYGRAFT_SLOTS and others; docs/operations.md
    lists them. All are checked before anything is started: exit status 2 and a line for each
    problem.
    """
    from polygraft.serve import launch

    folders = {"POLYGRAFT_LIBRARY": library, "POLYGRAFT_BACKBONE": backbone}
    given = {name: str(folder.resolve()) for name, folder in folders.items() if folder}
    try:
        server = launch.Server(host, port, dict(os.environ, **given))
    except SettingsError as error:
        for problem in error.problems:
            err.print(f"[bold red]error[/]: {escape(problem)}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    raise typer.Exit(server.run(_banner))


def _banner(url: str) -> None:
    from polygraft.client import Client

    with Client(url) as client:
        names = [a.name for a in client.adapters().adapters]
    rows = [{"adapter": n, "text": t} for n, t in EXAMPLES.items() if n in names]
    out.print(
        f"\n[bold green]polygraft[/] is ready on [bold]{url}[/] with "
        f"{', '.join(names) or 'no adapters yet'}"
    )
    out.print(f"API: {url}/docs   metrics: {url}/metrics\n")
    if rows:
        body = json.dumps({"rows": rows}, ensure_ascii=False)
        print(
            f"Try:\n\ncurl -s {url}/v1/classify -H 'content-type: application/json' -d '{body}'\n",
            flush=True,
        )


EXAMPLES = {
    "spam-en": "URGENT! You have won a 2000 prize. Call 09061701461 now to claim",
    "spam-sw": "Iyo pesa itume kwenye namba hii 0657538690 jina litakuja Magomba Maila",
}


@app.command("key")
@report_errors
def show_key() -> None:
    """Print the admin key of a server that this user runs, for a header: `Authorization: Bearer
    $(polygraft key)`.

    It is POLYGRAFT_ADMIN_KEY when that is set, else the one kept for the user. `adapters add` and
    `adapters remove` find it by themselves on this machine.
    """
    from polygraft.serve import auth

    print(auth.find_or_make())


class Kind(StrEnum):
    """How a file of rows is written; the names are those of `data.tables`."""

    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    LINES = "lines"


TextColumn = Annotated[str, typer.Option("--text", help="Column or field that holds the text.")]
InputKind = Annotated[
    Kind | None,
    typer.Option(
        "--format", help="Of the input; default: by the file's name (.csv, .tsv, .txt), else jsonl."
    ),
]


@app.command()
@report_errors
def predict(
    adapter: Annotated[
        str, typer.Argument(help="Name of an adapter in the library, or its folder.")
    ],
    input: Annotated[
        str,
        typer.Option(
            "--input",
            help="JSON Lines, CSV or TSV (with a header), or plain text, a row a line; - is "
            "standard input.",
        ),
    ] = "-",
    output: Annotated[
        str, typer.Option("--output", help="JSON Lines; - is standard output.")
    ] = "-",
    text: TextColumn = "text",
    kind: InputKind = None,
    source: Annotated[
        str | None,
        typer.Option(help="Language of the texts, for a translation adapter with several."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Language to write, for a translation adapter with several.")
    ] = None,
    stack: Annotated[
        list[str] | None,
        typer.Option(
            help="Adapter under it, in place of what it was trained on top of; name or folder."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="The label is the decision from this score on, in place of the adapter's own "
            "decisions.",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Add what each span of the text pushed towards its label; slower."
        ),
    ] = False,
    backbone: Backbone = None,
) -> None:
    """Classify, tag or translate a file without a server: each row gets `label` or `translation`,
    `score`, and `decision` where one is reached; `spans` or `word_tags` of a tagger; with --explain
    also `explanation`; or `error`.

    A row to translate may have its own `source` and `target`. The exit status is 3 when some rows
    got an error; the others are answered all the same.

    Example: `polygraft predict spam-en --input messages.csv --text message --output out.jsonl`
    """
    from polygraft import offline
    from polygraft.data.tables import read_table
    from polygraft.runtime.engine import Engine
    from polygraft.runtime.rows import Row, WeightedAdapter

    rows = read_table(input, text, kind)
    folder, others = _folder(adapter), [_folder(name) for name in stack or []]
    with closing(Engine(backbone or default_backbone())) as engine:
        if others:
            under = tuple(WeightedAdapter(engine.add(other).name) for other in others)
            name = offline.load(engine, folder, restacked=True).name
        else:
            under, name = None, offline.load(engine, folder).name
        common = Row(
            name,
            "",
            language=source,
            target=target,
            stack=under,
            top_k=1,
            threshold=threshold,
            explain=explain,
        )
        answered, failed = offline.predict(engine, rows, common, output, text)
    err.print(f"{answered} rows answered" + (f", [red]{failed} failed[/]" if failed else ""))
    if failed:
        raise typer.Exit(3)


@app.command()
@report_errors
def suggest(
    input: Annotated[
        str,
        typer.Option(
            "--input",
            help="Unlabelled rows: JSON Lines, CSV, TSV or plain text; - is standard input.",
        ),
    ] = "-",
    text: TextColumn = "text",
    kind: InputKind = None,
    count: Annotated[int, typer.Option(min=1, help="Rows to suggest.")] = 20,
    adapter: Annotated[
        str | None,
        typer.Option(help="An adapter that classifies such rows so far: name or folder."),
    ] = None,
    labelled: Annotated[
        Path | None, typer.Option(help="Rows that have labels already; their texts are left out.")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", help="JSON Lines; - is standard output.")
    ] = "-",
    backbone: Backbone = None,
) -> None:
    """Which rows to label next: those an adapter is least sure of, unlike each other.

    Each suggested row comes back with `label`, the adapter's guess, and `margin`, its lead over the
    next label. Without an adapter the rows are only spread out: a first set to label.

    Example: `polygraft suggest --input messages.jsonl --adapter spam-sw --count 50 --output
    to-label.jsonl`
    """
    from polygraft import offline
    from polygraft.data.tables import read_table

    rows = read_table(input, text, kind)
    known = read_table(str(labelled), text) if labelled else []
    folder = _folder(adapter) if adapter else None

    from polygraft.runtime.engine import Engine
    from polygraft.tasks.classification.source_rows import shared_rows
    from polygraft.transfer import suggest as suggesting

    home = backbone or default_backbone()
    shared = shared_rows(folder, home) if folder else None
    with closing(Engine(home)) as engine:
        name = offline.load(engine, folder).name if folder else None
        texts, seen = ([str(row[text]) for row in some] for some in (rows, known))
        suggestions = suggesting.suggest(
            engine, name, texts, count, known=seen, trained_on=shared.vectors if shared else None
        )
    with offline.write(output) as file:
        for suggestion in suggestions:
            row = rows[suggestion.row]
            if suggestion.label is not None:
                row |= {"label": suggestion.label, "margin": suggestion.margin}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    err.print(f"{len(suggestions)} of {len(rows)} rows suggested")


def _folder(adapter: str) -> Path:
    """Of an adapter, by name in the library or as a folder. Raises `UnknownAdapter`."""
    from polygraft.adapters.library import find_folder, open_library

    return find_folder(adapter, open_library())


@adapters_app.command("list")
@report_errors
def list_adapters(server: Server = "http://127.0.0.1:3000", as_json: AsJson = False) -> None:
    """Adapters the server answers with, and those it refused."""
    from polygraft.client import Client

    with Client(server) as client:
        answer = client.adapters()
    if as_json:
        out.print_json(answer.model_dump_json())
        return
    table = Table("adapter", "version", "task", "languages", "labels", "parent")
    for a in answer.adapters:
        table.add_row(
            a.name, a.version, a.task, ", ".join(a.languages), ", ".join(a.labels), a.parent or ""
        )
    out.print(table)
    for refused in answer.refused:
        err.print(f"[red]refused[/] {refused.name}: {refused.error.message}", highlight=False)


@adapters_app.command("add")
@report_errors
def add_adapter(
    folder: Annotated[Path, typer.Argument(help="Adapter folder that `polygraft train` wrote.")],
    server: Server = "http://127.0.0.1:3000",
    key: Key = None,
    force: Annotated[
        str | None,
        typer.Option(
            metavar="REASON", help="Serve it although transfer harmed it; kept in its manifest."
        ),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option(
            "--as", help="Alias of the new version, such as candidate; default: the champion."
        ),
    ] = None,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Put an adapter live without a restart: as the champion of its name, the version that answers;
    or, with --as, beside it, to be tried (see `polygraft route`). The version before stays in the
    library: `polygraft rollback NAME`.

    One that was shown to be worse for its parent (verdict `harms`) is refused unless it is forced,
    with a reason.
    """
    from polygraft.client import Client
    from polygraft.transfer import guard

    if force is not None:
        guard.force(folder, force)
    started = time.perf_counter()
    with Client(server, key=key) as client:
        added = client.add(folder, alias=alias, who=user(), why=why or None)
    if as_json:
        out.print_json(added.model_dump_json())
    else:
        out.print(
            f"{added.name}@{added.version} answers on {server} "
            f"({time.perf_counter() - started:.2f} s)"
        )


@adapters_app.command("remove")
@report_errors
def remove_adapter(
    name: Annotated[str, typer.Argument(help="Adapter name.")],
    server: Server = "http://127.0.0.1:3000",
    key: Key = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete it from the server's library too.")
    ] = False,
) -> None:
    """Stop serving an adapter; without --purge a restart brings it back."""
    from polygraft.client import Client

    with Client(server, key=key) as client:
        removed = client.remove(name, purge=purge)
    out.print(f"{removed.name}@{removed.version} is no longer served")
