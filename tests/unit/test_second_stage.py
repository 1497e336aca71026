"""Decoder vocabulary, packed text, the plan of batches and what they ask of the model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertLMPredictionHead

from polygraft import pieces
from polygraft.errors import BackboneError
from polygraft.pretrain.corpus import Pair
from polygraft.pretrain.decoder_vocabulary import learn_unigram
from polygraft.pretrain.mixed import blend, rate_at
from polygraft.pretrain.pack import Packed, describe, pack
from polygraft.pretrain.plan import SEGMENT, Plan, exponent_at
from polygraft.pretrain.recipe import DecoderRecipe, Objectives, Phase, Schedule
from polygraft.text import Encoded, load_encoder
from polygraft.training.noise import cut_spans
from polygraft.training.softmax import IGNORED, written_loss

TEXT = {
    "en": ["See you soon, mum.", "WIN a free prize now!", "The train is late tonight."] * 40,
    "yo": ["Ọjọ́ dára púpọ̀ lónìí.", "Ẹ kú àárọ̀, màmá."] * 40,
    "haw": ["He aha ka inoa o kēia mokupuni?", "ʻO wai kou inoa?"] * 40,
}


TRANSLATE = Phase(name="translate", objectives=Objectives(denoise=0, masked=0), schedule=Schedule(steps=100, tokens=200))


@pytest.fixture(scope="module")
def decoder() -> Tokenizer:
    return learn_unigram(DecoderRecipe(pieces=600, lines=500, spare_tags=4), TEXT, seed=0)


@pytest.mark.parametrize(
    "text",
    [
        "Ẹ kú àárọ̀!",
        "ʻO wai kou inoa?",
        "  two  spaces and a tab\there ",
        "سلام دنيا 42",
        "日本語 🙂👩‍👩‍👧",
        "a\nb",
        "<yo> </s>x",
        "Ω≈ç√∫",
    ],
)
def test_the_decoder_vocabulary_is_lossless_and_cased(decoder: Tokenizer, text: str) -> None:
    ids = decoder.encode(text, add_special_tokens=False).ids
    assert pieces.UNKNOWN_ID not in ids
    assert decoder.decode(ids, skip_special_tokens=False) == text


def test_tags_come_first_with_spare_ones_for_later(decoder: Tokenizer) -> None:
    assert pieces.languages_of(decoder) == ["en", "haw", "yo"]
    assert [decoder.token_to_id(p) for p in (pieces.PAD, pieces.END, pieces.UNKNOWN)] == [0, 1, 2]
    assert decoder.token_to_id("<spare3>") is not None
    assert decoder.get_vocab_size() <= 600


@pytest.fixture(scope="module")
def packed(backbone: Path, decoder: Tokenizer) -> Packed:
    pairs = [Pair("yo", e, y, 3.0) for e in TEXT["en"][:3] for y in TEXT["yo"][:2]]
    pairs += [Pair("haw", e, h, 1.0) for e in TEXT["en"][:2] for h in TEXT["haw"][:2]]
    pairs.append(Pair("haw", "too long " * 40, "x", 1.0))
    return pack(pairs, {"yo": ["Ẹ kú àárọ̀, màmá.", "ọjọ́"]}, load_encoder(backbone), decoder, max_length=48)


def test_packed_text_is_what_was_put_in(packed: Packed, backbone: Path, decoder: Tokenizer, tmp_path: Path) -> None:
    packed.save(tmp_path / "p.npz")
    again = Packed.load(tmp_path / "p.npz")
    assert again.languages == packed.languages == ["en", "haw", "yo"]
    english, other = again.pairs[0]
    expected = load_encoder(backbone).encode([TEXT["en"][0]])[0]
    ids, cases = again.read(english)
    assert (ids.tolist(), cases.tolist()) == (expected.ids, expected.cases)
    assert decoder.decode(again.written(other).tolist()) == TEXT["yo"][0]
    assert describe(again)["yo"] == {"sentences": 3, "tokens": int(again.source_lengths[again.language == 2].sum()), "pairs": 6}
    assert len(again.pairs) == 10, "the row with a side that is too long is left out"


def test_the_plan_depends_on_the_step_alone(packed: Packed) -> None:
    phase = Phase(name="all", schedule=Schedule(steps=400, tokens=200))
    one, other = (Plan(packed, phase, seed=1) for _ in range(2))
    later = other[SEGMENT + 5]
    for step in (0, 7, SEGMENT + 5):
        a, b = one[step], later if step > SEGMENT else other[step]
        assert a.kind == b.kind
        assert (a.sources == b.sources).all()
        assert (a.targets == b.targets).all()
    kinds = {one[step].kind for step in range(SEGMENT)}
    assert kinds == {"translate", "denoise", "masked"}


def test_batches_keep_to_the_budget_and_pair_translations_with_their_english(packed: Packed) -> None:
    plan = Plan(packed, TRANSLATE, seed=0)
    linked = {tuple(p) for p in packed.pairs.tolist()}
    directions = set()
    for step in range(60):
        batch = plan[step]
        read, write = packed.source_lengths[batch.sources].max(), packed.target_lengths[batch.targets].max() + 2
        assert len(batch.sources) == 1 or len(batch.sources) * (read + write) <= 200 + read + write
        for source, target, english in zip(batch.sources, batch.targets, batch.english, strict=True):
            other = target if source == english else source
            assert (english, other) in linked
            directions.add(source == english)
    assert directions == {True, False}


def test_a_phase_may_keep_to_some_languages(packed: Packed) -> None:
    objectives = Objectives(translate=0.5, denoise=0.5, masked=0)
    plan = Plan(packed, TRANSLATE.model_copy(update={"languages": ["haw"], "objectives": objectives}), seed=0)
    seen = {packed.languages[packed.language[s]] for step in range(SEGMENT) for s in [*plan[step].sources, *plan[step].targets]}
    assert seen == {"en", "haw"}
    with pytest.raises(BackboneError, match="no pairs with sm; there are haw, yo"):
        Plan(packed, TRANSLATE.model_copy(update={"languages": ["haw", "sm"]}), seed=0)


def test_drawn_negatives_stand_for_all_pieces() -> None:
    torch.manual_seed(0)
    head = BertLMPredictionHead(BertConfig(vocab_size=500, hidden_size=32)).requires_grad_(False)
    states, labels = torch.randn(4, 11, 32), torch.randint(0, 60, (4, 11))
    labels[:, -1] = IGNORED
    rng = np.random.default_rng(0)
    whole, every, *some = (float(written_loss(head, states, labels, rng, negatives=n)) for n in (0, 500, *[100] * 30))
    assert every == pytest.approx(whole, abs=1e-5)
    assert np.mean(some) == pytest.approx(whole, abs=0.05)
    assert np.std(some) > 0
    with pytest.raises(ValueError, match="set one of them to 0"):
        Objectives(negatives=100)


def test_blend_moves_weights_towards_the_start() -> None:
    ours, theirs = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    expected = 0.75 * ours.weight + 0.25 * theirs.weight
    blend(ours, theirs, 0.25)
    torch.testing.assert_close(ours.weight, expected)


def test_small_languages_count_most_in_the_last_third() -> None:
    schedule = Schedule(steps=300, first_exponent=0.7, last_exponent=0.3)
    assert exponent_at(schedule, 0) == 0.7
    assert exponent_at(schedule, 100) == pytest.approx(0.5)
    assert exponent_at(schedule, 200) == exponent_at(schedule, 299) == pytest.approx(0.3)


def test_the_rate_warms_up_stays_and_decays_to_nothing() -> None:
    schedule = Schedule(steps=100, warmup=0.1, decay=0.3)
    rates = [rate_at(schedule, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert set(rates[10:70]) == {1.0}
    assert rates[85] == pytest.approx(0.5)
    assert rates[100] == 0


def test_cut_spans_keeps_the_ends_and_masks_about_the_stated_share() -> None:
    row = Encoded([2, *range(10, 60), 3], [0] * 52)
    left = []
    for seed in range(200):
        cut = cut_spans(row, 99, 3, np.random.default_rng(seed))
        assert (cut.ids[0], cut.ids[-1], len(cut.ids)) == (2, 3, len(cut.cases))
        left.append(sum(i in row.ids[1:-1] for i in cut.ids[1:-1]) / 50)
    assert 0.65 < np.mean(left) < 0.82
