import numpy as np
import pytest

from polygraft.errors import AdapterError, BankFull
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import Site

SITES = [
    Site(name="q", inputs=6, outputs=4, reads="q"),
    Site(name="v", inputs=6, outputs=4, reads="q"),
    Site(name="up", inputs=6, outputs=10, reads="up"),
]


def lora(rank: int, seed: int, site: str = "q") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    outputs = {s.name: s.outputs for s in SITES}.get(site, 4)
    return {
        site: (rng.normal(size=(6, rank)).astype("f"), rng.normal(size=(rank, outputs)).astype("f"))
    }


def delta(bank: Bank, site: str, slots: tuple[int, ...]) -> np.ndarray:
    """What the graph adds to a site's weight: its columns of the shared A, times its B, over the
    slots of a row."""
    described = next(s for s in SITES if s.name == site)
    start = {"v": bank.rank}.get(site, 0)
    a, b = bank.values[f"{described.reads}.A"].numpy(), bank.values[f"{site}.B"].numpy()
    return sum(a[slot][:, start : start + bank.rank] @ b[slot] for slot in slots)


def test_slots_hold_what_was_written_and_slot_0_stays_zero() -> None:
    bank = Bank(SITES, capacity=3, rank=4)
    loras = [lora(r, seed) for seed, r in enumerate((1, 4, 2))]
    slots = [bank.write(x, str(i)) for i, x in enumerate(loras)]
    assert sorted(slots) == [(1,), (2,), (3,)]
    for slot, x in zip(slots, loras, strict=True):
        np.testing.assert_allclose(delta(bank, "q", slot), x["q"][0] @ x["q"][1], rtol=1e-5)
        assert not delta(bank, "up", slot).any()
    assert not delta(bank, "q", (0,)).any()


def test_sites_that_read_the_same_tensor_share_an_array_and_nothing_else() -> None:
    bank = Bank(SITES, capacity=2, rank=2)
    both = lora(2, 0, "q") | lora(2, 1, "v")
    slot, other = bank.write(both, "both"), bank.write(lora(1, 2, "v"), "other")
    assert bank.values["q.A"].shape() == [3, 6, 4]
    assert "v.A" not in bank.values
    for site in ("q", "v"):
        np.testing.assert_allclose(
            delta(bank, site, slot), both[site][0] @ both[site][1], rtol=1e-5
        )
    assert not delta(bank, "q", other).any()


def test_a_larger_rank_takes_several_slots() -> None:
    bank = Bank(SITES, capacity=5, rank=2)
    small, large = lora(2, 0), lora(7, 1)
    first = bank.write(small, "small")
    second = bank.write(large, "large")
    assert (len(first), len(second), bank.free) == (1, 4, 0)
    np.testing.assert_allclose(delta(bank, "q", first), small["q"][0] @ small["q"][1], rtol=1e-5)
    np.testing.assert_allclose(delta(bank, "q", second), large["q"][0] @ large["q"][1], rtol=1e-5)


def test_writing_changes_the_memory_the_graph_already_reads() -> None:
    bank = Bank(SITES, capacity=2, rank=4)
    before = bank.values
    slot = bank.write(lora(4, 0), "x")
    assert bank.values is before
    assert delta(bank, "q", slot).any()


def test_full_then_cleared_then_free_again() -> None:
    bank = Bank(SITES, capacity=1)
    slot = bank.write(lora(2, 0), "one")
    with pytest.raises(BankFull, match="takes 1 of 1 slots of rank 8, and 0 are free"):
        bank.write(lora(2, 1), "two")
    bank.clear(slot)
    assert not delta(bank, "q", slot).any()
    assert bank.write(lora(2, 1), "two") == slot


def test_unknown_site_and_wrong_shape_take_no_slot() -> None:
    bank = Bank(SITES, capacity=1)
    with pytest.raises(AdapterError, match="nowhere, a site this graph does not carry"):
        bank.write(lora(2, 0, "nowhere"), "x")
    a, b = lora(2, 0)["q"]
    with pytest.raises(AdapterError, match="maps 6 to 3"):
        bank.write({"q": (a, b[:, :3])}, "x")
    assert bank.free == 1
