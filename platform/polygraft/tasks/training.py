"""What a task does when its adapters are made: the one interface between the pipeline
(`training.pipeline`) and `tasks/<task>/training.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from polygraft.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from polygraft.adapters.library import Library
    from polygraft.tasks.recipe import AdapterRecipe
    from polygraft.training.card import Card


class Job(Protocol):
    """A recipe made ready for training: its data is read and checked, the adapters it builds on are
    found. `--check` ends with one; training starts from one."""

    @property
    def recipe(self) -> AdapterRecipe: ...

    @property
    def file(self) -> Path:
        """Where the recipe was read from."""

    @property
    def backbone(self) -> Path:
        """The backbone's folder."""

    @property
    def parent(self) -> Path | None:
        """The folder of the adapter that training starts from."""

    @property
    def stack(self) -> tuple[Path, ...]:
        """The folders of the frozen adapters that this one is trained on top of."""

    @property
    def key(self) -> str:
        """A hash of all that a run depends on (see `training.key`)."""

    @property
    def seeds(self) -> Sequence[int]:
        """There is one training run for each."""

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows, by split."""

    @property
    def leaks(self) -> dict[str, Any]:
        """What was found and done about rows that stand in two splits, as the manifest will say
        it."""

    @property
    def data(self) -> list[dict[str, Any]]:
        """File, rows, SHA-256 and licence of every source it learns from or is scored on, for the
        manifest."""

    @property
    def doubts(self) -> Sequence[str]:
        """What of its data may be a mistake and need not be one, a sentence each."""

    @property
    def answers(self) -> list[str]:
        """What the adapter will answer with: its labels, or its directions."""


class Prepare(Protocol):
    """`prepare` of `tasks/<task>/job.py`. It imports no torch: `--check` ends with it."""

    def __call__(
        self,
        recipe: Any,
        file: Path,
        backbone: Path,
        *,
        library: Library | None = None,
        allow_leak: str | None = None,
    ) -> Job:
        """Check everything that can be checked without training `recipe`, read from `file`;
        `library` is where adapters are that it names (None: that which is served). `allow_leak`
        is the reason for which leaks may stay.

        Raises `RecipeError`, `DataError`, `BackboneError` or `AdapterError`.
        """


JobT = TypeVar("JobT", bound=Job)
RunT = TypeVar("RunT")


class TrainedTask(ABC, Generic[JobT, RunT]):
    """How adapters of a task are made: `TASK` of `tasks/<task>/training.py`. A run is what training
    with one seed gives: the model, and what is needed to score it."""

    card: Card
    """How their cards are written."""

    def complete(self, job: JobT, work: Path, say: Console) -> JobT:
        """Do what takes too long for a check and is needed once, before the first seed. Raises
        `DataError`."""
        return job

    @abstractmethod
    def fit(self, job: JobT, seed: int, work: Path, say: Console) -> RunT:
        """Train with one seed. Checkpoints are kept in `work`: a killed run goes on from the
        last."""

    def adopt(self, job: JobT, weights: Path) -> RunT:
        """A run of LoRA that was trained elsewhere: PEFT's two files in `weights`, on the sites'
        own names. Raises `RecipeError` where a task's adapters are more than that."""
        raise RecipeError(
            str(job.file),
            [f"task: {job.recipe.task} adapters have a head, trained here; leave --recipe out"],
        )

    def fit_others(self, job: JobT, work: Path, say: Console) -> Mapping[str, Sequence[RunT]]:
        """Train the baselines that only the full ladder has; their runs by name."""
        return {}

    def had_full_ladder(self, metrics: dict[str, Any]) -> bool:
        """Whether an adapter whose manifest has these `metrics` was trained with the full
        ladder."""
        return False

    @abstractmethod
    def best(self, runs: Sequence[RunT]) -> RunT:
        """The run to keep: the best on dev."""

    @abstractmethod
    def score(
        self,
        job: JobT,
        runs: Sequence[RunT],
        others: Mapping[str, Sequence[RunT]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        """Figures of `runs` and of every baseline on the held-out rows, for the manifest. `others`
        is what `fit_others` gave."""

    @abstractmethod
    def manifest_fields(self, job: JobT, run: RunT) -> dict[str, Any]:
        """The manifest's fields that are this task's own, goldens among them."""

    @abstractmethod
    def save(self, run: RunT, folder: Path, backbone: Path) -> None:
        """Write PEFT's two files, and the head where there is one, into `folder`."""

    def share(self, job: JobT, run: RunT, folder: Path) -> None:
        """Write into `folder` what other adapters may learn from; nothing by default."""
