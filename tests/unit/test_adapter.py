import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peft
import pytest
from safetensors.numpy import load_file, save_file

from polygraft.adapters.format import LAYOUT, load_adapter
from polygraft.architectures.folder import fingerprint
from polygraft.architectures.loading import load_backbone
from polygraft.errors import AdapterError, WrongBackbone

Edit = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, library: Path) -> Path:
    return Path(shutil.copytree(library / "spam", tmp_path / "spam"))


def test_load_folds_alpha_over_r_into_b(folder: Path) -> None:
    adapter = load_adapter(folder)
    site, (a, b) = next(iter(adapter.lora.items()))
    raw = load_file(folder / LAYOUT.weights)
    np.testing.assert_allclose(a, raw[f"base_model.model.{site}.lora_A.weight"].T)
    np.testing.assert_allclose(b, raw[f"base_model.model.{site}.lora_B.weight"].T * 2)


def test_peft_loads_the_folder_as_it_is(folder: Path, backbone: Path) -> None:
    model = peft.PeftModel.from_pretrained(load_backbone(backbone), folder)
    assert model.peft_config["default"].r == 4


def test_another_backbone(folder: Path, backbone: Path) -> None:
    load_adapter(folder, backbone=fingerprint(backbone))
    with pytest.raises(WrongBackbone, match="trained on backbone"):
        load_adapter(folder, backbone="0" * 16)


@pytest.mark.parametrize("name", [LAYOUT.weights, LAYOUT.head, LAYOUT.peft_config])
def test_truncated_files(folder: Path, name: str, edit_manifest: Edit) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AdapterError, match="truncated or changed"):
        load_adapter(folder)
    if name != LAYOUT.peft_config:
        edit_manifest(folder)
        with pytest.raises(AdapterError, match="not readable as safetensors"):
            load_adapter(folder)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_weights(folder: Path, bad: float, edit_manifest: Edit) -> None:
    tensors = load_file(folder / LAYOUT.weights)
    next(iter(tensors.values()))[0, 0] = bad
    save_file(tensors, folder / LAYOUT.weights)
    edit_manifest(folder)
    with pytest.raises(AdapterError, match="NaN or infinity"):
        load_adapter(folder)


def test_pickle_is_never_opened(folder: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("boom",))

    (folder / LAYOUT.weights).unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(AdapterError, match="pickles can run code"):
        load_adapter(folder)


@pytest.mark.parametrize("name", [LAYOUT.head, LAYOUT.manifest])
def test_missing_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(AdapterError, match=name):
        load_adapter(folder)


def test_head_that_does_not_fit_its_labels(folder: Path, edit_manifest: Edit) -> None:
    golden = [{"text": text, "logits": [0.0] * 3, "bare": [1.0] * 3} for text in "abc"]
    edit_manifest(folder, labels=["a", "b", "c"], golden=golden)
    with pytest.raises(AdapterError, match="does not fit its 3 labels"):
        load_adapter(folder)


def test_a_lora_variant_is_refused_by_name(folder: Path, edit_manifest: Edit) -> None:
    config = json.loads((folder / LAYOUT.peft_config).read_text())
    (folder / LAYOUT.peft_config).write_text(json.dumps(config | {"use_dora": True}))
    edit_manifest(folder)
    with pytest.raises(AdapterError, match="use_dora"):
        load_adapter(folder)


def test_unknown_manifest_keys_are_refused(folder: Path, edit_manifest: Edit) -> None:
    edit_manifest(folder, future="x")
    with pytest.raises(AdapterError, match="future"):
        load_adapter(folder)
