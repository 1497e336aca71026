"""The command that looks an installation over: `doctor`."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from polygraft.cli.app import (
    AsJson,
    Backbone,
    LibraryFolder,
    app,
    out,
    report_errors,
)

COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@app.command()
@report_errors
def doctor(
    host: Annotated[str, typer.Option(help="As for `polygraft serve`.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="As for `polygraft serve`.")] = 3000,
    library: LibraryFolder = None,
    backbone: Backbone = None,
    as_json: AsJson = False,
) -> None:
    """Check this installation: versions, settings, backbone, adapters, memory, cores, port, key,
    folders; and say what to do about what is not as it should be.

    The exit status is 1 when there is a problem, 0 when there are at most warnings.
    """
    from polygraft.doctor.examine import examine

    folders = {"POLYGRAFT_LIBRARY": library, "POLYGRAFT_BACKBONE": backbone}
    os.environ.update({name: str(folder) for name, folder in folders.items() if folder})
    findings = examine(host, port)
    problems = [finding for finding in findings if finding.level == "problem"]
    if as_json:
        out.print_json(
            data={"ok": not problems, "findings": [asdict(finding) for finding in findings]}
        )
    else:
        for finding in findings:
            level = f"[{COLOURS[finding.level]}]{finding.level:7}[/]"
            out.print(
                f"{level}  {finding.check:15}  {escape(finding.message)}",
                highlight=False,
                soft_wrap=True,
            )
            if finding.remedy:
                out.print(f"{'':26}{escape(finding.remedy)}", highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(1)
