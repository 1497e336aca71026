"""`polygraft pretrain`: recipe in, backbone folder out. Every stage leaves a file in `work/`, so a
killed run goes on."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import torch
from rich.console import Console
from transformers import PreTrainedModel

from polygraft.architectures.folder import BackboneFiles
from polygraft.errors import BackboneError
from polygraft.pretrain import corpus, hygiene
from polygraft.pretrain.first_stage import make_encoder
from polygraft.pretrain.measure import evaluation_sets
from polygraft.pretrain.recipe import PretrainRecipe
from polygraft.pretrain.second_stage import add_decoder, train_single_pair


def pretrain(
    folder: Path,
    data: Path,
    work: Path,
    *,
    device: str = "cpu",
    hours: float | None = None,
    start: Path | None = None,
    bf16: bool | None = None,
    recipe_file: Path | None = None,
) -> None:
    """Make the backbone that `folder/recipe.yaml` describes, or `recipe_file`, and write it into
    `folder`.

    `data` is the corpora's root, `work` holds caches and checkpoints. First stage: the encoder, by
    distillation; `start`, a backbone folder, takes its place. Second stage, when the recipe has
    `seq2seq`: a decoder beside it, on mixed objectives, phase by phase. `hours` bounds the last of
    the stages that runs. `bf16`: left out, where it is faster. Writes `config.json`,
    `model.safetensors` (float16), `tokenizer.json`, `tokenizer_config.json`, and with a decoder
    `decoder_tokenizer.json` and `backbone.json`; `hygiene.json` when the recipe names
    held-out text.
    """
    say = Console(stderr=True).print
    recipe = PretrainRecipe.load(recipe_file or folder / "recipe.yaml")
    stage = recipe.seq2seq
    folder.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    text = functools.cache(lambda: _read(recipe, folder, data))
    encoder = start or (work / "encoder" if stage else folder)
    if start is None and not (stage and BackboneFiles(encoder).weights.exists()):
        encoder.mkdir(exist_ok=True)
        own = work / "first"
        own.mkdir(exist_ok=True)
        student = make_encoder(
            recipe, encoder, text(), own, device=device, hours=None if stage else hours
        )
        write_backbone(student, encoder)
        say(f"wrote the encoder to {encoder}")
    if stage:
        dev = (lambda: _dev_pairs(recipe, data, stage.dev_rows)) if stage.dev_rows else None
        model = add_decoder(
            stage,
            folder,
            encoder,
            text,
            work,
            seed=recipe.seed,
            device=device,
            hours=hours,
            bf16=bf16,
            dev=dev,
        )
        write_backbone(model, folder)
        say(f"wrote {folder}")


def pretrain_single_pair(
    folder: Path, language: str, steps: int, work: Path, *, device: str = "cpu"
) -> Path:
    """A model of the shape of the backbone in `folder`, trained from random weights on the pairs of
    one language alone, written as a backbone of its own to `work/alone/<language>`. Raises
    `BackboneError` when there are no such pairs."""
    recipe = PretrainRecipe.load(folder / "recipe.yaml")
    if recipe.seq2seq is None:
        raise BackboneError(
            f"{folder} has no decoder: its recipe lacks seq2seq, so there is nothing to compare"
        )
    model = train_single_pair(
        recipe.seq2seq, folder, language, steps, work, seed=recipe.seed, device=device
    )
    own = work / "alone" / language
    BackboneFiles(folder).copy_tokenizers(own)
    write_backbone(model, own)
    return own


def _dev_pairs(recipe: PretrainRecipe, data: Path, rows: int) -> list[corpus.EnglishPair]:
    return [pair for pairs in evaluation_sets(recipe, data, rows).values() for pair in pairs]


def _read(recipe: PretrainRecipe, folder: Path, data: Path) -> corpus.TrainingText:
    """The recipe's text without what it holds out; the report on that is written to
    `hygiene.json`."""
    text = corpus.read_text(recipe, data)
    if recipe.held_out:
        text, report = hygiene.clean(
            text, data, recipe.held_out, corpus.read_other_splits(recipe, data)
        )
        written = json.dumps(dataclasses.asdict(report), indent=1, ensure_ascii=False)
        (folder / "hygiene.json").write_text(written + "\n", encoding="utf-8")
    Console(stderr=True).print(
        f"{len(text.pairs):,} pairs in {len({p.language for p in text.pairs})} languages"
    )
    return text


def write_backbone(model: PreTrainedModel, folder: Path) -> None:
    """Save config and float16 weights the way `from_pretrained` reads them. The config says nothing
    of where parts of the model were loaded from."""
    model.config.architectures = [type(model).__name__]
    model.to(torch.float16).save_pretrained(folder, max_shard_size="10GB")
    (folder / "model.safetensors").chmod(0o644)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for part in (config, config.get("encoder", {}), config.get("decoder", {})):
        part.pop("_name_or_path", None)
    (folder / "config.json").write_text(
        json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
