"""What every command shares: the application, its consoles, common options, and how errors are
shown."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from polygraft.architectures.folder import BackboneFiles, default_backbone
from polygraft.errors import DataError, PolygraftError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="One backbone, many LoRA adapters: train them, serve them together, on CPU.",
)
adapters_app = typer.Typer(
    no_args_is_help=True, help="Adapters: those of a running server, and from elsewhere."
)
app.add_typer(adapters_app, name="adapters")
backbone_app = typer.Typer(no_args_is_help=True, help="Backbones from published models.")
app.add_typer(backbone_app, name="backbone")
UNBROKEN = 100_000


def _console(*, stderr: bool = False) -> Console:
    """A terminal's own width, or COLUMNS; in a pipe or a file nothing is wrapped or cut, since
    programs read names and paths there."""
    console = Console(stderr=stderr)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(stderr=stderr, width=UNBROKEN)


out, err = _console(), _console(stderr=True)

Backbone = Annotated[
    Path | None,
    typer.Option(
        "--backbone", help="Backbone folder; default: POLYGRAFT_BACKBONE, else the bundled one."
    ),
]
Server = Annotated[
    str, typer.Option("--server", envvar="POLYGRAFT_SERVER", help="Address of the server.")
]
Key = Annotated[
    str | None, typer.Option("--key", envvar="POLYGRAFT_ADMIN_KEY", help="The server's admin key.")
]
LibraryFolder = Annotated[
    Path | None,
    typer.Option(
        "--library", help="Folder of adapters; default: the user's own, over the bundled ones."
    ),
]
Why = Annotated[str, typer.Option("--why", help="Why, for the history of the name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Command = TypeVar("Command", bound=Callable[..., Any])


def user() -> str:
    """Who runs the command, for histories."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user
        return "unknown"


def trainable_backbone(folder: Path | None) -> Path:
    """The backbone's folder: the one given, else the default. Raises `BackboneError` where a file
    is missing that training reads.

    Commands call this, and read their other inputs, before they import PyTorch: a wrong path is
    told at once, and not after seconds.
    """
    files = BackboneFiles(folder or default_backbone())
    files.require(files.config, files.weights, files.tokenizer)
    return files.folder


def require_folder(folder: Path, what_to_do: str) -> None:
    """Raises `DataError` for a folder that is not there."""
    if not folder.is_dir():
        raise DataError(str(folder), [f"no such folder; {what_to_do}"])


def require_no_file(folder: Path) -> None:
    """Raises `DataError` for what is to be a folder, or to lie in one, and is a file."""
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not existing.is_dir():
        raise DataError(str(folder), [f"{existing} is a file; give a folder"])


def tell_doubts(doubts: Sequence[str]) -> None:
    """What may be a mistake in somebody's recipe or data, a sentence each."""
    for doubt in doubts:
        err.print(f"[yellow]perhaps a mistake[/]: {escape(doubt)}", highlight=False, soft_wrap=True)


def report_errors(command: Command) -> Command:
    """Errors of ours become one message and exit status 1, as does a file that cannot be read or
    written; a missing extra names what to install."""

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
        except OSError as error:
            if error.filename is None:
                raise
            err.print(
                f"[bold red]error[/]: {escape(str(error.filename))}: {error.strerror}; give "
                "another path, or make it readable and writable",
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
