"""Commands about recipes: `recipe`, `new`."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from polygraft.architectures.folder import default_backbone
from polygraft.cli.app import (
    Backbone,
    LibraryFolder,
    app,
    err,
    out,
    report_errors,
    tell_doubts,
)
from polygraft.errors import RecipeError

if TYPE_CHECKING:
    from polygraft.scaffold.guess import Decide, Guess


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


@app.command()
@report_errors
def new(
    name: Annotated[str, typer.Argument(help="Of the adapter, and of its folder.")],
    train: Annotated[
        str,
        typer.Option("--from", help="CSV, TSV, JSON Lines or Parquet; a URL; hub:owner/name."),
    ],
    dev: Annotated[str | None, typer.Option(help="The same; left out, it is cut out.")] = None,
    test: Annotated[str | None, typer.Option(help="The same; left out, it is cut out.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of the texts.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the labels.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Codes of the languages of the texts: sw, or en,fr.")
    ] = None,
    positive: Annotated[str | None, typer.Option(help="The label that is looked for.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the data.")] = None,
    seed: Annotated[int, typer.Option(help="Of the splits.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Take the guesses, ask nothing.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write anew what an earlier `new` has written.")
    ] = False,
    no_advise: Annotated[
        bool, typer.Option("--no-advise", help="Leave out what `polygraft advise` says.")
    ] = False,
    library: LibraryFolder = None,
    backbone: Backbone = None,
) -> None:
    """Start an adapter from a table: guess columns, languages and splits, write a short recipe.

    On a terminal each guess is asked; otherwise, and with --yes, it is taken and told. Dev and test
    are cut out of the table, near-equal texts on one side. A table with two columns of texts and no
    labels becomes a recipe for translation.

    Example: `polygraft new spam-mine --from messages.csv`
    """
    from polygraft.adapters.library import Library, open_library, recipes_folder

    home = backbone or default_backbone()
    folder = Library(library or recipes_folder()).folder_of(name)

    from polygraft.scaffold.new import write
    from polygraft.scaffold.start import Start
    from polygraft.tasks.recipe import load_recipe

    options = {
        "data.text": text,
        "data.label": label,
        "languages": language,
        "positive": positive,
        "data.licence": licence,
    }
    sources = {"train": train, "dev": dev, "test": test}
    start = Start(
        name=name,
        folder=folder,
        sources={split: source for split, source in sources.items() if source},
        decide=_deciding(options, ask=not yes and _on_terminal()),
        library=open_library(library),
        backbone=home,
        seed=seed,
        overwrite=overwrite,
    )
    tell_doubts(write(start))
    err.print(f"wrote {start.recipe}", highlight=False, soft_wrap=True)
    advised = not no_advise and load_recipe(start.recipe).task == "classification"
    if advised:
        from polygraft.cli.transfer import advise

        advise(start.recipe, library=library, backbone=backbone)
    print(_next(start.recipe, advised=advised), end="")


def _next(recipe: Path, *, advised: bool) -> str:
    """What to do with a new recipe: commands that can be pasted into a shell as they stand."""
    program = "polygraft" if shutil.which("polygraft") else _as_called()
    file, folder = shlex.quote(str(recipe)), shlex.quote(str(recipe.parent))
    first = "Next, with the recipe as it stands"
    if advised:
        first += " (to follow an advice above, put its lines at the end of the recipe before)"
    return (
        f"{first}:\n  {program} train {file} --check\n  {program} train {file}\n"
        f"  {program} adapters add {folder}\n"
    )


def _as_called() -> str:
    """The program as whoever runs it has called it."""
    called = Path(sys.argv[0])
    if called.name == "polygraft":
        return shlex.quote(str(called))
    return f"{shlex.quote(sys.executable)} -m polygraft.cli"


def _on_terminal() -> bool:
    return sys.stdin.isatty()


def _deciding(options: dict[str, str | None], *, ask: bool) -> Decide:
    """What is taken for a guess: the option that gives it, else what the user says where `ask`,
    else the guess."""

    def decide(guess: Guess) -> str:
        given = options.get(guess.field)
        value = guess.value if given is None else given.strip()
        if given is None and ask:
            return _ask(guess)
        if problem := guess.problem(value):
            raise RecipeError(guess.field, [problem])
        if given is None:
            told, why = escape(value) or "none", escape(guess.why)
            err.print(f"{guess.field}: [bold]{told}[/] ({why})", highlight=False, soft_wrap=True)
        return value

    return decide


def _ask(guess: Guess) -> str:
    """What the user says, asked until there is no problem with it."""
    err.print(escape(guess.why), highlight=False)
    while True:
        answer: str = typer.prompt(guess.field, default=guess.value, err=True).strip()
        problem = guess.problem(answer)
        if problem is None:
            return answer
        err.print(f"[yellow]{escape(problem)}[/]", highlight=False, soft_wrap=True)
