"""`polygraft adapters import`: an adapter that PEFT trained elsewhere, made one of this library:
a classifier where it brings a head, a translator where it is given directions, else a language
adapter, which lies under others. Nothing is trained or scored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import peft
from rich.console import Console
from safetensors.numpy import save_file

from polygraft.adapters.arrays import PEFT_PREFIX, Floats
from polygraft.adapters.format import LAYOUT, Manifest
from polygraft.architectures.folder import BackboneFiles
from polygraft.errors import AdapterError
from polygraft.importing.adapter_kinds import (
    Imported,
    ImportedClassifier,
    ImportedLanguage,
    ImportedTranslator,
    Wanted,
)
from polygraft.importing.peft_folder import PeftFolder, placed, read_peft_folder
from polygraft.importing.peft_head import read_head
from polygraft.importing.source import is_non_commercial
from polygraft.runtime.graph import load_card
from polygraft.tasks.training import Job
from polygraft.training import pipeline
from polygraft.training.finish import finish
from polygraft.training.sites import decoder_graph_sites, encoder_prefix, graph_sites


def import_adapter(
    source: str, output: Path, backbone: Path, wanted: Wanted, say: Console
) -> Manifest:
    """Bring the PEFT adapter `source` (a folder, or a name on the Hub) to the folder `output`,
    whose name becomes its own. Returns its manifest.

    Raises `AdapterError` for what cannot be written exactly as LoRA on this backbone's sites, with
    nothing written.
    """
    theirs = read_peft_folder(source, wanted.revision)
    licence = wanted.licence or theirs.licence
    if not licence:
        raise AdapterError(
            f"{theirs.named} states no licence; look it up and give it as --licence, it goes into "
            "the card"
        )
    head = read_head(theirs.others, backbone, wanted.pooling, theirs.named)
    if head and wanted.directions:
        raise AdapterError(f"{theirs.named} has a head of labels, and translators have none")
    lora = _on_sites(theirs, backbone, whole=bool(wanted.directions))
    _tell(theirs, backbone, licence, say)
    made: Imported
    if head:
        made = ImportedClassifier(theirs, backbone, wanted, licence, head)
    elif wanted.directions:
        made = ImportedTranslator(theirs, backbone, wanted, licence)
    else:
        made = ImportedLanguage(theirs, backbone, wanted, licence)
    made.check()

    def save(folder: Path) -> None:
        _save_lora(theirs, lora, folder, backbone)
        if head:
            save_file(head.tensors, folder / LAYOUT.head)

    is_new = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    try:
        return finish(
            output, None, save, lambda folder: made.manifest(output.name, folder), made.write_card
        )
    except Exception:
        if is_new:
            output.rmdir()
        raise


def import_scored(source: str, output: Path, job: Job, say: Console) -> Manifest:
    """Bring the PEFT adapter `source` to the folder `output` as what `job` would train: scored on
    its data, with its goldens and its card. Returns its manifest. Raises `AdapterError` as
    `import_adapter` does, and `RecipeError` for a task whose adapters have a head."""
    theirs = read_peft_folder(source, None)
    lora = _on_sites(theirs, job.backbone, whole=True)
    with TemporaryDirectory() as folder:
        _save_lora(theirs, lora, Path(folder), job.backbone)
        return pipeline.train(job, output, weights=Path(folder), say=say)


def _on_sites(
    theirs: PeftFolder, backbone: Path, *, whole: bool
) -> dict[str, tuple[Floats, Floats]]:
    """LoRA by the backbone's own sites: the encoder's, or with `whole` those of the
    encoder-decoder, by the names there. Raises `AdapterError` for layers that are no sites, or of
    another size."""
    modules, card = sorted(theirs.lora), load_card(backbone)
    of_encoder = graph_sites(backbone)
    sizes = {site.name: (site.inputs, site.outputs) for site in card.sites}
    names = placed(modules, of_encoder)
    if whole:
        of_decoder = decoder_graph_sites(backbone)
        prefix = encoder_prefix(of_decoder)
        sizes = {prefix + name: size for name, size in sizes.items()}
        if card.decoder:
            sizes |= {site.name: (site.inputs, site.outputs) for site in card.decoder.sites}
        if names:
            names = {module: prefix + name for module, name in names.items()}
        else:
            names = placed(modules, list(sizes))
    if names is None:
        raise AdapterError(
            f"{theirs.named} adapts {modules[0]} and others that are not all sites of this "
            f"backbone, such as {of_encoder[0]}; it was made for another architecture, or for "
            "layers that the graphs do not carry: export the backbone with these"
        )
    for module, site in names.items():
        a, b = theirs.lora[module]
        if (a.shape[1], len(b)) != sizes[site]:
            inputs, outputs = sizes[site]
            raise AdapterError(
                f"{theirs.named}: {module} maps {a.shape[1]} to {len(b)} values, and this "
                f"backbone's maps {inputs} to {outputs}; it was made for "
                f"{theirs.base or 'another base'}"
            )
    return {names[module]: matrices for module, matrices in theirs.lora.items()}


def _save_lora(
    theirs: PeftFolder,
    lora: Mapping[str, tuple[Floats, Floats]],
    folder: Path,
    backbone: Path,
) -> None:
    """PEFT's two files, as `polygraft train` writes them."""
    config = peft.LoraConfig(
        r=theirs.r,
        lora_alpha=theirs.alpha,
        lora_dropout=0.0,
        target_modules=sorted(lora),
        inference_mode=True,
        base_model_name_or_path=BackboneFiles(backbone).name,
    )
    config.save_pretrained(folder)
    matrices = dict[str, Floats]()
    for site, (a, b) in lora.items():
        matrices[f"{PEFT_PREFIX}{site}.lora_A.weight"] = a
        matrices[f"{PEFT_PREFIX}{site}.lora_B.weight"] = b
    save_file(matrices, folder / LAYOUT.weights)
    for file in (LAYOUT.peft_config, LAYOUT.weights):
        (folder / file).chmod(0o644)


def _tell(theirs: PeftFolder, backbone: Path, licence: str, say: Console) -> None:
    """What the user should know before it is served."""
    if is_non_commercial(licence):
        say.print(f"its licence is non-commercial: {licence}", highlight=False)
    record = BackboneFiles(backbone).record
    base = (
        json.loads(record.read_text(encoding="utf-8")).get("source") if record.is_file() else None
    )
    if theirs.base and base and Path(theirs.base).name != Path(base).name:
        say.print(
            f"it was made for {theirs.base}, and this backbone is {base}; of the same sizes, but "
            "are the weights the same?",
            highlight=False,
        )
