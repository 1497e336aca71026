"""The decoder's graphs against transformers' own `generate`, each text with its own adapter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.loading import load_seq2seq
from polygraft.export.parity import random_adapters
from polygraft.pretrain.decoder_vocabulary import END_ID, PAD_ID
from polygraft.runtime.bank import Bank
from polygraft.runtime.decode import DecoderBatch, DecodeRequest, DecoderSession
from polygraft.runtime.graph import DecoderCard, load_card
from polygraft.runtime.search import Search

MOST, START = 14, 4
LENGTHS = [3, 9, 6, 12, 5, 7, 2, 8]
STACKS = [[], [(1, 1.0)], [(2, 1.0), (3, 1.0)], [(4, 1.0)]]


@pytest.fixture(scope="module")
def card(writing_backbone: Path) -> DecoderCard:
    card = load_card(writing_backbone).decoder
    assert card
    return card


@pytest.fixture(scope="module")
def models(writing_backbone: Path, card: DecoderCard) -> tuple[list[PreTrainedModel], Bank]:
    """Bare and three adapters of ranks 4, 8 and 2, in slots 1, 2 and 3, and 4 of rank 4."""
    torch.manual_seed(3)
    bank, adapted = Bank(card.sites, capacity=4, rank=4), [load_seq2seq(writing_backbone)]
    for model, lora in random_adapters(
        lambda: load_seq2seq(writing_backbone), [s.name for s in card.sites]
    ):
        for _, parameter in ((n, p) for n, p in model.named_parameters() if "lora_" in n):
            parameter.data *= 4
        slots = bank.write({k: (a * 4, b * 4) for k, (a, b) in lora.items()}, "x")
        assert [(slot, 1.0) for slot in sorted(slots)] == STACKS[len(adapted)]
        adapted.append(model)
    return adapted, bank


@pytest.fixture(scope="module")
def session(writing_backbone: Path, card: DecoderCard) -> DecoderSession:
    files = BackboneFiles(writing_backbone)
    return DecoderSession(files.cross("fp32"), files.step("fp32"), card)


def texts(search: Search) -> list[DecodeRequest]:
    rng = np.random.default_rng(5)
    states = [rng.normal(size=(n, 32)).astype(np.float32) for n in LENGTHS]
    return [
        DecodeRequest(s, STACKS[i % 4], [START + i % 2], search, MOST) for i, s in enumerate(states)
    ]


def written(batch: DecoderBatch, all_texts: list[DecodeRequest]) -> list[list[int]]:
    """Three at first, the others joining two steps apart."""
    waiting, found, step = list(all_texts), dict[int, list[int]](), 0
    while waiting or batch.rows:
        if step % 2 == 0 and waiting:
            batch.add(waiting[: 3 if step == 0 else 1])
            waiting = waiting[3 if step == 0 else 1 :]
        for text, hypotheses in batch.step():
            found[id(text)] = hypotheses[0].tokens
        step += 1
    return [found[id(t)] for t in all_texts]


def generated(model: PreTrainedModel, text: DecodeRequest, beam: int) -> list[int]:
    ids = model.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=torch.from_numpy(text.states)[None]),
        attention_mask=torch.ones(1, len(text.states), dtype=torch.long),
        decoder_input_ids=torch.tensor([text.start]),
        max_new_tokens=MOST,
        num_beams=beam,
        do_sample=False,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
        decoder_start_token_id=text.start[0],
        length_penalty=1.0,
        early_stopping=False,
    )
    return [t for t in ids[0, len(text.start) :].tolist() if t not in (END_ID, PAD_ID)]


def test_every_linear_layer_of_the_decoder_is_a_site_but_the_vocabulary(
    writing_backbone: Path, card: DecoderCard
) -> None:
    decoder = load_seq2seq(writing_backbone).decoder
    linears = {f"decoder.{n}" for n, m in decoder.named_modules() if isinstance(m, torch.nn.Linear)}
    assert linears - {"decoder.cls.predictions.decoder"} == {s.name for s in card.sites}


def test_greedy_writes_what_generate_writes_with_each_rows_own_adapter(
    models: tuple[list[PreTrainedModel], Bank], session: DecoderSession
) -> None:
    adapted, bank = models
    batch = texts(Search())
    wanted = [generated(adapted[STACKS.index(t.stack)], t, 1) for t in batch]
    same_text = [generated(m, batch[1], 1) for m in adapted]
    assert len({tuple(w) for w in same_text}) == 4, "the adapters do not differ: the test is void"
    assert written(DecoderBatch(session, bank, END_ID), batch) == wanted


def test_beams_keep_to_their_own_text_and_score_no_worse_than_greedy(
    models: tuple[list[PreTrainedModel], Bank], session: DecoderSession
) -> None:
    _, bank = models
    alone = [written(DecoderBatch(session, bank, END_ID), [t])[0] for t in texts(Search(beam=3))]
    assert written(DecoderBatch(session, bank, END_ID), texts(Search(beam=3))) == alone
    mixed = [
        DecodeRequest(t.states, t.stack, t.start, Search(beam=1 + i % 3), MOST)
        for i, t in enumerate(texts(Search()))
    ]
    greedy = written(DecoderBatch(session, bank, END_ID), texts(Search()))
    together = written(DecoderBatch(session, bank, END_ID), mixed)
    assert [together[i] for i in (2, 5)] == [alone[i] for i in (2, 5)]
    assert [together[i] for i in (0, 3, 6)] == [greedy[i] for i in (0, 3, 6)]


def test_beam_search_finds_what_generate_finds(
    models: tuple[list[PreTrainedModel], Bank], session: DecoderSession
) -> None:
    adapted, bank = models
    batch = texts(Search(beam=4))
    wanted = [generated(adapted[STACKS.index(t.stack)], t, 4) for t in batch]
    got = written(DecoderBatch(session, bank, END_ID), batch)
    assert sum(a == b for a, b in zip(got, wanted, strict=True)) >= len(batch) - 1, (got, wanted)


def test_a_batch_that_lost_its_texts_starts_afresh(
    models: tuple[list[PreTrainedModel], Bank], session: DecoderSession
) -> None:
    _, bank = models
    batch, first = DecoderBatch(session, bank, END_ID), texts(Search())
    batch.add(first[:4])
    batch.step()
    batch.drop({id(text) for text in first})
    assert batch.rows == 0
    assert written(batch, first) == written(DecoderBatch(session, bank, END_ID), first)


def test_texts_that_leave_change_nothing_for_those_that_stay(
    models: tuple[list[PreTrainedModel], Bank], session: DecoderSession
) -> None:
    _, bank = models
    batch, some = DecoderBatch(session, bank, END_ID), texts(Search(beam=2))
    wanted = dict(
        zip(map(id, some), written(DecoderBatch(session, bank, END_ID), some), strict=True)
    )
    batch.add(some)
    found = {id(text): hypotheses[0].tokens for _ in range(3) for text, hypotheses in batch.step()}
    gone = {id(text) for text in some[::2]}
    batch.drop(gone)
    while batch.rows:
        found |= {id(text): hypotheses[0].tokens for text, hypotheses in batch.step()}
    assert found.keys() >= wanted.keys() - gone
    assert all(found[key] == wanted[key] for key in wanted.keys() - gone)
