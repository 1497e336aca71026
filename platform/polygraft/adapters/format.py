"""The adapter on disk: PEFT's own two files, plus head, manifest, card and recipe.

    adapter_config.json  adapter_model.safetensors
                         PEFT's format: `PeftModel.from_pretrained(backbone, folder)`
    head.safetensors     weight [labels, hidden], bias [labels], and a classifier's lexical part;
                         none for translation and languages
    manifest.json        fingerprint, task, labels, parent, data, metrics, golden, SHA-256 of every
                         file (see `manifest`)
    README.md            the card
    recipe.yaml          how it was made
    vectors.safetensors  vectors of its training rows with their labels, for other adapters to learn
                         from; a classifier's, where its recipe shares them. Serving leaves it alone

Only safetensors is ever opened, and only these files by these names; nothing that can run code
is loaded. Whatever is wrong with a folder is an `AdapterError` that says so without the
folder's path. Runs without torch. Does not: put adapters into memory slots (see
`runtime.bank`), find them by name (see `library`), or put them in their place (see
`publishing`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

from polygraft.adapters.arrays import Lora, head_tensors, lora_arrays, peft_config, tensors
from polygraft.adapters.layout import HASHED, LAYOUT, LISTED, Layout, largest
from polygraft.adapters.manifest import Manifest, read
from polygraft.adapters.publishing import reading
from polygraft.architectures.folder import fits
from polygraft.errors import AdapterError, WrongBackbone, shortened
from polygraft.tasks import registry

__all__ = [
    "HASHED",
    "LAYOUT",
    "LISTED",
    "Adapter",
    "Layout",
    "Lora",
    "Manifest",
    "by_part",
    "hashes_of",
    "load_adapter",
    "load_manifest",
    "lora_arrays",
    "sha256",
]
M = TypeVar("M", bound=Manifest)
T = TypeVar("T")
ENCODER = re.compile(r"(model\.)?encoder\.")
"""Before the names of the encoder's sites in a whole encoder-decoder of transformers."""
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory. `lora[site] = (A [in, r], B [r, out])`, alpha/r folded into B: of the
    encoder's sites, and of the decoder's when its task `writes` text. `manifest` and `head` are of
    the task's own classes; None for no head."""

    manifest: Any
    lora: Lora
    head: Any = None
    decoder_lora: Lora = field(default_factory=dict)
    writes: bool = False

    @property
    def name(self) -> str:
        name: str = self.manifest.name
        return name

    @property
    def version(self) -> str:
        version: str = self.manifest.version
        return version


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hashes_of(folder: Path) -> dict[str, str]:
    """SHA-256 by name of the files in an adapter's folder that its manifest lists."""
    return {name: sha256(folder / name) for name in LISTED if (folder / name).is_file()}


@overload
def load_manifest(folder: Path) -> Manifest: ...
@overload
def load_manifest(folder: Path, kind: type[M]) -> M: ...
def load_manifest(folder: Path, kind: type[Manifest] = Manifest) -> Manifest:
    """Read and check `manifest.json`. `kind` is what its task has to make of it. Raises
    `AdapterError`."""
    with _opened(folder) as home:
        manifest = _manifest(home, folder)
    if not isinstance(manifest, kind):
        raise AdapterError(
            f"adapter {manifest.name!r} does {manifest.task}; needed here is one that does "
            f"{kind.model_fields['task'].default}"
        )
    return manifest


def load_adapter(folder: Path, *, backbone: str | None = None) -> Adapter:
    """Load and check an adapter folder.

    `backbone` is the fingerprint of the backbone it must fit. Raises `WrongBackbone`, or
    `AdapterError` for missing, truncated or changed files, pickles, shapes that disagree, and
    weights that are not finite or absurdly large.
    """
    with _opened(folder) as home:
        manifest = _manifest(home, folder)
        name = manifest.name
        if backbone is not None:
            check_backbone(manifest, backbone)
        content = _weight_files(home, manifest)
    config = peft_config(content[LAYOUT.peft_config], name)
    lora = lora_arrays(
        tensors(content[LAYOUT.weights], LAYOUT.weights, name), config.lora_alpha, name
    )
    other_ranks = sorted({a.shape[1] for a, _ in lora.values()} - {config.r})
    if other_ranks:
        raise AdapterError(
            f"adapter {name!r} has LoRA of rank {other_ranks[0]}, its {LAYOUT.peft_config} says "
            f"{config.r}; save it again"
        )
    task = registry.served(manifest.task)
    of_encoder, of_decoder = by_part(lora) if task.writes else (lora, {})
    of_head = head_tensors(content[LAYOUT.head], name) if LAYOUT.head in content else {}
    head = task.read_head(manifest, of_head)
    return Adapter(manifest, of_encoder, head, of_decoder, task.writes)


def check_backbone(manifest: Manifest, backbone: str) -> None:
    """Raises `WrongBackbone` for an adapter that was made for another one than this fingerprint."""
    if not fits(manifest.backbone, backbone):
        raise WrongBackbone(
            f"adapter {manifest.name!r} was trained on backbone {manifest.backbone}, this one is "
            f"{backbone}; train it again on this backbone, or serve the one it was made for"
        )


@contextmanager
def _opened(folder: Path) -> Iterator[Path]:
    """Where the adapter's files are to be read. Whatever the disk says against it is an
    `AdapterError`."""
    try:
        if not folder.is_dir():
            raise AdapterError(
                f"{shortened(folder.name)} is not an adapter: no such folder; give the folder that "
                "`polygraft train` wrote"
            )
        with reading(folder) as home:
            yield home
    except OSError as error:
        raise AdapterError(
            f"{shortened(folder.name)} cannot be read ({error.strerror or type(error).__name__}); "
            "check the folder, and who may read it"
        ) from None


def _manifest(home: Path, folder: Path) -> Manifest:
    file = home / LAYOUT.manifest
    if not file.is_file():
        raise AdapterError(
            f"{shortened(folder.name)} is not an adapter yet: no {LAYOUT.manifest}; run `polygraft "
            "train` on its recipe"
        )
    return read(_content(file))


def _content(file: Path) -> bytes:
    """A file's bytes, no more than it may have."""
    with file.open("rb") as opened:
        content = opened.read(largest(file.name) + 1)
    if len(content) > largest(file.name):
        raise AdapterError(
            f"{file.name} has more than {largest(file.name):,} bytes; that is not an adapter's"
        )
    return content


def _weight_files(home: Path, manifest: Manifest) -> dict[str, bytes]:
    """The content of each file that the manifest names and that answering needs. Raises
    `AdapterError` for one that is missing or not the one it names, and for weights that it does not
    name."""
    name = manifest.name
    pickles = sorted(f.name for f in home.iterdir() if f.suffix in PICKLES)
    if pickles and not (home / LAYOUT.weights).exists():
        raise AdapterError(
            f"adapter {name!r} holds {', '.join(map(shortened, pickles[:3]))} instead of "
            f"{LAYOUT.weights}: pickles can run code and are never loaded; save it again with "
            "safe_serialization=True"
        )
    content: dict[str, bytes] = {}
    for file, digest in sorted(manifest.files.items()):
        if file == LAYOUT.vectors:
            continue
        if not (home / file).is_file():
            raise AdapterError(
                f"adapter {name!r} is incomplete: {file} is missing; copy the whole folder again"
            )
        content[file] = _content(home / file)
        if hashlib.sha256(content[file]).hexdigest() != digest:
            raise AdapterError(
                f"adapter {name!r}: {file} is not the file its manifest names (truncated or "
                "changed); copy it again"
            )
    unnamed = [file for file in HASHED if file not in content and (home / file).exists()]
    if unnamed:
        raise AdapterError(
            f"adapter {name!r} holds {unnamed[0]}, which its manifest does not name; delete that "
            "file, or train it again"
        )
    return content


def by_part(sites: dict[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """What is known of the sites of a whole encoder-decoder, in two: the encoder's, by the names
    they have in the encoder alone; and the decoder's."""
    of_encoder: dict[str, T] = {}
    of_decoder: dict[str, T] = {}
    for site, value in sites.items():
        if of_its_encoder := ENCODER.match(site):
            of_encoder[site[of_its_encoder.end() :]] = value
        else:
            of_decoder[site] = value
    return of_encoder, of_decoder
