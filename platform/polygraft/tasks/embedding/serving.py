"""Embedding: a text's sentence vector, of unit length, whole or cut to what its adapter learnt.
numpy only."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polygraft.adapters.format import Adapter
from polygraft.architectures.text import TextEncoder
from polygraft.errors import InvalidOption
from polygraft.runtime.rows import Answer, Encoding, Row
from polygraft.tasks.embedding.manifest import EmbeddingManifest
from polygraft.tasks.serving import (
    Floats,
    Output,
    Replay,
    RowPlan,
    ServedTask,
    beginning,
)
from polygraft.tasks.vectors import unit, verify_vectors

DIGITS = 6
VALUE_BYTES = 100  # of one label with its score, in memory


@dataclass(frozen=True)
class Embedded(Answer):
    """`vector`: float32 [dimensions], of unit length. `encoding`: how it is written."""

    vector: Floats
    encoding: Encoding = "float"

    @property
    def size(self) -> int:
        return 1 + self.vector.nbytes // VALUE_BYTES

    def fields(self) -> dict[str, Any]:
        return written(self.vector, self.encoding) | {"dimensions": len(self.vector)}

    def summary(self) -> dict[str, Any]:
        return written(self.vector, self.encoding)


class Embedding(ServedTask):
    """A row is answered with its sentence vector."""

    manifest = EmbeddingManifest
    answer_fields = frozenset({"embedding", "scale"})
    embeds = True

    def plan(self, row: Row, adapter: Adapter, stack: list[str], encoder: TextEncoder) -> RowPlan:
        known = adapter.manifest.dimensions
        wanted = known[0] if row.dimensions is None else row.dimensions
        if wanted not in known:
            raise InvalidOption(
                f"adapter {row.adapter!r} gives vectors of {', '.join(map(str, known))} values, "
                f"not of {wanted}; send one of these as dimensions, or leave it out"
            )

        def answer(vectors: Sequence[Floats]) -> Embedded:
            vector = unit(vectors[0][None, :wanted])[0]
            return Embedded(adapter.name, adapter.version, vector, row.encoding, stack=stack)

        return RowPlan([beginning(row)], Output.VECTOR, answer)

    def verify_goldens(self, adapter: Adapter, replay: Replay) -> None:
        verify_vectors(adapter, replay, trained=adapter.manifest.trained)


TASK = Embedding()


def together(answers: Sequence[Embedded]) -> Floats:
    """The vectors of answers by one adapter, [answers, dimensions]."""
    return np.stack([answer.vector for answer in answers])


def cosines(ours: Floats, theirs: Floats) -> Floats:
    """Of unit vectors [rows, any] and [others, any], each with each: [rows, others], within ±1."""
    likeness: Floats = np.clip(ours @ theirs.T, -1, 1)
    return likeness


def written(vector: Floats, encoding: Encoding) -> dict[str, Any]:
    """A vector as JSON has it. float: numbers; base64: little-endian float32, as OpenAI's API has
    it; int8: whole numbers within ±127 which times `scale` are the vector; binary: a bit a value
    (above 0), eight a byte, the first the highest, in whole numbers 0 to 255."""
    if encoding == "base64":
        return {"embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()}
    if encoding == "int8":
        scale = max(float(np.abs(vector).max()), 1e-12) / 127
        whole: list[int] = np.rint(vector / scale).astype(int).tolist()
        return {"embedding": whole, "scale": scale}
    if encoding == "binary":
        return {"embedding": np.packbits(vector > 0).tolist()}
    return {"embedding": [round(float(value), DIGITS) for value in vector]}
