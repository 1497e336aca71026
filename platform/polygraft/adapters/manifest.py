"""`manifest.json`: what an adapter is, what it was made of, how good it is, and the goldens that
verify it.

`Manifest` is what the manifests of all tasks have; each task adds its own fields
(`tasks/<task>/manifest.py`), and `read` finds them by the manifest's `task`. `read` also checks
what the fields say together. Nothing here opens another file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from polygraft.adapters.layout import HASHED, LAYOUT, NAME, VERSION, largest
from polygraft.errors import AdapterError, listed, problems_of, shortened
from polygraft.tasks import registry

Values = Annotated[list[FiniteFloat], FailFast(), Field(max_length=10_000)]
Texts = Annotated[list[str], FailFast(), Field(max_length=10_000)]
MIN_GOLDENS, MAX_GOLDENS = 3, 16  # replaying them, and comparing what is written, takes time
MAX_GOLDEN_CHARACTERS = 1_000  # of a golden's texts
SHA256 = re.compile(r"[0-9a-f]{64}")
IMPORTED = "imported"  # what `metrics` says of weights that no recipe of ours trained
NAMED = re.compile(f"{NAME.pattern}@{VERSION.pattern}")


class GoldenInput(BaseModel):
    """One input whose outputs are kept. Tasks add the outputs: with the adapter when it was
    trained, and without."""

    model_config = ConfigDict(extra="forbid")
    text: str

    @property
    def key(self) -> Hashable:
        """Goldens of the same key are one golden."""
        return self.text


class Manifest(BaseModel):
    """`manifest.json`. Unknown keys are refused, so that a newer format is never
    half-understood."""

    model_config = ConfigDict(extra="forbid")
    golden_field: ClassVar[str]
    """Name of the task's field that holds its goldens."""
    has_head: ClassVar[bool] = False

    format: int = Field(1, ge=1, le=1)
    name: str
    task: str
    backbone: str = Field(
        description=(
            "fingerprint of the backbone it was trained on; of its encoder, if it only reads"
        )
    )
    languages: Texts
    description: str = ""
    parent: str | None = Field(None, description="name@version it started from")
    stack: list[str] = Field(
        [],
        max_length=100,
        description="name@version of the frozen adapters it was trained on top of",
    )
    created: str = Field(description="UTC date, ISO 8601")
    data: list[dict[str, Any]] = Field(
        max_length=1_000, description="file, rows, SHA-256 and licence of each source"
    )
    metrics: dict[str, Any] = Field(
        description="test figures with 95% intervals, and the ladder of baselines"
    )
    files: dict[str, str] = Field(
        max_length=len(LAYOUT.names()),
        description="SHA-256 of weights and vectors",
    )
    forced: str | None = Field(
        None, description="why it is served although transfer harmed it (see `guard`)"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_empty_fields_of_other_tasks(cls, given: Any) -> Any:
        """Manifests written before version 0.2 have the fields of every task, empty where they are
        not their own."""
        if isinstance(given, dict):
            return {
                name: value
                for name, value in given.items()
                if name in cls.model_fields or value not in ([], {})
            }
        return given

    @property
    def named(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def version(self) -> str:
        """First 12 hex digits over the weight files' hashes: same weights, same version. What is
        kept for other adapters to learn from does not count."""
        answering = sorted(self.files.keys() - {LAYOUT.vectors})
        return hashlib.sha256("".join(self.files[n] for n in answering).encode()).hexdigest()[:12]

    @property
    def was_scored_only(self) -> bool:
        """Whether its weights came from elsewhere, and its recipe only scored them."""
        return self.metrics.get("weights") == IMPORTED

    def as_file(self) -> bytes:
        """The content of its `manifest.json`."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    @property
    def goldens(self) -> Sequence[GoldenInput]:
        goldens: Sequence[GoldenInput] = getattr(self, self.golden_field)
        return goldens

    @property
    def weight_files(self) -> list[str]:
        """The files that `files` has to name: PEFT's two, and the head where the task has one."""
        return [name for name in HASHED if self.has_head or name != LAYOUT.head]

    def gains(self) -> dict[str, dict[str, Any]]:
        """What transfer brought, by what it was measured against: figures with a `verdict`. Empty
        when the metrics hold no such figure."""
        return {}

    def task_problems(self) -> Iterator[str]:
        """What the task's own fields say wrongly, alone or together."""
        yield from ()

    def problems(self) -> Iterator[str]:
        """What the fields say wrongly, alone or together."""
        if not NAME.fullmatch(self.name):
            yield (
                f"name: {shortened(self.name)} is not an adapter name: a-z, 0-9, '.', '_' and '-', "
                "at most 64 characters"
            )
        for name, text in (
            ("backbone", self.backbone),
            ("created", self.created),
            ("parent", self.parent or ""),
        ):
            if len(text) > 200:
                yield f"{name}: has {len(text):,} characters, at most 200 make sense"
        if odd := [one for one in self.stack if not NAMED.fullmatch(one)]:
            yield f"stack: {shortened(odd[0])} is not an adapter with its version, name@version"
        if any(not language.strip() or len(language) > 64 for language in self.languages):
            yield "languages: each has 1 to 64 characters"
        yield from self.task_problems()
        yield from self._golden_problems()
        yield from self._file_problems()

    def _golden_problems(self) -> Iterator[str]:
        field, goldens = self.golden_field, self.goldens
        different = len({golden.key for golden in goldens})
        if different < MIN_GOLDENS:
            wanted = f"{MIN_GOLDENS} to {MAX_GOLDENS} different ones are needed"
            yield f"{field}: {wanted}, these are {different} of {len(goldens)}"
        if any(
            not golden.text.strip() or len(golden.text) > MAX_GOLDEN_CHARACTERS
            for golden in goldens
        ):
            yield f"{field}: each text has 1 to {MAX_GOLDEN_CHARACTERS:,} characters"

    def _file_problems(self) -> Iterator[str]:
        for name in self.weight_files:
            if name not in self.files:
                yield f"files: the SHA-256 of {name} is missing"
        for name, digest in self.files.items():
            if name not in LAYOUT.names() or name == LAYOUT.manifest:
                yield f"files: {shortened(name)} is not a file of an adapter"
            if not SHA256.fullmatch(digest):
                yield f"files: {shortened(digest)} is not a SHA-256"


class _TaskOnly(BaseModel):
    task: str = registry.DEFAULT


def read(content: bytes) -> Manifest:
    """The manifest in the bytes of a `manifest.json`, of the class that its task has. Raises
    `AdapterError` that lists the first of its problems."""
    if len(content) > largest(LAYOUT.manifest):
        raise AdapterError(
            f"{LAYOUT.manifest} has {len(content):,} bytes, at most {largest(LAYOUT.manifest):,} "
            "are read"
        )
    task = ""
    try:
        task = _TaskOnly.model_validate_json(content).task
        if task not in registry.TASKS:
            raise _unreadable(
                [f"task: {shortened(task)} is not one of {', '.join(registry.TASKS)}"]
            )
        manifest = registry.served(task).manifest.model_validate_json(content)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        raise _unreadable(problems_of([_naming_task(e, task) for e in errors])) from None
    if problems := list(manifest.problems()):
        raise _unreadable(problems)
    return manifest


def unreadable(name: str) -> Manifest:
    """What stands for the manifest of an adapter that cannot be read, when all that matters is
    which one it was."""
    return Manifest.model_construct(
        name=name,
        task="",
        backbone="",
        languages=[],
        created="",
        data=[],
        metrics={},
        files={},
        description="its manifest is broken",
    )


def _naming_task(error: Any, task: str) -> Any:
    """Pydantic's error; of an unknown field, it says for which task there is none."""
    if error["type"] == "extra_forbidden":
        return error | {"msg": f"a {task} adapter has no such field"}
    return error


def _unreadable(problems: Sequence[str]) -> AdapterError:
    return AdapterError(
        f"{LAYOUT.manifest} cannot be read: {listed(problems)}; train the adapter again or copy it "
        "whole"
    )
