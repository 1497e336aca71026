"""The blocks of README.md and docs/ are run, as a reader would run them, on a copy of the bundled
adapters.

Shell blocks: every line but those that `NOT_RUN` matches, in the order of the page. JSON that
follows a `curl` is what it answers; the lines of text that follows a shell block are among what it
prints. Python blocks run whole. Recipes pass `polygraft train --check`, on made-up data. That the
pages are well formed, and name what is there, is checked by `tests/unit/test_documentation.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from polygraft import Client
from polygraft.adapters.format import load_manifest

ADDRESS = "http://127.0.0.1:3000"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(
    r"^(make |bentoml |\.venv/bin/python -m pip |POLYGRAFT_BACKBONE="
    r"|(\.venv/bin/)?polygraft (serve|pretrain|measure|study|backbone import|adapters import) )"
)
"""Install, serve, take hours or a model from the Hub: what the first blocks of README.md do is done
by the fixture."""
PAGES = (
    "README.md",
    "docs/first-hour.md",
    "docs/api.md",
    "docs/training.md",
    "docs/transfer.md",
    "docs/operations.md",
    "docs/backbone.md",
)
PRELUDE = f"""
set -euo pipefail
polygraft() {{
  case "$1" in
    adapters|route|promote|rollback|history|compare) set -- "$@" --server "$SERVER" ;;
  esac
  if [ "$1" = doctor ]; then set -- "$@" --port "$FREE_PORT"; fi
  {sys.executable} -m polygraft.cli "$@"
}}
"""
WORDS = (
    *("river", "stone", "market", "yellow", "garden", "window", "paper", "orange"),
    *("silver", "mountain", "bottle", "winter", "summer", "coffee", "letter", "number"),
)


def blocks(root: Path, page: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    return FENCE.findall((root / page).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def checkout(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader's commands touch: a folder with the bundled adapters in it."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        root / "adapters", folder / "adapters", ignore=shutil.ignore_patterns(".*", "study")
    )
    (folder / "docs").mkdir()
    shutil.copy(root / "docs" / "first-hour.csv", folder / "docs")
    return folder


@pytest.fixture(scope="module")
def url(serve: Any, checkout: Path) -> str:
    return serve(["polygraft.cli", "serve"], POLYGRAFT_LIBRARY=str(checkout / "adapters"))


def run(command: list[str], checkout: Path, url: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("POLYGRAFT_")}
    environment |= {"SERVER": url, "POLYGRAFT_LIBRARY": str(checkout / "adapters")}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        environment["FREE_PORT"] = str(probe.getsockname()[1])
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


def run_shell(text: str, checkout: Path, url: str) -> subprocess.CompletedProcess[str]:
    """The lines of a block, and what they print."""
    lines = [line for line in text.splitlines() if not NOT_RUN.match(line)]
    script = "\n".join(lines).replace(".venv/bin/polygraft", "polygraft").replace(ADDRESS, url)
    return run(["bash", "-c", PRELUDE + script], checkout, url)


def assert_alike(shown: Any, given: Any) -> None:
    """Equal, numbers to within 0.02."""
    if isinstance(shown, dict):
        assert list(shown) == list(given)
        for key in shown:
            assert_alike(shown[key], given[key])
    elif isinstance(shown, list):
        assert len(shown) == len(given)
        for one, other in zip(shown, given, strict=True):
            assert_alike(one, other)
    else:
        assert given == (pytest.approx(shown, abs=0.02) if isinstance(shown, float) else shown)


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_the_shell_and_python_blocks_of(page: str, root: Path, checkout: Path, url: str) -> None:
    printed, noted, lines, before = "", "", [], ""
    for language, text in blocks(root, page):
        if language == "sh":
            done = run_shell(text, checkout, url)
            printed, noted = done.stdout, done.stderr
            if "curl " in text:
                assert '"error"' not in printed, printed
        elif language == "json" and printed:
            assert_alike(json.loads(text), json.loads(printed))
        elif language == "text" and before == "sh":
            assert not [line for line in text.splitlines() if line not in printed + noted], noted
        elif language == "python":
            done = run([sys.executable, "-c", text.replace(ADDRESS, url)], checkout, url)
            lines = done.stdout.splitlines()
        before = language
    if page == "README.md":
        assert [line.split()[0] for line in lines] == ["spam", "ham"], "the Python block"
        assert [result["label"] for result in json.loads(printed)["results"]] == [
            *("computers", "travel"),
        ], "the reader's own adapter"
        check_that_adding_takes_a_second(checkout, url)
    if page == "docs/first-hour.md":
        answers = json.loads(printed[printed.index('{"results"') :])["results"]
        assert [result["label"] for result in answers] == ["computers", "travel"]
        ladder = load_manifest(checkout / "adapters" / "questions-fr").metrics["ladder"]
        text = (root / page).read_text(encoding="utf-8")
        told = re.search(r"TF-IDF\s+has ([\d.]+), the head ([\d.]+), the adapter ([\d.]+)", text)
        assert told, "the figures are not found: the test is void"
        measured = [ladder[name]["macro_f1"]["value"] for name in ("tfidf", "head", "adapter")]
        assert measured == pytest.approx([float(figure) for figure in told.groups()], abs=3)


def check_that_adding_takes_a_second(checkout: Path, url: str) -> None:
    """The adapter that README.md trains is taken away, added again, and answers at once."""
    with Client(url) as client:
        client.remove("questions-mine")
        started = time.perf_counter()
        client.add(checkout / "adapters" / "questions-mine")
        assert [
            r.label for r in client.classify("questions-mine", ["El wifi se corta cada noche"])
        ] == ["computers"]
        print(f"added and answering in {time.perf_counter() - started:.2f} s")


def test_every_page_with_blocks_to_run_is_run(root: Path) -> None:
    pages = {
        str(file.relative_to(root)) for file in [root / "README.md", *(root / "docs").rglob("*.md")]
    }
    assert {
        page
        for page in pages
        if any(language in ("sh", "python") for language, _ in blocks(root, page))
    } <= set(PAGES)


@pytest.mark.long
@pytest.mark.parametrize("page", ["docs/training.md", "docs/transfer.md"])
def test_the_recipes_of(page: str, root: Path, checkout: Path) -> None:
    recipes = [text for language, text in blocks(root, page) if language == "yaml"]
    assert recipes
    for number, text in enumerate(recipes):
        folder = checkout / "adapters" / f"recipe-{Path(page).stem}-{number}"
        folder.mkdir()
        recipe = folder / "recipe.yaml"
        recipe.write_text(text, encoding="utf-8")
        make_up_data(yaml.safe_load(text), text, folder)
        run([sys.executable, "-m", "polygraft.cli", "train", str(recipe), "--check"], checkout, "")
        shutil.rmtree(folder)


def make_up_data(recipe: dict[str, Any], text: str, folder: Path) -> None:
    """Every file that the recipe names, with 60 rows (of text without labels 1,300) that no other
    file has."""
    columns = (recipe["data"].get("text", "text"), recipe["data"].get("label", "label"))
    for shift, name in enumerate(sorted(set(re.findall(r"[\w-]+\.(?:csv|tsv|txt|conll)", text)))):
        sentences = [
            " ".join(
                WORDS[(shift * 7 + row * place + row // 16 + place * place) % 16]
                for place in range(1, 9)
            )
            + f" {name} {row}"
            for row in range(1_300 if name.endswith(".txt") else 60)
        ]
        if name.endswith(".csv"):
            lines = [
                ",".join(columns),
                *(f"{s},{('ham', 'spam')[row % 2]}" for row, s in enumerate(sentences)),
            ]
        elif name.endswith(".conll"):
            lines = [
                line
                for s in sentences
                for line in (*(f"{word}\t{('O', 'B-X')[len(word) % 2]}" for word in s.split()), "")
            ]
        elif name.endswith(".tsv"):
            lines = [f"{s}\t{s[::-1]}" for s in sentences]
        else:
            lines = sentences
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_routes_of_the_api_page_are_there(root: Path, url: str) -> None:
    named = re.findall(
        r"`(GET|POST|DELETE) (/[^`]*)`", (root / "docs" / "api.md").read_text(encoding="utf-8")
    )
    assert len(named) > 8, "the routes are not found: the test is void"
    described = httpx.get(f"{url}/openapi.json").json()["paths"]
    missing = [
        (method, path) for method, path in named if method.lower() not in described.get(path, {})
    ]
    assert not [
        route
        for route in missing
        if route[0] != "GET" or httpx.get(url + route[1]).status_code != 200
    ]
