"""`polygraft adapters import`: adapters that PEFT trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from polygraft.cli.app import (
    Backbone,
    adapters_app,
    err,
    out,
    report_errors,
    require_no_file,
    tell_doubts,
    trainable_backbone,
)

if TYPE_CHECKING:
    from polygraft.adapters.manifest import Manifest
    from polygraft.architectures.conventions import Direction


@adapters_app.command("import")
@report_errors
def import_adapter(
    source: Annotated[
        str, typer.Argument(help="Folder that PEFT's save_pretrained wrote, or a name on the Hub.")
    ],
    target: Annotated[
        Path, typer.Argument(help="Folder of the new adapter; its name is the adapter's.")
    ],
    language: Annotated[
        list[str] | None, typer.Option(help="Language of its texts; may be given several times.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="Of a translator: recipe.yaml that says all of this, and the data it is scored on."
        ),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Its licence; default: what its card says.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels of its head in order, with commas; default: id2label of its config."
        ),
    ] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a translator: source and targets, en:fr,yo; both ways. Several times."
        ),
    ] = None,
    texts: Annotated[
        str | None,
        typer.Option(
            help='Rows for its goldens: JSON Lines, CSV, TSV or text; of a translator with "text" '
            'and "source". Default: sentences of many languages.'
        ),
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(help="What a head of one layer reads: mean or first, of the token states."),
    ] = None,
    description: Annotated[str, typer.Option(help="A sentence or two for the card.")] = "",
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit on the Hub; default: the newest.")
    ] = None,
    backbone: Backbone = None,
) -> None:
    """Make a LoRA adapter that PEFT trained elsewhere one of yours: a classifier where it has a
    head, a translator with --direction, else a language adapter, which lies under others.

    It must have been made for the model that the backbone is. DoRA, IA3, prompts and whole layers
    are refused. Nothing is trained.

    Example: `polygraft adapters import ./my-peft-adapter adapters/mood --language en --licence mit
    --labels bad,good`
    """
    from polygraft.tasks.classification.hidden_layer import Pooling
    from polygraft.tasks.languages import problem_of

    poolings = get_args(Pooling)
    if pooling not in (None, *poolings):
        raise typer.BadParameter(f"{pooling}: pooling is one of {', '.join(poolings)}")
    if wrong := [problem for code in language or [] if (problem := problem_of(code))]:
        raise typer.BadParameter(wrong[0])
    others = (language, licence, labels, direction, texts, pooling, description, revision)
    if recipe and any(others):
        raise typer.BadParameter("with --recipe, give no other option: the recipe says all of it")
    if not recipe and not language:
        raise typer.BadParameter("give --language, the language of its texts, or --recipe")
    require_no_file(target)
    home = trainable_backbone(backbone)
    if recipe:
        _import_scored(source, target, home, recipe)
        return

    from polygraft.data.tables import read_table
    from polygraft.importing.adapter import import_adapter as make
    from polygraft.importing.adapter_kinds import Wanted

    rows = read_table(texts) if texts else []
    wanted = Wanted(
        languages=language or [],
        labels=[label.strip() for label in labels.split(",")] if labels else None,
        directions=_directions(direction or []),
        texts=[(str(row["text"]), row.get("source")) for row in rows],
        licence=licence,
        pooling=pooling,  # type: ignore[arg-type]  # checked above
        description=description,
        revision=revision,
    )
    _tell(make(source, target, home, wanted, err), target)


def _import_scored(source: str, target: Path, home: Path, recipe: Path) -> None:
    from polygraft.importing.adapter import import_scored
    from polygraft.training import pipeline

    prepared = pipeline.prepare_file(recipe, home)
    tell_doubts(prepared.doubts)
    _tell(import_scored(source, target, prepared.job, err), target)


def _tell(manifest: Manifest, target: Path) -> None:
    out.print(
        f"{manifest.named} ({manifest.task}) is in {target}\nPut it live: polygraft adapters add "
        f"{target}",
        highlight=False,
        soft_wrap=True,
    )


def _directions(given: list[str]) -> list[Direction]:
    """`en:fr,yo` is en to fr, en to yo, fr to en and yo to en."""
    directions = list[tuple[str, str]]()
    for one in given:
        source, _, targets = one.partition(":")
        for target in targets.split(","):
            if not source.strip() or not target.strip():
                raise typer.BadParameter(f"{one}: write a direction as en:yo, or en:fr,yo")
            pair = (source.strip(), target.strip())
            directions += [pair, pair[::-1]]
    return list(dict.fromkeys(directions))
