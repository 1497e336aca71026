"""What a run of the encoder costs: by it rows are put into batches.

Measured on the bundled backbone's int8 graph, one core of a Xeon with AVX-512 VNNI, batches of 1 to
32 rows of 8 to 512 tokens: 0.3 ms a call (0.5 with what Python does for it), 0.040 ms a token, and
0.06 µs a token for each token that it attends to. A call of 64 tokens or more takes within 5% of
the least there is for a token, so batches need not be large, only even. Only ratios count. On a
larger backbone a call costs fewer tokens, and rows could be kept apart more readily.
"""

from __future__ import annotations

CALL = 12.0
"""Tokens that a call costs beside its rows."""
ATTENDED = 1 / 650
"""Tokens that it costs a token to attend to another."""


def cost(rows: int, length: int) -> float:
    """Of one call with `rows` rows that are all padded to `length` tokens, in tokens."""
    return CALL + rows * length * (1 + length * ATTENDED)
