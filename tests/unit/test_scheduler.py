import threading

import pytest

from polygraft.runtime.scheduler import Queued, Scheduler, fill


def lengths(batch: list[Queued[int]]) -> list[int]:
    return [q.length for q in batch]


def test_fill_starts_with_the_oldest_and_takes_its_nearest_in_length() -> None:
    rows: list[Queued[int]] = [Queued(None, n) for n in (10, 100, 11, 9, 50, 12)]
    assert lengths(fill(rows, budget=48, max_rows=64)) == [9, 10, 11, 12]
    assert lengths(fill(rows, budget=4000, max_rows=3)) == [9, 10, 11]


def test_a_row_longer_than_the_budget_runs_alone() -> None:
    assert lengths(fill([Queued(None, 500), Queued(None, 4)], budget=100, max_rows=8)) == [500]


def test_results_come_back_to_their_rows_from_many_threads() -> None:
    sizes: list[int] = []

    def run(payloads: list[object]) -> list[object]:
        sizes.append(len(payloads))
        return [f"answer {p}" for p in payloads]

    scheduler: Scheduler[object] = Scheduler(run, budget=64)
    got: dict[int, list[object]] = {}

    def client(number: int) -> None:
        futures = scheduler.submit([((number, i), 1 + i % 7) for i in range(20)])
        got[number] = [f.result(timeout=10) for f in futures]

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scheduler.close()
    assert got == {n: [f"answer {(n, i)}" for i in range(20)] for n in range(8)}
    assert sum(sizes) == 160


def test_a_failing_batch_fails_its_rows_and_the_scheduler_goes_on() -> None:
    def run(payloads: list[object]) -> list[object]:
        if "bad" in payloads:
            raise ValueError("no")
        return payloads

    scheduler: Scheduler[object] = Scheduler(run, budget=10)
    bad, good = scheduler.submit([("bad", 10), ("good", 5)])
    with pytest.raises(ValueError, match="no"):
        bad.result(timeout=10)
    assert good.result(timeout=10) == "good"
    scheduler.close()
    with pytest.raises(RuntimeError, match="closed"):
        scheduler.submit([("late", 1)])
