"""Encoder-decoders whose decoder looks positions up in a table of its own, by how much it has
written: BART, mBART, M2M-100 and NLLB, Marian, Pegasus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from polygraft.architectures.family import Family

if TYPE_CHECKING:
    import torch
    from transformers import EncoderDecoderCache, PreTrainedModel


class Table(Family):
    """One length for all rows will not do where each row has its own: what the table gives is
    recorded once, and looked up by position."""

    def __init__(self) -> None:
        self._tables: WeakKeyDictionary[PreTrainedModel, torch.Tensor] = WeakKeyDictionary()

    def load_seq2seq(self, folder: Path) -> PreTrainedModel:
        model = _with_every_layer(super().load_seq2seq(folder))
        self._tables[model] = _recorded(model, self.max_written(model))
        return model

    def untrained_seq2seq(self, folder: Path) -> PreTrainedModel:
        return _with_every_layer(super().untrained_seq2seq(folder))

    def next_token(
        self,
        model: PreTrainedModel,
        token: torch.Tensor,
        states: torch.Tensor,
        cache: EncoderDecoderCache,
        **given: torch.Tensor,
    ) -> torch.Tensor:
        position = given.pop("position", None)
        if position is None:
            return super().next_token(model, token, states, cache, **given)
        table = self._tables[model]
        module = model.get_decoder().embed_positions
        hook = module.register_forward_hook(lambda *_: table[position])
        try:
            return super().next_token(model, token, states, cache, **given)
        finally:
            hook.remove()


def _with_every_layer(model: PreTrainedModel) -> PreTrainedModel:
    """Without LayerDrop (Fan et al. 2020), which some configs have: it leaves whole layers out of a
    training step, their adapters too, and of a shallow model sometimes all of them."""
    for part in (model.get_encoder(), model.get_decoder()):
        part.layerdrop = 0.0
    return model


def _recorded(model: PreTrainedModel, positions: int) -> torch.Tensor:
    """The decoder's table, [positions, hidden]."""
    import torch

    decoder, seen = model.get_decoder(), list[Any]()
    tokens = torch.full((1, positions), 0 if model.config.pad_token_id else 1)  # none is padding
    states = torch.zeros(1, 1, model.get_encoder().config.hidden_size)
    hook = decoder.embed_positions.register_forward_hook(lambda *given: seen.append(given[-1]))
    try:
        with torch.no_grad():
            decoder(input_ids=tokens, encoder_hidden_states=states)
    finally:
        hook.remove()
    table: torch.Tensor = seen[0].reshape(positions, -1)
    return table


FAMILY = Table()
