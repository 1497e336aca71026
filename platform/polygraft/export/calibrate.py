"""The constants by which a backbone's normalised activations are quantised, found on the texts of
`calibration.txt`.

Only what a normalising layer has written is measured: an adapter can move it, but the layer's own
weights bound it. The largest value of a channel counts, not a percentile: every clip that was tried
cost more truth than its finer steps gave, for a channel's rare large values carry meaning. Figures:
the backbone's README.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.data.lines import split_lines
from polygraft.export.decoder import Decoder
from polygraft.export.quantise import Spread
from polygraft.training.batches import tensors

WRITTEN = 24  # tokens of a text


def calibration_texts() -> list[str]:
    """Short messages, sentences and odd ones in the languages of the bundled backbone, some of them
    from the Universal Declaration of Human Rights."""
    return split_lines(
        resources.files("polygraft.export").joinpath("calibration.txt").read_text(encoding="utf-8")
    )


@torch.no_grad()
def calibrate_encoder(model: PreTrainedModel, backbone: Path, prefix: str) -> dict[str, Spread]:
    """What is seen, by the name that a normalising layer's weight has in a graph whose encoder is
    called `prefix`."""
    encoder = load_encoder(backbone)
    with _watched(model, prefix) as seen:
        for row in encoder.encode(calibration_texts()):
            model(**tensors(encoder.pad([row])))
    return {name: one.spread() for name, one in seen.items()}


@torch.no_grad()
def calibrate_decoder(decoder: Decoder, backbone: Path) -> dict[str, Spread]:
    """The same for the names in `step`, and for `states`, which `cross` reads: on what the bare
    decoder writes greedily, each text in one of its languages."""
    encoder, model, states = load_encoder(backbone), decoder.model, _Seen()
    pieces, texts = load_target_tokenizer(backbone), calibration_texts()
    directions = [pieces.conventions.sample(i) for i in range(len(texts))]
    rows = encoder.encode_sources(texts, directions)
    starts = [pieces.start(target) for _, target in directions]
    written = model.generate(
        **tensors(encoder.pad(rows)),
        decoder_input_ids=torch.tensor(starts),
        do_sample=False,
        num_beams=1,
        max_new_tokens=WRITTEN,
        eos_token_id=pieces.end,
        pad_token_id=pieces.pad,
        decoder_start_token_id=starts[0][0],
    )
    with _watched(model.get_decoder(), f"model.{decoder.name}.") as seen:
        for row, start, ids in zip(rows, starts, written.tolist(), strict=True):
            own = ids[len(start) :]
            length = len(start) + (own.index(pieces.end) if pieces.end in own else len(own))
            read = model.get_encoder()(**tensors(encoder.pad([row]))).last_hidden_state
            states.add(read)
            model(
                encoder_outputs=BaseModelOutput(last_hidden_state=read),
                decoder_input_ids=torch.tensor([ids[:length]]),
            )
    return {name: one.spread() for name, one in seen.items()} | {"states": states.spread()}


class _Seen:
    """What passed through one tensor, by channel."""

    def __init__(self) -> None:
        self.squares, self.largest, self.count = np.zeros(0), np.zeros(0), 0

    def add(self, values: torch.Tensor) -> None:
        found = values.detach().flatten(0, -2).double().numpy()
        if not self.count:
            self.squares, self.largest = np.zeros(found.shape[1]), np.zeros(found.shape[1])
        self.squares += (found**2).sum(axis=0)
        self.largest = np.maximum(self.largest, np.abs(found).max(axis=0))
        self.count += len(found)

    def spread(self) -> Spread:
        return Spread(np.sqrt(self.squares / self.count), self.largest)


@contextmanager
def _watched(module: nn.Module, prefix: str) -> Iterator[dict[str, _Seen]]:
    """What the normalising layers of `module` write meanwhile, by the names of their weights."""
    seen: dict[str, _Seen] = {}
    hooks = []
    for name, layer in module.named_modules():
        if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
            one = seen.setdefault(f"{prefix}{name}.weight", _Seen())
            hooks.append(
                layer.register_forward_hook(lambda _layer, _args, out, one=one: one.add(out))
            )
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
