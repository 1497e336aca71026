"""A published model as a backbone: weights, tokenizer, graphs, card, published whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from transformers import PreTrainedModel

from polygraft.architectures.conventions import Conventions, write_record
from polygraft.architectures.folder import BackboneFiles, fingerprint
from polygraft.architectures.registry import family_of
from polygraft.errors import BackboneError
from polygraft.export.export import export_backbone
from polygraft.importing.conventions import Spoken, conventions_of
from polygraft.importing.source import (
    Source,
    in_one_line,
    is_non_commercial,
    licence_of,
    open_source,
)
from polygraft.importing.tokenizer import (
    check_reading,
    check_writing,
    read_tokenizer,
    write_tokenizers,
)
from polygraft.runtime.graph import GraphCard

NON_COMMERCIAL_CARD = ("**Non-commercial**, and so is what is trained on it.", "")


@dataclass(frozen=True)
class Wanted:
    """What is to be made: see `polygraft backbone import --help`."""

    revision: str | None = None
    licence: str | None = None
    precisions: Sequence[str] = ("int8",)
    sites: str | list[str] = "all"
    core: str | list[str] = "all"
    decoder_sites: str | list[str] = "all"
    encoder_only: bool = False


def import_backbone(named: str, target: Path, wanted: Wanted, say: Console) -> GraphCard:
    """Make the model `named` (a folder, or a name on the Hub) the backbone in the folder `target`,
    which must not be there. Nothing of it is left where that fails. Raises `BackboneError` or
    `ExportError`."""
    if target.exists():
        raise BackboneError(f"{target} is there already; take another folder, or remove it first")
    if not target.parent.is_dir():
        raise BackboneError(f"{target.parent} does not exist; make it first")
    source = open_source(named, wanted.revision)
    licence = licence_of(source, wanted.licence)
    kind = source.config.get("model_type")
    say.print(f"{named}: {kind}, {source.bytes / 2**20:,.0f} MiB of weights, licence {licence}")
    if is_non_commercial(licence):
        say.print("its licence is non-commercial: adapters trained on it inherit that")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".importing-") as name:
        staging = Path(name) / "backbone"
        staging.mkdir()
        with in_one_line(named):
            say.print("reading weights")
            conventions = _write_model(source, staging, wanted, say)
        say.print("writing graphs, and comparing them with PyTorch")
        card = export_backbone(
            staging,
            precisions=wanted.precisions,
            sites=wanted.sites,
            core=wanted.core,
            decoder_sites=wanted.decoder_sites,
        )
        _write_record(source, staging, card, licence, conventions)
        _write_card(source, staging, card, licence, conventions)
        staging.replace(target)
    return card


def _write_model(source: Source, target: Path, wanted: Wanted, say: Console) -> Conventions | None:
    """Weights, config and tokenizers, and how its decoder is spoken to; None without one."""
    tokenizer = read_tokenizer(source.folder)
    model = _write_weights(source, target, say)
    write_tokenizers(tokenizer, target)
    check_reading(tokenizer, target)
    if wanted.encoder_only or not source.config.get("is_encoder_decoder"):
        return None
    conventions = conventions_of(Spoken.of(model, tokenizer, BackboneFiles(target)))
    write_record(target, {"writing": conventions.model_dump(exclude_defaults=True)})
    check_writing(tokenizer, target, conventions)
    return conventions


def _write_weights(source: Source, target: Path, say: Console) -> PreTrainedModel:
    """One safetensors file, in the types that the source has, and its config."""
    import torch
    from transformers import AutoModel, AutoModelForSeq2SeqLM, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    pickled = source.weights[0].suffix == ".bin"
    if pickled:
        say.print("its weights are a pickle: read as tensors alone (weights_only), nothing is run")
    auto = AutoModelForSeq2SeqLM if source.config.get("is_encoder_decoder") else AutoModel
    model, report = auto.from_pretrained(
        source.folder, dtype="auto", use_safetensors=not pickled, output_loading_info=True
    )
    missing = [name for name in report["missing_keys"] if "pooler" not in name]
    if missing:
        raise BackboneError(
            f"the weights of {source.named} lack {len(missing)} of the model's tensors "
            f"({', '.join(sorted(missing)[:3])} ...); half a download, or weights of another model"
        )
    with torch.no_grad():
        model.save_pretrained(target, max_shard_size="1000GB")
    BackboneFiles(target).weights.chmod(0o644)  # whoever serves it may be another user
    return model


def _write_record(
    source: Source,
    target: Path,
    card: GraphCard,
    licence: str,
    conventions: Conventions | None,
) -> None:
    """What was imported, for programs."""
    files, family = BackboneFiles(target), family_of(target)
    record: dict[str, object] = {
        "source": source.named,
        "revision": source.revision,
        "licence": licence,
        "model_type": source.config.get("model_type"),
        "fingerprint": fingerprint(target),
        "inputs": list(family.inputs),
        "max_length": family.max_length(files.read_config()),
        "pooling": "mean of the token states",
        "hidden": card.hidden,
        "sites": len(card.sites),
        "drift": card.drift,
    }
    if conventions:
        record["writing"] = conventions.model_dump(exclude_defaults=True)
    write_record(target, record)


def _write_card(
    source: Source,
    target: Path,
    card: GraphCard,
    licence: str,
    conventions: Conventions | None,
) -> None:
    """The card of the source stays beside it."""
    theirs = source.folder / "README.md"
    if theirs.is_file():
        shutil.copyfile(theirs, target / "README-of-the-source.md")
    drift = ", ".join(f"{value:g} ({name})" for name, value in card.drift.items())
    lines = [
        *(
            "---",
            "license: other",
            f"license_name: {licence}",
            f"base_model: {source.named}",
            "---",
        ),
        *("", f"# {source.named}", ""),
        f"Imported by `polygraft backbone import` from {source.named} (revision "
        f"{source.revision or 'not stated'}), a {source.config.get('model_type')} model, under its "
        f"licence, {licence}.",
        "",
        *(NON_COMMERCIAL_CARD if is_non_commercial(licence) else ()),
        f"{len(card.sites)} linear layers of the encoder carry adapters, "
        f"{sum(s.core for s in card.sites)} of them in every batch. The graphs differ from PyTorch "
        f"and peft, adapters of several ranks mixed, by {drift}.",
        "",
        *((f"It writes {conventions.listed()}.", "") if conventions else ()),
    ]
    (target / "README.md").write_text("\n".join(lines), encoding="utf-8")
