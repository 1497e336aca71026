"""Whether translations keep what is to be kept, and a glossary's terms: texts that are built here,
through the bundled adapters.

    python tests/bench/kept.py [--texts 1000] [--seed 0]

A text has one to three sentences with addresses, numbers, emoji, placeholders and tags in them,
some twice; every second one goes as HTML. "kept": each stands in the translation just as often as
in the text, counted without the package's own patterns. "glossary": sentences with two terms,
rendered as often as they stand. "by the model": of the stand-ins for the terms, those that each
adapter's model wrote itself, so that it chose their place. JSON line last.
"""

from __future__ import annotations

import argparse
import html
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import default_backbone
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.translation.guarded import Guarded
from polygraft.tasks.translation.kept import Kind
from polygraft.tasks.translation.serving import Translated

ADAPTERS = {"en-fr": "fr", "en-sw": "sw", "en-yo": "yo", "en-ha": "ha", "en-haw": "haw"}
SENTENCES = (
    "Please send the form to {} before Friday",
    "The new office at {} opens in the morning, and {} closes",
    "{} is what you need",
    "We met {} people near the market; they asked for {}",
    "Write to {} or call {} if the price is over {}",
    "Good morning, {}",
    "I told {} that the children of the village would come again with {} books",
    "In the file {} you will find all the answers",
    "He said: look at {}, then at {}, and come back",
    "The train was late",
    "My sister has bought {} mangoes and {} oranges for the feast",
)
ENDS = (".", "!", "?", ".", "...", " {}", "! {}")
HANDLES = ("@ada", "@Nairobi_News", "#harvest", "#Ẹ̀kọ́", ":smile:", ":thumbs_up:")
PLACEHOLDERS = (
    "{name}", "{0}", "{{ user.name }}", "{{count}}", "%s", "%d", "%1$s", "%.2f", "%(total)d",
    "${HOME}",
    "{n, plural, one {# file} other {# files}}",
)  # fmt: skip
EMOJI = ("😀", "👍🏽", "👩‍👩‍👧", "🇳🇬", "❤️", "✔️", "3️⃣")
TAGS = ("<b>", "</b>", "<br/>", '<a href="https://x.org/?a=1">', "&amp;", "&#8217;", "&nbsp;")
PATHS = (
    "~/notes/today.txt",
    "/usr/local/bin",
    "C:\\data\\ada\\a.docx",
    "src/main.py",
    "report.pdf",
)
WORDS = ("ada", "lagos", "market", "school", "hilo", "info", "news", "open")


@dataclass(frozen=True)
class Built:
    """A text and the items in it that are to be kept."""

    text: str
    items: Counter[str]


def number(rng: random.Random) -> str:
    """As people write them."""
    return rng.choice(
        [
            str(rng.randint(2, 9)),
            str(rng.randint(10, 99_999)),
            f"{rng.randint(1, 999)},{rng.randint(0, 999):03}",
            f"{rng.randint(0, 99)}.{rng.randint(0, 99):02}",
            f"{rng.randint(1, 12)}:{rng.randint(0, 59):02}",
            f"{rng.randint(1990, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
            f"+234 {rng.randint(700, 999)}".split()[0],
        ]
    )


def item(rng: random.Random, *, tags: bool) -> str:
    """Something that is to be kept."""
    word, other = rng.choice(WORDS), rng.choice(WORDS)
    return rng.choice(
        [
            f"https://{word}.org/{other}/{rng.randint(1, 99)}?q={word}&r=a%20b",
            f"http://www.{word}.com.ng",
            f"www.{word}.net/{other}_({word})",
            f"{word}.{other}@{word}.co.uk",
            f"{word}{rng.randint(1, 99)}@mail.{other}.org",
            number(rng),
            number(rng),
            rng.choice(EMOJI),
            rng.choice(PLACEHOLDERS),
            rng.choice(HANDLES),
            rng.choice(PATHS),
            rng.choice(TAGS if tags else EMOJI),
        ]
    )


def built(rng: random.Random, *, tags: bool = True) -> Built:
    """A text; what is in it."""
    sentences, items = list[str](), list[str]()
    for _ in range(rng.randint(1, 3)):
        sentence = rng.choice(SENTENCES) + rng.choice(ENDS)
        for _ in range(sentence.count("{}")):
            again = items and rng.random() < 0.15
            items.append(rng.choice(items) if again else item(rng, tags=tags))
            sentence = sentence.replace("{}", items[-1].replace("{}", "{ }"), 1)
        sentences.append(sentence)
    return Built(rng.choice([" ", "\n"]).join(sentences), Counter(items))


def lost(source: Built, translation: str) -> list[str]:
    """Items that do not stand in the translation as often as in the source."""
    return [one for one in source.items if _count(one, source.text) != _count(one, translation)]


def _count(one: str, text: str) -> int:
    if re.fullmatch(r"[\d.,:+-]+", one):
        sign = r"(?<!\W[+-])" if one[0].isdigit() else ""
        return len(re.findall(rf"{sign}(?<![\w.,:/=])(?<!\d-){re.escape(one)}(?![\d\ufe0f\u20e3])"
                              r"(?![.,:/-]\d)", text))  # fmt: skip
    return text.count(one)


TERMS = {
    "Lagos State": "Ìpínlẹ̀ Èkó",
    "market": "marché central",
    "Ada Obi": "Ada Obi",
    "rice": "mchele",
}
TERM_SENTENCES = (
    "The governor of {} came to see {}.",
    "{} is far from {}, she said.",
    "We bought it yesterday; {} was better than {}.",
    "Do you know {} and {}?",
)


def with_terms(rng: random.Random) -> Built:
    """A sentence with two terms of the glossary; what is to be written for them."""
    terms = rng.sample(sorted(TERMS), 2)
    spelled = [rng.choice([term, term.upper(), term.replace(" ", "  ")]) for term in terms]
    text = rng.choice(TERM_SENTENCES).format(*spelled)
    return Built(text, Counter(TERMS[term] for term in terms))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--texts", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    engine, rng = Engine(default_backbone()), random.Random(chosen.seed)
    for name in ADAPTERS:
        engine.add(BUNDLED / name)
    names = sorted(ADAPTERS)
    texts = [built(rng, tags=i % 2 == 0) for i in range(chosen.texts)]
    rows = [_row(names[i % len(names)], one.text, html=i % 2 == 1) for i, one in enumerate(texts)]
    kept = 0
    for i, (one, translation) in enumerate(zip(texts, _translations(engine, rows), strict=True)):
        translation = html.unescape(translation) if i % 2 else translation
        if missing := lost(one, translation):
            print(f"{one.text!r} -> {translation!r}: {missing}")
        kept += not missing
    terms = [with_terms(rng) for _ in range(chosen.texts)]
    glossary = tuple(TERMS.items())
    rows = [_row(names[i % len(names)], t.text, glossary=glossary) for i, t in enumerate(terms)]
    honoured = sum(
        all(translation.count(one) >= count for one, count in sentence.items.items())
        for sentence, translation in zip(terms, _translations(engine, rows), strict=True)
    )
    figures = {
        "texts": chosen.texts,
        "kept": kept,
        "glossary": honoured,
        "by the model": _by_the_model(engine, [one.text for one in terms], glossary),
    }
    engine.close()
    print(json.dumps(figures))


def _row(
    adapter: str, text: str, *, html: bool = False, glossary: Sequence[tuple[str, str]] = ()
) -> Row:
    if html:
        text = _escaped(text)
    return Row(adapter, text, "en", target=ADAPTERS[adapter], html=html, glossary=tuple(glossary))


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _translations(engine: Engine, rows: Sequence[Row]) -> list[str]:
    answers = engine.answer(rows)
    for row, answer in zip(rows, answers, strict=True):
        assert isinstance(answer, Translated), (row.text, answer)
    return [answer.text for answer in answers if isinstance(answer, Translated)]


def _by_the_model(
    engine: Engine, texts: Sequence[str], glossary: tuple[tuple[str, str], ...]
) -> dict[str, float]:
    """The share of stand-ins that each adapter copied."""
    shares = {}
    guarded = [Guarded.read(text, glossary) for text in texts[:100]]
    for name, target in ADAPTERS.items():
        rows = [Row(name, one.text, "en", target=target) for one in guarded]
        copied = [
            len(re.findall(rf"\b{item.read_as}\b", written, re.IGNORECASE)) == 1
            for one, written in zip(guarded, _translations(engine, rows), strict=True)
            for item in one.items
            if item.kind is Kind.TERM
        ]
        shares[name] = round(sum(copied) / len(copied), 2)
    return shares


if __name__ == "__main__":
    main()
