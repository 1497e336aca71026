"""The second stage of `polygraft pretrain` on the tiny backbone and a handful of sentences."""

import gzip
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import yaml
from safetensors.torch import load_file

from polygraft.architectures.folder import BackboneFiles, encoder_part, fingerprint
from polygraft.architectures.loading import linear_sites, load_backbone, load_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.errors import BackboneError, RecipeError
from polygraft.export.export import export_backbone
from polygraft.pretrain import checkpoint, first_stage, mixed, teacher
from polygraft.pretrain.dev import DevSet, load_pairs
from polygraft.pretrain.measure import SIB_LANGUAGES, measure
from polygraft.pretrain.pack import Packed
from polygraft.pretrain.page import page
from polygraft.pretrain.pretrain import pretrain, pretrain_single_pair

NOUNS = {"mum": "màmá", "train": "ọkọ̀", "dinner": "oúnjẹ", "prize": "ẹ̀bùn", "cash": "owó"}
LOGGED = {"step", "translate", "directions", "tokens", "written", "seconds"}
WHEN = {"now": "báyìí", "soon": "láìpẹ́", "tonight": "lálẹ́", "late": "pẹ́"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    rows = [
        (f"you see {n} {w}", f"o rí {y} {v}")
        for (n, y), (w, v) in itertools.product(NOUNS.items(), WHEN.items())
    ]
    for name, part in (("train", rows), ("dev", rows[:1])):
        write(root / f"en-yo.{name}.tsv.gz", [f"{e}\t{y}" for e, y in part * 3])
    return root


def write(file: Path, lines: list[str]) -> None:
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.writelines(f"{line}\n" for line in lines)


def folder_of(root: Path, steps: int, **changes: object) -> Path:
    root.mkdir(parents=True)
    schedule = {
        "tokens": 300,
        "checkpoint_steps": 20,
        "decoder_lr": 5e-3,
        "encoder_lr": 1e-3,
        "rows_lr": 1e-3,
        "ema": 0.9,
    }
    recipe = {
        "name": "tiny",
        "corpora": [{"path": "en-{lang}.train.tsv.gz", "layout": "pairs", "languages": ["yo"]}],
        "held_out": ["*.dev.tsv.gz"],
        "seq2seq": {
            "decoder": {"layers": 1, "pieces": 600, "dropout": 0.0, "lines": 50},
            "max_length": 32,
            "phases": [
                {
                    "name": "one",
                    "objectives": {"translate": 0, "denoise": 0, "align": 1},
                    "schedule": schedule | {"steps": 10},
                },
                {
                    "name": "two",
                    "objectives": {"label_smoothing": 0.0},
                    "schedule": schedule | {"steps": steps},
                },
            ],
        },
    }
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe | changes))
    return root


@pytest.fixture(scope="module")
def made(backbone: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("made")
    folder, work = folder_of(base / "tiny", 120), base / "work"
    pretrain(folder, data, work, start=backbone)
    return folder, work


def test_it_learns_and_the_folder_loads_as_a_whole_and_as_an_encoder(
    made: tuple[Path, Path], backbone: Path
) -> None:
    folder, work = made
    log = [json.loads(line) for line in (work / "two" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["translate"] < 0.6 * log[0]["translate"]
    assert log[-1]["step"] == 120
    whole = load_seq2seq(folder)
    assert whole.config.model_type == "encoder-decoder"
    assert list(linear_sites(load_backbone(folder))) == list(linear_sites(load_backbone(backbone)))
    assert load_encoder(folder).case_feature
    assert fingerprint(folder) != fingerprint(backbone)
    assert BackboneFiles(folder).decoder_tokenizer.is_file()


def test_the_held_out_row_was_not_trained_on(made: tuple[Path, Path]) -> None:
    folder, work = made
    report = json.loads((folder / "hygiene.json").read_text())
    assert report["files"] == ["en-yo.dev.tsv.gz"]
    packed = Packed.load(work / "packed.npz")
    assert len(packed.pairs) == len(NOUNS) * len(WHEN) - 1
    assert report["found"]["pairs yo"] == {"rows": 60, "equal_line": 3, "shared_gram": 0}


def test_monolingual_lines_are_translated_back_before_a_phase(
    made: tuple[Path, Path], data: Path, tmp_path: Path
) -> None:
    write(data / "yo.txt.gz", ["màmá rí owó", "o rí oúnjẹ ẹ̀bùn", "o rí màmá báyìí"])
    schedule = {"steps": 2, "tokens": 300, "encoder_lr": 0, "checkpoint_steps": 1}
    phase = {
        "name": "back",
        "dropout": 0.3,
        "objectives": {"masked": 0, "denoise": 0, "distil": 0},
        "schedule": schedule,
        "back_translation": {"languages": ["yo"], "weight": 2},
    }
    stage = {"phases": [phase], "max_length": 32}
    mono = [{"path": "{lang}.txt.gz", "languages": ["yo"]}]
    folder = folder_of(tmp_path / "more", 1, seq2seq=stage, monolingual=mono)
    pretrain(folder, data, tmp_path / "work", start=made[0])
    packed = Packed.load(tmp_path / "work" / "back" / "packed.npz")
    new = packed.pairs[packed.one_way]
    decoder = load_target_tokenizer(folder).tokenizer
    lines = {decoder.decode(packed.written(int(line)).tolist()) for line in new[:, 1]}
    assert lines <= {"màmá rí owó", "o rí oúnjẹ ẹ̀bùn"}, "the third has a translation"
    assert lines
    reader = load_encoder(folder).tokenizer
    english = [reader.decode(packed.read(int(e))[0].tolist()) for e in new[:, 0]]
    assert any("see" in text for text in english), english
    assert set(packed.weight[packed.one_way]) == {2}


@pytest.mark.long
def test_the_encoder_is_exported_as_any_other(made: tuple[Path, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made[0], tmp_path / "copy"))
    card = export_backbone(copy, precisions=("fp32",))
    assert card.backbone == fingerprint(copy)
    assert card.drift["fp32"] < 1e-4
    assert card.drift["decoder_fp32"] < 1e-4


class Killed(BaseException):
    pass


def kill_at(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a training dies in its `call`-th step."""
    real, calls = mixed.losses, itertools.count()

    def dies(*args: object) -> object:
        if next(calls) == call:
            raise Killed
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(mixed, "losses", dies)


def test_a_killed_run_ends_as_one_that_was_not(
    backbone: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, work = folder_of(tmp_path / "whole", 40), tmp_path / "whole-work"
    pretrain(whole, data, work, start=backbone, bf16=False)
    killed, work = folder_of(tmp_path / "killed", 40), tmp_path / "killed-work"
    shutil.copy(
        whole / "decoder_tokenizer.json", killed
    )  # learning one is not the same twice; one that is there is kept
    with monkeypatch.context() as patched:
        kill_at(37, patched)
        with pytest.raises(Killed):
            pretrain(killed, data, work, start=backbone, bf16=False)
    pretrain(killed, tmp_path / "no data any more", work, start=backbone, bf16=False)
    a, b = (load_seq2seq(f).state_dict() for f in (whole, killed))
    worst = max(float((a[name] - b[name]).abs().max()) for name in a)
    assert worst == 0, f"largest difference {worst:.2g}"


@pytest.fixture(scope="module")
def adapted(
    made: tuple[Path, Path], data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The decoder of `made` trained on together with an adapter; its dev pairs are sentences it has
    seen, not held out."""
    base = tmp_path_factory.mktemp("adapted")
    folder, work = adapter_folder(base / "folder", made[0]), base / "work"
    pretrain(folder, data, work, start=made[0], bf16=False)
    return folder, work


def adapter_folder(root: Path, start: Path, steps: int = 40, **schedule: object) -> Path:
    folder_of(root, steps)
    recipe = yaml.safe_load((root / "recipe.yaml").read_text())
    recipe["corpora"][0]["domain"] = "chat"
    recipe["held_out"], recipe["evaluation"] = [], [recipe["corpora"][0]]
    phase = recipe["seq2seq"]["phases"][1]
    phase["objectives"] |= {"masked": 0, "distil": 0, "denoise": 0.1}
    phase["schedule"] |= {
        "encoder_lr": 0,
        "dev_steps": 20,
        "score_steps": 40,
        "tokens": 200,
        "adapter_lr": 2e-2,
    } | schedule
    recipe["seq2seq"] |= {
        "phases": [phase],
        "adapter": {"r": 4, "alpha": 4, "dropout": 0},
        "dev_rows": 6,
        "domains": ["chat"],
        "pairs": None,
    }
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return root


def test_an_adapter_learns_beside_an_encoder_that_stays(
    adapted: tuple[Path, Path], made: tuple[Path, Path]
) -> None:
    folder, _ = adapted
    before, after = fingerprint(made[0]), fingerprint(folder)
    assert encoder_part(before) == encoder_part(after)
    assert before != after, "the decoder is another"
    encoder = load_backbone(folder)
    theirs = load_backbone(made[0]).state_dict()
    assert all(torch.equal(weight, theirs[name]) for name, weight in encoder.state_dict().items())
    sites = list(linear_sites(encoder))
    loaded = peft.PeftModel.from_pretrained(encoder, folder / "mt")
    matrices = {n: p for n, p in loaded.named_parameters() if "lora_B" in n}
    assert len(matrices) == len(sites)
    assert all(p.abs().max() > 0 for p in matrices.values()), "each was trained"
    assert sorted(f.name for f in (folder / "mt").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert str(made[0].parent) not in (folder / "mt" / "adapter_config.json").read_text()


def test_the_log_of_a_training_tells_directions_dev_loss_and_scores(
    adapted: tuple[Path, Path],
) -> None:
    """The last dev loss is that of what was written: decoder and adapter, both of them needed."""
    folder, work = adapted
    log = [json.loads(line) for line in (work / "two" / "log.jsonl").read_text().splitlines()]
    assert [(r["step"], "dev" in r, "chrf++" in r) for r in log] == [
        (20, True, False),
        (40, True, True),
    ]
    for name in ("directions", "dev_directions"):
        assert set(log[-1][name]) == {"en-yo", "yo-en"}
    assert set(log[-1]["chrf++_directions"]) == {"en-yo", "yo-en"}
    assert log[-1]["tokens"] > log[-1]["written"] > log[0]["written"] > 0
    model = load_seq2seq(folder)
    dev = DevSet(
        load_pairs(work / "dev.jsonl"),
        load_encoder(folder),
        load_target_tokenizer(folder),
        "cpu",
        bf16=False,
    )
    bare = dev.losses(model)
    model.encoder = peft.PeftModel.from_pretrained(model.encoder, folder / "mt")
    ours = dev.losses(model)
    assert ours == pytest.approx(log[-1]["dev_directions"], abs=1e-3), "float16 moves it a little"
    gaps = {direction: abs(bare[direction] - ours[direction]) for direction in ours}
    assert max(gaps.values()) > 4e-3, gaps


def test_a_killed_training_with_an_adapter_ends_as_one_that_was_not(
    adapted: tuple[Path, Path],
    made: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed after a checkpoint and its dev figures, and once more by `hours`, where the corpora
    are not."""
    whole, finished = adapted
    folder, work = adapter_folder(tmp_path / "folder", made[0]), tmp_path / "work"
    work.mkdir()
    for name in ("packed.npz", "dev.jsonl"):
        shutil.copy(finished / name, work)
    with monkeypatch.context() as patched:
        kill_at(33, patched)
        with pytest.raises(Killed):
            pretrain(folder, tmp_path / "no data", work, start=made[0], bf16=False)
    taken = (work / "two" / "checkpoint.pt").stat().st_mtime_ns
    pretrain(folder, tmp_path / "no data", work, start=made[0], bf16=False, hours=0)
    assert (work / "two" / "checkpoint.pt").stat().st_mtime_ns == taken, (
        "a look at what there is changes nothing"
    )
    pretrain(folder, tmp_path / "no data", work, start=made[0], bf16=False)
    for file in ("model.safetensors", "mt/adapter_model.safetensors"):
        assert (whole / file).read_bytes() == (folder / file).read_bytes(), file
    ours, theirs = ((w / "two" / "log.jsonl").read_text().splitlines() for w in (work, finished))
    assert [without_time(line) for line in ours] == [without_time(line) for line in theirs]


def without_time(line: str) -> dict[str, object]:
    return {name: value for name, value in json.loads(line).items() if name != "seconds"}


def test_a_constant_rate_may_end_at_any_step_and_another_phase_take_it_to_zero(
    adapted: tuple[Path, Path], made: tuple[Path, Path], tmp_path: Path
) -> None:
    """`steps` lowered to the one that was reached: the phase is over, and the next starts from what
    it left."""
    _, finished = adapted
    work = Path(shutil.copytree(finished, tmp_path / "work"))
    folder = adapter_folder(tmp_path / "folder", made[0], steps=40)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    (phase,) = recipe["seq2seq"]["phases"]
    last = phase | {"name": "finish", "schedule": phase["schedule"] | {"steps": 20, "decay": 1}}
    recipe["seq2seq"]["phases"] = [
        phase | {"schedule": phase["schedule"] | {"steps": 30, "decay": 0}},
        last,
    ]
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    pretrain(folder, tmp_path / "no data", work, start=made[0], bf16=False)
    before = json.loads((work / "two" / "log.jsonl").read_text().splitlines()[-1])
    after = json.loads((work / "finish" / "log.jsonl").read_text().splitlines()[-1])
    assert (before["step"], after["step"]) == (40, 20)
    assert after["dev"] < before["dev"]
    assert encoder_part(fingerprint(folder)) == encoder_part(fingerprint(made[0]))


def test_a_carried_checkpoint_with_an_adapter_leaves_the_encoder_out(
    adapted: tuple[Path, Path], made: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, finished = adapted
    work = Path(shutil.copytree(finished, tmp_path / "work"))
    file = checkpoint.write_portable(work)
    names = set(load_file(file))
    assert any("lora_A" in name for name in names)
    assert not any(name.startswith("encoder.") and "lora_" not in name for name in names)
    (work / "two" / "checkpoint.pt").unlink()
    there = adapter_folder(tmp_path / "there", made[0])
    pretrain(there, tmp_path / "no data", work, start=made[0], bf16=False, hours=0)
    gap = {
        n: float((t - load_seq2seq(folder).state_dict()[n]).abs().max())
        for n, t in load_seq2seq(there).state_dict().items()
    }
    assert max(gap.values()) < 0.2, "its weights, though not the averaged ones"
    other = adapter_folder(tmp_path / "other", made[0])
    recipe = yaml.safe_load((other / "recipe.yaml").read_text())
    del recipe["seq2seq"]["adapter"]
    (other / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(BackboneError, match="is of another model"):
        pretrain(other, tmp_path / "no data", work, start=made[0], bf16=False)


def test_a_carried_checkpoint_is_small_and_goes_on_at_its_step(
    made: tuple[Path, Path], tmp_path: Path, backbone: Path
) -> None:
    folder, work = made
    file = checkpoint.write_portable(work)
    assert file.stat().st_size < 0.25 * (work / "two" / "checkpoint.pt").stat().st_size
    there, elsewhere = folder_of(tmp_path / "there", 125), tmp_path / "elsewhere"
    (elsewhere / "two").mkdir(parents=True)
    shutil.copy(folder / "decoder_tokenizer.json", there)
    for name in ("two/carry.safetensors", "packed.npz"):
        shutil.copy(work / name, elsewhere / name)
    pretrain(there, tmp_path / "no data here", elsewhere, start=backbone)
    steps = [
        json.loads(line)["step"]
        for line in (elsewhere / "two" / "log.jsonl").read_text().splitlines()
    ]
    assert steps == [125]
    assert not (elsewhere / "one").exists(), "the phase before was done elsewhere"
    before, after = load_seq2seq(folder).state_dict(), load_seq2seq(there).state_dict()
    gap = np.mean([float((before[n] - after[n]).abs().mean()) for n in before])
    assert gap < 0.05


def test_a_decoder_goes_on_beside_an_encoder_that_stays(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, work = made
    further, elsewhere = folder_of(tmp_path / "further", 20), tmp_path / "work"
    recipe = yaml.safe_load((further / "recipe.yaml").read_text())
    recipe["seq2seq"]["phases"] = recipe["seq2seq"]["phases"][1:]
    recipe["seq2seq"]["phases"][0]["objectives"] |= {"masked": 0, "distil": 0}
    recipe["seq2seq"]["phases"][0]["schedule"]["encoder_lr"] = 0
    (further / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    elsewhere.mkdir()
    shutil.copy(work / "packed.npz", elsewhere)
    pretrain(further, tmp_path / "no data here", elsewhere, start=folder)
    before, after = fingerprint(folder), fingerprint(further)
    assert encoder_part(before) == encoder_part(after)
    assert before != after
    log = json.loads((elsewhere / "two" / "log.jsonl").read_text().splitlines()[0])
    assert log["translate"] < 1.0, "it starts from what was learnt"
    recipe["seq2seq"]["phases"][0]["objectives"]["masked"] = 0.1
    (further / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(RecipeError, match=r"schedule\.encoder_lr is 0"):
        pretrain(further, tmp_path, elsewhere, start=folder)


def test_a_model_of_one_pair_alone_is_a_backbone_to_compare_with(made: tuple[Path, Path]) -> None:
    folder, work = made
    alone = pretrain_single_pair(folder, "yo", 30, work)
    assert alone == work / "alone" / "yo"
    ours, theirs = (load_seq2seq(f).state_dict() for f in (folder, alone))
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in theirs.items()}
    assert json.loads((alone / "log.jsonl").read_text().splitlines()[-1]).keys() == LOGGED
    with pytest.raises(BackboneError, match="no pairs with fr; there are yo"):
        pretrain_single_pair(folder, "fr", 5, work)


def test_an_encoder_alone_cannot_write(backbone: Path) -> None:
    with pytest.raises(BackboneError, match="has no decoder"):
        load_seq2seq(backbone)
    assert torch.is_grad_enabled()


@pytest.mark.long
def test_both_stages_from_an_english_teacher(
    backbone: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny backbone stands in for the teacher; only the encoder, then again with a decoder."""
    tokenizer = load_encoder(backbone).tokenizer
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    for module in (first_stage, teacher):
        monkeypatch.setattr(
            module,
            "load_teacher",
            lambda: (load_backbone(backbone).requires_grad_(True), tokenizer),
        )
    monkeypatch.setattr(first_stage, "teacher_folder", lambda: tmp_path)
    short = {
        "distillation": {"draws": 300, "tokens": 300, "checkpoint_steps": 5, "body_lr": 1e-3},
        "vocabulary": {"pieces": 40, "lines": 500},
        "case_feature": 0.3,
    }
    alone = folder_of(tmp_path / "alone", 20, seq2seq=None, **short)
    pretrain(alone, data, tmp_path / "work-alone")
    assert load_encoder(alone).tokenizer.get_vocab_size() > len(vocabulary)
    whole = folder_of(tmp_path / "whole", 20, **short)
    pretrain(whole, data, tmp_path / "work")
    vocabularies = [
        load_encoder(f).tokenizer.get_vocab() for f in (whole, tmp_path / "work" / "encoder")
    ]
    assert vocabularies[0] == vocabularies[1]
    assert load_seq2seq(whole).config.encoder.case_feature
    assert (
        load_backbone(tmp_path / "work" / "encoder").config.vocab_size
        == load_backbone(whole).config.vocab_size
    )


def test_measure_gives_every_figure_and_a_page(
    made: tuple[Path, Path], data: Path, tmp_path: Path
) -> None:
    folder, work = made
    with_sets = Path(shutil.copytree(folder, tmp_path / "backbone"))
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe["evaluation"] = [recipe["corpora"][0]]
    (with_sets / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    root = Path(shutil.copytree(data, tmp_path / "data"))
    (root / "sib200").mkdir()
    topics = [("cash prize", "money"), ("dinner with mum", "home")] * 10
    for name in SIB_LANGUAGES:
        write(
            root / "sib200" / f"{name}.txt.gz",
            [f"{text} {i}" for i, (text, _) in enumerate(topics)],
        )
    splits = ["train"] * 14 + ["dev"] * 6
    write(
        root / "sib200" / "labels.tsv.gz",
        [f"{i}\t{s}\t{t[1]}" for i, (s, t) in enumerate(zip(splits, topics, strict=True))],
    )
    pretrain_single_pair(with_sets, "yo", 10, work)
    (tmp_path / "objectives.json").write_text(
        'all {...}\n{"bench": "objectives", "steps": 7, '
        '"results": {"start": {"retrieval": 41.5}}}\n'
    )
    found = measure(
        with_sets,
        root,
        rows=12,
        work=work,
        single_pairs=work / "alone",
        ablations=tmp_path / "objectives.json",
    )
    assert found["sib200"]["scores"]["yor_Latn"]["folds"] > 90
    assert found["retrieval"]["yo"]["to_english"] > 100 / 12, "trained on these: better than chance"
    pair = found["translation"]["en-yo"]
    assert pair["backbone"]["chrf++"] > pair["copy"]["chrf++"] + 20, (
        "trained on these: it writes them"
    )
    assert "nw:2" in pair["backbone"]["signatures"][0]
    assert set(pair) == {"backbone", "copy", "alone", "examples"}
    assert found["text"]["yo"]["pairs"] == len(NOUNS) * len(WHEN) - 1
    assert found["learning_curves"]["two"][-1]["step"] == 120
    assert set(found["tokens_a_word"]["yo"]) == {"encoder", "decoder", "unknown_percent"}
    html = page(json.loads(json.dumps(found)), other=found | {"backbone": "<other>"})
    assert html.count("<svg") == 5
    assert "7 steps each" in html
    assert "<td>start</td><td>41.5</td>" in html
    assert "&lt;other&gt;" in html or "other" in html
    assert "<other>" not in html
