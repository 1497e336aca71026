"""First values of new embedding rows, from word alignment with English.

IBM model 1 (Brown et al. 1993) over pieces gives t(e|f), how likely the English piece e is given
the foreign piece f. A new row starts as the t-weighted mean of the teacher's rows (Tran 2020,
section 3.1), so before the first training step a translation already reads as a bag of its English
words. Pieces that never align start as the mean of the old pieces they are spelt with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

MAX_PIECES = 40
KEEP = 12


def spelling_rows(
    pieces: Sequence[str], old: Tokenizer, rows: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean of the old rows each piece is spelt with; float32 [len(pieces), hidden]."""
    unknown = int(old.token_to_id("[UNK]") or 0)
    means = np.zeros((len(pieces), rows.shape[1]), np.float32)
    for i, piece in enumerate(pieces):
        ids: list[int] = old.encode(piece.removeprefix("##"), add_special_tokens=False).ids
        known = [old_id for old_id in ids if old_id != unknown]
        means[i] = rows[known or [unknown]].mean(axis=0)
    return means


def _links(
    pairs: Sequence[tuple[list[int], list[int]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every (foreign, English) piece of every pair: packed keys f << 32 | e, and the id of the
    pair's English piece."""
    keys, segments, segment = [], [], 0
    for foreign, english in pairs:
        # 0 = [PAD] stands for the NULL word
        f = np.asarray([0, *dict.fromkeys(foreign)][:MAX_PIECES], np.int64)
        e = np.asarray([*dict.fromkeys(english)][:MAX_PIECES], np.int64)
        keys.append(((f[None, :] << 32) | e[:, None]).ravel())
        segments.append(np.repeat(np.arange(segment, segment + len(e)), len(f)))
        segment += len(e)
    return np.concatenate(keys), np.concatenate(segments)


def ibm1(
    pairs: Sequence[tuple[list[int], list[int]]], iterations: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Estimate t(e|f) by EM. Returns foreign ids, English ids and probabilities, an entry for each
    pair of pieces that were seen together."""
    keys, segments = _links(pairs)
    links, index = np.unique(keys, return_inverse=True)
    del keys
    foreign, english = links >> 32, links & 0xFFFFFFFF
    t = np.ones(len(links))
    for _ in range(iterations):
        share = t[index]
        share /= np.bincount(segments, share)[segments]
        counts = np.bincount(index, share, minlength=len(links))
        t = counts / np.bincount(foreign, counts)[foreign]
    return foreign, english, t


def aligned_rows(
    ids: NDArray[np.int64],
    links: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
    rows: NDArray[np.float32],
    fallback: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Rows of the pieces `ids`, each the mean of the rows of its `KEEP` likeliest English pieces,
    or its row in `fallback` where it has none; float32 [len(ids), hidden]. `links` is what `ibm1`
    gave."""
    foreign, english, t = links
    new = fallback.copy()
    order = np.lexsort((-t, foreign))
    foreign, english, t = foreign[order], english[order], t[order]
    starts, ends = np.searchsorted(foreign, ids), np.searchsorted(foreign, ids, side="right")
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if end > start:
            top = slice(start, min(end, start + KEEP))
            new[i] = (t[top, None] * rows[english[top]]).sum(axis=0) / t[top].sum()
    return new
