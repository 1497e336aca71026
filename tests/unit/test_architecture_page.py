"""docs/architecture.md names files and classes that are there."""

from __future__ import annotations

import re
from pathlib import Path

from polygraft.tasks import registry

BEFORE = re.compile(r"`([\w.]+)`(?: \(|, )`([a-z_/]+/[a-z_]+\.py)`\)")
FILE = re.compile(r"`((?:[a-z_]+/|<task>/)*[a-z_<>]+\.py)`")


def page(root: Path) -> str:
    return (root / "docs" / "architecture.md").read_text(encoding="utf-8")


def with_tasks(name: str) -> list[str]:
    """The name, once a task where it stands for all of them."""
    return [name.replace("<task>", task) for task in registry.TASKS if "<task>" in name] or [name]


def test_every_file_it_names_is_there(root: Path) -> None:
    package = root / "platform" / "polygraft"
    named = {name for name in FILE.findall(page(root)) if "/" in name}
    assert len(named) > 30, "the files are not found: the test is void"
    missing = {
        name
        for name in named
        if not any((base / path).is_file() for path in with_tasks(name) for base in (package, root))
    }
    assert missing == set()


def test_every_name_it_puts_beside_a_file_is_in_that_file(root: Path) -> None:
    """As in: `serve/rows.py` (`read_row`), or: `Engine.submit` (`runtime/engine.py`)."""
    text = page(root)
    pairs = re.findall(r"`([a-z_/]+/[a-z_]+\.py)` \(`(\w+)`\)", text)
    pairs += [(file, name) for name, file in BEFORE.findall(text)]
    assert len(pairs) > 6, "the names are not found: the test is void"
    for file, name in pairs:
        source = (root / "platform" / "polygraft" / file).read_text(encoding="utf-8")
        missing = [p for p in name.split(".") if not re.search(rf"(class|def) {p}\b", source)]
        assert not missing, f"{name} is not in {file}"
