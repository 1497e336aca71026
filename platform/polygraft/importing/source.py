"""Where a model comes from, and whether it can be a backbone at all. Nothing is loaded here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from polygraft.doctor.machine import free_memory
from polygraft.errors import BackboneError

WANTED = (
    *("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json"),
    *("tokenizer*", "*.model", "*.spm", "vocab*", "merges.txt", "special_tokens_map.json"),
    "README.md",
)
REFUSED = {
    "nllb-moe": "its experts are chosen by token, and no row's adapter fits; take a dense NLLB",
    "clip": "it reads pictures too; take a model of text",
}
NON_COMMERCIAL = "nc"  # a part of the licence's name: cc-by-nc-4.0
FREE_SHARE = 0.9  # of the memory that is free, which an import may take


@dataclass(frozen=True)
class Source:
    """The files of a model, and where they are from: a folder's path, or a name on the Hub at a
    revision."""

    folder: Path
    named: str
    revision: str | None
    config: dict[str, Any]

    @property
    def weights(self) -> list[Path]:
        """Those in safetensors; else the pickles."""
        return sorted(self.folder.glob("*.safetensors")) or sorted(
            self.folder.glob("pytorch_model*.bin")
        )

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.weights)

    @property
    def card(self) -> dict[str, Any]:
        """The fields at the head of its README.md."""
        try:
            text = (self.folder / "README.md").read_text(encoding="utf-8")
            head = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None
        except (OSError, UnicodeDecodeError, yaml.YAMLError, IndexError):
            head = None
        return head if isinstance(head, dict) else {}


def open_source(named: str, revision: str | None) -> Source:
    """The model in a folder, or of that name on the Hub. Raises `BackboneError`."""
    folder = Path(named)
    if not folder.is_dir():
        folder = downloaded(named, revision)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError:
        raise BackboneError(
            f"{named} has no config.json, so it is no model of transformers; give the folder that "
            "save_pretrained wrote, or a name on the Hub"
        ) from None
    except ValueError:
        raise BackboneError(
            f"config.json of {named} is not JSON; the copy is broken, copy it again"
        ) from None
    source = Source(folder, named, revision, config if isinstance(config, dict) else {})
    _check(source)
    return source


def licence_of(source: Source, given: str | None) -> str:
    """That which the user says, or the model's card. Raises `BackboneError` where neither does."""
    stated = given or source.card.get("license_name") or source.card.get("license")
    if not isinstance(stated, str) or not stated.strip():
        raise BackboneError(
            f"{source.named} states no licence; look it up and give it as --licence, it goes into "
            "the card of the backbone"
        )
    return stated.strip()


def is_non_commercial(licence: str) -> bool:
    return NON_COMMERCIAL in licence.lower().replace("_", "-").split("-")


def downloaded(name: str, revision: str | None, wanted: Sequence[str] = WANTED) -> Path:
    """The folder with the files of a model on the Hub whose names match `wanted`; its weights as a
    pickle where there are no others. Raises `BackboneError`."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        files = huggingface_hub.list_repo_files(name, revision=revision)
        pickled = not any(file.endswith(".safetensors") for file in files)
        patterns = [*wanted, *(("pytorch_model*.bin",) if pickled else ())]
        return Path(
            huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=patterns)
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        why = str(error).strip().split("\n")[0][:200]
        raise BackboneError(
            f"{name!r} is no folder, and the Hub does not give a model of that name ({why}); check "
            "the name, or download it elsewhere and give the folder"
        ) from None


def _check(source: Source) -> None:
    """Raises `BackboneError` for what can be no backbone."""
    config, kind = source.config, str(source.config.get("model_type"))
    if kind in REFUSED:
        raise BackboneError(f"{source.named} is a {kind} model: {REFUSED[kind]}")
    if config.get("auto_map"):
        raise BackboneError(
            f"{source.named} runs code of its own repository (auto_map in its config), which is "
            "not run here; take a model whose class is in transformers"
        )
    classes = [str(name) for name in config.get("architectures") or []]
    if not config.get("is_encoder_decoder") and any("CausalLM" in name for name in classes):
        raise BackboneError(
            f"{source.named} only goes on with a text ({', '.join(classes)}); a backbone reads one "
            "whole: take an encoder (XLM-R, mmBERT) or an encoder-decoder (NLLB, mT5)"
        )
    from transformers import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        raise BackboneError(
            f"model_type {kind!r} of {source.named} is not known to the transformers that is "
            "installed; is it newer? Install the version that its card names"
        )
    if not source.weights:
        raise BackboneError(
            f"{source.named} has no weights (*.safetensors or pytorch_model.bin); half a download? "
            "Get it again"
        )
    _check_memory(source)


def _check_memory(source: Source) -> None:
    """Weights are held several times in float32: by PyTorch, with an adapter, and as graphs that
    are written and quantised. XLM-R base (1.04 GiB in float32) took 5.9 GiB at most."""
    kept_in = str(source.config.get("dtype") or source.config.get("torch_dtype"))
    needed = 6 * source.bytes * (2 if kept_in.endswith("16") else 1)
    free = free_memory()
    if free is not None and needed > FREE_SHARE * free:
        raise BackboneError(
            f"{source.named} takes about {needed / 2**30:.1f} GiB to import, {free / 2**30:.1f} "
            "are free; close what takes memory, or take a machine with more"
        )


@contextmanager
def in_one_line(named: str) -> Iterator[None]:
    """What a library raises over the model `named`, as a `BackboneError`."""
    try:
        yield
    except BackboneError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"{named} cannot be read by transformers ({type(error).__name__}: {why}); its files do "
            "not belong together, or the copy is broken"
        ) from None
