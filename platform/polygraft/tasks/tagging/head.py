"""The head of a tagger: emissions of the words from their states and from their letters, and the
chain over them. numpy only.

Stands in the head's file as `weight` [tags, hidden], `bias` [tags], `transitions` [tags + 1,
tags + 1] (see `chain`) and the lexical part (see `lexical`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.errors import AdapterError, shortened
from polygraft.tasks.serving import Floats
from polygraft.tasks.tagging.chain import FORBIDDEN, Chain
from polygraft.tasks.tagging.lexical import Lexical, read_lexical
from polygraft.tasks.tagging.manifest import TaggingManifest
from polygraft.tasks.tagging.scheme import may_follow


@dataclass(frozen=True)
class Head:
    """See the module. `weight` is None where no state is read: the lexical part alone."""

    weight: Floats | None
    bias: Floats
    chain: Chain
    lexical: Lexical | None = None

    def neural(self, states: Floats) -> Floats:
        """Emissions [words, tags] of the neural part, of states [words, hidden]."""
        if self.weight is None:
            return np.tile(self.bias, (len(states), 1))
        emissions: Floats = states @ self.weight.T + self.bias
        return emissions

    def emissions(self, states: Floats, words: Sequence[str]) -> Floats:
        """The same of both parts."""
        neural = self.neural(states)
        return neural if self.lexical is None else neural + self.lexical.emissions(words)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """As a head's file keeps it."""
        assert self.weight is not None
        parts = {"weight": self.weight, "bias": self.bias, "transitions": self.chain.transitions}
        return parts | (self.lexical.tensors() if self.lexical else {})


def read_head(manifest: TaggingManifest, tensors: Mapping[str, NDArray[Any]]) -> Head:
    """The head in the tensors of its file. Raises `AdapterError` for one that does not fit the
    manifest's tags."""
    name, tags = manifest.name, manifest.tags
    count = len(tags)
    parts = [tensors.get(part) for part in ("weight", "bias", "transitions")]
    shapes = [list(part.shape) if part is not None else [] for part in parts]
    weight, bias, transitions = parts
    if (
        weight is None
        or bias is None
        or transitions is None
        or shapes != [[count, shapes[0][-1]], [count], [count + 1, count + 1]]
        or not shapes[0][-1]
    ):
        found = ", ".join(f"{shortened(k)} {list(v.shape)}" for k, v in sorted(tensors.items())[:6])
        raise AdapterError(
            f"adapter {name!r}: the head ({found or 'nothing'}) does not fit its {count} tags: "
            f"wanted are weight [{count}, hidden], bias [{count}] and transitions [{count + 1}, "
            f"{count + 1}]"
        )
    lexical = None
    if manifest.lexical is not None:
        lexical = read_lexical(tensors, manifest.lexical, count, name)
    return Head(weight, bias, allowed_chain(transitions, manifest), lexical)


def allowed_chain(transitions: Floats, manifest: TaggingManifest) -> Chain:
    """The chain of a file, in which what the scheme does not allow has no chance whatever the file
    says."""
    allowed = may_follow(manifest.tags, manifest.scheme)
    return Chain(np.where(allowed, transitions, np.float32(FORBIDDEN)))
