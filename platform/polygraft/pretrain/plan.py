"""Which rows each step trains: a pure function of the packed text, the recipe, the seed and the
step.

So a run that is killed, or carried to another machine, goes on with the same data order from the
step number alone. Steps come in segments; within one the language sampling exponent is fixed, and
it falls from segment to segment until two thirds of the run are done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polygraft.errors import BackboneError
from polygraft.pretrain.pack import ENGLISH, Packed
from polygraft.pretrain.recipe import Phase, Schedule
from polygraft.training.batches import cut

Kind = Literal["translate", "denoise", "masked", "align"]
KINDS: tuple[Kind, ...] = ("translate", "denoise", "masked", "align")
SEGMENT = 100
ENGLISH_RATE = 0.15
"""The share of `align` rows that read the English side itself, so that English stays where it
is."""


@dataclass(frozen=True)
class Batch:
    """Rows of one objective. `sources` and `targets` are sentence numbers, `english` those of the
    English sides (equal to `sources` where there is none); all int64 [rows]."""

    kind: Kind
    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    english: NDArray[np.int64]


def exponent_at(schedule: Schedule, step: int) -> float:
    """The language sampling exponent at `step`: it falls in a straight line and stays low for the
    last third."""
    share = min(1.0, 1.5 * step / schedule.steps)
    return schedule.first_exponent + share * (schedule.last_exponent - schedule.first_exponent)


class BatchPlan:
    """`plan[step]` is that step's batch."""

    def __init__(self, packed: Packed, phase: Phase, seed: int) -> None:
        """Raises `BackboneError` when the packed text has no pairs of a language that the phase
        asks for."""
        self.packed, self.seed = packed, seed
        self.objectives, self.schedule = phase.objectives, phase.schedule
        self._pair_rows = _by_language(packed.language[packed.pairs[:, 1]], len(packed.languages))
        self._pair_chance = [_chances(packed.weight[rows]) for rows in self._pair_rows]
        self._pair_mass = np.array([packed.weight[rows].sum() for rows in self._pair_rows], float)
        self._rows = _by_language(packed.language, len(packed.languages))
        if not phase.denoise_pairs:
            self._rows = [np.setdiff1d(rows, packed.pairs) for rows in self._rows]
        self._mass = np.array([packed.source_lengths[rows].sum() for rows in self._rows], float)
        if phase.languages is not None:
            with_pairs = {
                name for name, mass in zip(packed.languages, self._pair_mass, strict=True) if mass
            }
            if missing := sorted(set(phase.languages) - with_pairs):
                raise BackboneError(
                    f"phase {phase.name}: no pairs with {', '.join(missing)}; there are "
                    f"{', '.join(sorted(with_pairs))}"
                )
            wanted = np.isin(packed.languages, [*phase.languages, ENGLISH])
            self._pair_mass, self._mass = self._pair_mass * wanted, self._mass * wanted
        self._segment, self._batches = -1, list[Batch]()  # those drawn last

    def __getitem__(self, step: int) -> Batch:
        segment, position = divmod(step, SEGMENT)
        if segment != self._segment:
            self._segment, self._batches = segment, self._draw(segment)
        return self._batches[position]

    def _draw(self, segment: int) -> list[Batch]:
        rng = np.random.default_rng([self.seed, segment])
        shares = np.array([getattr(self.objectives, kind) for kind in KINDS])
        kinds = rng.choice(len(KINDS), SEGMENT, p=shares / shares.sum())
        exponent = exponent_at(self.schedule, segment * SEGMENT)
        queues = {
            kind: self._batches_of(kind, int((kinds == i).sum()), exponent, rng)
            for i, kind in enumerate(KINDS)
        }
        return [queues[KINDS[i]].pop() for i in kinds]

    def _batches_of(
        self, kind: Kind, count: int, exponent: float, rng: np.random.Generator
    ) -> list[Batch]:
        """`count` batches of rows of similar length within the token budget, in random order."""
        batches: list[Batch] = []
        while len(batches) < count:
            draws = max(2_000, count * self.schedule.tokens // 34)
            sources, targets, english = self._draw_rows(kind, draws, exponent, rng)
            read = self.packed.source_lengths[sources]
            written = self.packed.target_lengths[targets] + 2
            lengths = read if kind in ("masked", "align") else read + written
            groups = cut(np.lexsort((written, read)), lengths, self.schedule.tokens)
            groups = groups[:-1] or groups  # the last of several may be nearly empty
            batches += [Batch(kind, sources[g], targets[g], english[g]) for g in groups]
        picked = rng.permutation(len(batches))[:count]
        return [batches[i] for i in picked]

    def _draw_rows(
        self, kind: Kind, draws: int, exponent: float, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Sources, targets and English sides of about `draws` rows, as `Batch` has them."""
        if kind not in ("translate", "align"):
            sentences = self._choose(self._rows, self._mass, exponent, draws, rng)
            return sentences, sentences, sentences
        pairs = self._choose(
            self._pair_rows, self._pair_mass, exponent, draws, rng, self._pair_chance
        )
        english, other = self.packed.pairs[pairs].T.astype(np.int64)
        from_english = rng.random(len(pairs)) < (0.5 if kind == "translate" else ENGLISH_RATE)
        from_english |= self.packed.one_way[pairs]
        sources = np.where(from_english, english, other)
        targets = np.where(from_english, other, english)
        return sources, targets, english

    @staticmethod
    def _choose(
        rows: list[NDArray[np.int64]],
        mass: NDArray[np.float64],
        exponent: float,
        draws: int,
        rng: np.random.Generator,
        chances: list[NDArray[np.float64]] | None = None,
    ) -> NDArray[np.int64]:
        """`draws` of the `rows` (by language), a language's share its `mass` ** `exponent`; within
        a language by `chances`, where given."""
        share = np.where(mass > 0, mass, 0.0) ** exponent * (mass > 0)
        counts = rng.multinomial(draws, share / share.sum())
        return np.concatenate(
            [
                rng.choice(rows[i], n, p=chances[i] if chances else None)
                for i, n in enumerate(counts)
                if n
            ]
        )


def _by_language(language: NDArray[np.uint8], count: int) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(language == i) for i in range(count)]


def _chances(weight: NDArray[np.float32]) -> NDArray[np.float64]:
    total = weight.astype(float).sum()
    return weight / total if total else weight.astype(float)
