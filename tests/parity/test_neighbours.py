"""A row's answer in int8 is its own, to the last bit but for attention's padding: defect 11 of
issue 15, where 2% of labels and 54% of translations changed with the rows beside them, and an
adapter with B x 1000 moved its neighbours' scores by 0.39.

`tests/bench/quantisation.py` does the same on 10,000 rows of real text.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from polygraft.adapters.format import load_adapter
from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import BackboneFiles, default_backbone
from polygraft.architectures.text import Encoded, load_encoder
from polygraft.export.quantise import Spread, even_out
from polygraft.pretrain.decoder_vocabulary import END_ID
from polygraft.runtime.bank import Bank, Lora
from polygraft.runtime.decode import DecoderBatch, DecodeRequest, DecoderSession
from polygraft.runtime.graph import GraphSession, Site, Stack, load_card, mixture
from polygraft.runtime.search import Search

TEXTS = [
    "WIN a free prize",
    "see you soon",
    "x",
    "call mum now, dinner tonight? the train is late and so am I, see you soon, mum",
    "ọjọ́ dára",
    "hello",
    "Tafadhali nipigie simu",
    "text CLAIM to 80082 now and win cash",
    "?",
    "The boats bring fish.",
]
LARGEST = 1e4  # of an adapter's weights: see `test_the_largest_weights_leave_the_others_finite`


def random_lora(
    sites: list[Site], rng: np.random.Generator, scale: float = 0.1, times: float = 1.0
) -> Lora:
    """Rank 4; B counts `times`."""
    return {
        s.name: (
            rng.normal(scale=scale, size=(s.inputs, 4)).astype(np.float32),
            rng.normal(scale=scale * times, size=(4, s.outputs)).astype(np.float32),
        )
        for s in sites
    }


class Company:
    """A backbone's int8 graphs with three adapters, of which the last is hostile: its B is a
    thousand times larger."""

    def __init__(self, backbone: Path, loras: list[tuple[Lora, Lora]]) -> None:
        files, card = BackboneFiles(backbone), load_card(backbone)
        assert card.decoder
        self.encoder, self.session = (
            load_encoder(backbone),
            GraphSession(files.model("int8")),
        )
        self.decoder = DecoderSession(files.cross("int8"), files.step("int8"), card.decoder)
        self.bank, self.decoder_bank = Bank(card.sites, 16), Bank(card.decoder.sites, 16)
        self.stacks: list[tuple[Stack, Stack]] = [([], [])]
        for encoder_lora, decoder_lora in loras:
            slots, others = (
                self.bank.write(encoder_lora, "x"),
                self.decoder_bank.write(decoder_lora, "x"),
            )
            self.stacks.append(([(slot, 1.0) for slot in slots], [(slot, 1.0) for slot in others]))

    def vectors(self, rows: list[Encoded], which: list[int]) -> np.ndarray:
        return self.session.run(
            self.encoder.pad(rows) | mixture([self.stacks[k][0] for k in which]), self.bank
        )

    def written(
        self, rows: list[Encoded], which: list[int], tokens: int = 12
    ) -> list[tuple[list[int], float]]:
        """Tokens and score of each row, encoder included, all of them joining at once."""
        batch = self.encoder.pad(rows) | mixture([self.stacks[k][0] for k in which])
        _, states = self.session.run_both(batch, self.bank)
        texts = [
            DecodeRequest(s, self.stacks[k][1], [4], Search(), tokens)
            for s, k in zip(states, which, strict=True)
        ]
        decoding, found = DecoderBatch(self.decoder, self.decoder_bank, END_ID), {}
        decoding.add(texts)
        while decoding.rows:
            found |= {id(text): (h[0].tokens, h[0].score) for text, h in decoding.step()}
        return [found[id(text)] for text in texts]


@pytest.fixture(scope="module", params=["tiny", "bundled"])
def company(request: pytest.FixtureRequest) -> Company:
    if request.param == "bundled":
        spam, french = load_adapter(BUNDLED / "spam-en"), load_adapter(BUNDLED / "en-fr")
        hostile = [
            {site: (a, 1000 * b) for site, (a, b) in part.items()}
            for part in (french.lora, french.decoder_lora)
        ]
        return Company(
            default_backbone(),
            [(spam.lora, {}), (french.lora, french.decoder_lora), (hostile[0], hostile[1])],
        )
    backbone, rng = request.getfixturevalue("writing_backbone"), np.random.default_rng(3)
    card = load_card(backbone)
    assert card.decoder
    loras = [
        (random_lora(card.sites, rng, times=t), random_lora(card.decoder.sites, rng, times=t))
        for t in (1, 1, 1000)
    ]
    return Company(backbone, loras)


def test_the_adapters_and_the_hostile_one_change_answers(company: Company) -> None:
    rows = company.encoder.encode(TEXTS)
    vectors = [company.vectors(rows, [k] * len(rows)) for k in range(4)]
    for i, one in enumerate(vectors):
        assert all(np.abs(one - other).max() > 1e-2 for other in vectors[i + 1 :])


def test_a_row_is_classified_alone_as_in_any_company(company: Company) -> None:
    rows = company.encoder.encode(TEXTS)
    which = [i % 3 for i in range(len(rows))]
    alone = np.concatenate(
        [company.vectors([row], [k]) for row, k in zip(rows, which, strict=True)]
    )
    rng = np.random.default_rng(1)
    for _ in range(6):
        order = rng.permutation(len(rows))[: rng.integers(2, len(rows) + 1)]
        enemies = [int(rng.integers(len(rows))) for _ in range(rng.integers(0, 3))]
        beside = [*order, *enemies]
        got = company.vectors(
            [rows[i] for i in beside], [which[i] for i in order] + [3] * len(enemies)
        )
        worst = float(np.abs(got[: len(order)] - alone[order]).max())
        assert worst < 1e-5, (
            f"moved by {worst:.2g} beside {len(enemies)} hostile rows of {len(beside)}"
        )


def test_a_row_is_translated_alone_as_in_any_company(company: Company) -> None:
    rows = company.encoder.encode(TEXTS)
    which = [2 * (i % 2) for i in range(len(rows))]
    alone = [company.written([row], [k])[0] for row, k in zip(rows, which, strict=True)]
    together = company.written([*rows, *rows[:3]], [*which, 3, 3, 3])[: len(rows)]
    assert [tokens for tokens, _ in together] == [tokens for tokens, _ in alone]
    assert max(abs(a[1] - b[1]) for a, b in zip(alone, together, strict=True)) < 1e-5


def test_the_largest_weights_leave_the_others_finite(company: Company) -> None:
    """`mix` blanks a stranger's columns by a zero, and 0 x inf is NaN: no finite weight of 1e4 may
    reach inf. (It would from about 1e34 on, in a row of ordinary values; a B that is infinite once
    alpha/r is in it, at once.)"""
    rows = company.encoder.encode(TEXTS)
    before = company.written(rows, [0] * len(rows))
    huge = [
        {
            name: (
                np.full((s.inputs, 4), LARGEST, np.float32),
                np.full((4, s.outputs), -LARGEST, np.float32),
            )
            for name, s in b.sites.items()
        }
        for b in (company.bank, company.decoder_bank)
    ]
    slots = company.bank.write(huge[0], "huge"), company.decoder_bank.write(huge[1], "huge")
    company.stacks.append(([(slots[0][0], 1.0)], [(slots[1][0], 1.0)]))
    try:
        beside = company.written([*rows, rows[0]], [0] * len(rows) + [len(company.stacks) - 1])[
            : len(rows)
        ]
    finally:
        company.stacks.pop()
        company.bank.clear(slots[0])
        company.decoder_bank.clear(slots[1])
    assert [tokens for tokens, _ in beside] == [tokens for tokens, _ in before]
    assert np.isfinite([score for _, score in beside]).all()


def test_no_activation_is_quantised_over_the_batch(writing_backbone: Path) -> None:
    files = BackboneFiles(writing_backbone)
    for file in (files.model("int8"), files.cross("int8"), files.step("int8")):
        graph = onnx.load(file).graph
        branches = [
            graph,
            *(a.g for node in graph.node for a in node.attribute if node.op_type == "If"),
        ]
        kinds = {node.op_type for branch in branches for node in branch.node}
        assert "MatMulIntegerToFloat" in kinds
        assert not kinds & {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulInteger"}, file


def test_evening_out_keeps_small_channels_when_one_is_large() -> None:
    """Against the products in float64: a channel 50 times the others costs the others their steps
    when all share a scale."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 64)) * np.where(np.arange(64) == 7, 50, 1)
    weight = rng.normal(size=(64, 32)).astype(np.float32)
    spread = Spread(np.sqrt((x**2).mean(axis=0)), np.abs(x).max(axis=0))
    evened = even_out(spread, [weight])

    def error(channels: np.ndarray, scale: float) -> float:
        whole = np.clip(np.rint(x / channels / scale), -127, 127)
        return float(np.abs(whole * scale * channels @ weight - x @ weight).mean())

    assert error(evened.channels, evened.scale) < 0.3 * error(
        np.ones(64), spread.largest.max() / 127
    )
    assert np.abs(x / evened.channels).max() <= 127.001 * evened.scale, (
        "something that was seen is clipped"
    )
