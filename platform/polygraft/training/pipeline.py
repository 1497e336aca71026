"""`polygraft train`: recipe -> prepare -> fit -> score -> write, the same way for every task.

What a task does in each step is in `tasks/<task>/training.py`; this is their order, and what they
have in common: seeds, checkpoints in `.training` that a killed run goes on from, goldens, the card,
and an adapter folder that appears whole. Does not: export, serve, or decide whether an adapter is
promoted.
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from polygraft.adapters.format import Manifest, hashes_of, load_manifest
from polygraft.adapters.library import Library
from polygraft.adapters.manifest import IMPORTED
from polygraft.architectures.folder import encoder_part, fingerprint
from polygraft.errors import Gathered, RecipeError
from polygraft.tasks import registry
from polygraft.tasks.recipe import AdapterRecipe, read_recipe
from polygraft.tasks.training import Job, TrainedTask
from polygraft.training.finish import finish, made_with


@dataclass(frozen=True)
class Prepared:
    """A recipe that was checked: its job, and the task that trains it."""

    job: Job
    doubts: Sequence[str]
    """What may be a mistake and need not be one, a sentence each."""

    @property
    def name(self) -> str:
        return self.job.recipe.name

    @property
    def task(self) -> TrainedTask[Any, Any]:
        """Imported when it is asked for: `--check` needs no torch."""
        return registry.trained(self.job.recipe.task)


def prepare(
    recipe: AdapterRecipe,
    file: Path,
    backbone: Path,
    *,
    library: Library | None = None,
    problems: Sequence[str] = (),
    allow_leak: str | None = None,
) -> Prepared:
    """Check everything that can be checked without training `recipe`, which was read from `file`
    with these `problems`; `allow_leak` is the reason for which leaks may stay. `library` is where
    the adapters are that the recipe names (see `parents.find_adapter`).

    Raises `RecipeError`, `DataError`, `BackboneError` or `AdapterError`, with the problems of the
    recipe, its data and the adapters it builds on, as far as one can be looked at without another.
    """
    gathered = Gathered(str(file), list(problems))
    prepare_job = registry.preparation(recipe.task)
    with gathered.step():
        job = prepare_job(recipe, file, backbone, library=library, allow_leak=allow_leak)
    gathered.raise_any()
    doubts, folder = list(job.doubts), file.resolve().parent.name
    if folder != recipe.name:
        doubts.append(
            f"name: it is {recipe.name!r}, but the folder is called {folder!r}; a server refuses "
            "that in its library, and parent, source and stack go by the folder: rename one"
        )
    return Prepared(job, doubts)


def prepare_file(
    file: Path,
    backbone: Path,
    *,
    library: Library | None = None,
    allow_leak: str | None = None,
) -> Prepared:
    """`prepare` the recipe in a file. Raises `RecipeError` for what cannot be read as one, too."""
    recipe, problems = read_recipe(file)
    if recipe is None:
        raise RecipeError(str(file), problems)
    return prepare(
        recipe, file, backbone, library=library, problems=problems, allow_leak=allow_leak
    )


def train(
    job: Job,
    output: Path,
    *,
    full_ladder: bool = False,
    weights: Path | None = None,
    say: Console | None = None,
) -> Manifest:
    """Train every seed, keep the one best on dev, and publish it to `output`. Returns its manifest.
    With `weights`, a folder of PEFT's, nothing is trained: they are scored and published.

    A killed run is taken up again from its last checkpoint, kept in `output/.training` until the
    end; one of another recipe or other data is not. `full_ladder` also trains the same recipe
    without its parent, for the gain from transfer, and whatever else the task compares with.
    """
    say = say or Console(stderr=True)
    started, task = time.monotonic(), registry.trained(job.recipe.task)
    work = output / ".training" / job.key
    work.mkdir(parents=True, exist_ok=True)
    job = task.complete(job, work, say)
    if weights:
        runs = [task.adopt(job, weights)]
    else:
        runs = [task.fit(job, seed, work / f"seed-{seed}", say) for seed in job.seeds]
    others = task.fit_others(job, work, say) if full_ladder else {}
    say.print("scoring adapter and baselines")
    metrics = task.score(job, runs, others, work, full_ladder=full_ladder)
    metrics |= {"leaks": job.leaks, "made_with": made_with(started)}
    metrics |= {"weights": IMPORTED} if weights else {}
    best = task.best(runs)
    fields = task.manifest_fields(job, best)
    manifest = finish(
        output,
        job.file,
        lambda folder: _save(job, best, folder),
        lambda folder: _manifest(job, folder, metrics, fields),
        lambda manifest, file: task.card.write(manifest, job.recipe, file),
    )
    shutil.rmtree(work.parent)
    return manifest


def _save(job: Job, run: Any, folder: Path) -> None:
    task = registry.trained(job.recipe.task)
    task.save(run, folder, job.backbone)
    task.share(job, run, folder)


def _manifest(job: Job, folder: Path, metrics: dict[str, Any], fields: dict[str, Any]) -> Manifest:
    """The manifest of the adapter whose weights lie in `folder`; `fields` are its task's own."""
    task, whole = registry.served(job.recipe.task), fingerprint(job.backbone)
    return task.manifest(
        format=1,
        name=job.recipe.name,
        task=job.recipe.task,
        backbone=whole if task.writes else encoder_part(whole),
        languages=job.recipe.languages,
        description=job.recipe.description,
        parent=load_manifest(job.parent).named if job.parent else None,
        stack=[load_manifest(adapter).named for adapter in job.stack],
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        data=job.data,
        metrics=metrics,
        files=hashes_of(folder),
        **fields,
    )
