"""What a task does when its adapters are made: the one interface between the pipeline
(`training.pipeline`) and `tasks/<task>/training.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

    from polygraft.tasks.recipe import AdapterRecipe


class Job(Protocol):
    """A recipe made ready: its data read and checked, what it builds on found. What `--check`
    builds and training runs."""

    @property
    def recipe(self) -> AdapterRecipe: ...

    @property
    def file(self) -> Path:
        """The recipe's."""

    @property
    def backbone(self) -> Path: ...

    @property
    def parent(self) -> Path | None: ...

    @property
    def under(self) -> tuple[Path, ...]:
        """The frozen adapters it is trained on top of."""

    @property
    def key(self) -> str:
        """A hash of all that a run depends on (see `training.key`)."""

    @property
    def seeds(self) -> Sequence[int]: ...

    @property
    def rows(self) -> dict[str, int]:
        """By split."""

    @property
    def leaks(self) -> dict[str, Any]:
        """As the manifest will say."""

    @property
    def data(self) -> list[dict[str, Any]]:
        """File, rows, SHA-256 and licence of every source it learns from or is scored on, for the
        manifest."""

    @property
    def answers(self) -> list[str]:
        """What the adapter will answer with: its labels, or its directions."""


Prepared = TypeVar("Prepared", bound=Job)
Run = TypeVar("Run")


class TrainedTask(ABC, Generic[Prepared, Run]):
    """`TASK` of `tasks/<task>/training.py`. A run is what one seed comes to."""

    pipeline_tag: str | None = None
    """The Hub's name for what it does, for the card."""
    tags: Sequence[str] = ()
    limits: str
    """What the card says of what was not measured."""

    @abstractmethod
    def prepare(
        self, recipe: Any, file: Path, backbone: Path, *, allow_leak: str | None = None
    ) -> Prepared:
        """Check everything that can be checked without training; `allow_leak` is the reason for
        which leaks may stay.

        Raises `RecipeError`, `DataError`, `BackboneError` or `AdapterError`.
        """

    def complete(self, job: Prepared, work: Path, say: Console) -> Prepared:
        """What takes longer than a check and is done once, before any seed. Raises `DataError`."""
        return job

    @abstractmethod
    def fit(self, job: Prepared, seed: int, work: Path, say: Console) -> Run:
        """One run; its checkpoints lie in `work`, from where it goes on."""

    def fit_others(self, job: Prepared, work: Path, say: Console) -> Mapping[str, Sequence[Run]]:
        """With the full ladder: runs of baselines that have to be trained, by name."""
        return {}

    @abstractmethod
    def best(self, runs: Sequence[Run]) -> Run:
        """The run to keep, by dev."""

    @abstractmethod
    def score(
        self,
        job: Prepared,
        runs: Sequence[Run],
        others: Mapping[str, Sequence[Run]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        """Figures of the runs beside their baselines, for the manifest."""

    @abstractmethod
    def manifest_fields(self, job: Prepared, run: Run) -> dict[str, Any]:
        """The manifest's fields that are this task's own, goldens among them."""

    @abstractmethod
    def save(self, run: Run, folder: Path, backbone: Path) -> None:
        """Write PEFT's two files, and the head where there is one, into `folder`."""

    @abstractmethod
    def introduction(self, manifest: Any, recipe: Any) -> str:
        """The card's sentence on what it is, without backbone and version."""

    @abstractmethod
    def figures(self, metrics: dict[str, Any]) -> str:
        """A manifest's metrics as Markdown."""

    def examples(self, metrics: dict[str, Any]) -> str:
        """Examples for the card, as Markdown."""
        return ""
