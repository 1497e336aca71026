"""Commands that make adapters: `train`, `sources`, `report`, `adapters vectors`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from polygraft.architectures.folder import default_backbone
from polygraft.cli.app import (
    AsJson,
    Backbone,
    LibraryFolder,
    adapters_app,
    app,
    err,
    out,
    report_errors,
    require_folder,
    require_no_file,
    tell_doubts,
    trainable_backbone,
)


@app.command()
@report_errors
def train(
    recipe: Annotated[Path | None, typer.Argument(help="recipe.yaml of the adapter.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Adapter folder; default: the recipe's own.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check recipe and data, in seconds.")
    ] = False,
    full_ladder: Annotated[
        bool,
        typer.Option(
            "--full-ladder", help="Also train without the parent, for the gain from transfer."
        ),
    ] = False,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Instead of a recipe: every adapter of the library made for another backbone.",
        ),
    ] = False,
    allow_leak: Annotated[
        str | None,
        typer.Option(
            metavar="REASON", help="Train although rows leak; the reason is kept in the manifest."
        ),
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option(help="Where adapters are that the recipe names; default: the bundled ones."),
    ] = None,
    backbone: Backbone = None,
    as_json: AsJson = False,
) -> None:
    """Train an adapter from a recipe: LoRA and head, figures beside the baselines, card and golden.

    A killed run goes on where it stopped when the same command is given again. Put the result live
    with `polygraft adapters add FOLDER`. After a new backbone, `polygraft train --all` trains what
    no longer fits it, parents first.
    """
    if every == (recipe is not None):
        raise typer.BadParameter("give a recipe, or --all without one")
    if every and (output or check or allow_leak):
        raise typer.BadParameter(
            "--all trains each recipe in place, as it is: leave the other options out"
        )
    home = trainable_backbone(backbone)
    if recipe is not None:
        _train(
            recipe,
            home,
            output or recipe.resolve().parent,
            check=check,
            full_ladder=full_ladder,
            allow_leak=allow_leak,
            library=library,
            as_json=as_json,
        )
        return
    from polygraft.adapters.library import Library, recipes_folder
    from polygraft.architectures.folder import fingerprint
    from polygraft.training.rebuild import outdated

    due = outdated(Library(library or recipes_folder()), fingerprint(home))
    for outdated_adapter in due:
        _train(
            outdated_adapter.recipe,
            home,
            outdated_adapter.recipe.parent,
            check=False,
            full_ladder=full_ladder or outdated_adapter.full_ladder,
            allow_leak=None,
            library=library,
            as_json=as_json,
        )
    err.print(
        f"{len(due)} adapters trained again"
        if due
        else "every adapter fits this backbone: nothing to train"
    )


def _train(
    recipe: Path,
    backbone: Path,
    target: Path,
    *,
    check: bool,
    full_ladder: bool,
    allow_leak: str | None,
    library: Path | None,
    as_json: bool,
) -> None:
    require_no_file(target)

    from polygraft.adapters.library import Library
    from polygraft.training import pipeline

    prepared = pipeline.prepare_file(
        recipe,
        backbone,
        library=Library(library) if library else None,
        allow_leak=allow_leak,
    )
    job = prepared.job
    tell_doubts(prepared.doubts)
    if job.leaks:
        from polygraft.data.leaks import sentence

        err.print(sentence(job.leaks))
    if check:
        if as_json:
            out.print_json(
                data={
                    "name": prepared.name,
                    "rows": job.rows,
                    "labels": job.answers,
                    "doubts": list(prepared.doubts),
                    "ok": True,
                }
            )
        else:
            out.print(
                f"{prepared.name}: recipe and data are fine; rows {job.rows}; "
                f"{', '.join(job.answers)}"
            )
        return
    err.print(f"training {prepared.name}: {job.rows['train']} rows; {', '.join(job.answers)}")
    manifest = pipeline.train(job, target, full_ladder=full_ladder, say=err)
    if as_json:
        out.print_json(manifest.model_dump_json())
    else:
        card = prepared.task.card
        print_markdown(card.figures(manifest.metrics) + "\n" + card.promises(manifest))
        if verdict := card.verdict(manifest.metrics):
            out.print(f"\n[bold]verdict[/] {escape(verdict)}", highlight=False)
        out.print(
            f"\n{manifest.named} is in {target}\nPut it live: polygraft adapters add {target} "
            "(with --server, or POLYGRAFT_SERVER, where the server is not on port 3000)",
            highlight=False,
            soft_wrap=True,
        )


def print_markdown(text: str) -> None:
    """Formatted on a terminal, as it is elsewhere."""
    from rich.markdown import Markdown

    if out.is_terminal:
        out.print(Markdown(text))
    else:
        print(text)


@app.command()
@report_errors
def sources(
    recipe: Annotated[Path, typer.Argument(help="recipe.yaml of the adapter to be made.")],
    run: Annotated[
        bool, typer.Option("--try", help="Also train briefly: from three, from English, from none.")
    ] = False,
    every: Annotated[
        bool,
        typer.Option(
            "--every", help="Train briefly from all candidates, for the regret of the guess."
        ),
    ] = False,
    epochs: Annotated[float, typer.Option(help="Of each short run.")] = 2,
    library: LibraryFolder = None,
    backbone: Backbone = None,
    as_json: AsJson = False,
) -> None:
    """Which adapter to take as the parent: candidates by how well they explain the recipe's labels.

    Candidates are adapters with the same labels whose data is on this machine. Evidence (LogME,
    nats a row) and closeness (of their data, a cosine) are guesses; `--try` tests them on the dev
    rows.
    """
    from dataclasses import asdict

    from rich.table import Table

    from polygraft.adapters.library import open_library
    from polygraft.errors import RecipeError
    from polygraft.tasks.classification.recipe import ClassificationRecipe
    from polygraft.tasks.recipe import load_recipe

    content = load_recipe(recipe)
    if not isinstance(content, ClassificationRecipe):
        raise RecipeError(str(recipe), ["sources are compared for classifiers only"])
    home, shelf = trainable_backbone(backbone), open_library(library)

    from polygraft.tasks.classification.job import prepare
    from polygraft.transfer import sources as choosing

    job = prepare(content.model_copy(update={"parent": None}), recipe, home)
    ranked = choosing.rank(job, shelf)
    tried = choosing.attempt(job, shelf, ranked, epochs=epochs, every=every) if run or every else []
    regret = choosing.regret(tried, ranked)
    if as_json:
        out.print_json(
            data={
                "ranked": [asdict(c) for c in ranked],
                "tried": [asdict(c) for c in tried],
                "regret": regret,
            }
        )
        return
    scores = {c.name: c.dev_score for c in tried}
    table = Table("parent", "languages", "closeness", "evidence", "dev macro-F1, short run")
    for candidate in [*ranked, *(c for c in tried if c.name is None)]:
        guesses = [
            "" if guess is None else f"{guess:.3f}"
            for guess in (candidate.closeness, candidate.evidence)
        ]
        table.add_row(
            candidate.name or "(none)",
            ", ".join(candidate.languages),
            *guesses,
            str(scores.get(candidate.name) or ""),
        )
    out.print(table)
    if regret is not None:
        err.print(f"taking the first costs {regret} against the best parent that was tried")


@app.command()
@report_errors
def report(
    adapters: Annotated[
        list[Path] | None, typer.Argument(help="Adapter folders, for a page about them.")
    ] = None,
    output: Annotated[Path, typer.Option(help="The page; its JSON is written beside it.")] = Path(
        "report.html"
    ),
    library: LibraryFolder = None,
    backbone: Backbone = None,
) -> None:
    """A page about some adapters, or the results table of a whole library.

    With adapters: one HTML file with ladder, learning curve, confusion, calibration and examples,
    and JSON beside it. Without: the table is printed as Markdown, from the manifests.

    Examples: `polygraft report adapters/spam-sw --output spam-sw.html`, `polygraft report >
    adapters/README.md`
    """
    from polygraft.adapters.library import Library, recipes_folder
    from polygraft.reporting.results import results_table

    if not adapters:
        print(results_table(Library(library or recipes_folder())), end="")
        return
    from polygraft.adapters.format import load_manifest

    require_folder(output.absolute().parent, "make it first, or give another --output")
    for folder in adapters:
        load_manifest(folder)

    import json

    from polygraft.reporting import page as report_page
    from polygraft.runtime.engine import Engine

    with closing(Engine(backbone or default_backbone())) as engine:
        shown = report_page.gather(engine, adapters)
    as_json = output.with_suffix(".json")
    output.write_text(report_page.page(shown), encoding="utf-8")
    as_json.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    err.print(f"wrote {output} and {as_json}")


@adapters_app.command("vectors")
@report_errors
def add_vectors(
    names: Annotated[
        list[str], typer.Argument(help="Names of adapters in the library, or their folders.")
    ],
    library: LibraryFolder = None,
    backbone: Backbone = None,
) -> None:
    """Add vectors of its training rows to an adapter that was trained without them, from its
    recipe's data, so that others can learn from it anywhere. Nothing is trained, no server is
    asked.

    Example: `polygraft adapters vectors spam-en topic`
    """
    from polygraft.adapters.library import Library, find_folder, recipes_folder
    from polygraft.tasks.classification.sharing import add_vectors as add

    shelf = Library(library or recipes_folder())
    for name in names:
        folder = find_folder(name, shelf)
        manifest = add(folder, backbone or default_backbone())
        err.print(f"{manifest.named} shares vectors of its rows", highlight=False)
