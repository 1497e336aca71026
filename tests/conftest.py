"""A tiny backbone with random weights, exported once a session, and adapters for it. No internet,
no GPU, no shared data."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a worker has one core to itself

import filelock
import numpy as np
import peft
import pytest
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModel,
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
)

from polygraft.adapters.format import HASHED, LAYOUT, sha256
from polygraft.architectures.folder import encoder_part, fingerprint
from polygraft.architectures.loading import load_backbone, load_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder, pad
from polygraft.export.export import export_backbone
from polygraft.pretrain import seq2seq, vocabulary
from polygraft.pretrain.decoder_vocabulary import learn_unigram
from polygraft.pretrain.pretrain import write_backbone
from polygraft.pretrain.recipe import DecoderRecipe
from polygraft.runtime.graph import load_card
from polygraft.tasks.classification.manifest import ClassificationManifest, GoldenLogits
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.manifest import GoldenText, TranslationManifest
from polygraft.training.vectors import pool

ROOT = Path(__file__).resolve().parent.parent
WORDS = [
    "free",
    "win",
    "prize",
    "call",
    "now",
    "claim",
    "text",
    "cash",
    "hello",
    "mum",
    "dinner",
    "tonight",
    "train",
    "late",
    "see",
    "you",
    "soon",
    "ọjọ́",
    "dára",
    "simu",
    "pesa",
]
MakeAdapter = Callable[..., Path]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the tests' servers and commands keep the user's key and library, so that they leave the
    real ones alone. The bundled adapters are only under a library where a test says so."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        patch.setenv("POLYGRAFT_BUNDLED", "false")
        yield folder


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` that `make` fills, once a session for all of its workers: who comes second
    waits. Tests copy what they change."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / name
    with filelock.FileLock(shared / f"{name}.lock"):
        if not folder.exists():
            making = shared / "making" / name  # what it is called may stand in its files
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            make(making)
            making.rename(folder)
    return folder


@pytest.fixture(scope="session")
def machine_paths() -> Callable[[bytes], set[str]]:
    """Absolute paths of somebody's machine in bytes of any kind: the first two folders of each.
    Placeholders are none."""
    starts = [
        f"/{name}/".encode()
        for name in ("work", "home", "root", "tmp", "Users", "mnt", "workspace", "var/folders")
    ]
    starts += [f":{slash}Users{slash}".encode() for slash in ("\\", "\\\\")]
    whole = re.compile(rb"(?:(?<![\w.}/-])/(?:var/)?\w+/|[A-Za-z]:\\+Users\\+)[\w.-]{2,}")
    placeholders = {f"/home/{name}" for name in ("you", "user", "me")}

    def find(content: bytes) -> set[str]:
        found = set[str]()
        for start in starts:
            place = content.find(start)
            while place >= 0:
                if path := whole.match(content, place - (start[:1] == b":")):
                    found.add(path[0].decode("ascii"))
                place = content.find(start, place + 1)
        return found - placeholders

    return find


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers, hidden 32, about a hundred pieces; fp32 and int8 graphs, query and value core."""
    return made_once(tmp_path_factory, "backbone", _make_backbone)


def _make_backbone(folder: Path) -> None:
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = [
        *vocabulary.SPECIALS.values(),
        *letters,
        *(f"##{c}" for c in letters),
        *"0123456789.!?",
        *WORDS,
    ]
    vocabulary.save(vocabulary.wordpiece(pieces), folder, max_length=64)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        type_vocab_size=3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.3,
    )
    config.case_feature = True
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    export_backbone(folder, precisions=("fp32", "int8"), core=["query", "value"])


@pytest.fixture(scope="session")
def published(backbone: Path) -> Callable[..., Path]:
    """`published(model_type, folder, **config)` -> a tiny encoder with random weights and the
    backbone's tokenizer, as save_pretrained writes one, with a card."""

    def publish(model_type: str, folder: Path, **changes: object) -> Path:
        torch.manual_seed(0)
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(backbone / "tokenizer.json"))
        tokenizer.add_special_tokens({"pad_token": "[PAD]"})
        sizes: dict[str, object] = {
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "max_position_embeddings": 66,
            "initializer_range": 0.3,
            "pad_token_id": 0,
        }
        config = AutoConfig.for_model(model_type, **sizes | changes)
        AutoModel.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        card = "---\nlicense: apache-2.0\n---\n# tiny\n"
        (folder / "README.md").write_text(card, encoding="utf-8")
        return folder

    return publish


@pytest.fixture(scope="session")
def writing_backbone(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny backbone with a decoder of two layers beside it, random too; fp32 and int8
    graphs."""
    return made_once(
        tmp_path_factory, "writing", lambda folder: _make_writing_backbone(folder, backbone)
    )


def _make_writing_backbone(folder: Path, backbone: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(backbone / name, folder)
    recipe = DecoderRecipe(layers=2, pieces=600, lines=500, spare_tags=2, dropout=0.0)
    text = {
        "en": ["See you soon, mum.", "WIN a free prize now!"] * 40,
        "yo": ["Ọjọ́ dára púpọ̀ lónìí."] * 40,
        "haw": ["Aloha ʻoe"] * 40,
    }
    pieces = learn_unigram(recipe, text, seed=0)
    pieces.save(str(folder / "decoder_tokenizer.json"))
    rows = (
        np.random.default_rng(0).normal(size=(pieces.get_vocab_size(), 32)).astype(np.float32) * 0.3
    )
    body = load_backbone(backbone).requires_grad_(True)
    write_backbone(seq2seq.build(body, rows, recipe, max_length=48, seed=0), folder)
    export_backbone(folder, precisions=("fp32", "int8"), core=["query", "value"])


@pytest.fixture(scope="session")
def make_adapter(backbone: Path) -> MakeAdapter:
    """`make_adapter(folder, ...)` -> a true adapter folder, written by PEFT."""

    def make(
        folder: Path,
        *,
        seed: int = 1,
        rank: int = 4,
        labels: tuple[str, ...] = ("ham", "spam"),
        scale: float = 0.1,
        certainty: float = 1.0,
        languages: tuple[str, ...] = ("en",),
        sites: list[str] | None = None,
        home: Path = backbone,
    ) -> Path:
        torch.manual_seed(seed)
        folder.mkdir(parents=True, exist_ok=True)
        carried = [s.name for s in load_card(home).sites]
        config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=sites or carried)
        model = peft.get_peft_model(load_backbone(home), config).eval()
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=scale)
        model.save_pretrained(folder)
        weight = certainty * torch.randn(len(labels), 32).numpy()
        save_file(
            {"weight": weight, "bias": np.zeros(len(labels), np.float32)}, folder / LAYOUT.head
        )
        encoder = load_encoder(home)
        golden = []
        for text in ("WIN a free prize", "see you soon", "call mum"):
            batch = {k: torch.from_numpy(v) for k, v in pad(encoder.encode([text]), 0).items()}
            with torch.no_grad():
                logits = (
                    pool(model(**batch).last_hidden_state, batch["attention_mask"]).numpy()
                    @ weight.T
                )
                with model.disable_adapter():
                    bare = (
                        pool(model(**batch).last_hidden_state, batch["attention_mask"]).numpy()
                        @ weight.T
                    )
            golden.append(GoldenLogits(text=text, logits=logits[0].tolist(), bare=bare[0].tolist()))
        manifest = ClassificationManifest(
            format=1,
            name=folder.name,
            backbone=encoder_part(fingerprint(home)),
            languages=list(languages),
            labels=list(labels),
            created="2026-01-01",
            data=[],
            metrics={},
            golden=golden,
            files={n: sha256(folder / n) for n in HASHED},
        )
        (folder / LAYOUT.manifest).write_text(manifest.model_dump_json(), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, make_adapter: MakeAdapter) -> Path:
    """Three adapters with 2, 3 and 7 labels and ranks 4, 2 and 8."""
    root = tmp_path_factory.mktemp("library")
    make_adapter(root / "spam", seed=1, rank=4)
    make_adapter(root / "mood", seed=2, rank=2, labels=("bad", "good", "so-so"), languages=("sw",))
    make_adapter(root / "topic", seed=3, rank=8, labels=tuple("abcdefg"))
    return root


def scored(directions: list[tuple[str, str]], chrf: float) -> dict[str, object]:
    """A manifest's metrics of directions, copying at 10 points of chrF++."""

    def around(value: float) -> dict[str, dict[str, float]]:
        return {"chrf++": {"value": value, "low": value - 1, "high": value + 1}}

    rungs = {"copy": around(10), "adapter": around(chrf)}
    return {"directions": {"test": {"-".join(d): {"rungs": rungs} for d in directions}}}


@pytest.fixture(scope="session")
def make_translator(writing_backbone: Path) -> MakeAdapter:
    """`make_translator(folder, directions, seed, chrf)` -> a true translation adapter with random
    LoRA, written by PEFT. Its manifest says that its directions are usable, or have `chrf` points
    of chrF++ on test rows."""

    def make(
        folder: Path, directions: list[tuple[str, str]], seed: int, chrf: float = 50.0
    ) -> Path:
        torch.manual_seed(seed)
        folder.mkdir(parents=True)
        bare = load_seq2seq(writing_backbone)
        sites = [
            n
            for n, m in bare.named_modules()
            if isinstance(m, torch.nn.Linear) and not n.endswith("predictions.decoder")
        ]
        config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=sites)
        model = peft.get_peft_model(load_seq2seq(writing_backbone), config).eval()
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.15)
        model.save_pretrained(folder)
        encoder = load_encoder(writing_backbone)
        pieces = load_target_tokenizer(writing_backbone)
        texts, direction = ["hello mum", "see you soon", "the train is late"], directions[0]
        both = [translate(m, encoder, pieces, texts, direction) for m in (model, bare)]
        golden = [
            GoldenText(text=t, source=direction[0], target=direction[1], written=w, bare=b)
            for t, w, b in zip(texts, *both, strict=True)
        ]
        manifest = TranslationManifest(
            format=1,
            name=folder.name,
            task="translation",
            backbone=fingerprint(writing_backbone),
            languages=sorted({x for d in directions for x in d}),
            directions=directions,
            created="2026-01-01",
            data=[],
            metrics=scored(directions, chrf),
            golden_texts=golden,
            files={n: sha256(folder / n) for n in (LAYOUT.peft_config, LAYOUT.weights)},
        )
        (folder / LAYOUT.manifest).write_text(manifest.model_dump_json(), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def translators(
    writing_backbone: Path,
    make_adapter: MakeAdapter,
    make_translator: MakeAdapter,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Two classifiers, a detector, a translator of English and Yoruba, and one from Hawaiian."""

    def fill(root: Path) -> None:
        make_adapter(root / "spam", seed=1, home=writing_backbone)
        make_adapter(root / "topic", seed=3, labels=tuple("abcdefg"), home=writing_backbone)
        languages = ("en", "haw", "yo")
        make_adapter(
            root / "langid",
            seed=5,
            labels=languages,
            certainty=4,  # of so short texts: else none is told
            languages=languages,
            home=writing_backbone,
        )
        make_translator(root / "en-yo", [("en", "yo"), ("yo", "en")], seed=7)
        make_translator(root / "haw-en", [("haw", "en")], seed=8)

    return made_once(tmp_path_factory, "translators", fill)


@pytest.fixture
def edit_manifest() -> Callable[[Path], None]:
    """Make the manifest's hashes those of the files as they are now."""

    def rehash(folder: Path, **changes: object) -> None:
        file = folder / LAYOUT.manifest
        manifest = json.loads(file.read_text(encoding="utf-8"))
        manifest["files"] = {n: sha256(folder / n) for n in HASHED if (folder / n).exists()}
        file.write_text(json.dumps(manifest | changes), encoding="utf-8")

    return rehash


@pytest.fixture(scope="session")
def tokenizer(backbone: Path) -> Tokenizer:
    return Tokenizer.from_file(str(backbone / "tokenizer.json"))
