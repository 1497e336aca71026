import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from polygraft.pretrain import alignment, corpus, vocabulary
from polygraft.pretrain.corpus import EnglishPair
from polygraft.pretrain.distill import SplitEmbedding, plan_batches
from polygraft.pretrain.recipe import Corpus, PretrainRecipe, Vocabulary


def test_ibm1_finds_the_translations() -> None:
    english = {"the": 10, "house": 11, "book": 12, "green": 13}
    foreign = {"das": 1, "haus": 2, "buch": 3, "gruen": 4}
    sentences = [
        ("das haus", "the house"),
        ("das buch", "the book"),
        ("gruen buch", "green book"),
        ("haus gruen", "house green"),
    ]
    pairs = [
        ([foreign[w] for w in f.split()], [english[w] for w in e.split()]) for f, e in sentences
    ]
    f, e, t = alignment.ibm1(pairs, iterations=20)
    best = {int(w): int(e[f == w][t[f == w].argmax()]) for w in foreign.values()}
    assert best == {1: 10, 2: 11, 3: 12, 4: 13}


def test_aligned_rows_are_weighted_means_and_the_unseen_keep_their_fallback() -> None:
    rows = np.eye(6, dtype=np.float32)
    links = (np.array([8, 8]), np.array([2, 3]), np.array([0.75, 0.25]))
    fallback = np.full((2, 6), 9, np.float32)
    out = alignment.aligned_rows(np.array([7, 8]), links, rows, fallback)
    np.testing.assert_allclose(out, [[9] * 6, [0, 0, 0.75, 0.25, 0, 0]])


def test_plan_is_a_function_of_its_arguments_and_lifts_small_languages() -> None:
    pairs = [EnglishPair("big", "e", "t", 1.0)] * 9000 + [EnglishPair("small", "e", "t", 1.0)] * 90
    plan = corpus.plan(pairs, draws=1000, exponent=0.4, seed=1)
    assert (plan == corpus.plan(pairs, draws=1000, exponent=0.4, seed=1)).all()
    small = sum(pairs[i].language == "small" for i in plan) / len(plan)
    assert small == pytest.approx(1 / (1 + 100**0.4), abs=0.01)


def test_pairs_are_read_from_every_layout_and_only_training_rows(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        with gzip.open(tmp_path / name, "wt") as out:
            out.write(text)

    write("haw-en.tsv.gz", "aloha\thello\n")
    write("en.gz", "one\ntwo\n\nfour\n")
    write("yo.gz", "ọ̀kan\nèjì\nẹ̀ta\nẹ̀rin\n")
    write("sms.en.jsonl.gz", '{"id": "1", "text": "hi"}\n{"id": "2", "text": "bye"}\n')
    write(
        "sms.hi.jsonl.gz",
        '{"id": "2", "text": "अलविदा", "label": "ham"}\n{"id": "9", "text": "?"}\n',
    )
    write("split.gz", "train\ndev\ntrain\ntrain\n")
    recipe = PretrainRecipe(
        name="x",
        corpora=[
            Corpus(path="{lang}-en.tsv.gz", layout="pairs", languages=["haw"], reverse=True),
            Corpus(path="{lang}.gz", layout="aligned", languages=["yo"], split_file="split.gz"),
            Corpus(path="sms.{lang}.jsonl.gz", layout="records", languages=["hi"]),
        ],
    )
    pairs = [(p.language, p.english, p.text) for p in corpus.read_text(recipe, tmp_path).pairs]
    assert pairs == [
        ("haw", "hello", "aloha"),
        ("yo", "one", "ọ̀kan"),
        ("yo", "four", "ẹ̀rin"),
        ("hi", "bye", "अलविदा"),
    ]


def test_new_pieces_leave_english_as_it_was() -> None:
    letters = [chr(c) for c in range(97, 123)]
    old = [
        *vocabulary.SPECIALS.values(),
        *letters,
        *(f"##{c}" for c in letters),
        "the",
        "house",
        "green",
    ]
    yoruba = {"yo": ["ilé ọlọ́run dára púpọ̀ ilé wa ni ọlọ́run"] * 50}
    english = ["the green house"] * 50
    new = vocabulary.learn_pieces(Vocabulary(pieces=60, lines=2000), old, yoruba, english, seed=0)
    assert "ọlọ́run" in new
    assert not set(new) & set(old)
    tokens = (
        vocabulary.wordpiece(old + new).encode("the green house", add_special_tokens=False).tokens
    )
    assert tokens == ["the", "green", "house"]


def test_batches_cover_every_row_once_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 500)
    batches = plan_batches(lengths, tokens=300, seed=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert max(len(b) * lengths[b].max() for b in batches) <= 300


def test_split_embedding_trains_only_the_learnt_rows() -> None:
    weight = torch.randn(6, 4)
    embedding = SplitEmbedding(weight, torch.tensor([1, 4]))
    ids = torch.tensor([[0, 1], [4, 5]])
    torch.testing.assert_close(embedding(ids), weight[ids])
    embedding(ids).sum().backward()
    assert [p.shape for p in embedding.parameters()] == [(2, 4)]
    torch.testing.assert_close(embedding.weight(), weight)
