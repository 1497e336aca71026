"""Commands that make and judge backbones: `export`, `pretrain`, `from-scratch`,
`shrink-checkpoint`, `probe`, `measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from polygraft.architectures.folder import PRECISIONS
from polygraft.cli.app import (
    AsJson,
    Backbone,
    app,
    backbone_app,
    err,
    out,
    report_errors,
    require_folder,
    trainable_backbone,
)

DATA = "give the root of the data, as --data or POLYGRAFT_DATA"
WORK = "give the WORK folder of a `polygraft pretrain` run"
Precision = Annotated[
    list[str] | None, typer.Option(help="int8 (default) or fp32; may be given twice.")
]
Sites = Annotated[
    list[str] | None, typer.Option(help="Name endings of the sites to carry; default: all.")
]


@app.command()
@report_errors
def export(
    adapter: Annotated[Path | None, typer.Argument(help="Adapter folder, with --merged.")] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="One plain ONNX model of the adapter, head included.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="With --merged: the file to write.")] = None,
    precision: Precision = None,
    sites: Sites = None,
    core: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Name endings of the sites that every batch computes; the others cost only who "
                "uses them."
            )
        ),
    ] = None,
    decoder_sites: Annotated[
        list[str] | None,
        typer.Option(help="Name endings of the decoder's sites to carry; default: all."),
    ] = None,
    backbone: Backbone = None,
) -> None:
    """Write the backbone's ONNX graphs (bank as inputs), checked against PyTorch + peft with
    adapters mixed.

    With `ADAPTER --merged`: a plain ONNX model for people who serve one task elsewhere.
    """
    from polygraft.adapters.format import load_manifest

    precisions = precision or ["int8"]
    if set(precisions) - set(PRECISIONS):
        raise typer.BadParameter(f"precision is one of {', '.join(PRECISIONS)}")
    if merged != (adapter is not None):
        raise typer.BadParameter("give ADAPTER and --merged together")
    if adapter is not None:
        load_manifest(adapter)
    home = trainable_backbone(backbone)

    from polygraft.export.export import export_backbone, export_merged

    if adapter is not None:
        target = output or adapter / f"{adapter.resolve().name}.onnx"
        out.print(f"wrote {export_merged(adapter, home, target, precision=precisions[0])}")
        return
    card = export_backbone(
        home,
        precisions=precisions,
        sites=sites or "all",
        core=core or "all",
        decoder_sites=decoder_sites or "all",
    )
    out.print(
        f"wrote {home / 'onnx'}: {len(card.sites)} sites, {sum(s.core for s in card.sites)} of "
        f"them core, drift {card.drift}"
    )


@backbone_app.command("import")
@report_errors
def import_backbone(
    source: Annotated[
        str, typer.Argument(help="Folder that save_pretrained wrote, or a name on the Hub.")
    ],
    target: Annotated[Path, typer.Argument(help="Folder to write; must not be there.")],
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit on the Hub; default: the newest.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="The model's licence; default: what its card says.")
    ] = None,
    precision: Precision = None,
    sites: Sites = None,
    core: Annotated[
        list[str] | None,
        typer.Option(help="Name endings of the sites that every batch computes; default: all."),
    ] = None,
    decoder_sites: Annotated[
        list[str] | None,
        typer.Option(help="Name endings of the decoder's sites to carry; default: all."),
    ] = None,
    encoder_only: Annotated[
        bool, typer.Option("--encoder-only", help="Of an encoder-decoder leave the decoder out.")
    ] = False,
) -> None:
    """Make a published model a backbone: encoders (XLM-R, AfroXLMR, mmBERT, mDeBERTa, LaBSE, e5 and
    their like), and encoder-decoders, which translate too (NLLB, M2M-100, Marian, mT5, mBART).

    Then serve and train on it with POLYGRAFT_BACKBONE=TARGET. Adapters of another backbone do not
    fit it; `polygraft train RECIPE --backbone TARGET` makes them anew.
    """
    if wrong := set(precision or []) - set(PRECISIONS):
        raise typer.BadParameter(f"{wrong.pop()}: precision is one of {', '.join(PRECISIONS)}")
    from polygraft.importing.backbone import Wanted
    from polygraft.importing.backbone import import_backbone as make

    wanted = Wanted(
        revision,
        licence,
        precision or ["int8"],
        sites or "all",
        core or "all",
        decoder_sites or "all",
        encoder_only,
    )
    card = make(source, target, wanted, err)
    out.print(
        f"wrote {target}: {len(card.sites)} sites, hidden {card.hidden}, drift {card.drift}; serve "
        f"it with POLYGRAFT_BACKBONE={target} polygraft serve"
    )


@app.command()
@report_errors
def pretrain(
    folder: Annotated[Path, typer.Argument(help="Backbone folder with its recipe.yaml.")],
    data: Annotated[
        Path, typer.Option(envvar="POLYGRAFT_DATA", help="Root of the corpora the recipe lists.")
    ],
    work: Annotated[
        Path, typer.Option(help="Caches and checkpoints; a killed run goes on from here.")
    ],
    hours: Annotated[
        float | None, typer.Option(help="Stop the last stage after this many hours.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Backbone folder to start the second stage from.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    bf16: Annotated[
        bool | None, typer.Option("--bf16/--fp32", help="Default: the faster one, measured.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="Default: FOLDER/recipe.yaml.")] = None,
) -> None:
    """Make a multilingual backbone from the English teacher, as the folder's recipe says."""
    from polygraft.pretrain.recipe import PretrainRecipe

    recipe_file = recipe or folder / "recipe.yaml"
    PretrainRecipe.load(recipe_file)
    require_folder(data, DATA)

    from polygraft.pretrain.pretrain import pretrain as run

    run(
        folder,
        data,
        work,
        device=device,
        hours=hours,
        start=start,
        bf16=bf16,
        recipe_file=recipe_file,
    )


@app.command()
@app.command("alone", hidden=True, deprecated=True)
@report_errors
def from_scratch(
    folder: Annotated[Path, typer.Argument(help="A finished encoder-decoder backbone.")],
    work: Annotated[
        Path,
        typer.Option(help="The WORK of its pretraining, with packed.npz; models go to WORK/alone."),
    ],
    languages: Annotated[
        str, typer.Option(help="Languages, each paired with English, separated by commas.")
    ],
    steps: Annotated[int, typer.Option(min=1, help="Steps of each, of the recipe's size.")] = 300,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """For comparison: models of the backbone's size, from random weights, each on one language's
    pairs alone.

    `polygraft measure --from-scratch WORK/alone` then shows their translations beside the
    backbone's.
    """
    trainable_backbone(folder)
    require_folder(work, WORK)

    from polygraft.pretrain.pretrain import pretrain_single_pair

    for language in languages.split(","):
        out.print(f"wrote {pretrain_single_pair(folder, language, steps, work, device=device)}")


@app.command()
@app.command("carry", hidden=True, deprecated=True)
@report_errors
def shrink_checkpoint(
    work: Annotated[Path, typer.Argument(help="The WORK of a pretraining that has a checkpoint.")],
) -> None:
    """Write a small checkpoint, WORK/PHASE/carry.safetensors, to go on from on another machine.

    Take it (in its folder), packed.npz, the backbone folder and the backbone it started from there,
    and run the same `polygraft pretrain`. The phases before it are not run again.
    """
    require_folder(work, WORK)

    from polygraft.pretrain.checkpoint import write_portable

    out.print(f"wrote {write_portable(work)}")


@app.command()
@report_errors
def probe(
    data: Annotated[Path, typer.Option(envvar="POLYGRAFT_DATA", help="Folder that holds sib200/.")],
    languages: Annotated[str, typer.Option(help="FLORES-200 codes, the source language first.")] = (
        "eng_Latn,fra_Latn,spa_Latn,yor_Latn,hau_Latn,ibo_Latn,swh_Latn,mri_Latn,ind_Latn,tgl_Latn,urd_Arab,snd_Arab"
    ),
    backbone: Backbone = None,
    as_json: AsJson = False,
) -> None:
    """SIB-200 zero-shot of the bare backbone: fitted on the first language's vectors, scored on
    every language's."""
    home, sib200 = trainable_backbone(backbone), data / "sib200"
    require_folder(sib200, DATA)

    from polygraft.pretrain.probe import probe_sib200

    scores = probe_sib200(home, sib200, languages.split(","))
    if as_json:
        out.print_json(data=scores)
        return
    table = Table(
        "language",
        "5-fold over 800",
        "centred",
        "train -> dev",
        title="SIB-200 zero-shot, macro-F1",
    )
    for language, score in scores.items():
        table.add_row(
            language, *(f"{score[protocol]:.1f}" for protocol in ("folds", "centred", "official"))
        )
    out.print(table)


@app.command()
@report_errors
def measure(
    data: Annotated[
        Path, typer.Option(envvar="POLYGRAFT_DATA", help="Root of the data that the recipe names.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for measures.json and measures.html.")],
    rows: Annotated[int, typer.Option(min=10, help="Rows of each evaluation set at most.")] = 200,
    work: Annotated[
        Path | None, typer.Option(help="WORK of its pretraining, for the learning curves.")
    ] = None,
    from_scratch: Annotated[
        Path | None, typer.Option(help="WORK/alone, as `polygraft from-scratch` left it.")
    ] = None,
    alone: Annotated[
        Path | None, typer.Option(hidden=True, help="The old name of --from-scratch.")
    ] = None,
    ablations: Annotated[
        Path | None, typer.Option(help="What tests/bench/objectives.py printed, to show it too.")
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(help="measures.json of another backbone, to draw next to it.")
    ] = None,
    backbone: Backbone = None,
) -> None:
    """Everything a backbone is judged by: zero-shot topics, retrieval, translation, tokens a word.

    Writes JSON for programs and a page for people.
    """
    home = trainable_backbone(backbone)
    require_folder(data, DATA)

    import json

    from polygraft.pretrain.measure import measure as run
    from polygraft.pretrain.page import page

    measures = run(
        home,
        data,
        rows=rows,
        work=work,
        single_pairs=from_scratch or alone,
        ablations=ablations,
    )
    output.mkdir(parents=True, exist_ok=True)
    (output / "measures.json").write_text(
        json.dumps(measures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    other = json.loads(beside.read_text(encoding="utf-8")) if beside else None
    (output / "measures.html").write_text(page(measures, other), encoding="utf-8")
    out.print(f"wrote {output / 'measures.json'} and {output / 'measures.html'}")
