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
from polygraft.architectures.target_tokenizer import load_target_tokenizer
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
    single_pairs: Path | None = None,
    ablations: Path | None = None,
) -> dict[str, Any]:
    """Figures of the backbone in `folder`. `rows` bounds each evaluation set; `work` is the WORK of
    its pretraining, for the learning curves; `single_pairs` holds models of one language pair each,
    a folder a language (`pretrain.pretrain_single_pair`); `ablations` is what
    `tests/bench/objectives.py` printed.

    Raises `BackboneError` when the folder is not a backbone.
    """
    recipe = PretrainRecipe.load(folder / "recipe.yaml")
    sets = evaluation_sets(recipe, data, rows)
    figures: dict[str, Any] = {
        "backbone": recipe.name,
        "fingerprint": fingerprint(folder),
        "rows_a_set": rows,
    }
    sib = probe_sib200(folder, data / "sib200", SIB_LANGUAGES)
    means = {
        protocol: _mean([sib[language][protocol] for language in TARGETS])
        for protocol in ("folds", "centred", "official")
    }
    figures["sib200"] = {"scores": sib, "low_resource_mean": means}
    figures["retrieval"] = measure_retrieval(folder, sets)
    figures["tokens_a_word"] = _tokens_a_word(folder, sets)
    if BackboneFiles(folder).decoder_tokenizer.is_file():
        figures["translation"] = measure_translation(folder, sets)
        for single in sorted(single_pairs.iterdir()) if single_pairs else []:
            scores = measure_translation(single, {single.name: sets[single.name]})
            for direction, scored in scores.items():
                figures["translation"][direction]["alone"] = scored["backbone"]
    text = folder / "text.json"
    if text.is_file():
        figures["text"] = json.loads(text.read_text(encoding="utf-8"))
    if work and (curves := _learning_curves(work)):
        figures["learning_curves"] = curves
    if ablations:
        figures["ablations"] = json.loads(split_lines(ablations.read_text(encoding="utf-8"))[-1])
    figures["made_with"] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cpu": machine.machine(),
        "threads": torch.get_num_threads(),
    }
    return figures


def _learning_curves(work: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of each phase's log, the phase that was trained first before the others."""
    logs = sorted(work.glob("*/log.jsonl"), key=lambda file: file.stat().st_mtime)
    return {
        log.parent.name: [json.loads(line) for line in split_lines(log.read_text(encoding="utf-8"))]
        for log in logs
    }


def evaluation_sets(
    recipe: PretrainRecipe, data: Path, rows: int
) -> dict[str, list[corpus.EnglishPair]]:
    """The recipe's evaluation pairs by language, evenly thinned to `rows` each."""
    sets: dict[str, list[corpus.EnglishPair]] = defaultdict(list)
    for evaluated in recipe.evaluation:
        for pair in corpus.read_corpus(evaluated, data):
            sets[pair.language].append(pair)
    return {
        language: pairs[:: max(1, len(pairs) // rows)][:rows] for language, pairs in sets.items()
    }


def measure_retrieval(
    folder: Path, sets: dict[str, list[corpus.EnglishPair]]
) -> dict[str, dict[str, float]]:
    """Accuracy of both directions by language, percent."""
    model, encoder = load_backbone(folder), load_encoder(folder, max_length=128)
    figures = {}
    for language, pairs in track(sets.items(), description="retrieval"):
        english, other = [pair.english for pair in pairs], [pair.text for pair in pairs]
        english_vectors = sentence_vectors(model, encoder, english)
        other_vectors = sentence_vectors(model, encoder, other)
        figures[language] = {
            "from_english": accuracy(english_vectors, other_vectors, other),
            "to_english": accuracy(other_vectors, english_vectors, english),
        }
    return figures


def measure_translation(folder: Path, sets: dict[str, list[corpus.EnglishPair]]) -> dict[str, Any]:
    """Scores and first examples of both directions, for the languages that the decoder has a tag
    for."""
    from polygraft.tasks.translation.greedy import translate_passages
    from polygraft.tasks.translation.metrics import scores

    model, encoder = load_seq2seq(folder), load_encoder(folder, max_length=128)
    tokenizer = load_target_tokenizer(folder)
    figures: dict[str, Any] = {}
    for language, pairs in track(sets.items(), description="translation"):
        if tokenizer.conventions.code(language) is None:
            continue
        english, other = [p.english for p in pairs], [p.text for p in pairs]
        for direction, sources, references in (
            ((ENGLISH, language), english, other),
            ((language, ENGLISH), other, english),
        ):
            written = translate_passages(model, encoder, tokenizer, sources, direction)
            figures["-".join(direction)] = {
                "backbone": scores(written, references),
                "copy": scores(sources, references),
                "examples": [
                    {"source": s, "reference": r, "written": w}
                    for s, r, w in list(zip(sources, references, written, strict=True))[:3]
                ],
            }
    return figures


def _tokens_a_word(
    folder: Path, sets: dict[str, list[corpus.EnglishPair]]
) -> dict[str, dict[str, float]]:
    """How many pieces a word has in either tokenizer, and the share of unknown pieces in the
    encoder's."""
    encoder = load_encoder(folder).tokenizer
    file = BackboneFiles(folder).decoder_tokenizer
    decoder = Tokenizer.from_file(str(file)) if file.is_file() else None
    texts = {language: [p.text for p in pairs] for language, pairs in sets.items()}
    texts[ENGLISH] = [p.english for pairs in sets.values() for p in pairs[:50]]
    unknown = encoder.get_vocab()["[UNK]"]
    figures = {}
    for language, lines in texts.items():
        encodings = encoder.encode_batch(lines, add_special_tokens=False)
        ids = [token for encoding in encodings for token in encoding.ids]
        figures[language] = {
            "encoder": round(tokens_a_word(encoder, lines), 2),
            "unknown_percent": round(100 * ids.count(unknown) / max(1, len(ids)), 3),
        }
        if decoder:
            figures[language]["decoder"] = round(tokens_a_word(decoder, lines), 2)
    return figures


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 1)
