"""Commands about recipes: `recipe`, `new`."""

from __future__ import annotations

from typing import Annotated

import typer

from polygraft.cli.app import app, out, report_errors


@app.command()
@report_errors
def recipe(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="[TASK|FIELD]", help="A task, or a field such as training.epochs."),
    ] = None,
    json_schema: Annotated[
        bool,
        typer.Option("--json-schema", help="Every field of every task, as JSON Schema."),
    ] = False,
) -> None:
    """A recipe to start from, with comments; or what one field of it is for.

    Examples: `polygraft recipe`, `polygraft recipe translation`, `polygraft recipe data.on_leak`
    """
    from polygraft.tasks import explained
    from polygraft.tasks.registry import DEFAULT, TASKS

    if json_schema:
        out.print_json(data=explained.json_schema())
    elif subject is None or subject in TASKS:
        print(explained.example(subject or DEFAULT), end="")
    else:
        print(explained.explain(subject), end="")
