"""What is published holds no path of the machine it was made on (issue 15: every bundled
`adapter_config.json` did)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from polygraft.architectures.folder import BackboneFiles, fingerprint


def test_no_committed_file_holds_a_path_of_a_machine(
    root: Path, machine_paths: Callable[[bytes], set[str]]
) -> None:
    """Weights and graphs too, as bytes."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=False)
    if listed.returncode or not (root / ".git").exists():
        pytest.skip("this is no git checkout: which files are committed is not known")
    files = [root / name.decode() for name in listed.stdout.split(b"\0") if name]
    assert len(files) > 200, "the files are not found: the test is void"
    found = {
        str(file.relative_to(root)): paths
        for file in files
        if file.is_file() and (paths := machine_paths(file.read_bytes()))
    }
    assert not found


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ('"at": "~home~ann~x"', ["~home~ann"]),
        ("(~root~.cache~y)", ["~root~.cache"]),
        ("\0~tmp~abc123\0", ["~tmp~abc123"]),
        ("C:\\-Users\\-ann", ["C:\\-Users\\-ann"]),
        ("D:\\\\-Users\\\\-ann", ["D:\\\\-Users\\\\-ann"]),
        ("~work~main, ~work~main~x", ["~work~main"]),
        ("https:~~a.example~home~page .~tmp~x ${HERE}~work~x a~root~b ~path~to~x ~home~you~x", []),
    ],
)
def test_what_is_taken_for_a_path_of_a_machine(
    text: str, paths: list[str], machine_paths: Callable[[bytes], set[str]]
) -> None:
    """Written with `~` for a slash, and `-` in what is Windows', so that this file does not hold
    what is looked for."""

    def plain(written: str) -> str:
        return written.replace("~", "/").replace("\\-", "\\")

    assert machine_paths(plain(text).encode()) == set(map(plain, paths))


def test_a_backbone_is_the_same_wherever_its_encoder_was_loaded_from(
    writing_backbone: Path, tmp_path: Path, machine_paths: Callable[[bytes], set[str]]
) -> None:
    """Issue 15: the bundled backbone's config held a path too, and the fingerprint counted it."""
    written = BackboneFiles(writing_backbone).config
    assert machine_paths(written.read_bytes()) == set(), "pretraining writes none"
    moved = BackboneFiles(tmp_path / "moved")
    moved.folder.mkdir()
    for file in (
        written,
        *writing_backbone.glob("*.safetensors"),
        *writing_backbone.glob("*tokenizer*.json"),
    ):
        shutil.copy(file, moved.folder)
    config = json.loads(moved.config.read_text(encoding="utf-8"))
    config["encoder"]["_name_or_path"] = "somewhere/else"
    moved.config.write_text(json.dumps(config), encoding="utf-8")
    assert fingerprint(moved.folder) == fingerprint(writing_backbone)
    config["encoder"]["hidden_act"] = "relu"
    moved.config.write_text(json.dumps(config), encoding="utf-8")
    assert fingerprint(moved.folder) != fingerprint(writing_backbone)


def test_a_backbone_is_called_by_its_recipe_or_its_folder(tmp_path: Path) -> None:
    files = BackboneFiles(tmp_path / "some-backbone")
    files.folder.mkdir()
    assert files.name == "some-backbone"
    for recipe, name in (
        ("name: polygraft-mini\n", "polygraft-mini"),
        ("a: [\n", "some-backbone"),
        ("- x\n", "some-backbone"),
    ):
        (files.folder / "recipe.yaml").write_text(recipe)
        assert files.name == name
