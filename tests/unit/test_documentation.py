"""What the documentation names is there: commands, options, and what is bundled."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.folder import BUNDLED, BackboneFiles
from polygraft.cli import app

SPANS = re.compile(r"`polygraft ([^`]*)`|^\s*(?:\$ )?polygraft ([^\n]*)$", re.MULTILINE)
COMMANDS = typer.main.get_command(app)


def documented(root: Path) -> dict[str, str]:
    """Each command line, as it stands in a docstring or a page, and the file that names it."""
    files = [
        *root.glob("*.md"),
        *(root / "platform").rglob("*.py"),
        *(root / "platform").rglob("*.md"),
        *root.glob("deploy/**/*.md"),
    ]
    found = {}
    for file in files:
        for quoted, line in SPANS.findall(file.read_text(encoding="utf-8")):
            found[" ".join((quoted or line).split())] = str(file.relative_to(root))
    return found


def problem_of(line: str) -> str | None:
    """What is wrong with the documented `polygraft LINE`."""
    words = line.split(" #")[0].split()
    command: Any = COMMANDS
    while hasattr(command, "commands") and words and re.fullmatch(r"[a-z][a-z|-]*", words[0]):
        names = words.pop(0).split("|")
        unknown = [name for name in names if name not in command.commands]
        if unknown:
            return f"there is no command {unknown[0]}"
        command = command.commands[names[0]]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    named = [word.strip("[],.();:'").split("=")[0] for word in words]
    absent = [word for word in named if re.fullmatch(r"--[a-z][a-z-]*", word) and word not in options]
    return f"{command.name} has no {absent[0]}" if absent else None


def test_every_documented_command_and_option_is_there(root: Path) -> None:
    """Issue 15: `recipe.py` named an option `--schema`, which there is none."""
    lines = documented(root)
    assert len(lines) > 20, "the documentation's commands are not found: the test is void"
    problems = {f"{file}: polygraft {line}": said for line, file in lines.items() if (said := problem_of(line))}
    assert not problems


def test_the_changelog_says_what_is_bundled(root: Path) -> None:
    """Issue 15: it said that the bundled backbone had no decoder, and named 5 of 21 adapters."""
    entries = " ".join((root / "CHANGELOG.md").read_text(encoding="utf-8").split()).split(" - ")
    (decoder,) = (entry for entry in entries if "a decoder with its own lossless vocabulary" in entry)
    has_one = BackboneFiles(BUNDLED).decoder_tokenizer.is_file()
    assert decoder.endswith("The bundled backbone has one." if has_one else "The bundled backbone does not have it yet.")
    (bundled,) = (entry for entry in entries if entry.startswith("Bundled:"))
    named = set(re.findall(r"[a-z][a-z-]+", bundled))
    assert set(Library(root / "adapters").names()) <= named


def test_bundled_adapters_cards_and_examples_name_versions_that_are_there(root: Path) -> None:
    library = Library(root / "adapters")
    manifests = {name: load_manifest(library.folder(name)) for name in library.names()}
    there = {manifest.named for manifest in manifests.values()}
    for name, manifest in manifests.items():
        assert {*([manifest.parent] if manifest.parent else []), *manifest.stack} <= there, name
        card = (library.folder(name) / LAYOUT.card).read_text(encoding="utf-8")
        assert f"version `{manifest.version}`" in card
        assert set(re.findall(r"[a-z][a-z-]*@[0-9a-f]{12}", card)) <= there, name
    readme = (root / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r'"adapter": "([a-z-]+)", "version": "([0-9a-f]{12})"', readme)
    assert examples, "the example is not found: the test is void"
    assert {f"{name}@{version}" for name, version in examples} <= there


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("recipe --schema", "recipe has no --schema"), ("tarin x", "there is no command tarin"), ("train FILE --check", None),
        ("adapters add|remove", None), ("adapters add|burn X", "there is no command burn"),
    ],
)  # fmt: skip
def test_what_the_test_finds(line: str, says: str | None) -> None:
    assert problem_of(line) == says
