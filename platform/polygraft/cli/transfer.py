"""Commands about transfer itself: `advise`, `combine`, `study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polygraft.cli.app import (
    AsJson,
    Backbone,
    app,
    err,
    out,
    report_errors,
    trainable_backbone,
)


@app.command()
@report_errors
def advise(
    recipe: Annotated[Path, typer.Argument(help="recipe.yaml of the adapter to be made.")],
    library: Annotated[
        Path | None, typer.Option(help="Folder of adapters; default: the bundled ones.")
    ] = None,
    backbone: Backbone = None,
    as_json: AsJson = False,
) -> None:
    """Which strategy suits a recipe's data, with the figures that say so; takes a minute and trains
    no LoRA."""
    from polygraft.adapters.library import Library, default_library
    from polygraft.errors import RecipeError
    from polygraft.tasks.classification.recipe import ClassificationRecipe
    from polygraft.tasks.recipe import load_recipe

    content = load_recipe(recipe)
    if not isinstance(content, ClassificationRecipe):
        raise RecipeError(str(recipe), ["advice is given for classifiers only"])
    home = trainable_backbone(backbone)

    from polygraft.tasks.classification.job import prepare
    from polygraft.transfer.advise import advise as ask

    target_only = content.model_copy(
        update={"parent": None, "strategy": None, "source": None, "tasks": [], "stack": []}
    )
    advice = ask(
        prepare(target_only, recipe, home),
        Library(library or default_library()),
    )
    if as_json:
        out.print_json(data=advice)
        return
    rows = ", ".join(f"{label} {count}" for label, count in sorted(advice["rows"].items()))
    out.print(f"training rows: {rows}", highlight=False)
    out.print(
        "macro-F1 on dev: " + ", ".join(f"{name} {value}" for name, value in advice["dev"].items()),
        highlight=False,
    )
    for number, suggested in enumerate(advice["advice"], 1):
        out.print(
            f"{number}. [bold]{suggested['strategy']}[/]: {suggested['why']}", highlight=False
        )


@app.command()
@report_errors
def combine(
    task: Annotated[Path, typer.Argument(help="Folder of a classifier.")],
    output: Annotated[
        Path, typer.Argument(help="Folder of the new adapter; its name is the adapter's.")
    ],
    plus: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of an adapter to add; may be given several times."),
    ] = None,
    minus: Annotated[
        list[Path] | None, typer.Option(help="Folder of an adapter to subtract; the same.")
    ] = None,
    rank: Annotated[
        int | None, typer.Option(help="Approximate the sum by this rank; left out, it is exact.")
    ] = None,
    backbone: Backbone = None,
) -> None:
    """Task arithmetic: a classifier plus and minus other adapters, as one adapter. Nothing is
    trained.

    Example: `polygraft combine adapters/topic adapters/topic-sd --plus adapters/lang-sd --minus
    adapters/lang-en`
    """
    from polygraft.adapters.format import load_manifest

    plus, minus = plus or [], minus or []
    for folder in (task, *plus, *minus):
        load_manifest(folder)
    home = trainable_backbone(backbone)

    from polygraft.transfer.arithmetic import combine as add

    made = add(task, plus, minus, output, home, rank=rank)
    err.print(f"{made.named} is in {output}: {made.description}", highlight=False)


@app.command()
@report_errors
def study(
    plan: Annotated[
        Path,
        typer.Argument(help="plan.yaml: tasks, sources, targets. Results are written beside it."),
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this family of the plan; may be given several times."),
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for the source adapters.")] = Path(".study"),
    backbone: Backbone = None,
) -> None:
    """Measure every transfer strategy on many languages: ladder, stacks, few shots, verdicts; JSON
    and a page.

    What each run answered is kept in NAME.json beside the plan, so that a killed study goes on
    where it stopped. `study.json`, `study.html` and `README.md` hold the figures of all families
    that were run so far.
    """
    from polygraft.transfer.study.plan import load_study

    content, home = load_study(plan), trainable_backbone(backbone)

    from polygraft.transfer.study.runs import run_family
    from polygraft.transfer.study.write import write_results

    work.mkdir(parents=True, exist_ok=True)
    for family in content.families:
        if not only or family.name in only:
            run_family(content, family, plan, home, work, err)
    for file in write_results(content, plan.parent):
        err.print(f"wrote {file}")
