"""`polygraft measure`: everything a backbone is judged by, in one JSON and one page.

SIB-200 zero-shot; sentence retrieval and translation on the recipe's `evaluation` pairs, both ways,
beside copying the source; tokens a word against English; the learning curve of its training. Reads
dev text, and Tatoeba's retrieval tests where the recipe lists them.
"""

from __future__ import annotations

import json
import platform as machine
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.progress import track
from tokenizers import Tokenizer

from polygraft.architectures.folder import BackboneFiles, fingerprint
from polygraft.architectures.loading import load_backbone, load_seq2seq
from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import load_encoder
from polygraft.data.lines import split_lines
from polygraft.pretrain import corpus
from polygraft.pretrain.decoder_vocabulary import tokens_a_word
from polygraft.pretrain.pack import ENGLISH
from polygraft.pretrain.probe import probe_sib200
from polygraft.pretrain.recipe import PretrainRecipe
from polygraft.pretrain.retrieval import accuracy
from polygraft.training.vectors import sentence_vectors

SIB_LANGUAGES = (
    "eng_Latn",
    "fra_Latn",
    "spa_Latn",
    "deu_Latn",
    "yor_Latn",
    "snd_Arab",
    "hau_Latn",
    "ibo_Latn",
    "swh_Latn",
    "mri_Latn",
    "smo_Latn",
    "som_Latn",
    "urd_Arab",
    "hin_Deva",
    "ind_Latn",
    "tgl_Latn",
)
TARGETS = SIB_LANGUAGES[4:]


def measure(
    folder: Path,
    data: Path,
    *,
    rows: int = 200,
    work: Path | None = None,
    alone: Path | None = None,
    ablations: Path | None = None,
) -> dict[str, Any]:
    """Figures of the backbone in `folder`. `rows` bounds each evaluation set; `work` is the WORK of
    its pretraining, for the learning curves; `alone` holds models of single pairs, one folder a
    language (`second_stage.train_alone`); `ablations` is what `tests/bench/objectives.py` printed.

    Raises `BackboneError` when the folder is not a backbone.
    """
    recipe, text = PretrainRecipe.load(folder / "recipe.yaml"), folder / "text.json"
    sets = evaluation_sets(recipe, data, rows)
    found: dict[str, Any] = {
        "backbone": recipe.name,
        "fingerprint": fingerprint(folder),
        "rows_a_set": rows,
    }
    sib = probe_sib200(folder, data / "sib200", SIB_LANGUAGES)
    means = {
        protocol: _mean([sib[language][protocol] for language in TARGETS])
        for protocol in ("folds", "centred", "official")
    }
    found["sib200"] = {"scores": sib, "low_resource_mean": means}
    found["retrieval"] = measure_retrieval(folder, sets)
    found["tokens_a_word"] = _tokens(folder, sets)
    if BackboneFiles(folder).decoder_tokenizer.is_file():
        found["translation"] = measure_translation(folder, sets)
        for one in sorted(alone.iterdir()) if alone else []:
            for pair, scored in measure_translation(one, {one.name: sets[one.name]}).items():
                found["translation"][pair]["alone"] = scored["backbone"]
    if text.is_file():
        found["text"] = json.loads(text.read_text(encoding="utf-8"))
    logs = sorted(work.glob("*/log.jsonl"), key=lambda file: file.stat().st_mtime) if work else []
    if logs:
        read = {file.parent.name: split_lines(file.read_text(encoding="utf-8")) for file in logs}
        found["learning_curves"] = {
            phase: [json.loads(line) for line in lines] for phase, lines in read.items()
        }
    if ablations:
        found["ablations"] = json.loads(split_lines(ablations.read_text(encoding="utf-8"))[-1])
    found["made_with"] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cpu": machine.machine(),
        "threads": torch.get_num_threads(),
    }
    return found


def evaluation_sets(
    recipe: PretrainRecipe, data: Path, rows: int
) -> dict[str, list[corpus.EnglishPair]]:
    """The recipe's evaluation pairs by language, evenly thinned to `rows` each."""
    sets: dict[str, list[corpus.EnglishPair]] = defaultdict(list)
    for one in recipe.evaluation:
        for pair in corpus.read_corpus(one, data):
            sets[pair.language].append(pair)
    return {
        language: pairs[:: max(1, len(pairs) // rows)][:rows] for language, pairs in sets.items()
    }


def measure_retrieval(
    folder: Path, sets: dict[str, list[corpus.EnglishPair]]
) -> dict[str, dict[str, float]]:
    """Accuracy of both directions by language, percent."""
    model, encoder = load_backbone(folder), load_encoder(folder, max_length=128)
    found = {}
    for language, pairs in track(sets.items(), description="retrieval"):
        english, other = [p.english for p in pairs], [p.text for p in pairs]
        a, b = (sentence_vectors(model, encoder, texts) for texts in (english, other))
        found[language] = {
            "from_english": accuracy(a, b, other),
            "to_english": accuracy(b, a, english),
        }
    return found


def measure_translation(folder: Path, sets: dict[str, list[corpus.EnglishPair]]) -> dict[str, Any]:
    """Scores and first examples of both directions, for the languages that the decoder has a tag
    for."""
    from polygraft.tasks.translation.greedy import translate_passages
    from polygraft.tasks.translation.metrics import scores

    model, encoder = load_seq2seq(folder), load_encoder(folder, max_length=128)
    pieces = TargetTokenizer(BackboneFiles(folder).decoder_tokenizer)
    found: dict[str, Any] = {}
    for language, pairs in track(sets.items(), description="translation"):
        if language not in pieces.languages:
            continue
        english, other = [p.english for p in pairs], [p.text for p in pairs]
        for direction, sources, references in (
            ((ENGLISH, language), english, other),
            ((language, ENGLISH), other, english),
        ):
            written = translate_passages(model, encoder, pieces, sources, direction)
            found["-".join(direction)] = {
                "backbone": scores(written, references),
                "copy": scores(sources, references),
                "examples": [
                    {"source": s, "reference": r, "written": w}
                    for s, r, w in list(zip(sources, references, written, strict=True))[:3]
                ],
            }
    return found


def _tokens(folder: Path, sets: dict[str, list[corpus.EnglishPair]]) -> dict[str, dict[str, float]]:
    """TargetTokenizer a word of either tokenizer, and the share of unknown pieces in the
    encoder's."""
    encoder = load_encoder(folder).tokenizer
    file = BackboneFiles(folder).decoder_tokenizer
    pieces = Tokenizer.from_file(str(file)) if file.is_file() else None
    texts = {language: [p.text for p in pairs] for language, pairs in sets.items()}
    texts[ENGLISH] = [p.english for pairs in sets.values() for p in pairs[:50]]
    found = {}
    for language, lines in texts.items():
        ids = [i for e in encoder.encode_batch(lines, add_special_tokens=False) for i in e.ids]
        found[language] = {
            "encoder": round(tokens_a_word(encoder, lines), 2),
            "unknown_percent": round(
                100 * ids.count(encoder.get_vocab()["[UNK]"]) / max(1, len(ids)), 3
            ),
        }
        if pieces:
            found[language]["decoder"] = round(tokens_a_word(pieces, lines), 2)
    return found


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 1)
