"""Malformed adapters (issue 15, defects 3 and 14): each is an `AdapterError` that names what is
wrong, says it shortly and shows no path of the machine. Before, most of these were another
exception, or were accepted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from polygraft.adapters.format import LAYOUT, load_adapter, load_manifest
from polygraft.errors import AdapterError

Edit = Callable[..., None]
DEEP = "[" * 100_000 + "]" * 100_000
SHA = "0" * 64


@pytest.fixture
def folder(tmp_path: Path, root: Path) -> Path:
    return Path(shutil.copytree(root / "adapters" / "spam-en", tmp_path / "spam"))


def refused(folder: Path) -> str:
    with pytest.raises(AdapterError) as caught:
        load_adapter(folder)
    message = str(caught.value)
    assert str(folder.parent) not in message
    assert len(message) < 2_500
    return message


def golden(text: str = "a", **changes: Any) -> dict[str, Any]:
    return {"text": text, "logits": [0.0, 1.0], "bare": [1.0, 0.0]} | changes


def goldens(**changes: Any) -> list[dict[str, Any]]:
    return [golden("a"), golden("b"), golden(**({"text": "c"} | changes))]


UNIT = [1.0] + [0.0] * 31
VECTORS = [{"text": t, "vector": UNIT, "bare": UNIT} for t in "abc"]
NO_CLASSIFIER: dict[str, Any] = {
    "labels": [],
    "golden": [],
    "lexical": [],
    "window": [],
    "decide": [],
}
LANGUAGE = NO_CLASSIFIER | {"task": "language", "golden_vectors": VECTORS}
TEXTS = [{"text": t, "target": "yo", "written": "x", "bare": "y"} for t in "abc"]
TRANSLATION = NO_CLASSIFIER | {
    "task": "translation",
    "directions": [["en", "yo"]],
    "golden_texts": TEXTS,
}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"golden": goldens(logits=[0.0])}, "golden.2: 1 logits and 2 bare for 2 labels"),
        ({"golden": goldens(bare=[0.0] * 3)}, "golden.2: 2 logits and 3 bare for 2 labels"),
        ({"golden": goldens(logits=[])}, "golden.2: 0 logits"),
        (
            {"golden": goldens(logits=[0.0, float("nan")])},
            "golden.2.logits.1: Input should be a finite number",
        ),
        (
            {"golden": goldens(logits=[0.0, 1e999])},
            "golden.2.logits.1: Input should be a finite number",
        ),
        ({"golden": goldens(logits=None)}, "golden.2.logits"),
        ({"golden": goldens(text=" ")}, "each text has 1 to 1,000 characters"),
        ({"golden": goldens(text="x" * 1001)}, "each text has 1 to 1,000 characters"),
        ({"golden": goldens(text="a")}, "different ones are needed, these are 2 of 3"),
        ({"golden": goldens()[:2]}, "3 to 16 different ones are needed, these are 2 of 2"),
        (
            {"golden": [golden(str(i)) for i in range(17)]},
            "golden: List should have at most 16 items",
        ),
        ({"golden_vectors": VECTORS}, "golden_vectors: a classification adapter has no such field"),
        ({"labels": ["ham", "ham"]}, "labels: one is named twice"),
        ({"labels": ["ham", ""]}, "labels: each has 1 to 256 characters"),
        ({"heads": {"mood": ["one"]}}, "heads.mood: at least two labels"),
        ({"heads": {"../x": ["a", "b"]}}, "'../x' is not the name of a task"),
        ({"directions": [["en", "yo"]]}, "directions: a classification adapter has no such field"),
        ({"name": "../../evil"}, "'../../evil' is not an adapter name"),
        ({"name": "x" * 1_000_000}, "is not an adapter name"),
        ({"files": {}}, "the SHA-256 of adapter_model.safetensors is missing"),
        ({"metrics": []}, "metrics: Input should be an object"),
        ({"backbone": "b" * 1_000_000}, "backbone: has 1,000,000 characters"),
        (TRANSLATION | {"directions": [["!! ??", "yo"]]}, "'!! ??' is not the code of a language"),
        (
            TRANSLATION | {"directions": [["en", "y" * 100_000], ["en", "yo"]]},
            "is not the code of a language",
        ),
        (TRANSLATION | {"directions": [["en", "yo"]] * 2}, "directions: one is named twice"),
        (
            TRANSLATION | {"directions": [["yo", "en"]]},
            "its target 'yo' is not one of the directions'",
        ),
        (TRANSLATION | {"labels": ["a", "b"]}, "labels: a translation adapter has no such field"),
        (
            LANGUAGE | {"golden_vectors": [*VECTORS[:2], VECTORS[2] | {"vector": UNIT[:9]}]},
            "all have the backbone's hidden",
        ),
        (
            LANGUAGE | {"golden_vectors": [*VECTORS[:2], VECTORS[2] | {"bare": []}]},
            "all have the backbone's hidden",
        ),
        (
            LANGUAGE | {"golden_vectors": [*VECTORS[:2], VECTORS[2] | {"bare": [0.0] * 32}]},
            "bare: is not a unit vector",
        ),
        (
            LANGUAGE | {"golden_vectors": [*VECTORS[:2], VECTORS[2] | {"bare": [1e300] * 32}]},
            "bare: is not a unit vector",
        ),
    ],
)
def test_manifests(folder: Path, edit_manifest: Edit, changes: dict[str, Any], wanted: str) -> None:
    edit_manifest(folder, **changes)
    assert wanted in refused(folder)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "/nowhere",
        "../spam/recipe.yaml",
        "manifest.json",
        "x" * 100_000,
        ".",
        "",
    ],
)
def test_files_of_a_manifest_are_those_of_the_layout(
    folder: Path, edit_manifest: Edit, name: str
) -> None:
    """Before, the answer told whether the file exists; now both are told the same, and nothing is
    opened."""
    edit_manifest(folder)
    manifest = json.loads((folder / LAYOUT.manifest).read_text())
    manifest["files"][name] = SHA
    (folder / LAYOUT.manifest).write_text(json.dumps(manifest))
    assert "is not a file of an adapter" in refused(folder)


def test_every_weight_file_is_named(folder: Path, edit_manifest: Edit) -> None:
    """Before, a head that `files` left out was read without its hash being compared."""
    edit_manifest(folder)
    manifest = json.loads((folder / LAYOUT.manifest).read_text())
    head = manifest["files"].pop(LAYOUT.head)
    (folder / LAYOUT.manifest).write_text(json.dumps(manifest))
    assert "the SHA-256 of head.safetensors is missing" in refused(folder)
    manifest["files"] |= {LAYOUT.head: head[:-1] + "g"}
    (folder / LAYOUT.manifest).write_text(json.dumps(manifest))
    assert "is not a SHA-256" in refused(folder)
    manifest |= LANGUAGE | {
        "files": {k: v for k, v in manifest["files"].items() if k != LAYOUT.head}
    }
    (folder / LAYOUT.manifest).write_text(json.dumps(manifest))
    assert "holds head.safetensors, which its manifest does not name" in refused(folder)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        DEEP,
        '{"name": "\\ud800"}',
        "\udcff",
        '{"format": ' + "9" * 5000 + "}",
    ],
)
def test_a_manifest_that_is_none(folder: Path, content: str) -> None:
    (folder / LAYOUT.manifest).write_bytes(content.encode(errors="surrogateescape"))
    assert "manifest.json cannot be read" in refused(folder)


def test_a_million_problems_are_counted_not_told(folder: Path, edit_manifest: Edit) -> None:
    """Defect 14: a manifest with a million bad goldens made an error of 110 MB."""
    edit_manifest(folder, golden=[{}] * 1_000_000)
    assert "at most 16 items" in refused(folder)
    edit_manifest(folder, golden=goldens(), **{f"key_{i}": 1 for i in range(20_000)})
    assert refused(folder).count("no such field") == 5
    assert "and 19,995 more" in refused(folder)
    (folder / LAYOUT.manifest).write_bytes(b" " * (16 * 2**20 + 1))
    assert "more than 16,777,216 bytes" in refused(folder)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "an object"),
        ("null", "an object"),
        (DEEP, "recursion"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"lora_alpha": "16"}, "lora_alpha"),
        ({"lora_alpha": float("nan")}, "lora_alpha"),
        ({"lora_alpha": True}, "lora_alpha"),
        ({"lora_alpha": 0}, "greater than 0"),
        ({"lora_alpha": 1e30}, "alpha/r is 6.25e+28"),
        ({"lora_alpha": 10**400}, "lora_alpha"),
        ({"r": 0}, "r: Input should be greater"),
        ({"r": "4"}, "r: Input should"),
        ({"r": None}, "r: Input should"),
        ({"r": 8}, "has LoRA of rank 16, its adapter_config.json says 8"),
        ({"peft_type": "IA3"}, "not plain LoRA"),
        ({"peft_type": "I" * 100_000}, "not plain LoRA"),
        ({"bias": "all"}, "not plain LoRA"),
        ({"use_rslora": True}, "use_rslora"),
        ("x" * (2**20 + 1), "more than 1,048,576 bytes"),
    ],
)
def test_configurations(
    folder: Path, edit_manifest: Edit, content: str | dict[str, Any], wanted: str
) -> None:
    file = folder / LAYOUT.peft_config
    text = (
        json.dumps(json.loads(file.read_text()) | content) if isinstance(content, dict) else content
    )
    file.write_text(text)
    edit_manifest(folder)
    assert wanted in refused(folder)


def first(tensors: dict[str, Any], part: str) -> str:
    return next(key for key in tensors if f"lora_{part}" in key)


def change(part: str, how: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def changed(tensors: dict[str, Any]) -> None:
        key = first(tensors, part)
        tensors[key] = np.ascontiguousarray(how(tensors[key]))

    return changed


@pytest.mark.parametrize(
    ("spoil", "wanted"),
    [
        (change("A", lambda a: a.astype(np.int64)), "is of type int64"),
        (change("B", lambda b: b > 0), "is of type bool"),
        (change("A", lambda a: a.ravel()), "missing or disagree"),
        (change("B", lambda b: b[None]), "missing or disagree"),
        (change("A", lambda a: a[:2]), "missing or disagree"),
        (change("A", lambda a: a[:0]), "missing or disagree"),
        (change("B", lambda b: b[:0]), "missing or disagree"),
        (change("A", lambda a: a * np.float32(1e7)), "values beyond 10000"),
        (change("A", lambda a: np.full(a.shape, 1e300)), "values beyond 10000"),
        (change("B", lambda b: np.full_like(b, 9_000)), "times alpha/r is beyond 10000"),
        (change("A", lambda a: a * np.nan), "NaN or infinity"),
        (lambda t: t.pop(first(t, "A")), "missing or disagree"),
        (lambda t: t.update({"x" * 100_000: np.ones(2, np.float32)}), "which is not plain LoRA"),
    ],
)
def test_weights(
    folder: Path, edit_manifest: Edit, spoil: Callable[[dict[str, Any]], None], wanted: str
) -> None:
    tensors = load_file(folder / LAYOUT.weights)
    spoil(tensors)
    save_file(tensors, folder / LAYOUT.weights)
    edit_manifest(folder)
    assert wanted in refused(folder)


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_precisions_are_read(folder: Path, edit_manifest: Edit, kind: type) -> None:
    save_file(
        {k: v.astype(kind) for k, v in load_file(folder / LAYOUT.weights).items()},
        folder / LAYOUT.weights,
    )
    edit_manifest(folder)
    assert {a.dtype.name for pair in load_adapter(folder).lora.values() for a in pair} == {
        "float32"
    }


@pytest.mark.parametrize(
    ("tensors", "wanted"),
    [
        ({"weight": np.ones(2), "bias": np.ones(2)}, "'bias' [2], 'weight' [2]"),
        ({"weight": np.ones((2, 32)), "bias": np.ones((2, 1))}, "does not fit its 2 labels"),
        ({"weight": np.ones((3, 32)), "bias": np.ones(3)}, "does not fit its 2 labels"),
        ({"weight": np.ones((2, 0)), "bias": np.ones(2)}, "does not fit its 2 labels"),
        ({"weight": np.array(1.0), "bias": np.array(1.0)}, "does not fit its 2 labels"),
        ({"bias": np.ones(2)}, "does not fit its 2 labels"),
        ({"x" * 50_000: np.ones(2)}, "does not fit its 2 labels"),
        ({"weight": np.full((2, 32), 1e5), "bias": np.ones(2)}, "values beyond 10000"),
    ],
)
def test_heads(folder: Path, edit_manifest: Edit, tensors: dict[str, Any], wanted: str) -> None:
    save_file({k: np.asarray(v, np.float32) for k, v in tensors.items()}, folder / LAYOUT.head)
    edit_manifest(folder)
    assert wanted in refused(folder)


def test_heads_of_further_tasks(folder: Path, edit_manifest: Edit) -> None:
    own = load_file(folder / LAYOUT.head)
    edit_manifest(folder, heads={"mood": ["bad", "good", "so-so"]})
    assert "wanted are mood.weight [3, hidden]" in refused(folder)
    for width, accepted in ((384, True), (16, False)):
        more = {"mood.weight": np.ones((3, width), np.float32), "mood.bias": np.ones(3, np.float32)}
        save_file(own | more, folder / LAYOUT.head)
        edit_manifest(folder)
        if accepted:
            assert load_adapter(folder).head.further.keys() == {"mood"}
        else:
            assert "its heads read [16, 384] values" in refused(folder)


def test_what_is_no_file(folder: Path, tmp_path: Path) -> None:
    assert "'nowhere' is not an adapter: no such folder" in refused(tmp_path / "nowhere")
    (folder / LAYOUT.head).unlink()
    (folder / LAYOUT.head).mkdir()
    assert "head.safetensors is missing" in refused(folder)
    (folder / LAYOUT.manifest).unlink()
    (folder / LAYOUT.manifest).symlink_to(folder / LAYOUT.manifest)
    assert "no manifest.json" in refused(folder)


def test_a_disk_that_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, *args: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", fail)
    assert "'spam' cannot be read (Permission denied)" in refused(folder)
    with pytest.raises(AdapterError, match="Permission denied"):
        load_manifest(folder)
