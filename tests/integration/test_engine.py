import gc
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from polygraft.adapters.format import LAYOUT, load_adapter
from polygraft.errors import (
    BackboneError,
    BankFull,
    GoldenMismatch,
    InvalidOption,
    InvalidRow,
    UnknownAdapter,
    WrongBackbone,
)
from polygraft.runtime.bank import Bank
from polygraft.runtime.encoding import EncodeRequest
from polygraft.runtime.engine import Engine
from polygraft.runtime.graph import Floats
from polygraft.runtime.rows import Row
from polygraft.tasks.classification.serving import Classified

ROWS = [
    Row("spam", "WIN a free prize"),
    Row("mood", "see you soon"),
    Row("topic", "call mum"),
    Row("spam", "dinner"),
]


@pytest.fixture
def engine(backbone: Path, library: Path) -> Iterator[Engine]:
    engine = Engine(backbone, precision="fp32", slots=4)
    for name in ("spam", "mood", "topic"):
        engine.add(library / name)
    yield engine
    engine.close()


def test_mixed_rows_are_those_of_each_adapter_alone(engine: Engine) -> None:
    mixed = engine.answer(ROWS)
    for row, answer in zip(ROWS, mixed, strict=True):
        (alone,) = engine.answer([row])
        assert isinstance(answer, Classified)
        assert isinstance(alone, Classified)
        assert answer.adapter == row.adapter
        assert answer.label == alone.label
        np.testing.assert_allclose(
            [x.score for x in answer.labels], [x.score for x in alone.labels], atol=1e-5
        )
    assert [len(a.labels) for a in mixed if isinstance(a, Classified)] == [2, 3, 7, 2]


def test_answered_rows_leave_nothing_to_the_garbage_collector(engine: Engine) -> None:
    """A row and its future held each other; with thousands waiting, looking for such circles
    stopped every thread."""
    engine.answer(ROWS)
    gc.collect()
    gc.disable()
    try:
        rows = [Row("spam", f"call {i}") for i in range(8)]
        left = [weakref.ref(row) for row in rows]
        engine.answer(rows)
        waiting = engine.submit([Row("mood", f"see {i}") for i in range(8)])
        left += [weakref.ref(future) for future in waiting]
        for future in waiting:
            future.cancel()
        engine.answer(ROWS)  # the batch that ran is over
        del rows, waiting, future
        assert [one() for one in left if one() is not None] == []
    finally:
        gc.enable()


def test_scores_sum_to_one_and_top_k_cuts(engine: Engine) -> None:
    (answer,) = engine.answer([ROWS[2]])
    assert isinstance(answer, Classified)
    assert sum(x.score for x in answer.labels) == pytest.approx(1, abs=1e-5)
    (cut,) = engine.answer([replace(ROWS[2], top_k=2)])
    assert isinstance(cut, Classified)
    assert cut.labels == answer.labels[:2]


def test_a_text_longer_than_the_window_is_read_in_several(
    backbone: Path, library: Path, tmp_path: Path, edit_manifest: Callable[..., None]
) -> None:
    """An adapter trained on beginnings was given whole texts: after 280 tokens of business, sports
    was sports."""
    shutil.copytree(library / "topic", tmp_path / "topic")
    edit_manifest(tmp_path / "topic", window=8)
    parts = ["see you soon mum call", "win a free prize"]
    engine = Engine(backbone, precision="fp32", slots=4)
    try:
        engine.add(tmp_path / "topic")
        (whole,) = engine.answer([Row("topic", "see you soon mum win a free prize now")])
        halves = engine.answer(
            [Row("topic", t) for t in ("see you soon mum", "win a free prize now")]
        )
        (explained,) = engine.answer([Row("topic", " ".join(parts), explain=True)])
    finally:
        engine.close()
    logits = [_log_scores(answer) for answer in halves]
    mean = {label: (logits[0][label] + logits[1][label]) / 2 for label in logits[0]}
    total = np.logaddexp.reduce(list(mean.values()))
    expected = {label: value - total for label, value in mean.items()}
    assert _log_scores(whole) == pytest.approx(expected, abs=1e-4)
    assert isinstance(explained, Classified)
    assert explained.explanation


def _log_scores(answer: object) -> dict[str, float]:
    assert isinstance(answer, Classified)
    return {one.label: float(np.log(one.score)) for one in answer.labels}


def test_bad_rows_fail_in_their_place(engine: Engine) -> None:
    rows = [
        Row("spam", ""),
        ROWS[0],
        Row("spma", "x"),
        Row("spam", "word " * 500),
        Row("mood", "x", language="en"),
        ROWS[1],
    ]
    kinds = [type(a) for a in engine.answer(rows)]
    assert kinds == [InvalidRow, Classified, UnknownAdapter, InvalidRow, InvalidOption, Classified]
    (near,) = engine.answer([Row("spma", "x")])
    assert "did you mean spam" in str(near)


def test_truncate_reads_the_beginning(engine: Engine) -> None:
    (answer,) = engine.answer([Row("spam", "word " * 500, truncate=True)])
    assert isinstance(answer, Classified)


def test_remove_frees_the_slot_and_the_name(
    engine: Engine, make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    assert engine.bank.free == 1
    engine.remove("mood")
    assert engine.bank.free == 2
    with pytest.raises(UnknownAdapter):
        engine.remove("mood")
    for number in (1, 2):
        engine.add(make_adapter(tmp_path / f"more-{number}", seed=10 + number))
    with pytest.raises(BankFull):
        engine.add(make_adapter(tmp_path / "more-3", seed=13))
    assert isinstance(engine.answer(ROWS[:1])[0], Classified)


def test_an_adapter_whose_outputs_changed_is_refused_by_name(
    engine: Engine, library: Path, tmp_path: Path, edit_manifest: Callable[..., None]
) -> None:
    folder = Path(shutil.copytree(library / "topic", tmp_path / "topic"))
    other = load_file(library / "topic" / LAYOUT.weights)
    save_file({k: np.zeros_like(v) for k, v in other.items()}, folder / LAYOUT.weights)
    edit_manifest(folder, name="broken")
    before = engine.bank.free
    with pytest.raises(GoldenMismatch, match="'broken' does not give the outputs"):
        engine.add(folder)
    assert engine.bank.free == before
    assert "broken" not in [m.name for m in engine.manifests()]


def test_wrong_backbone_is_refused(
    engine: Engine, library: Path, tmp_path: Path, edit_manifest: Callable[..., None]
) -> None:
    folder = Path(shutil.copytree(library / "spam", tmp_path / "spam"))
    edit_manifest(folder, backbone="f" * 16)
    with pytest.raises(WrongBackbone):
        engine.add(folder)


def test_a_backbone_that_was_not_exported(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"onnx/graph\.json"):
        Engine(tmp_path)


def test_adapters_come_and_go_while_rows_are_answered(backbone: Path, library: Path) -> None:
    """No answer under way is lost or changed by an adapter being replaced, or removed and added."""
    engine = Engine(backbone, precision="fp32", slots=12)
    for name in ("spam", "mood", "topic"):
        engine.add(library / name)
    wanted = engine.answer(ROWS[:1])[0]
    assert isinstance(wanted, Classified)
    stop, failures = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            answer = engine.answer(ROWS[:1] * 4)
            if any(
                not isinstance(a, Classified) or abs(a.score - wanted.score) > 1e-4 for a in answer
            ):
                failures.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            engine.add(library / "mood")
            engine.add(library / "spam")
            engine.remove("topic")
            engine.add(library / "topic")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        engine.close()
    assert not failures
    assert engine.bank.free == 9


def test_a_row_that_comes_again_is_not_computed_again(
    backbone: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(backbone, precision="fp32", slots=4, cached=8)
    try:
        engine.add(library / "spam")
        row, runs = Row("spam", "WIN a free prize"), list[int]()
        first = engine.answer([row])
        run = engine.encoding._scheduler._run
        monkeypatch.setattr(
            engine.encoding._scheduler, "_run", lambda r: (runs.append(len(r)), run(r))[1]
        )
        assert engine.answer([row, row]) == first * 2
        assert engine.leases == 0
        assert runs == []
        assert engine.cache.hits == 2
        engine.add(library / "spam")  # the same again is another adapter all the same
        assert engine.answer([row]) == first
        assert runs == [1]
        heard = list[object]()
        engine.answer([row], listener=heard.append)
        assert runs == [1, 1], "whoever listens hears it grow"
    finally:
        engine.close()


def test_a_head_on_the_frozen_backbone_takes_no_slot(engine: Engine, library: Path) -> None:
    """Its row is the bare backbone's, whose sites need not be computed beyond the core."""
    lora = load_adapter(library / "mood").lora
    still = {site: (a, np.zeros_like(b)) for site, (a, b) in lora.items()}
    bank = Bank(engine.card.sites, 1)
    assert bank.write(still, "head") == ()
    assert bank.free == 1
    assert not bank.beyond_core([])
    assert len(bank.write(lora, "mood")) == 1


def test_rows_that_ask_the_same_of_the_encoder_share_one_pass(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One text for two heads of an adapter, and for the same adapter under two thresholds; not for
    another adapter, nor for another text."""
    seen, run = list[int](), engine.encoding._scheduler._run
    monkeypatch.setattr(
        engine.encoding._scheduler, "_run", lambda r: (seen.append(len(r)), run(r))[1]
    )
    rows = [
        Row("spam", "dinner"),
        Row("spam", "dinner", threshold=0.9),
        Row("mood", "dinner"),
        Row("spam", "call mum"),
    ]
    together = engine.answer(rows)
    assert sum(seen) == 3
    assert together == [engine.answer([row])[0] for row in rows]
    assert engine.leases == 0


def test_a_row_that_is_dropped_leaves_another_the_text_that_they_share(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of two rows with one text the second had failed, as if by our fault, when the first was
    dropped; so had every second one of a request that ran out of time."""
    entered, go_on = threading.Event(), threading.Event()
    scheduler = engine.encoding._scheduler
    run, workers = scheduler._run, len(scheduler._threads)

    def held(requests: list[EncodeRequest]) -> Sequence[Floats]:
        entered.set()
        go_on.wait(20)
        return run(requests)

    monkeypatch.setattr(scheduler, "_run", held)
    first = [engine.submit([Row("spam", "win " * 30)]) for _ in range(workers)]
    entered.wait(20)
    rows = [Row("mood", f"dinner {i // 2}") for i in range(200)]
    futures, dropped = engine.submit(rows), engine.submit(rows)
    for future in [*futures[::2], *dropped]:
        future.cancel()
    go_on.set()
    answers = [future.result(20) for future in futures[1::2]]
    assert all(isinstance(answer, Classified) for answer in answers)
    assert all(future.cancelled() for future in dropped)
    assert all(future.result(20) for (future,) in first)
    assert (engine.leases, caplog.records) == (0, [])
