"""Decoder vocabulary, packed text, the plan of batches and what they ask of the model."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertLMPredictionHead

from polygraft.architectures.text import Encoded, load_encoder, pad
from polygraft.errors import BackboneError
from polygraft.pretrain import decoder_vocabulary as pieces
from polygraft.pretrain.average import Average
from polygraft.pretrain.corpus import EnglishPair, read_text
from polygraft.pretrain.decoder_vocabulary import learn_unigram
from polygraft.pretrain.feed import read_rows, written_rows
from polygraft.pretrain.log import Log
from polygraft.pretrain.mixed import blend, rate_at
from polygraft.pretrain.objectives import Ids, _target
from polygraft.pretrain.pack import Packed, describe, pack
from polygraft.pretrain.plan import SEGMENT, Batch, BatchPlan, exponent_at
from polygraft.pretrain.recipe import (
    DecoderRecipe,
    Monolingual,
    Objectives,
    Phase,
    PretrainRecipe,
    Schedule,
)
from polygraft.pretrain.tally import Tally
from polygraft.training.noise import cut_spans
from polygraft.training.softmax import IGNORED, piece_losses

TEXT = {
    "en": ["See you soon, mum.", "WIN a free prize now!", "The train is late tonight."] * 40,
    "yo": ["Ọjọ́ dára púpọ̀ lónìí.", "Ẹ kú àárọ̀, màmá."] * 40,
    "haw": ["He aha ka inoa o kēia mokupuni?", "ʻO wai kou inoa?"] * 40,
}


TRANSLATE = Phase(
    name="translate",
    objectives=Objectives(denoise=0, masked=0),
    schedule=Schedule(steps=100, tokens=200),
)


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
    pairs = [EnglishPair("yo", e, y, 3.0) for e in TEXT["en"][:3] for y in TEXT["yo"][:2]]
    pairs += [EnglishPair("haw", e, h, 1.0) for e in TEXT["en"][:2] for h in TEXT["haw"][:2]]
    pairs.append(EnglishPair("haw", "too long " * 40, "x", 1.0))
    return pack(
        pairs, {"yo": ["Ẹ kú àárọ̀, màmá.", "ọjọ́"]}, load_encoder(backbone), decoder, max_length=48
    )


def test_packed_text_is_what_was_put_in(
    packed: Packed, backbone: Path, decoder: Tokenizer, tmp_path: Path
) -> None:
    packed.save(tmp_path / "p.npz")
    again = Packed.load(tmp_path / "p.npz")
    assert again.languages == packed.languages == ["en", "haw", "yo"]
    english, other = again.pairs[0]
    expected = load_encoder(backbone).encode([TEXT["en"][0]])[0]
    ids, cases = again.read(english)
    assert (ids.tolist(), cases.tolist()) == (expected.ids, expected.cases)
    assert decoder.decode(again.written(other).tolist()) == TEXT["yo"][0]
    assert describe(again)["yo"] == {
        "sentences": 3,
        "tokens": int(again.source_lengths[again.language == 2].sum()),
        "pairs": 6,
    }
    assert len(again.pairs) == 10, "the row with a side that is too long is left out"


def test_the_plan_depends_on_the_step_alone(packed: Packed) -> None:
    phase = Phase(name="all", schedule=Schedule(steps=400, tokens=200))
    one, other = (BatchPlan(packed, phase, seed=1) for _ in range(2))
    later = other[SEGMENT + 5]
    for step in (0, 7, SEGMENT + 5):
        a, b = one[step], later if step > SEGMENT else other[step]
        assert a.kind == b.kind
        assert (a.sources == b.sources).all()
        assert (a.targets == b.targets).all()
    kinds = {one[step].kind for step in range(SEGMENT)}
    assert kinds == {"translate", "denoise", "masked"}


def test_batches_keep_to_the_budget_and_pair_translations_with_their_english(
    packed: Packed,
) -> None:
    plan = BatchPlan(packed, TRANSLATE, seed=0)
    linked = {tuple(p) for p in packed.pairs.tolist()}
    directions = set()
    for step in range(60):
        batch = plan[step]
        read, write = (
            packed.source_lengths[batch.sources].max(),
            packed.target_lengths[batch.targets].max() + 2,
        )
        assert len(batch.sources) == 1 or len(batch.sources) * (read + write) <= 200 + read + write
        for source, target, english in zip(
            batch.sources, batch.targets, batch.english, strict=True
        ):
            other = target if source == english else source
            assert (english, other) in linked
            directions.add(source == english)
    assert directions == {True, False}


def test_a_phase_may_keep_to_some_languages(packed: Packed) -> None:
    objectives = Objectives(translate=0.5, denoise=0.5, masked=0)
    plan = BatchPlan(
        packed,
        TRANSLATE.model_copy(update={"languages": ["haw"], "objectives": objectives}),
        seed=0,
    )
    seen = {
        packed.languages[packed.language[s]]
        for step in range(SEGMENT)
        for s in [*plan[step].sources, *plan[step].targets]
    }
    assert seen == {"en", "haw"}
    with pytest.raises(BackboneError, match="no pairs with sm; there are haw, yo"):
        BatchPlan(packed, TRANSLATE.model_copy(update={"languages": ["haw", "sm"]}), seed=0)


def test_monolingual_lines_alone_may_be_denoised(packed: Packed) -> None:
    objectives = Objectives(translate=0, denoise=1, masked=0)
    seen: list[set[int]] = []
    for phase in (TRANSLATE, TRANSLATE.model_copy(update={"denoise_pairs": False})):
        plan = BatchPlan(packed, phase.model_copy(update={"objectives": objectives}), seed=0)
        seen.append({int(s) for step in range(20) for s in plan[step].sources})
    paired = set(packed.pairs.flatten().tolist())
    assert seen[0] & paired
    assert seen[1] == set(range(len(packed))) - paired


@pytest.fixture(scope="module")
def scripture(backbone: Path, decoder: Tokenizer) -> Packed:
    pairs = [
        EnglishPair("yo", TEXT["en"][0], TEXT["yo"][0], 3.0),
        EnglishPair("yo", TEXT["en"][1], TEXT["yo"][1], 1.0, "scripture"),
    ]
    return pack(
        pairs,
        {"yo": ["ọjọ́"]},
        load_encoder(backbone),
        decoder,
        max_length=48,
        domains=["news", "scripture"],
    )


def test_a_sentence_has_the_domain_of_its_corpus(
    scripture: Packed, backbone: Path, decoder: Tokenizer, tmp_path: Path
) -> None:
    assert scripture.domain[scripture.pairs].tolist() == [[0, 0], [2, 2]]
    assert scripture.domain.sum() == 4, "a line has none"
    with pytest.raises(ValueError, match="not in "):
        pack(
            [EnglishPair("yo", "a", "b", 1.0, "law")],
            {},
            load_encoder(backbone),
            decoder,
            max_length=48,
        )
    old = {
        f: getattr(scripture, f)
        for f in ("languages", "source", "cases", "target", "language", "pairs", "weight")
    }
    np.savez(tmp_path / "old.npz", **old)
    with pytest.raises(
        BackboneError,
        match="lacks domain, one_way, source_at, target_at: an older version packed it",
    ):
        Packed.load(tmp_path / "old.npz")


@pytest.mark.parametrize(("dropout", "tagged"), [(0.0, True), (1.0, False)])
def test_a_domain_is_told_to_the_decoder_but_never_asked_of_it(
    scripture: Packed, dropout: float, tagged: bool
) -> None:
    ids = Ids(0, 0, tags=[11, 12], domains=[21, 22], domain_dropout=dropout)
    english, other = scripture.pairs.T.astype(np.int64)
    batch = Batch("translate", english, other, english)
    given, wanted = _target(batch, scripture, ids, np.random.default_rng(0), "cpu")
    plain, verse = (scripture.written(s).tolist() for s in other)
    longest = given.shape[1]

    def padded(row: list[int], filler: int) -> list[int]:
        return row + [filler] * (longest - len(row))

    start = [12, 22] if tagged else [12]
    assert given.tolist() == [
        padded([12, *plain], pieces.PAD_ID),
        padded([*start, *verse], pieces.PAD_ID),
    ]
    unasked = [IGNORED] * (len(start) - 1)
    end = pieces.END_ID
    assert wanted.tolist() == [
        padded([*plain, end], IGNORED),
        padded([*unasked, *verse, end], IGNORED),
    ]


def test_a_batch_is_gathered_as_it_would_be_padded_row_by_row(packed: Packed) -> None:
    rows = np.array([len(packed) - 1, 0, 3])
    expected = pad([Encoded(*(a.tolist() for a in packed.read(row))) for row in rows], 0)
    read = read_rows(packed, rows)
    assert read.keys() == expected.keys()
    for name in read:
        np.testing.assert_array_equal(read[name], expected[name])
    ids, labels = written_rows(packed, rows, np.array([7, 8, 9]), np.array([-1, 5, -1]))
    for row, (tags, own) in enumerate(zip([[7], [8, 5], [9]], rows, strict=True)):
        written = packed.written(int(own)).tolist()
        end = len(tags) + len(written)
        assert ids[row].tolist() == [*tags, *written] + [pieces.PAD_ID] * (ids.shape[1] - end)
        after = [IGNORED] * (ids.shape[1] - end)
        ignored = [IGNORED] * (len(tags) - 1)
        assert labels[row].tolist() == [*ignored, *written, pieces.END_ID, *after]


def test_what_a_model_wrote_is_only_translated_from(packed: Packed, backbone: Path) -> None:
    line = np.flatnonzero(packed.language == packed.languages.index("yo"))[-1:]
    assert line not in packed.pairs, "a monolingual line"
    source = load_encoder(backbone).encode(["A fine day"])
    more = packed.with_sources(source, line, 100.0)
    assert len(more) == len(packed) + 1
    assert more.read(len(packed))[0].tolist() == source[0].ids
    assert more.pairs[-1].tolist() == [len(packed), line[0]]
    plan = BatchPlan(more, TRANSLATE.model_copy(update={"languages": ["yo"]}), seed=0)
    batches = [plan[step] for step in range(40)]
    assert any(len(packed) in batch.sources for batch in batches)
    assert not any(len(packed) in batch.targets for batch in batches)


def test_articles_are_cut_into_sentences(tmp_path: Path) -> None:
    article = {"headline": "h", "text": "First one. Second one. First one."}
    with gzip.open(tmp_path / "yo.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps(article) + "\n")
    part = Monolingual(path="{lang}.jsonl.gz", layout="articles", languages=["yo"])
    recipe = PretrainRecipe(name="x", corpora=[], monolingual=[part])
    assert read_text(recipe, tmp_path).lines == {"yo": ["First one.", "Second one."]}


def test_domains_must_be_declared_and_an_adapter_needs_an_encoder_that_stays() -> None:
    corpus = {"path": "x", "layout": "pairs", "languages": ["yo"], "domain": "scripture"}
    with pytest.raises(
        ValueError, match=r"domain scripture is not one of seq2seq\.domains \(none\)"
    ):
        PretrainRecipe.model_validate({"name": "x", "corpora": [corpus], "seq2seq": {}})
    with pytest.raises(ValueError, match=r"schedule\.encoder_lr of mixed is above 0"):
        PretrainRecipe.model_validate(
            {"name": "x", "corpora": [], "seq2seq": {"adapter": {"r": 4}}}
        )


def test_a_tally_gives_means_of_pieces_by_direction() -> None:
    rng = np.random.default_rng(0)
    languages, sources, targets = (
        ["en", "haw", "yo"],
        np.array([0, 2, 0, 1], np.uint8),
        np.array([2, 0, 2, 0], np.uint8),
    )
    tally, by_hand = Tally(languages), dict[str, list[float]]()
    for _ in range(3):
        rows, values = rng.integers(0, 4, 50), rng.normal(size=50).astype(np.float32)
        tally.add(torch.from_numpy(values), torch.from_numpy(rows), sources, targets)
        for row, value in zip(rows, values, strict=True):
            by_hand.setdefault(f"{languages[sources[row]]}-{languages[targets[row]]}", []).append(
                float(value)
            )
    assert tally.means() == pytest.approx(
        {name: np.mean(values) for name, values in by_hand.items()}, abs=1e-4
    )
    assert list(tally.means()) == ["en-yo", "haw-en", "yo-en"]
    tally.clear()
    assert tally.means() == {}


def test_averaged_weights_are_lent_and_taken_back() -> None:
    model = torch.nn.Linear(3, 3)
    average = Average(model, decay=0.9)
    first = model.weight.detach().clone()
    with torch.no_grad():
        model.weight += 0.1
    average.update(model)
    own, mean = model.weight.detach().clone(), average.values["weight"].clone()
    assert first.mean() < mean.mean() < own.mean()
    with average.used_by(model):
        assert torch.equal(model.weight, mean)
    assert torch.equal(model.weight, own)
    assert torch.equal(average.values["weight"], mean)


def test_a_log_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text(
        "".join(
            f'{{"step": {s}, "tokens": {10 * s}, "written": {s}, "seconds": 5}}\n'
            for s in (20, 40, 60)
        )
    )
    log = Log(file, 40, ["en"])
    log.add({"translate": torch.tensor(2.0)}, read=4, written=3)
    log.write(41, {"dev": 1.5})
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [r["step"] for r in records] == [20, 40, 41]
    assert (
        records[-1]["tokens"],
        records[-1]["written"],
        records[-1]["translate"],
        records[-1]["dev"],
    ) == (407, 43, 2.0, 1.5)
    Log(file, 0, ["en"])
    assert file.read_text() == "", "a run from the start has a log of its own"


def test_drawn_negatives_stand_for_all_pieces() -> None:
    torch.manual_seed(0)
    head = BertLMPredictionHead(BertConfig(vocab_size=500, hidden_size=32)).requires_grad_(False)
    states, labels = torch.randn(4, 11, 32), torch.randint(0, 60, (4, 11))
    labels[:, -1] = IGNORED
    rng = np.random.default_rng(0)
    whole, every, *some = (
        float(
            piece_losses(
                head.decoder.weight, head.decoder.bias, states, labels, rng, negatives=n
            ).mean()
        )
        for n in (0, 500, *[100] * 30)
    )
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
