"""`manifest.json`: what an adapter is, what it was made of, how good it is, and the goldens that prove it.

`Manifest` is the schema; `read` also checks what the fields say together. Nothing here opens another file than the manifest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import langcodes
from pydantic import BaseModel, ConfigDict, FailFast, Field, FiniteFloat, ValidationError, model_validator

from polygraft.adapters.layout import HASHED, LAYOUT, NAME, largest
from polygraft.errors import AdapterError, listed, problems_of, shortened

Task = Literal["classification", "translation", "language"]
Values = Annotated[list[FiniteFloat], FailFast(), Field(max_length=10_000)]
Texts = Annotated[list[str], FailFast(), Field(max_length=10_000)]
LEAST_GOLDENS, MOST_GOLDENS = 3, 16  # replaying them, and comparing what is written, takes time
MOST_CHARACTERS = 1_000  # of a golden's texts
UNIT = 0.01  # how far the length of a unit vector may be from 1
SHA256 = re.compile(r"[0-9a-f]{64}")


class _Golden(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str


class Golden(_Golden):
    """One input and the logits it got: with the adapter when it was trained, and from its head on the bare backbone (for a head
    that was trained on the bare backbone: what it gives to no text, its bias)."""

    logits: Values
    bare: Values


class GoldenVector(_Golden):
    """One input and its unit sentence vector: with the adapter when it was trained, and of the bare backbone."""

    vector: Values
    bare: Values


class GoldenText(_Golden):
    """One input and what was written for it in `target`: with the adapter when it was trained, and by the bare backbone."""

    target: str
    written: str
    bare: str


class Manifest(BaseModel):
    """`manifest.json`. Unknown keys are refused, so that a newer format is never half-understood."""

    model_config = ConfigDict(extra="forbid")
    format: int = Field(1, ge=1, le=1)
    name: str
    task: Task = "classification"
    backbone: str = Field(description="fingerprint of the backbone it was trained on; of its encoder, if it only reads")
    languages: Texts
    labels: Texts = []
    heads: dict[str, Texts] = Field({}, max_length=100, description="multi-task: labels of its further heads, by task")
    directions: list[tuple[str, str]] = Field(
        [], max_length=1_000, description="translation: source and target languages, as BCP 47 tags"
    )
    description: str = ""
    parent: str | None = Field(None, description="name@version it started from")
    stack: list[str] = Field([], max_length=100, description="name@version of the frozen adapters it was trained on top of")
    created: str = Field(description="UTC date, ISO 8601")
    data: list[dict[str, Any]] = Field(max_length=1_000, description="file, rows, SHA-256 and licence of each source")
    metrics: dict[str, Any] = Field(description="test figures with 95% intervals, and the ladder of baselines")
    golden: list[Golden] = Field([], max_length=MOST_GOLDENS)
    golden_texts: list[GoldenText] = Field([], max_length=MOST_GOLDENS, description="translation: its goldens")
    golden_vectors: list[GoldenVector] = Field([], max_length=MOST_GOLDENS, description="a language adapter's goldens")
    files: dict[str, str] = Field(max_length=len(LAYOUT.names()), description="SHA-256 of each weight file")
    forced: str | None = Field(None, description="why it is served although transfer harmed it (see `guard`)")

    @model_validator(mode="after")
    def _complete(self) -> Manifest:
        needed: dict[str, dict[str, object]] = {
            "classification": {"labels": len(self.labels) > 1, "golden": self.golden},
            "translation": {"directions": self.directions, "golden_texts": self.golden_texts},
            "language": {"golden_vectors": self.golden_vectors},
        }
        missing = [name for name, there in needed[self.task].items() if not there]
        if missing:
            raise ValueError(f"{self.task}: {' and '.join(missing)} are needed")
        return self

    @property
    def named(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def version(self) -> str:
        """First 12 hex digits over the weight files' hashes: same weights, same version."""
        return hashlib.sha256("".join(self.files[n] for n in sorted(self.files)).encode()).hexdigest()[:12]

    @property
    def weight_files(self) -> list[str]:
        """The files that `files` has to name: PEFT's two, and the head of one that classifies."""
        return [name for name in HASHED if name != LAYOUT.head or self.task == "classification"]


def read(content: bytes) -> Manifest:
    """The manifest in the bytes of a `manifest.json`. Raises `AdapterError` that lists the first of its problems."""
    if len(content) > largest(LAYOUT.manifest):
        raise AdapterError(f"{LAYOUT.manifest} has {len(content):,} bytes, at most {largest(LAYOUT.manifest):,} are read")
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise _unreadable(problems_of(found)) from None
    if problems := list(_problems(manifest)):
        raise _unreadable(problems)
    return manifest


def unreadable(name: str) -> Manifest:
    """What stands for the manifest of an adapter that cannot be read, when all that matters is which one it was."""
    return Manifest.model_construct(
        name=name, backbone="", languages=[], created="", data=[], metrics={}, files={}, description="its manifest is broken"
    )


def _unreadable(problems: Sequence[str]) -> AdapterError:
    return AdapterError(f"{LAYOUT.manifest} cannot be read: {listed(problems)}; train the adapter again or copy it whole")


def _problems(manifest: Manifest) -> Iterator[str]:
    """What the fields say wrongly, alone or together."""
    if not NAME.fullmatch(manifest.name):
        yield f"name: {shortened(manifest.name)} is not an adapter name: a-z, 0-9, '.', '_' and '-', at most 64 characters"
    for name, text in (("backbone", manifest.backbone), ("created", manifest.created), ("parent", manifest.parent or "")):
        if len(text) > 200:
            yield f"{name}: has {len(text):,} characters, at most 200 make sense"
    yield from _language_problems(manifest)
    yield from _label_problems(manifest)
    yield from _golden_problems(manifest)
    yield from _file_problems(manifest)


def _language_problems(manifest: Manifest) -> Iterator[str]:
    if any(not language.strip() or len(language) > 64 for language in manifest.languages):
        yield "languages: each has 1 to 64 characters"
    if manifest.directions and manifest.task != "translation":
        yield f"directions: a {manifest.task} adapter has none"
    for code in dict.fromkeys(code for direction in manifest.directions for code in direction):
        if len(code) > 64 or not langcodes.tag_is_valid(code):
            yield f"directions: {shortened(code)} is not the code of a language (BCP 47, as in en, haw or zh-Hant)"
    if len(set(manifest.directions)) < len(manifest.directions):
        yield "directions: one is named twice"


def _label_problems(manifest: Manifest) -> Iterator[str]:
    if manifest.task != "classification" and (manifest.labels or manifest.heads):
        yield f"labels: a {manifest.task} adapter has none"
    for name, labels in {"labels": manifest.labels, **{f"heads.{h[:80]}": x for h, x in manifest.heads.items()}}.items():
        if len(set(labels)) < len(labels):
            yield f"{name}: one is named twice"
        if any(not label.strip() or len(label) > 256 for label in labels):
            yield f"{name}: each has 1 to 256 characters"
        if name != "labels" and len(labels) < 2:
            yield f"{name}: at least two labels are needed"
    for head in manifest.heads:
        if not NAME.fullmatch(head):
            yield f"heads: {shortened(head)} is not the name of a task"


def _golden_problems(manifest: Manifest) -> Iterator[str]:
    kinds: dict[str, tuple[str, Sequence[_Golden]]] = {
        "classification": ("golden", manifest.golden),
        "translation": ("golden_texts", manifest.golden_texts),
        "language": ("golden_vectors", manifest.golden_vectors),
    }
    field, mine = kinds[manifest.task]
    for task, (other, goldens) in kinds.items():
        if goldens and task != manifest.task:
            yield f"{other}: a {manifest.task} adapter has {field}"
    inputs = {(g.text, g.target if isinstance(g, GoldenText) else "") for g in mine}
    if len(inputs) < LEAST_GOLDENS:
        yield f"{field}: {LEAST_GOLDENS} to {MOST_GOLDENS} different ones are needed, these are {len(inputs)} of {len(mine)}"
    if any(not g.text.strip() or len(g.text) > MOST_CHARACTERS for g in mine):
        yield f"{field}: each text has 1 to {MOST_CHARACTERS:,} characters"
    wanted, hidden = len(manifest.labels), {len(g.vector) for g in manifest.golden_vectors}
    for i, golden in enumerate(mine):
        if isinstance(golden, Golden) and {len(golden.logits), len(golden.bare)} != {wanted}:
            yield f"{field}.{i}: {len(golden.logits)} logits and {len(golden.bare)} bare for {wanted} labels"
        if isinstance(golden, GoldenVector):
            yield from _vector_problems(f"{field}.{i}", golden, hidden)
        if isinstance(golden, GoldenText):
            yield from _text_problems(f"{field}.{i}", golden, manifest)


def _vector_problems(where: str, golden: GoldenVector, lengths: set[int]) -> Iterator[str]:
    if len(lengths) > 1 or len(golden.bare) != len(golden.vector) or not golden.vector:
        yield f"{where}: vectors of {len(golden.vector)} and {len(golden.bare)} values; all have the backbone's hidden size"
        return
    for name, values in (("vector", golden.vector), ("bare", golden.bare)):
        if not abs(sum(x * x for x in values) - 1) < 2 * UNIT:
            yield f"{where}.{name}: is not a unit vector"


def _text_problems(where: str, golden: GoldenText, manifest: Manifest) -> Iterator[str]:
    if golden.target not in {target for _, target in manifest.directions}:
        yield f"{where}: its target {shortened(golden.target)} is not one of the directions'"
    if max(len(golden.written), len(golden.bare)) > MOST_CHARACTERS:
        yield f"{where}: what was written has more than {MOST_CHARACTERS:,} characters"


def _file_problems(manifest: Manifest) -> Iterator[str]:
    for name in manifest.weight_files:
        if name not in manifest.files:
            yield f"files: the SHA-256 of {name} is missing"
    for name, digest in manifest.files.items():
        if name not in LAYOUT.names() or name == LAYOUT.manifest:
            yield f"files: {shortened(name)} is not a file of an adapter"
        if not SHA256.fullmatch(digest):
            yield f"files: {shortened(digest)} is not a SHA-256"
