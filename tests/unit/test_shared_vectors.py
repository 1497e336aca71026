"""Vectors that an adapter shares: written, read, and left alone by what serves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from polygraft.adapters.format import LAYOUT, load_adapter, load_manifest, sha256
from polygraft.errors import AdapterError
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.shared_vectors import (
    SharedVectors,
    id_hashes,
    read_vectors,
    write_vectors,
)

RNG = np.random.default_rng(0)
VECTORS = (RNG.normal(size=(40, 32)) * RNG.uniform(0.1, 9, size=(40, 1))).astype(np.float32)
LABELS = ["ham", "spam"] * 20


@pytest.fixture
def adapter(make_adapter: Callable[..., Path], tmp_path: Path) -> Path:
    """A trained adapter that shares vectors of 40 rows."""
    folder = make_adapter(tmp_path / "shares")
    rows = SharedVectors(VECTORS, LABELS, id_hashes([f"sms-{i}" for i in range(40)]))
    write_vectors(rows, ["ham", "spam"], folder / LAYOUT.vectors)
    name_it(folder, sha256(folder / LAYOUT.vectors))
    return folder


def name_it(folder: Path, digest: str) -> None:
    manifest = json.loads((folder / LAYOUT.manifest).read_text(encoding="utf-8"))
    manifest["files"][LAYOUT.vectors] = digest
    (folder / LAYOUT.manifest).write_text(json.dumps(manifest), encoding="utf-8")


def read(folder: Path) -> SharedVectors | None:
    return read_vectors(folder, load_manifest(folder, ClassificationManifest))


def test_what_is_read_is_what_was_written_but_for_rounding(adapter: Path) -> None:
    rows = read(adapter)
    assert rows
    assert rows.labels == LABELS
    assert (rows.ids == id_hashes([f"sms-{i}" for i in range(40)])).all()
    largest = np.abs(VECTORS).max(axis=1, keepdims=True)
    assert (np.abs(rows.vectors - VECTORS) <= largest / 127 / 2 + 1e-6).all()


def test_rows_can_be_chosen_by_label_and_place(adapter: Path) -> None:
    rows = read(adapter)
    assert rows
    spam = rows.relabelled({"spam": "bad"})
    assert spam.labels == ["bad"] * 20
    np.testing.assert_array_equal(spam.vectors, rows.vectors[1::2])
    np.testing.assert_array_equal(spam.ids, rows.ids[1::2])
    assert len(rows.without({0, 1})) == 38
    np.testing.assert_allclose(np.linalg.norm(rows.scaled(None).vectors, axis=1), 1, atol=1e-5)


def test_the_version_is_that_of_the_weights_alone(adapter: Path) -> None:
    with_vectors = load_manifest(adapter).version
    manifest = json.loads((adapter / LAYOUT.manifest).read_text(encoding="utf-8"))
    del manifest["files"][LAYOUT.vectors]
    (adapter / LAYOUT.manifest).write_text(json.dumps(manifest), encoding="utf-8")
    assert load_manifest(adapter).version == with_vectors


@pytest.mark.parametrize("vectors", [None, b"", b"not safetensors"])
def test_serving_does_not_open_them(adapter: Path, vectors: bytes | None) -> None:
    """Whatever is wrong with the file, the adapter answers; who would learn from it is told."""
    if vectors is None:
        (adapter / LAYOUT.vectors).unlink()
    else:
        (adapter / LAYOUT.vectors).write_bytes(vectors)
    assert load_adapter(adapter).name == "shares"
    with pytest.raises(AdapterError, match="not the file its manifest names"):
        read(adapter)


def test_an_adapter_that_shares_none_has_none(adapter: Path) -> None:
    manifest = load_manifest(adapter, ClassificationManifest)
    files = {name: digest for name, digest in manifest.files.items() if name != LAYOUT.vectors}
    assert read_vectors(adapter, manifest.model_copy(update={"files": files})) is None


def test_a_file_of_another_form_is_refused(adapter: Path) -> None:
    rows = SharedVectors(VECTORS, LABELS, np.zeros(3, np.int64))
    write_vectors(rows, ["ham", "spam"], adapter / LAYOUT.vectors)
    name_it(adapter, sha256(adapter / LAYOUT.vectors))
    with pytest.raises(AdapterError, match="a vector and a label for every row"):
        read(adapter)
    (adapter / LAYOUT.vectors).write_bytes(b"x" * 100)
    name_it(adapter, sha256(adapter / LAYOUT.vectors))
    with pytest.raises(AdapterError, match=r"cannot be read .*polygraft adapters vectors shares"):
        read(adapter)
