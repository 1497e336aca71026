"""How published families are spoken to is found in their configs and tokenizers."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import MBart50Tokenizer, MBartTokenizer, NllbTokenizer, PreTrainedTokenizerFast

from polygraft.architectures.conventions import Conventions
from polygraft.errors import BackboneError
from polygraft.importing.conventions import Spoken, conventions_of

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def of_words(*pieces: str) -> PreTrainedTokenizerFast:
    """A tokenizer that ends a text with </s>."""
    vocabulary = {piece: i for i, piece in enumerate([*SPECIAL, "a", *pieces])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens([piece for piece in pieces if piece.startswith(">>")])
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 2)]
    )
    named = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **named)


def found(tokenizer: Any, model_type: str, **changes: Any) -> Conventions:
    spoken: dict[str, Any] = {
        "start": 2,
        "forced": None,
        "never": [],
        "prompts": {},
        "max_length": 64,
        "pieces": len(tokenizer),
        "model_type": model_type,
    }
    file = tokenizer.backend_tokenizer
    return conventions_of(Spoken(tokenizer=tokenizer, file=file, **spoken | changes))


def nllb(**changes: Any) -> NllbTokenizer:
    vocabulary = {piece: i for i, piece in enumerate([*SPECIAL, "▁a", "▁", "a"])}
    codes = ["eng_Latn", "yor_Latn"]
    return NllbTokenizer(vocabulary, [("▁", "a")], extra_special_tokens=codes, **changes)


def test_nllb() -> None:
    got = found(nllb(), "m2m_100")
    assert (got.start, got.source) == (("</s>", "{target}"), ("{source}", "{text}", "</s>"))
    assert got.languages == {"en": "eng_Latn", "yo": "yor_Latn"}
    legacy = found(nllb(legacy_behaviour=True), "m2m_100")
    assert legacy.source == ("{text}", "</s>", "{source}")


def test_mbart_starts_with_the_language_and_mbart_50_with_two_pieces() -> None:
    many = found(MBart50Tokenizer(), "mbart")
    assert (many.start, many.source) == (("</s>", "{target}"), ("{source}", "{text}", "</s>"))
    assert many.languages
    assert many.languages["en"] == "en_XX"
    assert many.languages["sw"] == "sw_KE"
    tokenizer = MBartTokenizer()
    first = found(tokenizer, "mbart", start=tokenizer.convert_tokens_to_ids("ro_RO"))
    assert (first.start, first.source) == (("{target}",), ("{text}", "</s>", "{source}"))


def test_languages_beyond_the_model_s_embeddings_are_none() -> None:
    """transformers adds all of NLLB's to any of its tokenizers."""
    tokenizer = nllb()
    got = found(tokenizer, "m2m_100", pieces=tokenizer.convert_tokens_to_ids("yor_Latn"))
    assert got.languages == {"en": "eng_Latn"}


def test_marian() -> None:
    tagged = found(of_words(">>yor<<", ">>swh<<"), "marian", start=1)
    assert (tagged.start, tagged.never) == (("<pad>",), ("<pad>",))
    assert tagged.source == ("{target}", "{text}", "</s>")
    assert tagged.languages == {"yo": ">>yor<<", "sw": ">>swh<<"}
    pair = found(of_words(), "marian", start=1)
    assert (pair.source, pair.prefix, pair.languages) == ((), "", None)


def test_t5_and_madlad_are_told_in_the_text() -> None:
    prompts = {"translation_en_to_de": {}, "translation_en_to_fr": {}, "summarization": {}}
    t5 = found(of_words(), "t5", start=1, prompts=prompts)
    assert t5.languages == {"de": "German", "en": "English", "fr": "French"}
    assert t5.prefixed("a", ("en", "de")) == "translate English to German: a"
    madlad = found(of_words("<2yo>", "<2zh>"), "t5", start=1)
    assert madlad.prefixed("a", ("en", "yo")) == "<2yo> a"
    assert madlad.languages == {"yo": "yo", "zh": "zh"}
    mt5 = found(of_words(), "mt5", start=1)
    assert (mt5.languages, mt5.prefixed("a", ("en", "yo"))) == (None, "translate to yo: a")


def test_bart_is_forced_to_begin_and_may_have_words_that_it_does_not_write() -> None:
    bart = found(of_words(), "bart", forced=0, never=[4])
    assert (bart.start, bart.never) == (("</s>", "<s>"), ("a",))


def test_what_says_no_start_is_refused() -> None:
    with pytest.raises(BackboneError, match="decoder_start_token_id"):
        found(of_words(), "bart", start=None)
