"""How a published encoder-decoder is spoken to, found in its config and its tokenizer, and kept in
`backbone.json` (see `architectures.conventions`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langcodes import Language
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from polygraft.architectures.conventions import SOURCE, TARGET, TEXT, Conventions
from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.registry import family_of
from polygraft.errors import BackboneError
from polygraft.language_tags import short_codes

LANGUAGE = re.compile(r"__(\w+)__|>>(\w+)<<|([a-z]{2,3}_[A-Z][A-Za-z]{1,3})")
"""A special piece of M2M-100; of Marian's models of many languages; of NLLB and mBART."""
TAG = re.compile(r"<2(\w+)>")
"""A piece of MADLAD, which is written before the text."""
PROMPT = "translate {source} to {target}: "
"""What T5 learnt translations with."""
FREE_PROMPT = "translate to {target}: "
"""For families that learnt no translation (mT5, BART), so that one adapter can have several
directions: an adapter learns it."""


@dataclass(frozen=True)
class Spoken:
    """A model's tokenizer, as its class and as the file that was made of it, and of its config what
    concerns text."""

    tokenizer: PreTrainedTokenizerBase
    file: Tokenizer
    start: int | None
    forced: int | None
    never: list[int]
    pieces: int
    max_length: int
    model_type: str
    prompts: dict[str, Any]

    @classmethod
    def of(
        cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, files: BackboneFiles
    ) -> Spoken:
        """Of a loaded model whose tokenizer's file is there."""
        config, generation = model.config, model.generation_config
        return cls(
            tokenizer=tokenizer,
            file=Tokenizer.from_file(str(files.tokenizer)),
            start=_first(generation, config, "decoder_start_token_id"),
            forced=_first(generation, config, "forced_bos_token_id"),
            never=_single(_first(generation, config, "bad_words_ids") or []),
            pieces=model.get_output_embeddings().weight.shape[0],
            max_length=family_of(files.folder).max_written(model),
            model_type=config.model_type,
            prompts=getattr(config, "task_specific_params", None) or {},
        )

    def piece(self, number: int) -> str:
        return str(self.file.id_to_token(number))

    @property
    def special(self) -> dict[str, int]:
        """The ids of those pieces that are never part of a text."""
        added = self.file.get_added_tokens_decoder().items()
        return {str(piece.content): number for number, piece in added if piece.special}

    def languages(self, pieces: Mapping[str, int], pattern: re.Pattern[str]) -> dict[str, str]:
        """Those of the pieces that are a language by the pattern, by the family's own code."""
        found = dict[str, str]()
        for piece, number in pieces.items():
            match = pattern.fullmatch(piece)
            if match and number < self.pieces:
                found[next(group for group in match.groups() if group)] = piece
        return dict(sorted(found.items()))


def conventions_of(spoken: Spoken) -> Conventions:
    """Raises `BackboneError` for a model that does not say what its texts start or end with."""
    tokenizer = spoken.tokenizer
    if tokenizer.eos_token is None or tokenizer.pad_token is None:
        raise BackboneError(
            "its tokenizer does not say which piece ends a text or fills a row (eos_token, "
            "pad_token in tokenizer_config.json), so it cannot write; add them to that file"
        )
    by_code = spoken.languages(spoken.special, LANGUAGE)
    told = _around_languages(spoken, by_code) if by_code else _before_the_text(spoken)
    return Conventions(
        end=tokenizer.eos_token,
        pad=tokenizer.pad_token,
        never=tuple(dict.fromkeys([*map(spoken.piece, spoken.never), *_unwritten(spoken)])),
        max_length=spoken.max_length,
        **told,
    )


def _around_languages(spoken: Spoken, by_code: dict[str, str]) -> dict[str, Any]:
    """Where languages are pieces: the target's begins what is written (M2M-100, NLLB, mBART), and
    the source's stands where the tokenizer puts it; or the target's begins what is read (Marian).
    """
    languages = {short: by_code[own] for short, own in short_codes(by_code).items()}
    tokenizer = spoken.tokenizer
    if spoken.model_type == "marian":
        reads = (TARGET, TEXT, tokenizer.eos_token)
        return {"start": _fixed_start(spoken), "source": reads, "languages": languages}
    own, piece = next(iter(by_code.items()))
    tokenizer.src_lang = own
    before, after = _frame(tokenizer)
    source = tuple(
        SOURCE if one == piece else one
        for one in (*map(spoken.piece, before), TEXT, *map(spoken.piece, after))
    )
    starts_with_language = spoken.start is None or spoken.piece(spoken.start) in by_code.values()
    start = (TARGET,) if starts_with_language else (spoken.piece(int(spoken.start or 0)), TARGET)
    return {"start": start, "source": source, "languages": languages}


def _before_the_text(spoken: Spoken) -> dict[str, Any]:
    """Where a text before the source says what to write, or nothing does (Marian's pairs)."""
    start = _fixed_start(spoken)
    if tags := spoken.languages(spoken.file.get_vocab(), TAG):
        return {"start": start, "prefix": f"<2{TARGET}> ", "languages": short_codes(tags)}
    learnt = {
        code
        for name in spoken.prompts
        if (pair := re.fullmatch(r"translation_(\w\w)_to_(\w\w)", name))
        for code in pair.groups()
    }
    if learnt:
        names = {code: Language.get(code).display_name() for code in sorted(learnt)}
        return {"start": start, "prefix": PROMPT, "languages": names}
    return {"start": start, "prefix": "" if spoken.model_type == "marian" else FREE_PROMPT}


def _fixed_start(spoken: Spoken) -> tuple[str, ...]:
    if spoken.start is None:
        raise BackboneError(
            "neither its config nor its generation_config.json has a decoder_start_token_id, so it "
            "is not known what its texts start with; add the one that its card names"
        )
    forced = [] if spoken.forced is None else [spoken.forced]
    return tuple(spoken.piece(number) for number in (spoken.start, *forced))


def _frame(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text."""
    own = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    place = next(i for i in range(len(whole)) if whole[i : i + len(own)] == own)
    return whole[:place], whole[place + len(own) :]


def _unwritten(spoken: Spoken) -> list[str]:
    """Marian learnt nothing of its padding, with which its texts start: it may score high."""
    return [str(spoken.tokenizer.pad_token)] if spoken.model_type == "marian" else []


def _single(sequences: list[list[int]]) -> list[int]:
    """Those ids that are a sequence by themselves."""
    return [ids[0] for ids in sequences if len(ids) == 1]


def _first(generation: Any, config: Any, name: str) -> Any:
    found = getattr(generation, name, None)
    return getattr(config, name, None) if found is None else found
