"""The host and its library (issue 15, defects 3, 14 and 15): whatever is uploaded, added again,
purged or lying there already, the answer is an adapter or an error of the tree, and a failure
changes nothing. On the bundled backbone."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from polygraft.adapters import publishing
from polygraft.adapters.archive import pack
from polygraft.adapters.format import HASHED, LAYOUT, load_adapter
from polygraft.adapters.library import Library
from polygraft.architectures.folder import BUNDLED
from polygraft.errors import AdapterError, BankFull, GoldenMismatch, LibraryError, UnknownAdapter
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve.host import Host
from polygraft.tasks.classification.serving import Classified

NAMES = ("spam-en", "lang-en")
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(BUNDLED, slots=32)
    yield engine
    engine.close()


@pytest.fixture
def host(engine: Engine, root: Path, tmp_path: Path) -> Iterator[Host]:
    for name in NAMES:
        shutil.copytree(
            root / "adapters" / name,
            tmp_path / "library" / name,
            ignore=shutil.ignore_patterns("written.jsonl"),  # data, no file of an adapter
        )
    host = Host(engine, Library(tmp_path / "library"))
    assert not host.refused
    yield host
    for manifest in engine.manifests():
        engine.remove(manifest.name)
    assert engine.bank.free == 32, "every slot was given back"


def files_of(folder: Path) -> Files:
    return {
        name: (folder / name).read_bytes() for name in LAYOUT.names() if (folder / name).is_file()
    }


def zipped(files: Files, /, **changes: Any) -> bytes:
    """An upload; the hashes in the manifest are those of the files, unless the manifest is
    changed."""
    manifest = json.loads(files[LAYOUT.manifest])
    manifest["files"] = {
        name: hashlib.sha256(files[name]).hexdigest() for name in HASHED if name in files
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in (
            files | {LAYOUT.manifest: json.dumps(manifest | changes).encode()}
        ).items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def state(host: Host) -> tuple[Any, ...]:
    """Everything that a failure must not change."""
    disk = {
        str(p.relative_to(host.library.root)): p.read_bytes()
        for p in host.library.root.rglob("*")
        if p.is_file()
    }
    return (
        disk,
        sorted(p.name for p in host.library.root.iterdir()),
        host.engine.manifests(),
        host.engine.bank.free,
        host.refused,
    )


def refused(host: Host, archive: bytes, kind: type[Exception] = AdapterError) -> str:
    before = copy.deepcopy(state(host))
    with pytest.raises(kind) as caught:
        host.add(archive)
    assert state(host) == before
    message = str(caught.value)
    assert str(host.library.root) not in message
    assert ".staging" not in message
    return message


def answers(host: Host) -> bool:
    return isinstance(host.engine.answer([Row("spam-en", "WIN a free prize")])[0], Classified)


def test_a_head_of_another_width(host: Host, root: Path) -> None:
    files = files_of(root / "adapters" / "spam-en")
    narrow = {"weight": np.ones((2, 32), np.float32), "bias": np.ones(2, np.float32)}
    head = load(files[LAYOUT.head]) | narrow
    assert "its head reads 32 values, and this backbone's vectors have 384" in refused(
        host, zipped(files | {LAYOUT.head: save(head)})
    )


def test_zero_weights_with_forged_goldens(host: Host, root: Path) -> None:
    """Served before: the vectors are what zero weights give, and `bare` whatever makes the
    tolerance wide."""
    files = files_of(root / "adapters" / "lang-en")
    weights = save({k: np.zeros_like(v) for k, v in load(files[LAYOUT.weights]).items()})
    texts = ["one text", "another text", "a third one"]
    vectors = host.engine.vectors(texts).tolist()
    goldens = [
        {"text": t, "vector": v, "bare": [-x for x in v]}
        for t, v in zip(texts, vectors, strict=True)
    ]
    assert "like the bare backbone" in refused(
        host, zipped(files | {LAYOUT.weights: weights}, golden_vectors=goldens), GoldenMismatch
    )


def test_a_direction_without_a_tag(host: Host, root: Path) -> None:
    """A KeyError in the decoder before, which leaked slots of both banks; and `!! ??` made GET
    /languages a 500."""
    files = files_of(root / "adapters" / "en-yo")
    goldens = [{"text": t, "target": "ja", "written": t, "bare": t * 2} for t in "abc"]
    there = {"directions": [["en", "ja"]], "golden_texts": goldens}
    assert "writes 'ja', and the decoder of this backbone has no tag" in refused(
        host, zipped(files, **there)
    )
    assert "is not the code of a language" in refused(
        host, zipped(files, directions=[["en", "!! ??"]])
    )


@pytest.mark.parametrize(
    ("name", "files"),
    [("study", [LAYOUT.card, "plan.yaml"]), ("rows", [LAYOUT.recipe, "train.jsonl"])],
)
def test_what_is_no_adapter_keeps_its_name(
    host: Host, root: Path, name: str, files: list[str]
) -> None:
    """Before, an upload of that name overwrote files there, and a purge deleted the folder."""
    folder = host.library.root / name
    folder.mkdir()
    for file in files:
        (folder / file).write_text("mine")
    upload = zipped(files_of(root / "adapters" / "spam-en"), name=name)
    assert f"something else named '{name}'" in refused(host, upload)
    with pytest.raises(UnknownAdapter):
        host.remove(name, purge=True)
    assert {file.name for file in folder.iterdir()} == set(files)


@pytest.mark.parametrize("broken", [LAYOUT.weights, LAYOUT.manifest, LAYOUT.card])
def test_adding_again_mends_a_broken_folder(host: Host, root: Path, broken: str) -> None:
    """Defect 15: an equal manifest was enough for leaving the folder as it was."""
    good = root / "adapters" / "spam-en"
    host.add(pack(good))
    folder = host.library.folder("spam-en")
    assert folder.name == load_adapter(good).version
    for spoil in (
        Path.unlink,
        lambda file: file.write_bytes(b"x"),
        lambda file: shutil.rmtree(file.parent),
    ):
        spoil(folder / broken)
        host.add(pack(good))
        assert files_of(folder) == files_of(good)


def test_what_was_half_published_file_by_file_is_mended(host: Host, root: Path) -> None:
    folder = host.library.folder("topic")
    folder.mkdir()
    shutil.copy(root / "adapters" / "topic" / LAYOUT.weights, folder)
    host.add(pack(root / "adapters" / "topic"))
    load_adapter(host.library.folder("topic"))


def test_purge(host: Host) -> None:
    """Defect 15, and that a refused adapter could not be purged: a folder that is gone, a broken
    manifest, one removed before."""
    shutil.rmtree(host.library.folder("lang-en"))
    assert host.remove("lang-en", purge=True).name == "lang-en"
    with pytest.raises(UnknownAdapter):
        host.remove("lang-en", purge=True)
    host.remove("spam-en")
    assert host.remove("spam-en", purge=True).named.startswith("spam-en@")
    for spoilt in ("spoilt", "Spoilt"):
        (host.library.root / spoilt).mkdir()
        (host.library.root / spoilt / LAYOUT.manifest).write_text("{")
        again = Host(host.engine, host.library)
        assert again.refused.keys() == {spoilt}
        assert ("cannot be read" if spoilt == "spoilt" else "not an adapter name") in str(
            again.refused[spoilt]
        )
        gone = again.remove(spoilt, purge=True)
        assert (gone.name, gone.languages, gone.task, len(gone.version)) == (spoilt, [], "", 12)
        assert not again.refused
    assert not list(host.library.root.iterdir())


def fail(*args: object, **kwargs: object) -> None:
    raise OSError(30, "Read-only file system")


def test_a_library_that_cannot_be_written(
    host: Host, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a 500, and the adapter was served or not served, whatever the disk said."""
    before = copy.deepcopy(state(host))
    monkeypatch.setattr(publishing.tempfile, "mkdtemp", fail)
    with pytest.raises(
        LibraryError, match=r"'spam-en' cannot be deleted from the library .Read-only file system"
    ):
        host.remove("spam-en", purge=True)
    with pytest.raises(LibraryError, match="nothing can be unpacked"):
        host.add(pack(root / "adapters" / "topic"))
    assert state(host) == before
    assert Host(host.engine, host.library).refused == {}
    assert answers(host)


def test_a_version_that_cannot_be_published_is_not_served(
    host: Host, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = copy.deepcopy(state(host))
    monkeypatch.setattr(publishing, "publish", fail)
    other = zipped(files_of(root / "adapters" / "spam-sw"), name="spam-en")
    for upload in (other, pack(root / "adapters" / "topic")):
        with pytest.raises(LibraryError, match="cannot be written to the library"):
            host.add(upload)
        assert state(host) == before


def test_no_adapter_keeps_the_host_from_starting(
    host: Host, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    """Defect 3: a golden of the wrong length stopped the server. Now whatever a single adapter
    raises is its refusal."""
    place = engine.adapters.place
    engine.adapters.forget("spam-en")

    def place_but_one(adapter: Any, **options: Any) -> Any:
        return place(adapter, **options) if adapter.name != "spam-en" else 1 // 0

    monkeypatch.setattr(engine.adapters, "place", place_but_one)
    started = Host(engine, host.library)
    assert started.refused.keys() == {"spam-en"}
    assert isinstance(started.refused["spam-en"], AdapterError)
    assert "ZeroDivisionError" in str(started.refused["spam-en"])
    assert "lang-en" in [m.name for m in engine.manifests()]


def test_what_fails_a_check_does_not_wait_for_the_change_lock(host: Host) -> None:
    found: list[Exception] = []

    def upload() -> None:
        try:
            host.add(b"not a zip")
        except AdapterError as error:
            found.append(error)

    with host.rollout.changing:
        thread = threading.Thread(target=upload)
        thread.start()
        thread.join(5)
        assert len(found) == 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just("x" * 100_000)
    | st.just("../../x"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
PROPERTY = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def mutated(value: Any, data: st.DataObject) -> Any:
    """`value` with another JSON value somewhere in it, or with something left out."""
    if isinstance(value, dict | list) and value and data.draw(st.integers(0, 4)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key, changed = data.draw(st.sampled_from(keys)), copy.copy(value)
        if data.draw(st.integers(0, 4)):
            changed[key] = mutated(value[key], data)
        else:
            del changed[key]
        return changed
    return data.draw(JSON)


def check(host: Host, upload: Callable[[], bytes]) -> None:
    """Served, or refused with an error of the tree and nothing changed; and then the server goes
    on."""
    before = copy.deepcopy(state(host))
    try:
        host.add(upload())
    except (AdapterError, BankFull) as error:
        message = str(error)
        assert state(host) == before, message
        assert len(message) < 2_500
        assert str(host.library.root) not in message
    assert answers(host)


@PROPERTY
@given(data=st.data())
@pytest.mark.parametrize("name", ["spam-en", "lang-en", "en-yo"])
def test_mutated_json(host: Host, root: Path, name: str, data: st.DataObject) -> None:
    files = files_of(root / "adapters" / name)
    manifest, config = json.loads(files[LAYOUT.manifest]), json.loads(files[LAYOUT.peft_config])
    if data.draw(st.booleans()):
        field = data.draw(st.sampled_from(sorted(manifest)))
        changes = {field: mutated(manifest[field], data)}
        check(host, lambda: zipped(files, **changes))
    else:
        field = data.draw(
            st.sampled_from(["r", "lora_alpha", "peft_type", "bias", "target_modules", "use_dora"])
        )
        content = json.dumps(config | {field: mutated(config.get(field), data)}).encode()
        check(host, lambda: zipped(files | {LAYOUT.peft_config: content}))


def mutated_array(array: np.ndarray, data: st.DataObject) -> np.ndarray:
    kind = data.draw(st.sampled_from(["value", "type", "shape", "scale"]))
    if kind == "value":
        array = array.copy()
        whole = array.dtype.kind in "iu"
        values = st.integers(-(2**31), 2**31 - 1) if whole else st.floats(width=32)
        array[(0,) * array.ndim] = data.draw(values)
    elif kind == "scale":
        array = array * np.float32(data.draw(st.sampled_from([0, -1, 1e3, 1e20])))
    elif kind == "type":
        array = array.astype(
            data.draw(st.sampled_from([np.int8, np.bool_, np.float16, np.float64, np.uint64]))
        )
    else:
        shape = data.draw(st.lists(st.integers(0, 20), max_size=3))
        array = np.zeros(shape, np.float32)
    return np.ascontiguousarray(array)


@PROPERTY
@given(data=st.data())
@pytest.mark.parametrize("name", ["spam-en", "lang-en"])
def test_mutated_arrays(host: Host, root: Path, name: str, data: st.DataObject) -> None:
    files = files_of(root / "adapters" / name)
    file = data.draw(st.sampled_from([f for f in (LAYOUT.weights, LAYOUT.head) if f in files]))
    if data.draw(st.booleans()):
        tensors = load(files[file])
        key = data.draw(st.sampled_from(sorted(tensors)))
        content = save(tensors | {key: mutated_array(tensors[key], data)})
    else:
        broken = bytearray(files[file])
        for _ in range(data.draw(st.integers(1, 4))):
            broken[
                data.draw(st.integers(0, data.draw(st.sampled_from([8, 400, len(broken) - 1]))))
            ] = data.draw(st.integers(0, 255))
        content = bytes(broken[: data.draw(st.sampled_from([len(broken), len(broken) // 2, 4]))])
    check(host, lambda: zipped(files | {file: content}))
