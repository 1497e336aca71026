"""The ONNX graph with adapters mixed in a batch, against PyTorch + peft with each adapter alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import peft
import pytest
import torch

from polygraft.adapters.format import load_adapter
from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.loading import load_backbone
from polygraft.architectures.text import load_encoder, pad
from polygraft.errors import ExportError
from polygraft.export import export as exporting
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import GraphSession, Stack, load_card, mixture
from polygraft.training.vectors import pool

TEXTS = [
    "WIN a free prize",
    "see you soon",
    "call mum now",
    "dinner tonight?",
    "ọjọ́ dára",
    "hello",
    "text CLAIM to 80082",
    "x",
]
NAMES = ["spam", "mood", "topic"]


@pytest.fixture(scope="module")
def batch(backbone: Path) -> dict[str, np.ndarray]:
    return pad(load_encoder(backbone).encode(TEXTS), 0)


@torch.no_grad()
def pooled(model: torch.nn.Module, batch: dict[str, np.ndarray]) -> np.ndarray:
    inputs = {k: torch.from_numpy(v) for k, v in batch.items()}
    return pool(model(**inputs).last_hidden_state, inputs["attention_mask"]).numpy()


@pytest.fixture(scope="module")
def alone(backbone: Path, library: Path, batch: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Slow reference: the bare backbone, then each adapter by itself, in PyTorch."""
    models = [load_backbone(backbone)]
    models += [
        peft.PeftModel.from_pretrained(load_backbone(backbone), library / n).eval() for n in NAMES
    ]
    return [pooled(m, batch) for m in models]


@pytest.fixture(scope="module")
def bank(backbone: Path, library: Path) -> Bank:
    return Bank(load_card(backbone).sites, capacity=8, rank=2)


@pytest.fixture(scope="module")
def stacks(bank: Bank, library: Path) -> list[Stack]:
    """Bare, and each adapter: of ranks 4, 2 and 8 in slots of rank 2."""
    written = [bank.write(load_adapter(library / name).lora, name) for name in NAMES]
    assert [len(slots) for slots in written] == [2, 1, 4]
    return [[], *([(slot, 1.0) for slot in slots] for slots in written)]


def test_the_adapters_differ(alone: list[np.ndarray]) -> None:
    for i, one in enumerate(alone):
        for other in alone[i + 1 :]:
            assert np.abs(one - other).max(axis=1).min() > 1e-2


@pytest.mark.parametrize("rotation", range(4))
def test_each_row_of_a_mixed_batch_is_its_adapter_alone(
    backbone: Path,
    batch: dict[str, np.ndarray],
    alone: list[np.ndarray],
    bank: Bank,
    stacks: list[Stack],
    rotation: int,
) -> None:
    which = [(row + rotation) % 4 for row in range(len(TEXTS))]
    session = GraphSession(BackboneFiles(backbone).model("fp32"))
    got = session.run(batch | mixture([stacks[k] for k in which]), bank)
    wanted = np.stack([alone[k][row] for row, k in enumerate(which)])
    worst = np.abs(got - wanted).max()
    assert worst < 1e-5, f"largest difference {worst:.2g}"


@torch.no_grad()
def test_a_stack_is_the_weighted_sum_of_its_updates(
    backbone: Path, library: Path, batch: dict[str, np.ndarray], bank: Bank, stacks: list[Stack]
) -> None:
    """Against peft's own weighted sum, which puts the ranks side by side too; a plain row beside it
    keeps its answer."""
    model = peft.PeftModel.from_pretrained(
        load_backbone(backbone), library / "spam", adapter_name="spam"
    )
    model.load_adapter(library / "topic", adapter_name="topic")
    model.add_weighted_adapter(["spam", "topic"], [0.5, 1.5], "both", combination_type="cat")
    model.set_adapter("both")
    both = [(slot, 0.5) for slot, _ in stacks[1]] + [(slot, 1.5) for slot, _ in stacks[3]]
    session = GraphSession(BackboneFiles(backbone).model("fp32"))
    got = session.run(batch | mixture([both if i % 2 else [] for i in range(len(TEXTS))]), bank)
    stacked, bare = pooled(model.eval(), batch), pooled(load_backbone(backbone), batch)
    assert np.abs(stacked - bare).max() > 1e-2, "the stack changes nothing"
    assert np.abs(got - np.where(np.arange(len(TEXTS))[:, None] % 2, stacked, bare)).max() < 1e-5


def test_int8_stays_close_and_the_adapters_still_show(
    backbone: Path,
    batch: dict[str, np.ndarray],
    alone: list[np.ndarray],
    bank: Bank,
    stacks: list[Stack],
) -> None:
    session = GraphSession(BackboneFiles(backbone).model("int8"))
    for number, stack in enumerate(stacks):
        got = session.run(batch | mixture([stack] * len(TEXTS)), bank)
        distances = [float(np.linalg.norm(got - reference)) for reference in alone]
        assert int(np.argmin(distances)) == number, (
            f"adapter {number} is nearest to {int(np.argmin(distances))}: {distances}"
        )


def test_int8_quantises_weights_only(backbone: Path) -> None:
    model = onnx.load(BackboneFiles(backbone).model("int8"))
    sites = load_card(backbone).sites
    inputs = {i.name for i in model.graph.input}
    assert {f"{s.reads}.A" for s in sites} | {f"{s.name}.B" for s in sites} <= inputs
    (choice,) = [n for n in model.graph.node if n.op_type == "If"]
    branches = {a.name: a.g.node for a in choice.attribute}
    for branch, carried in (("then_branch", sites), ("else_branch", [s for s in sites if s.core])):
        products = len({s.reads for s in carried}) + len(carried)
        assert len([n for n in branches[branch] if n.op_type == "MatMul"]) == products, (
            "one A a group, one B a site"
        )
        assert len([n for n in branches[branch] if n.op_type == "MatMulIntegerToFloat"]) == len(
            sites
        )


def test_weights_stand_in_the_file_once(backbone: Path, tmp_path: Path) -> None:
    """Two branches, one copy: the file grows by the branches' nodes alone."""
    copy = Path(shutil.copytree(backbone, tmp_path / "backbone"))
    exporting.export_backbone(copy, precisions=("int8",))
    both, one = (sum(len(t.raw_data) for t in all_weights(f)) for f in (backbone, copy))
    assert both < 1.1 * one


def all_weights(backbone: Path) -> list[onnx.TensorProto]:
    graph = onnx.load(BackboneFiles(backbone).model("int8")).graph
    branches = [a.g for n in graph.node for a in n.attribute if n.op_type == "If"]
    return [t for g in [graph, *branches] for t in g.initializer]


def test_a_core_adapter_answers_alike_alone_and_beside_one_on_every_site(
    backbone: Path,
    batch: dict[str, np.ndarray],
    make_adapter: Callable[..., Path],
    library: Path,
    tmp_path: Path,
) -> None:
    lean = load_adapter(make_adapter(tmp_path / "lean", seed=7, sites=["query", "value"]))
    bank = Bank(load_card(backbone).sites, capacity=2)
    (first,), (second,) = (
        bank.write(lean.lora, "lean"),
        bank.write(load_adapter(library / "mood").lora, "mood"),
    )
    session = GraphSession(BackboneFiles(backbone).model("fp32"))
    rows = mixture([[(first, 1.0)]] * len(TEXTS))
    assert not bank.feeds(rows["slots"])["all_sites"].numpy()
    alone = session.run(batch | rows, bank)
    beside = session.run(
        batch | mixture([[(first if i % 2 else second, 1.0)] for i in range(len(TEXTS))]), bank
    )
    assert np.abs(alone - session.run(batch | mixture([[]] * len(TEXTS)), bank)).max() > 1e-2, (
        "the adapter changes nothing"
    )
    assert np.abs(alone - beside)[1::2].max() < 1e-5
    assert np.abs(alone - beside)[0::2].max() > 1e-2


def test_the_file_names_no_path_of_the_machine_that_made_it(backbone: Path) -> None:
    assert b"site-packages" not in BackboneFiles(backbone).model("int8").read_bytes()


def test_padding_changes_nothing(backbone: Path, bank: Bank, stacks: list[Stack]) -> None:
    session, encoder = GraphSession(BackboneFiles(backbone).model("fp32")), load_encoder(backbone)
    rows = encoder.encode(["hello", "call mum now dinner tonight see you soon"])
    together = session.run(pad(rows, 0) | mixture(stacks[1:3]), bank)
    for i, row in enumerate(rows):
        one = session.run(pad([row], 0) | mixture([stacks[i + 1]]), bank)
        assert np.abs(together[i] - one[0]).max() < 1e-5


def test_export_refuses_to_write_on_drift(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {f.name: f.read_bytes() for f in BackboneFiles(backbone).onnx.iterdir()}
    monkeypatch.setattr(exporting, "drift", lambda *a: {"fp32": 0.5})
    with pytest.raises(ExportError, match="drifts from PyTorch"):
        exporting.export_backbone(backbone, precisions=("fp32",))
    assert {f.name: f.read_bytes() for f in BackboneFiles(backbone).onnx.iterdir()} == before
    assert not list(backbone.glob(".staging-*"))


def test_sites_can_be_chosen(backbone: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(backbone, tmp_path / "backbone"))
    card = exporting.export_backbone(copy, precisions=("fp32",), sites=["query", "value"])
    assert [s.name.rsplit(".", 1)[-1] for s in card.sites] == ["query", "value"] * 2


def test_merged_export_answers_as_the_adapter_does(
    backbone: Path,
    library: Path,
    batch: dict[str, np.ndarray],
    alone: list[np.ndarray],
    tmp_path: Path,
) -> None:
    import onnxruntime

    file = exporting.export_merged(library / "mood", backbone, tmp_path / "mood.onnx")
    session = onnxruntime.InferenceSession(str(file))
    got = session.run(["logits"], batch)[0]
    wanted = load_adapter(library / "mood").head.own.logits(alone[2])
    assert np.abs(got - wanted).max() < 1e-4
    assert session.get_modelmeta().custom_metadata_map["labels"] == "bad,good,so-so"
