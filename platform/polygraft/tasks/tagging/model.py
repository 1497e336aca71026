"""The model that is trained: frozen backbone, LoRA by peft, and a chain over the words' states and
features (a conditional random field; Lafferty et al. 2001)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import peft
import torch
from safetensors.torch import save_file
from torch import nn

from polygraft.adapters.layout import LAYOUT
from polygraft.architectures.loading import load_backbone
from polygraft.tasks.tagging.chain import FORBIDDEN, Chain
from polygraft.tasks.tagging.features import Numbers
from polygraft.tasks.tagging.head import Head
from polygraft.tasks.tagging.lexical import Lexical
from polygraft.tasks.tagging.recipe import TaggingRecipe
from polygraft.tasks.tagging.rows import TagSet
from polygraft.tasks.tagging.scheme import may_follow
from polygraft.training.lora import TrainedOnly, adapt, save_lora
from polygraft.training.softmax import IGNORED
from polygraft.training.speed import quick_attention

LEXICAL_RATE = 5.0
"""By what the learning rate of the lexical part's weights is higher: few of them have a gradient in
a step."""


class ChainHead(nn.Module):
    """The trained form of `head.Head`. `hidden` 0: no state is read; `known` None: no letters
    are. Emissions start at nothing, or at those of `start`."""

    def __init__(
        self, hidden: int, tag_set: TagSet, known: Numbers | None, start: Head | None = None
    ) -> None:
        super().__init__()
        count, self.known = len(tag_set.tags), known
        self.weight = nn.Parameter(torch.zeros(count, hidden)) if hidden else None
        self.bias = nn.Parameter(torch.zeros(count))
        self.features: nn.EmbeddingBag | None = None
        if known is not None:  # row 0: features that are not known
            self.features = nn.EmbeddingBag(len(known) + 1, count, mode="sum", padding_idx=0)
            nn.init.zeros_(self.features.weight)
        self.forbidden: torch.Tensor
        allowed = torch.from_numpy(may_follow(tag_set.tags, tag_set.scheme))
        self.register_buffer("forbidden", torch.where(allowed, 0.0, FORBIDDEN), persistent=False)
        self.transitions = nn.Parameter(torch.zeros(count + 1, count + 1))
        if start is not None:
            self._start_from(start)

    def forward(self, states: torch.Tensor | None, features: torch.Tensor | None) -> torch.Tensor:
        """Emissions [rows, words, tags] of states [rows, words, hidden] and of places of features
        [rows, words, features], counted from 1."""
        emissions: torch.Tensor = self.bias
        if self.weight is not None:
            assert states is not None
            emissions = emissions + states @ self.weight.T
        if self.features is not None:
            assert features is not None
            rows, words, count = features.shape
            summed = self.features(features.reshape(-1, count)).view(rows, words, -1)
            emissions = emissions + LEXICAL_RATE * summed
        return emissions

    def loss(self, emissions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Minus the log-likelihood of tags int64 [rows, words], `IGNORED` behind a row's end, a
        word."""
        inside = labels != IGNORED
        labels = labels.clamp(min=0)
        transitions = self.transitions + self.forbidden
        between, first, last = transitions[:-1, :-1], transitions[-1, :-1], transitions[:-1, -1]
        rows = torch.arange(len(labels))
        scores = first + emissions[:, 0]  # [rows, tags], of all beginnings
        path = scores[rows, labels[:, 0]]  # [rows], of the right one
        ends = labels[:, 0]
        for word in range(1, labels.shape[1]):
            going, here = inside[:, word], emissions[:, word]
            all_scores = torch.logsumexp(scores[:, :, None] + between, 1) + here
            scores = torch.where(going[:, None], all_scores, scores)
            tag = labels[:, word]
            path = path + torch.where(going, between[ends, tag] + here[rows, tag], 0.0)
            ends = torch.where(going, tag, ends)
        whole = torch.logsumexp(scores + last, 1)
        return (whole - path - last[ends]).sum() / inside.sum()

    def chain(self) -> Chain:
        """The chain as it is served."""
        transitions = self.transitions + self.forbidden
        return Chain(transitions.detach().float().numpy().clip(FORBIDDEN, None))

    def as_served(self) -> Head:
        """The head in numpy."""
        lexical = None
        if self.features is not None and self.known is not None:
            weight = LEXICAL_RATE * self.features.weight.detach()[1:]
            lexical = Lexical.of(self.known, weight.numpy())
        weight_ = self.weight.detach().numpy() if self.weight is not None else None
        return Head(weight_, self.bias.detach().numpy(), self.chain(), lexical)

    @torch.no_grad()
    def _start_from(self, start: Head) -> None:
        if self.weight is not None and start.weight is not None:
            self.weight.copy_(torch.from_numpy(start.weight))
        self.bias.copy_(torch.from_numpy(start.bias))
        self.transitions.copy_(torch.from_numpy(start.chain.transitions))
        self.transitions[self.forbidden < 0] = 0.0
        if self.features is not None and self.known is not None and start.lexical is not None:
            places = start.lexical.known.searchsorted(self.known)
            np.minimum(places, len(start.lexical.known) - 1, out=places)
            shared = start.lexical.known[places] == self.known
            weight = start.lexical.weight[places[shared]] / LEXICAL_RATE
            self.features.weight[1:][torch.from_numpy(shared)] = torch.from_numpy(weight)


class Tagger(TrainedOnly):
    """A backbone with LoRA under a `ChainHead`. `forward` takes what `fit.collate` makes."""

    def __init__(self, adapted: peft.PeftModel, head: ChainHead) -> None:
        super().__init__()
        self.adapted, self.head = adapted, head

    def forward(
        self,
        tokens: torch.Tensor,
        labels: torch.Tensor,
        features: torch.Tensor | None = None,
        **inputs: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """`tokens` int64 [rows, words] are the places of the words' first tokens."""
        states = self.adapted(**inputs).last_hidden_state
        with torch.autocast(states.device.type, enabled=False):
            of_words = states.float()[torch.arange(len(tokens))[:, None], tokens]
            emissions = self.head(of_words, features)
            return {"loss": self.head.loss(emissions, labels), "logits": emissions}


class FrozenTagger(TrainedOnly):
    """A `ChainHead` over states that were computed before."""

    def __init__(self, head: ChainHead) -> None:
        super().__init__()
        self.head = head

    def forward(
        self,
        labels: torch.Tensor,
        states: torch.Tensor | None = None,
        features: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        emissions = self.head(states, features)
        return {"loss": self.head.loss(emissions, labels), "logits": emissions}


def adapted_backbone(
    recipe: TaggingRecipe, backbone: Path, sites: Sequence[str], parent: Path | None
) -> peft.PeftModel:
    """The backbone with fresh LoRA, or the parent's."""
    return adapt(quick_attention(load_backbone(backbone)), recipe.lora, sites, parent)


def save(adapted: peft.PeftModel, head: Head, folder: Path, backbone: Path) -> None:
    """Write PEFT's two files and the head into `folder`."""
    save_lora(adapted, folder, backbone)
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(array))
        for name, array in head.tensors().items()
    }
    save_file(tensors, folder / LAYOUT.head)
