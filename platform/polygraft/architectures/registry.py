"""Every family that is not as `Family` says, by the `model_type` of its config. A new one is its
file, with `FAMILY`, and its lines here."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polygraft.architectures.family import Family
from polygraft.architectures.folder import BackboneFiles

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FAMILIES = {
    "bart": "polygraft.architectures.table",
    "bert": "polygraft.architectures.bert",
    "blenderbot": "polygraft.architectures.table",
    "camembert": "polygraft.architectures.roberta",
    "eurobert": "polygraft.architectures.rotary",
    "jina_embeddings_v3": "polygraft.architectures.rotary",
    "m2m_100": "polygraft.architectures.table",
    "marian": "polygraft.architectures.table",
    "mbart": "polygraft.architectures.table",
    "modernbert": "polygraft.architectures.rotary",
    "mpnet": "polygraft.architectures.roberta",
    "nomic_bert": "polygraft.architectures.rotary",
    "pegasus": "polygraft.architectures.table",
    "plbart": "polygraft.architectures.table",
    "roberta": "polygraft.architectures.roberta",
    "t5": "polygraft.architectures.t5",
    "umt5": "polygraft.architectures.t5",
    "xlm-roberta": "polygraft.architectures.roberta",
    "xmod": "polygraft.architectures.roberta",
}


def encoder_config(backbone: Path) -> dict[str, Any]:
    """The backbone's config.json; of an encoder-decoder made of two models, that of its encoder."""
    config = BackboneFiles(backbone).read_config()
    encoder: dict[str, Any] = config.get("encoder", config)
    return encoder


def family_of(backbone: Path) -> Family:
    """The family of the backbone in a folder."""
    return family_named(encoder_config(backbone).get("model_type"))


def family_of_model(model: PreTrainedModel) -> Family:
    """The family of a loaded encoder-decoder."""
    return family_named(getattr(model.config, "encoder", model.config).model_type)


def family_named(model_type: str | None) -> Family:
    """The family of a `model_type`; `Family` itself for those that are not registered."""
    module = FAMILIES.get(model_type or "")
    found: Family = import_module(module).FAMILY if module else Family()
    return found
