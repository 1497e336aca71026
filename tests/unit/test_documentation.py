"""What the documentation names is there: commands, options, links, figures, and what is bundled.
Its blocks are well formed.

`tests/e2e/test_documentation_runs.py` runs them.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.folder import BUNDLED, BackboneFiles
from polygraft.cli import app
from polygraft.reporting.figures import judged, show

SPANS = re.compile(
    r"`polygraft ([^`]*)`|^\s*(?:\$ )?(?:\.venv/bin/)?polygraft ([^\n]*)$", re.MULTILINE
)
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMANDS = typer.main.get_command(app)


class Block(NamedTuple):
    """A fenced block of a page, `file` from the root."""

    file: str
    language: str
    text: str


def pages(root: Path) -> list[Path]:
    """README.md and what is under docs/."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def blocks(root: Path) -> list[Block]:
    """All fenced blocks, page by page, from the top of each."""
    return [
        Block(str(page.relative_to(root)), language, text)
        for page in pages(root)
        for language, text in FENCE.findall(page.read_text(encoding="utf-8"))
    ]


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub gives the headings of a page."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, root: Path) -> list[str]:
    """The targets in `page` that lead to no file of the repository, or to no heading of a page."""
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        outside = not file.is_relative_to(root)
        if outside or not file.exists() or (fragment and fragment not in anchors(file)):
            broken.append(target)
    return broken


def documented(root: Path) -> dict[str, str]:
    """Each command line, as it stands in a docstring or a page, and the file that names it."""
    files = [
        *root.glob("*.md"),
        *root.glob("docs/**/*.md"),
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
    absent = [
        word for word in named if re.fullmatch(r"--[a-z][a-z-]*", word) and word not in options
    ]
    return f"{command.name} has no {absent[0]}" if absent else None


def bundled(root: Path) -> set[str]:
    """The adapters that the repository holds; one that its user has trained in the same folder is
    none of them."""
    tracked = subprocess.run(
        ["git", "ls-files", "adapters/*/manifest.json"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    return {Path(file).parent.name for file in tracked} or set(Library(root / "adapters").names())


def test_every_documented_command_and_option_is_there(root: Path) -> None:
    """Issue 15: `recipe.py` named an option `--schema`, which there is none."""
    lines = documented(root)
    assert len(lines) > 20, "the documentation's commands are not found: the test is void"
    problems = {
        f"{file}: polygraft {line}": said
        for line, file in lines.items()
        if (said := problem_of(line))
    }
    assert not problems


def test_the_readme_is_short(root: Path) -> None:
    assert (root / "README.md").stat().st_size < 6_000


def test_links_lead_somewhere(root: Path) -> None:
    broken = {
        str(page.relative_to(root)): targets
        for page in pages(root)
        if (targets := broken_links(page, root))
    }
    assert not broken


def test_every_page_can_be_reached_from_the_readme(root: Path) -> None:
    reached: set[Path] = set()
    ahead = [root / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page not in pages(root):
            continue
        reached.add(page)
        targets = LINK.findall(page.read_text(encoding="utf-8"))
        ahead += [
            (page.parent / target.partition("#")[0]).resolve()
            for target in targets
            if "://" not in target
        ]
    assert {page for page in pages(root) if page.name != "README.md"} <= reached


def test_lines_of_prose_are_140_columns_at_most(root: Path) -> None:
    long = [
        f"{page.relative_to(root)}:{number}"
        for page in pages(root)
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 140 and not line.startswith(("|", "![", "curl ", " {"))
    ]
    assert not long


def test_blocks_are_well_formed(root: Path) -> None:
    """Each has a language, and can be read in it. What they do is tried in `tests/e2e`."""
    found = blocks(root)
    assert {"sh", "json", "yaml", "python"} <= {block.language for block in found}
    for block in found:
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "python":
            ast.parse(block.text)
        elif block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict), block
        elif block.language == "sh":
            checked = subprocess.run(
                ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
            )
            assert checked.returncode == 0, f"{block.file}: {checked.stderr}"
        else:
            assert block.language in ("text", "mermaid"), block


def test_no_page_names_a_module(root: Path) -> None:
    """docs/architecture.md alone tells where things lie in the package."""
    for page in pages(root):
        if page.name != "architecture.md":
            assert not re.findall(
                r"polygraft/\w+(?:/\w+)*\.py|polygraft\.[a-z]\w*\.",
                page.read_text(encoding="utf-8"),
            ), page


def test_the_programs_the_pages_name_are_there(root: Path) -> None:
    named = {
        name
        for page in pages(root)
        for name in re.findall(r"tests/\w+/\w+\.py", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 5, "the programs are not found: the test is void"
    assert not [name for name in sorted(named) if not (root / name).is_file()]


def test_the_table_of_adapters_is_what_report_prints(root: Path, tmp_path: Path) -> None:
    for name in bundled(root):
        (tmp_path / name).symlink_to(root / "adapters" / name)
    printed = CliRunner().invoke(app, ["report", "--library", str(tmp_path)])
    assert printed.exit_code == 0, printed.output
    assert printed.stdout == (root / "adapters" / "README.md").read_text(encoding="utf-8")


def test_the_short_tables_of_transfer_have_the_studys_figures(root: Path) -> None:
    """Each cell of a target's row stands in a row of that target in what `polygraft study`
    wrote."""
    study: dict[str, str] = {}
    for line in (
        (root / "adapters" / "study" / "README.md").read_text(encoding="utf-8").splitlines()
    ):
        target = line.split("|")[1].strip() if line.startswith("| ") else ""
        study[target] = study.get(target, "") + line
    checked = 0
    for line in (
        (root / "docs" / "results" / "transfer.md").read_text(encoding="utf-8").splitlines()
    ):
        target, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if "/" in target and target in study:
            figures = [figure for cell in cells for figure in cell.split(": ")]
            assert not [figure for figure in figures if figure not in study[target]], line
            checked += 1
    assert checked == 21 + 21 + 9


def test_the_samples_figures_are_those_of_its_manifest(root: Path) -> None:
    metrics = load_manifest(root / "adapters" / "questions-es").metrics
    figures = {name: figure["macro_f1"] for name, figure in metrics["ladder"].items()}
    readme = (root / "README.md").read_text(encoding="utf-8")
    for name in ("tfidf", "head", "adapter"):
        assert f"{figures[name]['value']:.1f}" in readme, name
    page = (root / "docs" / "results" / "transfer.md").read_text(encoding="utf-8")
    for name in ("majority", "tfidf", "head", "lexical", "target_only", "adapter"):
        assert f"| {show(figures[name])} |" in page, name
    assert judged(metrics["gain_from_transfer"]) in page


def test_the_changelog_says_what_is_bundled(root: Path) -> None:
    """Issue 15: it said that the bundled backbone had no decoder, and named 5 of 21 adapters."""
    entries = " ".join((root / "CHANGELOG.md").read_text(encoding="utf-8").split()).split(" - ")
    (decoder,) = (
        entry for entry in entries if "a decoder with its own lossless vocabulary" in entry
    )
    has_one = BackboneFiles(BUNDLED).decoder_tokenizer.is_file()
    assert decoder.endswith(
        "The bundled backbone has one." if has_one else "The bundled backbone does not have it yet."
    )
    (entry,) = (entry for entry in entries if entry.startswith("Bundled:"))
    assert bundled(root) <= set(re.findall(r"[a-z][a-z-]+", entry))


def test_bundled_adapters_cards_and_examples_name_versions_that_are_there(root: Path) -> None:
    library = Library(root / "adapters")
    manifests = {name: load_manifest(library.folder(name)) for name in bundled(root)}
    there = {manifest.named for manifest in manifests.values()}
    for name, manifest in manifests.items():
        assert {*([manifest.parent] if manifest.parent else []), *manifest.stack} <= there, name
        card = (library.folder(name) / LAYOUT.card).read_text(encoding="utf-8")
        assert f"version `{manifest.version}`" in card
        assert set(re.findall(r"[a-z][a-z-]*@[0-9a-f]{12}", card)) <= there, name
    examples = [
        example
        for page in pages(root)
        for example in re.findall(
            r'"adapter": "([a-z-]+)", "version": "([0-9a-f]{12})"', page.read_text(encoding="utf-8")
        )
    ]
    assert examples, "the example is not found: the test is void"
    assert {f"{name}@{version}" for name, version in examples} <= there


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("recipe --schema", "recipe has no --schema"),
        ("tarin x", "there is no command tarin"),
        ("train FILE --check", None),
        ("adapters add|remove", None),
        ("adapters add|burn X", "there is no command burn"),
    ],
)
def test_what_the_test_finds(line: str, says: str | None) -> None:
    assert problem_of(line) == says


def test_which_links_the_test_finds_broken(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title, 1\n[a](#a-title-1) [b](#no) [c](page.md) [d](none.md) [e](https://x.org) "
        "[f](../out)\n"
    )
    assert broken_links(page, tmp_path) == ["#no", "none.md", "../out"]
