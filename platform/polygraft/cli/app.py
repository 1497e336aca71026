"""What every command shares: the application, its consoles, common options, and how errors are
shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from polygraft.errors import PolygraftError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="One backbone, many LoRA adapters: train them, serve them together, on CPU.",
)
adapters_app = typer.Typer(no_args_is_help=True, help="The adapters of a running server.")
app.add_typer(adapters_app, name="adapters")
out, err = Console(), Console(stderr=True)

Backbone = Annotated[
    Path | None,
    typer.Option(
        "--backbone", help="Backbone folder; default: POLYGRAFT_BACKBONE, else the bundled one."
    ),
]
Server = Annotated[str, typer.Option("--server", help="Address of the server.")]
Key = Annotated[
    str | None, typer.Option("--key", envvar="POLYGRAFT_ADMIN_KEY", help="The server's admin key.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Command = TypeVar("Command", bound=Callable[..., Any])


def report_errors(command: Command) -> Command:
    """Errors of ours become one message and exit status 1; a missing extra names what to
    install."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except PolygraftError as error:
            err.print(
                f"[bold red]error[/] ({error.code}): {escape(str(error))}",
                highlight=False,
                soft_wrap=True,
            )
        except ModuleNotFoundError as error:
            err.print(
                f"[bold red]error[/]: {escape(str(error))}; pip install -c constraints.txt -e "
                "'.\\[train]'"
            )
        raise typer.Exit(1)

    return run  # type: ignore[return-value]
