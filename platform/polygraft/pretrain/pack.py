"""One small file of tokens: everything the second stage reads, so that it can run where the corpora
are not.

Sentences are stored once, as the encoder reads them (ids, case ids) and as the decoder writes them;
pairs point at sentences. Does not choose what is trained when (see `plan`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from polygraft.architectures.text import Encoded, TextEncoder
from polygraft.errors import BackboneError
from polygraft.pretrain.corpus import EnglishPair

Ints = NDArray[np.int64]
ENGLISH = "en"
ENCODED_AT_ONCE = 20_000  # texts


@dataclass(frozen=True)
class Packed:
    """Flat token arrays with offsets.

    `source`, `target` uint16 [tokens], `cases` uint8 [tokens of source]; `source_at`, `target_at`
    int64 [sentences + 1]; `language` uint8 [sentences], an index into `languages`; `domain` uint8
    [sentences], 0 for general text, else one more than an index into the recipe's domains; `pairs`
    int32 [pairs, 2]: English sentence, other sentence; `weight` float32 [pairs]; `one_way` bool
    [pairs]: the English was made by a model, so it is only translated from.
    """

    languages: list[str]
    source: NDArray[np.uint16]
    cases: NDArray[np.uint8]
    target: NDArray[np.uint16]
    source_at: NDArray[np.int64]
    target_at: NDArray[np.int64]
    language: NDArray[np.uint8]
    domain: NDArray[np.uint8]
    pairs: NDArray[np.int32]
    weight: NDArray[np.float32]
    one_way: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.language)

    @cached_property
    def source_lengths(self) -> NDArray[np.int64]:
        return np.diff(self.source_at)

    @cached_property
    def target_lengths(self) -> NDArray[np.int64]:
        return np.diff(self.target_at)

    def read(self, sentence: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """What the encoder reads: token ids and case ids, special tokens included."""
        at = slice(*self.source_at[sentence : sentence + 2])
        return self.source[at], self.cases[at]

    def written(self, sentence: int) -> NDArray[np.uint16]:
        """What the decoder writes: ids without tag and end."""
        return self.target[slice(*self.target_at[sentence : sentence + 2])]

    def with_sources(self, sources: Sequence[Encoded], targets: Ints, weight: float) -> Packed:
        """This text and a pair for each of the sentences `targets` [pairs], whose English `sources`
        were made by a model."""
        lengths = [len(source) for source in sources]
        first = len(self)
        pairs = np.stack([np.arange(first, first + len(sources)), targets], axis=1)
        return replace(
            self,
            source=np.concatenate([self.source, *(np.asarray(s.ids, np.uint16) for s in sources)]),
            cases=np.concatenate([self.cases, *(np.asarray(s.cases, np.uint8) for s in sources)]),
            source_at=np.concatenate([self.source_at, self.source_at[-1] + np.cumsum(lengths)]),
            target_at=np.append(self.target_at, np.repeat(self.target_at[-1], len(sources))),
            language=np.append(
                self.language, np.full(len(sources), self.languages.index(ENGLISH), np.uint8)
            ),
            domain=np.append(self.domain, np.zeros(len(sources), np.uint8)),
            pairs=np.concatenate([self.pairs, pairs.astype(np.int32)]),
            weight=np.append(self.weight, np.full(len(sources), weight, np.float32)),
            one_way=np.append(self.one_way, np.ones(len(sources), bool)),
        )

    def save(self, file: Path) -> None:
        """Compressed; written beside and moved, so a killed run leaves no half file."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "languages"}
        partial = file.with_suffix(".tmp.npz")
        np.savez_compressed(partial, languages=np.array(self.languages), **arrays)
        partial.replace(file)

    @classmethod
    def load(cls, file: Path) -> Packed:
        with np.load(file) as arrays:
            if missing := {f.name for f in fields(cls)} - set(arrays.files):
                raise BackboneError(
                    f"{file} lacks {', '.join(sorted(missing))}: an older version packed it; "
                    "delete it and run again where the "
                    "corpora are"
                )
            return cls(
                **{k: arrays[k].tolist() if k == "languages" else arrays[k] for k in arrays.files}
            )


def pack(
    pairs: Sequence[EnglishPair],
    lines: dict[str, list[str]],
    encoder: TextEncoder,
    decoder: Tokenizer,
    *,
    max_length: int,
    domains: Sequence[str] = (),
) -> Packed:
    """Tokenize `pairs` and monolingual `lines` by language. Rows with a side over `max_length`
    tokens are left out.

    A sentence's domain is that of the first pair it is in; lines are general text. Raises
    `ValueError` for a pair whose domain is not one of `domains`.
    """
    sentences, domain = _distinct_sentences(pairs, lines, domains)
    texts = [text for _, text in sentences]
    sources = list[Encoded]()
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        sources += encoder.encode(texts[start : start + ENCODED_AT_ONCE])
    targets = [e.ids for e in decoder.encode_batch(texts, add_special_tokens=False)]
    kept = [
        i
        for i, (source, target) in enumerate(zip(sources, targets, strict=True))
        if len(source) <= max_length and 0 < len(target) < max_length
    ]
    languages = sorted({language for language, _ in sentences})
    of_sentence = [language for language, _ in sentences]
    number = {old: new for new, old in enumerate(kept)}
    weights = dict[tuple[int, int], float]()
    for pair in pairs:
        english = number.get(sentences[ENGLISH, pair.english])
        other = number.get(sentences[pair.language, pair.text])
        if english is not None and other is not None:
            weights[english, other] = pair.weight
    return Packed(
        languages=languages,
        source=np.concatenate([np.asarray(sources[i].ids, np.uint16) for i in kept]),
        cases=np.concatenate([np.asarray(sources[i].cases, np.uint8) for i in kept]),
        target=np.concatenate([np.asarray(targets[i], np.uint16) for i in kept]),
        source_at=np.cumsum([0, *(len(sources[i]) for i in kept)]),
        target_at=np.cumsum([0, *(len(targets[i]) for i in kept)]),
        language=np.array([languages.index(of_sentence[i]) for i in kept], np.uint8),
        domain=np.array([domain[i] for i in kept], np.uint8),
        pairs=np.array(list(weights), np.int32).reshape(-1, 2),
        weight=np.array(list(weights.values()), np.float32),
        one_way=np.zeros(len(weights), bool),
    )


def _distinct_sentences(
    pairs: Sequence[EnglishPair], lines: dict[str, list[str]], domains: Sequence[str]
) -> tuple[dict[tuple[str, str], int], list[int]]:
    """The number of every distinct sentence, by language and text; and the domain of each, as
    `Packed.domain` has it."""
    number: dict[tuple[str, str], int] = {}
    domain: list[int] = []
    for pair in pairs:
        pair_domain = domains.index(pair.domain) + 1 if pair.domain else 0
        for side in ((ENGLISH, pair.english), (pair.language, pair.text)):
            if side not in number:
                number[side] = len(number)
                domain.append(pair_domain)
    for language, texts in lines.items():
        for text in texts:
            if (language, text) not in number:
                number[language, text] = len(number)
                domain.append(0)
    return number, domain


def describe(packed: Packed) -> dict[str, dict[str, int]]:
    """Sentences, pairs and encoder tokens of each language, for the card."""
    lengths = packed.source_lengths
    pairs = Counter(packed.language[packed.pairs[:, 1]].tolist())
    return {
        name: {
            "sentences": int((packed.language == i).sum()),
            "tokens": int(lengths[packed.language == i].sum()),
            "pairs": pairs[i],
        }
        for i, name in enumerate(packed.languages)
    }
