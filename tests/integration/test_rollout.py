"""Versions of a name on a running server: which one a request gets, how that changes, what is seen
of it, and what cannot be done to it. Every answer is compared with what its version gives alone."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import load_file, save_file

from polygraft.adapters import publishing
from polygraft.adapters.format import LAYOUT, load_manifest, sha256
from polygraft.adapters.layout import POINTER
from polygraft.adapters.library import Library, pack
from polygraft.adapters.pointer import Bounds, Canary, Route, Shadow
from polygraft.errors import (
    BankFull,
    InvalidOption,
    LibraryError,
    NegativeTransfer,
    NotShown,
    PolygraftError,
    UnknownAdapter,
    UnknownVersion,
)
from polygraft.rollout.names import share
from polygraft.rollout.proofs import Proofs
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Answer, Row
from polygraft.serve import auth
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.serve.settings import Settings
from polygraft.tasks.classification.serving import Classified

MakeAdapter = Callable[..., Path]
TEXTS = ["WIN a free prize", "see you soon", "call mum", "hello", "the train is late"]
WHO = {"who": "ada", "why": "to try it"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, make_adapter: MakeAdapter) -> list[Path]:
    """Three versions of `mail`."""
    base = tmp_path_factory.mktemp("versions")
    return [make_adapter(base / str(seed) / "mail", seed=seed) for seed in (31, 32, 33)]


@pytest.fixture(scope="module")
def versions(folders: list[Path]) -> list[str]:
    return [load_manifest(folder).version for folder in folders]


@pytest.fixture(scope="module")
def alone(folders: list[Path], backbone: Path) -> dict[tuple[str, str], Classified]:
    """What each version gives to each text in an engine of its own."""
    found = {}
    for folder in folders:
        with closing(Engine(backbone, precision="fp32", slots=2)) as engine:
            version = engine.add(folder).version
            for text, answer in zip(
                TEXTS, engine.answer([Row("mail", text) for text in TEXTS]), strict=True
            ):
                assert isinstance(answer, Classified)
                found[version, text] = answer
    labels = [[found[v, text].score for text in TEXTS] for v in {v for v, _ in found}]
    assert len({tuple(scores) for scores in labels}) == 3, "the versions must differ"
    return found


def start(backbone: Path, root: Path, slots: int = 8, **settings: Any) -> Host:
    engine = Engine(backbone, precision="fp32", slots=slots, queue=4096)
    return Host(engine, Library(root), Settings(**settings))


@pytest.fixture
def host(backbone: Path, library: Path, folders: list[Path], tmp_path: Path) -> Iterator[Host]:
    """`mail` in its first version, beside the others; the second one is its candidate."""
    copy = Path(shutil.copytree(library, tmp_path / "library"))
    host = start(backbone, copy)
    host.add(pack(folders[0]), who="ada")
    host.add(pack(folders[1]), alias="candidate", who="ada")
    yield host
    host.close()


@pytest.fixture
def client(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv(auth.VARIABLE, "secret")
    with TestClient(create_app(lambda: host), headers={"authorization": "Bearer secret"}) as client:
        yield client


def ask(host: Host, *rows: Row) -> list[Answer]:
    answers = host.rollout.dispatcher.answer(rows)
    for answer in answers:
        assert isinstance(answer, Answer), answer
    return answers  # type: ignore[return-value]


def right(answer: Answer, text: str, alone: dict[tuple[str, str], Classified]) -> bool:
    """Whether it is what the version that it names gives by itself."""
    assert isinstance(answer, Classified)
    expected = alone[answer.version, text]
    return answer.label == expected.label and answer.score == pytest.approx(
        expected.score, abs=1e-4
    )


def error_of(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    return f"{error['code']}: {error['message']}"


# names in requests


def test_a_request_may_name_a_version_or_an_alias(
    client: TestClient, versions: list[str], alone: dict[tuple[str, str], Classified]
) -> None:
    old, new, _ = versions
    rows = [
        {"adapter": name, "text": TEXTS[0]}
        for name in ("mail", "mail@champion", "mail@candidate", f"mail@{new}", f"mail@{new[:5]}")
    ]
    for path in ("/v1/batch", "/v1/classify"):
        results = client.post(path, json={"rows": rows}).json()["results"]
        assert [(r["version"], r.get("alias")) for r in results] == [
            (old, None),
            (old, "champion"),
            (new, "candidate"),
            (new, None),
            (new, None),
        ]
        for result in results:
            assert result["adapter"] == "mail"
            expected = alone[result["version"], TEXTS[0]]
            assert result["score"] == pytest.approx(expected.score, abs=1e-4)
    one = client.post("/v1/classify", json={"adapter": "mail@candidate", "texts": TEXTS}).json()
    assert {result["version"] for result in one["results"]} == {new}
    stacked = {"stack": ["spam", "mail@candidate"], "text": "hello"}
    (result,) = client.post("/v1/batch", json={"rows": [stacked]}).json()["results"]
    assert result["version"] == new


def test_an_unknown_version_is_told_with_those_there_are(
    client: TestClient, versions: list[str]
) -> None:
    for at in ("", "nothing", "0000", versions[1] + "0", "@", "x" * 100):
        named = {"adapter": f"mail@{at}", "text": "hello"}
        message = error_of(client.post("/v1/classify", json=named), 404)
        assert message.startswith("UnknownVersion: adapter 'mail' has no version")
        assert f"candidate ({versions[1]}), champion ({versions[0]})" in message
    (result,) = client.post("/v1/batch", json={"rows": [named]}).json()["results"]
    assert result["error"]["code"] == "UnknownVersion"
    assert "UnknownAdapter" in error_of(
        client.post("/v1/classify", json=named | {"adapter": "nobody@champion"}), 404
    )
    assert client.get("/v1/adapters/nobody/history").status_code == 404
    assert client.post("/v1/adapters/nobody/rollback", json={}).status_code == 404


# routes


def test_a_canary_is_sticky_by_key_else_by_text(
    client: TestClient,
    host: Host,
    versions: list[str],
    alone: dict[tuple[str, str], Classified],
) -> None:
    old, new, _ = versions
    shown = client.put("/v1/adapters/mail/route", json={"canary": {"weight": 0.3}} | WHO).json()
    assert (shown["canary"]["alias"], shown["version"]) == ("candidate", old)
    keys = [f"user-{i}" for i in range(400)]
    first = ask(host, *(Row("mail", TEXTS[i % 5], key=key) for i, key in enumerate(keys)))
    again = ask(host, *(Row("mail", TEXTS[(i + 1) % 5], key=key) for i, key in enumerate(keys)))
    chosen = {key: answer.version for key, answer in zip(keys, first, strict=True)}
    assert chosen == {key: answer.version for key, answer in zip(keys, again, strict=True)}
    assert 80 <= Counter(chosen.values())[new] <= 160
    for i, answer in enumerate(first):
        assert answer.alias == ("candidate" if answer.version == new else "champion")
        assert right(answer, TEXTS[i % 5], alone)
    assert len({answer.version for answer in ask(host, *[Row("mail", "hello")] * 20)}) == 1
    client.put("/v1/adapters/mail/route", json={"canary": {"weight": 0.6}})
    wider = ask(host, *(Row("mail", "hello", key=key) for key in keys))
    assert all(
        answer.version == new for key, answer in zip(keys, wider, strict=True) if chosen[key] == new
    ), "growing the weight takes nobody back"
    by_key = client.post(
        "/v1/classify", json={"adapter": "mail", "text": "hello", "key": keys[0]}
    ).json()["results"]
    assert by_key[0]["version"] == wider[0].version
    assert share("mail", "x") != share("other", "x"), "each name has canary keys of its own"


def test_promote_and_roll_back_are_instant_and_written(
    client: TestClient, host: Host, versions: list[str], backbone: Path
) -> None:
    old, new, _ = versions
    loads = host.rollout.tiers.loads
    promoted = client.post("/v1/adapters/mail/promote", json={"version": "candidate"} | WHO).json()
    assert (promoted["version"], promoted["previous"]) == (new, [old])
    assert ask(host, Row("mail", "hello"))[0].version == new
    back = client.post("/v1/adapters/mail/rollback", json=WHO).json()
    assert back["version"] == old
    assert ask(host, Row("mail", "hello"))[0].version == old
    assert host.rollout.tiers.loads == loads, "both were in memory"
    history = client.get("/v1/adapters/mail/history").json()["history"]
    assert [(c["what"], c["champion"]) for c in history] == [
        ("rollback", old),
        ("promote", new),
        ("add", old),
        ("add", old),
    ]
    assert all(c["who"] == "ada" and c["at"] for c in history)
    assert history[0]["why"] == "to try it"
    message = error_of(client.post("/v1/adapters/mail/rollback", json={}), 422)
    assert "no champion before" in message
    client.post("/v1/adapters/mail/promote", json={"version": new[:6]})
    with closing(start(backbone, host.library.root)) as again:
        assert ask(again, Row("mail", "hello"))[0].version == new


def test_a_champion_that_lies_flat_can_be_rolled_back_to(
    host: Host, folders: list[Path], tmp_path: Path, make_adapter: MakeAdapter
) -> None:
    flat = load_manifest(host.library.root / "mood").version
    other = make_adapter(tmp_path / "mood", seed=77, rank=2, labels=("bad", "good", "so-so"))
    new = host.add(pack(other)).version
    assert ask(host, Row("mood", "hello"))[0].version == new
    host.rollout.roll_back("mood", who="ada")
    assert ask(host, Row("mood", "hello"))[0].version == flat
    assert (host.library.root / "mood" / flat / LAYOUT.weights).is_file()


def test_of_two_writers_one_gets_409(client: TestClient) -> None:
    revision = client.get("/v1/adapters/mail/route").json()["revision"]
    change = {"canary": {"weight": 0.1}, "revision": revision}
    assert client.put("/v1/adapters/mail/route", json=change).status_code == 200
    assert "Conflict" in error_of(client.put("/v1/adapters/mail/route", json=change), 409)
    for verb in ("promote", "rollback"):
        stale = {"revision": revision}
        assert "Conflict" in error_of(client.post(f"/v1/adapters/mail/{verb}", json=stale), 409)
    assert client.get("/v1/adapters/mail/route").json()["revision"] == revision + 1


@pytest.mark.parametrize(
    ("route", "status", "told"),
    [
        ({"canary": {"weight": 0}}, 422, "weight"),
        ({"canary": {"weight": 1.01}}, 422, "weight"),
        ({"canary": {"weight": -0.1}}, 422, "weight"),
        ({"canary": {"weight": "half"}}, 422, "weight"),
        ({"canary": {}}, 422, "weight"),
        ({"shadow": {"share": 2}}, 422, "share"),
        ({"canary": {"weight": 0.1, "roll_back": {"error_rate": 7}}}, 422, "error_rate"),
        ({"canary": {"alias": "nobody", "weight": 0.1}}, 404, "no version 'nobody'"),
        ({"canary": {"alias": "champion", "weight": 0.1}}, 422, "another alias"),
        ({"shadow": {"alias": "champion"}}, 422, "another alias"),
        ({"aliases": {"champion": "candidate"}}, 422, "promote"),
        ({"aliases": {"a-one": "b-one", "b-one": "a-one"}}, 422, "stand for each other"),
        ({"aliases": {"self": "self"}}, 422, "stand for each other"),
        ({"aliases": {"a-one": "nobody"}}, 404, "no version 'nobody'"),
        ({"aliases": {"beef": "candidate"}}, 422, "is no alias"),
        ({"aliases": {"A b": "candidate"}}, 422, "is no alias"),
        ({"aliases": {"x": 3}}, 422, "x"),
        ({"revision": -1}, 422, "revision"),
        ({"why": "x" * 1001}, 422, "why"),
        ({"unknown": 1}, 422, "unknown"),
    ],
)
def test_routes_that_make_no_sense_change_nothing(
    client: TestClient, host: Host, route: dict[str, Any], status: int, told: str
) -> None:
    before = client.get("/v1/adapters/mail/route").json()
    file = host.library.root / "mail" / POINTER
    content = file.read_bytes()
    assert told in error_of(client.put("/v1/adapters/mail/route", json=route), status)
    assert client.get("/v1/adapters/mail/route").json() == before
    assert file.read_bytes() == content


def test_aliases_of_a_request_may_stand_for_each_other_in_a_row(
    client: TestClient, versions: list[str]
) -> None:
    aliases = {"third": "second", "second": "candidate", "fourth": versions[0][:6]}
    shown = client.put("/v1/adapters/mail/route", json={"aliases": aliases}).json()
    assert shown["aliases"] == {
        "champion": versions[0],
        "candidate": versions[1],
        "second": versions[1],
        "third": versions[1],
        "fourth": versions[0],
    }


def test_changes_need_the_key(client: TestClient) -> None:
    client.headers.pop("authorization")
    assert client.put("/v1/adapters/mail/route", json={}).status_code == 403
    for verb in ("promote", "rollback"):
        assert client.post(f"/v1/adapters/mail/{verb}", json={}).status_code == 403
    assert client.get("/v1/adapters/mail/route").status_code == 200


def test_a_shadow_of_another_task(
    writing_backbone: Path, translators: Path, make_translator: MakeAdapter, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(translators, tmp_path / "library"))
    with closing(start(writing_backbone, root)) as host:
        other = make_translator(tmp_path / "spam", [("en", "yo")], seed=9)
        host.add(pack(other), alias="candidate")
        before = host.library.pointer("spam")
        with pytest.raises(InvalidOption, match="only versions for one task"):
            host.rollout.route("spam", *_shadow(), who="ada")
        assert host.library.pointer("spam") == before


def _shadow() -> tuple[Route, dict[str, str]]:
    return Route(shadow=Shadow()), {}


# promotion


def test_promote_of_what_never_loads_leaves_the_old_one(
    client: TestClient, host: Host, folders: list[Path], versions: list[str]
) -> None:
    """Its weights are broken on disk after it was published; it was never loaded here."""
    broken = versions[2]
    with publishing.staging(host.library.root) as staged:
        shutil.copytree(folders[2], staged, dirs_exist_ok=True)
        host.library.publish(staged)
    host.rollout._serve("mail")
    weights = host.library.folder("mail", broken) / LAYOUT.weights
    weights.write_bytes(weights.read_bytes()[:500])
    message = error_of(client.post("/v1/adapters/mail/promote", json={"version": broken}), 422)
    assert "truncated or changed" in message
    assert ask(host, Row("mail", "hello"))[0].version == versions[0]
    assert host.library.pointer("mail").champion == versions[0]
    (answer,) = host.rollout.dispatcher.answer([Row("mail", "hello", version=broken)])
    assert isinstance(answer, PolygraftError)
    assert "truncated or changed" in str(answer)
    message = error_of(
        client.put(
            "/v1/adapters/mail/route", json={"aliases": {"candidate": broken}, "shadow": {}}
        ),
        422,
    )
    assert "truncated or changed" in message


def test_a_version_that_transfer_harmed_needs_a_reason(
    client: TestClient, host: Host, versions: list[str]
) -> None:
    """It was added before the guard knew it, or its papers were changed."""
    folder = host.library.folder("mail", versions[1])
    manifest = json.loads((folder / LAYOUT.manifest).read_text())
    manifest["metrics"]["gain_from_transfer"] = {
        "value": -4.0,
        "low": -7.0,
        "high": -1.0,
        "verdict": "harms",
        "over": "tfidf",
    }
    (folder / LAYOUT.manifest).write_text(json.dumps(manifest))
    assert "NegativeTransfer" in error_of(client.post("/v1/adapters/mail/promote", json={}), 409)
    with pytest.raises(NegativeTransfer):
        host.rollout.promote("mail", who="ada")
    promoted = client.post("/v1/adapters/mail/promote", json={"force": "asked for by the shop"})
    assert promoted.json()["version"] == versions[1]
    assert load_manifest(folder).forced == "asked for by the shop"


def test_promote_by_its_figures(client: TestClient, host: Host, versions: list[str]) -> None:
    condition = {"if_agreement": 0.5, "min_rows": 30}
    message = error_of(client.post("/v1/adapters/mail/promote", json=condition), 409)
    assert message.startswith("NotShown")
    assert "not known, on 0 rows" in message
    client.put("/v1/adapters/mail/route", json={"shadow": {}})
    for i in range(60):
        ask(host, Row("mail", f"{TEXTS[i % 5]} {i}"))
        settled(host)
    compared = client.get("/v1/adapters/mail/compare").json()
    assert compared["pairs"] == 60
    agreement = compared["agreement"]
    assert 0 <= agreement["low"] <= agreement["value"] <= agreement["high"] <= 1
    if agreement["low"] >= 0.5:
        promoted = client.post("/v1/adapters/mail/promote", json=condition)
        assert promoted.json()["version"] == versions[1]
    strict = {"if_agreement": 1.0, "min_rows": 30, "version": versions[0]}
    with pytest.raises(NotShown):
        host.rollout.promote("mail", versions[1], who="a", if_agreement=1.0, min_rows=10_000)
    assert client.post("/v1/adapters/mail/promote", json=strict).status_code in (200, 409)


def settled(host: Host) -> None:
    """Wait until the shadow has computed what it was given."""
    until = time.monotonic() + 20
    while time.monotonic() < until and (
        host.rollout.shadow._rows or host.engine.admission.under_way
    ):
        time.sleep(0.002)
    time.sleep(0.01)


def test_the_shadow_is_never_seen_and_compared(
    client: TestClient,
    host: Host,
    versions: list[str],
    alone: dict[tuple[str, str], Classified],
) -> None:
    old, new, _ = versions
    client.put("/v1/adapters/mail/route", json={"shadow": {}})
    for _ in range(4):
        for text in TEXTS:
            (answer,) = ask(host, Row("mail", text))
            assert (answer.version, answer.alias) == (old, None)
            assert right(answer, text, alone)
            settled(host)
    compared = client.get("/v1/adapters/mail/compare?against=champion").json()
    expected = sum(alone[old, text].label == alone[new, text].label for text in TEXTS) / len(TEXTS)
    assert compared["version"]["version"] == new
    assert compared["against"]["version"] == old
    assert (compared["pairs"], compared["version"]["rows"], compared["against"]["rows"]) == (
        20,
        20,
        20,
    )
    assert compared["agreement"]["value"] == pytest.approx(expected)
    assert compared["version"]["error_rate"]["value"] == 0
    assert compared["version"]["milliseconds"] is None, "nobody waited for it"
    assert compared["against"]["milliseconds"]["value"] > 0
    assert set(compared["version"]["scores"]) == {"p10", "p50", "p90"}
    turned = client.get(f"/v1/adapters/mail/compare?version=champion&against={new}").json()
    assert turned["agreement"] == compared["agreement"]


def test_the_shadow_is_dropped_first_under_load(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.rollout.route("mail", *_shadow(), who="ada")
    monkeypatch.setattr(host.rollout.shadow, "_is_busy", lambda: True)
    rows = [Row("mail", f"hello {i}") for i in range(400)]
    assert len(ask(host, *rows)) == 400
    assert host.rollout.shadow.dropped >= 100
    assert host.rollout.compare("mail", "candidate").pairs == 0


def test_a_shadow_that_fails_is_not_seen(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.rollout.route("mail", *_shadow(), who="ada")
    host.rollout.tiers.packed.drop("mail")
    loaded = host.library.pointer("mail").aliases["candidate"]
    assert host.engine.adapters.evict("mail", loaded)
    shutil.rmtree(host.library.folder("mail", loaded))
    assert ask(host, Row("mail", "hello"))
    settled(host)
    assert ask(host, Row("mail", "hello again"))


def test_a_worse_canary_is_taken_back_by_itself(
    client: TestClient, host: Host, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    """Its labels are those of the champion in another order: what a training run on shuffled labels
    gives."""
    worse = Path(shutil.copytree(host.library.folder("mail"), tmp_path / "mail"))
    manifest = json.loads((worse / LAYOUT.manifest).read_text())
    head = load_file(worse / LAYOUT.head)
    save_file({k: v[::-1].copy() for k, v in head.items()}, worse / LAYOUT.head)
    manifest["files"][LAYOUT.head] = sha256(worse / LAYOUT.head)
    for golden in manifest["golden"]:
        golden["logits"], golden["bare"] = golden["logits"][::-1], golden["bare"][::-1]
    (worse / LAYOUT.manifest).write_text(json.dumps(manifest))
    host.add(pack(worse), alias="candidate")
    bounds = {"agreement": 0.9, "min_rows": 50}
    route = {"canary": {"weight": 0.5, "roll_back": bounds}, "shadow": {}}
    assert client.put("/v1/adapters/mail/route", json=route | WHO).status_code == 200
    until = time.monotonic() + 60
    number = 0
    while time.monotonic() < until and host.rollout.names.get("mail").pointer.route.canary:
        ask(host, *(Row("mail", f"{TEXTS[i % 5]} {number + i}") for i in range(10)))
        number += 10
        settled(host)
    pointer = host.library.pointer("mail")
    assert pointer.route.canary is None
    assert (pointer.history[-1].what, pointer.history[-1].who) == ("rollback", "polygraft")
    assert "its agreement" in pointer.history[-1].why
    assert {a.version for a in ask(host, *(Row("mail", f"x {i}") for i in range(50)))} == {
        pointer.champion
    }


def test_a_canary_that_cannot_be_loaded_any_more_is_taken_back(
    host: Host, backbone: Path, versions: list[str]
) -> None:
    """Also after a restart, which has observed nothing yet."""
    bounds = Bounds(error_rate=0.05, min_rows=20)
    canary = Canary(weight=0.5, roll_back=bounds)
    host.rollout.route("mail", Route(canary=canary), {}, who="ada")
    (host.library.folder("mail", versions[1]) / LAYOUT.weights).unlink()
    with closing(start(backbone, host.library.root)) as again:
        dispatcher = again.rollout.dispatcher
        until, number, failed = time.monotonic() + 60, 0, 0
        while time.monotonic() < until and again.rollout.names.get("mail").pointer.route.canary:
            number += 1
            (answer,) = dispatcher.answer([Row("mail", f"hello {number}")])
            failed += isinstance(answer, PolygraftError)
        change = again.library.pointer("mail").history[-1]
        assert (change.what, change.who) == ("rollback", "polygraft")
        assert "its errors 1.000" in change.why
        assert 20 <= failed <= number
        assert all(a.version == versions[0] for a in ask(again, *[Row("mail", "x")] * 20))


# memory


def test_more_adapters_than_slots(
    backbone: Path, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    """Each answer is what its adapter gives by itself, whatever was evicted for it."""
    root = tmp_path / "library"
    names = [f"a{i}" for i in range(10)]
    for i, name in enumerate(names):
        make_adapter(root / name, seed=100 + i)
    with closing(Engine(backbone, precision="fp32", slots=16)) as engine:
        for name in names:
            engine.add(root / name)
        expected = {name: engine.answer([Row(name, "WIN a free prize")])[0] for name in names}
    assert len({answer.score for answer in expected.values()}) == 10  # type: ignore[union-attr]
    with closing(start(backbone, root, slots=3, pins="a7")) as host:
        assert not host.refused
        assert len(host.manifests()) == 10
        assert len(host.engine.adapters.resident()) == 3
        assert host.rollout.tiers.holds(("a7", load_manifest(root / "a7").version))
        rows = [Row(name, "WIN a free prize") for name in names * 5]
        for row, answer in zip(rows, ask(host, *rows), strict=True):
            assert answer.score == pytest.approx(expected[row.adapter].score, abs=1e-4)  # type: ignore[attr-defined, union-attr]
        assert host.rollout.tiers.holds(("a7", load_manifest(root / "a7").version)), "it is pinned"
        assert len(host.engine.adapters.resident()) <= 3
        assert host.engine.admission.under_way == 0
        assert host.engine.leases == 0


def test_a_row_waits_for_its_own_adapter_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cold adapter takes as long as it likes; the other rows of the call are answered."""
    gate, place = threading.Event(), host.engine.adapters.place
    cold = host.library.pointer("mail").aliases["candidate"]
    assert host.engine.adapters.evict("mail", cold)

    def slow(adapter: Any, **options: Any) -> Any:
        gate.wait(20)
        return place(adapter, **options)

    monkeypatch.setattr(host.engine.adapters, "place", slow)
    futures = host.rollout.dispatcher.submit(
        [Row("mail", "hello", version="candidate"), Row("mail", "hello"), Row("spam", "hello")]
    )
    for future in futures[1:]:
        assert isinstance(future.result(20), Answer)
    assert not futures[0].done()
    assert host.engine.admission.under_way == 1, "it counts as work"
    dropped = host.rollout.dispatcher.submit([Row("mail", "hello", version="candidate")])[0]
    dropped.cancel()
    gate.set()
    answer = futures[0].result(20)
    assert isinstance(answer, Answer)
    assert (answer.version, answer.alias) == (cold, "candidate")
    until = time.monotonic() + 20
    while host.engine.admission.under_way and time.monotonic() < until:
        time.sleep(0.005)
    assert host.engine.admission.under_way == 0


def test_an_adapter_is_loaded_once_for_all_who_ask(host: Host) -> None:
    cold = host.library.pointer("mail").aliases["candidate"]
    assert host.engine.adapters.evict("mail", cold)
    loads = host.rollout.tiers.loads
    rows = [Row("mail", f"hello {i}", version="candidate") for i in range(50)]
    assert {answer.version for answer in ask(host, *rows)} == {cold}
    assert host.rollout.tiers.loads == loads + 1


def test_an_adapter_that_needs_more_slots_than_there_are(
    host: Host, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    wide = make_adapter(tmp_path / "wide", seed=5, rank=72)
    before = [m.name for m in host.engine.manifests()]
    with pytest.raises(BankFull):
        host.add(pack(wide))
    assert [m.name for m in host.engine.manifests()] == before, "nothing was evicted for it"


def test_what_waits_packed_answers_as_before(
    host: Host, versions: list[str], alone: dict[tuple[str, str], Classified]
) -> None:
    assert host.engine.adapters.evict("mail", versions[0])
    folder = host.library.folder("mail", versions[0])
    folder.rename(folder.with_name("away"))
    for text in TEXTS:
        (answer,) = ask(host, Row("mail", text))
        assert right(answer, text, alone)
    folder.with_name("away").rename(folder)


def test_goldens_are_replayed_once_on_a_graph(
    backbone: Path, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed: list[str] = []
    verify = Engine._verify

    def counted(engine: Engine, lease: Any) -> None:
        replayed.append(lease.loaded.adapter.name)
        verify(engine, lease)

    monkeypatch.setattr(Engine, "_verify", counted)
    graph, other = backbone / "onnx" / "model.fp32.onnx", tmp_path / "other.onnx"
    graph = next((backbone / "onnx").glob("*.fp32.onnx"))
    other.write_bytes(b"x")
    for graphs, count in (([graph], 3), ([graph], 0), ([other], 3)):
        engine = Engine(backbone, precision="fp32", slots=8)
        proofs = Proofs(tmp_path / "proofs", graphs)
        with closing(Host(engine, Library(library), Settings(), proofs)) as host:
            assert len(host.manifests()) == 3
        assert len(replayed) == count
        replayed.clear()
    nowhere = Proofs(tmp_path / "other.onnx" / "x", [graph])  # cannot be written
    manifest = load_manifest(library / "spam")
    nowhere.add(manifest)
    assert not nowhere.has(manifest)


# the list, the disk


def test_the_list_has_pages(client: TestClient) -> None:
    names, after = [], ""
    while after is not None:
        page = client.get("/v1/adapters", params={"limit": 2, "after": after}).json()
        assert page["total"] == 4
        assert len(page["adapters"]) <= 2
        names += [adapter["name"] for adapter in page["adapters"]]
        after = page["next"]
    assert names == ["mail", "mood", "spam", "topic"]
    whole = client.get("/v1/adapters").json()
    assert [a["name"] for a in whole["adapters"]] == names
    assert set(whole["adapters"][0]["aliases"]) == {"champion", "candidate"}
    assert client.get("/v1/adapters?limit=0").status_code == 422


def test_a_pointer_cut_in_half_while_the_server_runs(
    client: TestClient, host: Host, backbone: Path, versions: list[str]
) -> None:
    file = host.library.root / "mail" / POINTER
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert ask(host, Row("mail", "hello"))[0].version == versions[0], "it goes on as it was"
    message = error_of(client.post("/v1/adapters/mail/promote", json={}), 422)
    assert "the pointer file of 'mail' cannot be read" in message
    with closing(start(backbone, host.library.root)) as again:
        assert again.refused.keys() == {"mail"}
        assert ask(again, Row("spam", "hello"))
    file.write_bytes(whole)
    assert client.post("/v1/adapters/mail/promote", json={}).status_code == 200


def test_a_full_disk_leaves_what_is_served(
    client: TestClient, host: Host, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    before = host.library.pointer("mail")
    monkeypatch.setattr(publishing, "replace", fail)
    assert "LibraryError" in error_of(client.post("/v1/adapters/mail/promote", json={}), 507)
    with pytest.raises(LibraryError):
        host.rollout.route("mail", *_shadow(), who="ada")
    assert ask(host, Row("mail", "hello"))[0].version == versions[0]
    assert host.library.pointer("mail") == before


def test_what_was_removed_is_gone_with_its_versions(host: Host, versions: list[str]) -> None:
    host.remove("mail")
    for row in (Row("mail", "hello"), Row("mail", "hello", version=versions[1])):
        (answer,) = host.rollout.dispatcher.answer([row])
        assert isinstance(answer, UnknownAdapter)
    assert "mail" in host.library.names(), "a restart brings it back"
    host.remove("mail", purge=True)
    assert "mail" not in host.library.names()


def test_rows_are_right_while_everything_changes(
    host: Host, folders: list[Path], alone: dict[tuple[str, str], Classified]
) -> None:
    """A short soak; `bench/soak.py` has the long one."""
    stop, problems, asked = threading.Event(), list[str](), Counter[str]()

    def ask_rows(number: int) -> None:
        i = number
        while not stop.is_set():
            i += 7
            texts = [TEXTS[(i + j) % 5] for j in range(8)]
            at = (None, "candidate", "champion")[i % 3]
            rows = [Row("mail", text, version=at, key=str(i + j)) for j, text in enumerate(texts)]
            for text, answer in zip(texts, host.rollout.dispatcher.answer(rows), strict=True):
                if isinstance(answer, UnknownVersion):
                    asked["unknown"] += 1
                elif isinstance(answer, PolygraftError):
                    problems.append(str(answer))
                elif not right(answer, text, alone):
                    problems.append(f"{answer} to {text!r}")
                else:
                    asked[answer.version] += 1

    threads = [threading.Thread(target=ask_rows, args=[n]) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        for i in range(12):
            host.add(pack(folders[(i + 1) % 3]), alias=("candidate", "champion")[i % 2])
            with_canary = Route(canary=Canary(weight=0.5), shadow=Shadow())
            host.rollout.route("mail", with_canary, {}, who="ada")
            host.rollout.promote("mail", who="ada")
            for loaded in host.engine.adapters.resident()[:2]:
                host.engine.adapters.evict(loaded.adapter.name, loaded.adapter.version)
            with suppress(InvalidOption):  # no other champion was there before
                host.rollout.roll_back("mail", who="ada")
            host.library.collect(grace=3600)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems, problems[:3]
    assert len(asked) >= 3
    assert sum(asked.values()) > 100
