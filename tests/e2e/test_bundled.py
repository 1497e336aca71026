"""The bundled backbone and adapters. What README.md and docs/ say of them is run by
`test_documentation_runs.py`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from polygraft import Client
from polygraft.adapters.format import load_adapter
from polygraft.architectures.folder import BUNDLED, fingerprint
from polygraft.runtime.graph import load_card

LANGUAGES = [f"lang-{code}" for code in ("en", "yo", "sd", "haw", "ha", "sw", "hi", "id")]
TRANSLATORS = [f"en-{code}" for code in ("fr", "yo", "haw", "sw", "ha", "sd")]
ADAPTERS = [
    "spam-en",
    "spam-es",
    "spam-hi",
    "spam-sw",
    "topic",
    "topics-en",
    "langid",
    "questions-en",
    "questions-es",
    *TRANSLATORS,
    *LANGUAGES,
]


@pytest.fixture(scope="module")
def library(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("bundled") / "adapters"
    return Path(shutil.copytree(root / "adapters", target, ignore=shutil.ignore_patterns(".*")))


@pytest.fixture(scope="module")
def url(serve, library: Path) -> str:
    return serve(["polygraft.cli", "serve"], POLYGRAFT_LIBRARY=str(library))


def test_weights_graph_and_adapters_belong_together(root: Path) -> None:
    assert load_card(BUNDLED).backbone == fingerprint(BUNDLED)
    for name in ADAPTERS:
        load_adapter(root / "adapters" / name, backbone=fingerprint(BUNDLED))


def test_no_file_is_too_large_for_a_plain_clone(root: Path) -> None:
    sizes = {
        f: f.stat().st_size / 2**20
        for f in BUNDLED.rglob("*")
        if f.is_file() and "fp32" not in f.name
    }
    assert max(sizes.values()) < 90
    assert sum(sizes.values()) < 150


def test_every_adapter_is_served_and_none_refused(url: str) -> None:
    with Client(url) as client:
        answer = client.adapters()
    assert not answer.refused
    assert {a.name for a in answer.adapters} >= set(ADAPTERS)


def test_spam_topic_and_two_translations_in_one_batch(url: str) -> None:
    rows = [
        {
            "adapter": "spam-sw",
            "text": "Iyo pesa itume kwenye namba hii 0657538690 jina litakuja Magomba Maila",
        },
        {
            "adapter": "topic",
            "text": "The striker scored twice as United won the cup final on Saturday",
        },
        {"adapter": "en-yo", "text": "The children are at school today.", "target": "yo"},
        {"adapter": "en-haw", "text": "A hiki mai la ke alii, noho iho la.", "target": "en"},
    ]
    with Client(url) as client:
        spam, topic, yoruba, english = client.batch(rows, top_k=1)
    assert (spam.label, topic.label) == ("spam", "sports")
    assert (yoruba.source, yoruba.target, english.source, english.target) == (
        "en",
        "yo",
        "haw",
        "en",
    )
    assert re.search("[ẹọṣáàéèíìóòúùń]", yoruba.translation or "", re.IGNORECASE), (
        yoruba.translation
    )
    assert re.search(
        r"\b(the|and|he|they|came|king|chief)\b", english.translation or "", re.IGNORECASE
    ), english.translation


def test_languages_are_exchanged_in_one_batch(url: str) -> None:
    """A task learnt from English, with Yoruba, Swahili and what it was trained on under it, beside
    another task."""
    texts = {
        "lang-yo": "Wọ́n gba bọ́ọ̀lù wọlé lẹ́ẹ̀mejì nínú ìdíje náà.",
        "lang-sw": "Timu yetu ilishinda mchezo wa mpira wa miguu jana.",
        "lang-en": "Our team won the football match in the last minute.",
    }
    rows = [{"stack": [language, "topics-en"], "text": text} for language, text in texts.items()]
    rows += [
        {"adapter": "topics-en", "text": texts["lang-en"]},
        {"adapter": "spam-en", "text": "Ok see you at home around 5"},
    ]
    with Client(url) as client:
        *stacked, plain, spam = client.classify_rows(rows)
    assert [r.stack[0].split("@")[0] for r in stacked if r.stack] == list(texts)
    assert (stacked[2].label, spam.label) == ("sports", "ham")
    assert plain.score == pytest.approx(stacked[2].score, abs=0.02)


def test_label_counts_mix_in_one_batch(url: str) -> None:
    rows = [
        {"adapter": "spam-en", "text": "Ok see you at home around 5"},
        {
            "adapter": "topic",
            "text": "The striker scored twice as United won the cup final on Saturday",
        },
        {"adapter": "spam-sw", "text": "Nashukuru kwa kupokea simu yangu. Tutaonana kesho"},
    ]
    with Client(url) as client:
        results = client.classify_rows(rows)
    assert [r.label for r in results] == ["ham", "sports", "ham"]
    assert [len(r.labels or []) for r in results] == [2, 7, 2]


def test_health_metrics_and_openapi(url: str) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/docs", "/openapi.json"):
        assert httpx.get(url + path).status_code == 200, path
    with Client(url) as client:
        client.classify("spam-en", ["hello"])
    metrics = httpx.get(f"{url}/metrics").text
    assert re.search(r'polygraft_rows_total\{adapter="spam-en",outcome="ok"\} \d', metrics)


def test_predict_gives_what_the_server_gives(url: str, root: Path) -> None:
    text = "URGENT! You have won a 2000 prize. Call 09061701461 now to claim"
    cli = [sys.executable, "-m", "polygraft.cli", "predict", "spam-en"]
    done = subprocess.run(
        cli,
        input=json.dumps({"text": text}),
        env=os.environ | {"POLYGRAFT_BUNDLED": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    offline = json.loads(done.stdout)
    with Client(url) as client:
        online = client.classify("spam-en", [text])[0]
    assert (offline["label"], offline["score"]) == (
        online.label,
        pytest.approx(online.score, abs=0.02),
    )
