"""The baselines that read words and no backbone: the commonest tag of every word, and a
linear-chain CRF on hand features by python-crfsuite (Okazaki 2007), the field's usual one before
there were encoders."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pycrfsuite

from polygraft.tasks.tagging.features import outline_of, shape_of
from polygraft.tasks.tagging.rows import TaggedRow
from polygraft.tasks.tagging.scheme import Scheme, repaired

OPTIONS = {
    "c1": 0.1,
    "c2": 0.01,
    "max_iterations": 100,
    "feature.possible_transitions": True,
}
"""Of L-BFGS with both penalties, as sklearn-crfsuite's tutorial has them."""
AFFIX = 4


def commonest_tags(
    train: Sequence[TaggedRow], rows: Sequence[TaggedRow], scheme: Scheme
) -> list[list[str]]:
    """For each token the tag that training gave it most often, or the commonest of all where it is
    new; as the scheme has them."""
    of_word: dict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        for token, tag in zip(row.tokens, row.tags, strict=True):
            of_word[token.lower()][tag] += 1
    of_all = sum(of_word.values(), Counter[str]())
    likeliest = {word: counts.most_common(1)[0][0] for word, counts in of_word.items()}
    usual = of_all.most_common(1)[0][0]
    return [
        repaired([likeliest.get(token.lower(), usual) for token in row.tokens], scheme)
        for row in rows
    ]


def crf_tags(
    train: Sequence[TaggedRow], rows: Sequence[TaggedRow], scheme: Scheme
) -> list[list[str]]:
    """The tags of a CRF on the training rows."""
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", params=OPTIONS, verbose=False)
    for row in train:
        trainer.append(pycrfsuite.ItemSequence(hand_features(row.words)), row.word_tags(scheme))
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "crf")
        trainer.train(file)
        tagger = pycrfsuite.Tagger()
        tagger.open(file)
        tagged = [
            row.token_tags(tagger.tag(pycrfsuite.ItemSequence(hand_features(row.words))), scheme)
            for row in rows
        ]
        tagger.close()
    return tagged


def hand_features(words: Sequence[str]) -> list[list[str]]:
    """For each word: itself in small letters, its shape, beginnings and ends; the neighbours'
    words, and of the next ones their shape, beginning and end."""
    small = [word.lower() for word in words]
    outlines = [outline_of(word) for word in words]
    features = []
    for place, word in enumerate(words):
        own = [f"w={small[place]}", f"s={shape_of(word)}", f"t={outlines[place]}"]
        own += [f"p{n}={small[place][:n]}" for n in range(1, AFFIX + 1)]
        own += [f"e{n}={small[place][-n:]}" for n in range(1, AFFIX + 1)]
        for step in (-2, -1, 1, 2):
            other = place + step
            if not 0 <= other < len(words):
                own.append(f"{step}=edge")
                continue
            own.append(f"{step}w={small[other]}")
            if abs(step) == 1:
                own += [f"{step}t={outlines[other]}", f"{step}p={small[other][:3]}"]
                own.append(f"{step}e={small[other][-3:]}")
        features.append(own)
    return features
