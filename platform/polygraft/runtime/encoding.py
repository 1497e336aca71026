"""Texts through the encoder: each with its own slots, batched and computed by every core.

Does not: know adapters, or what an output means (see `engine`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from polygraft.architectures.text import Encoded, TextEncoder
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import Floats, GraphSession, Stack, mixture
from polygraft.runtime.scheduler import Scheduler, Work
from polygraft.tasks.serving import Output

DEPTHS, MAX_GATHERED = (1, 5, 16, 64), 320  # slots a row; rows times slots of one run


class EncodeRequest(NamedTuple):
    """One text for the encoder, the slots it goes through, and what is wanted of it."""

    text: Encoded
    stack: Stack
    output: Output

    @property
    def key(self) -> Hashable:
        """Equal for two that give the same, while their slots are leased."""
        return tuple(self.text.ids), tuple(self.text.cases), tuple(self.stack), self.output


class EncoderQueue:
    """The encoder's session and bank behind one queue, computed by `workers` threads.

    The graph fills every row of a batch up to the deepest stack, and computes every site for all of
    them where one needs it. So rows are only put together with rows like them: beside 8 rows of 28
    slots the other 248 of a request took 9 times as long, and 2 GB.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        session: GraphSession,
        bank: Bank,
        *,
        workers: int = 1,
        budget: int = 512,
        niceness: int = 0,
    ) -> None:
        self.encoder, self.session, self.bank = encoder, session, bank
        self._scheduler: Scheduler[EncodeRequest, Floats] = Scheduler(
            self.run, workers=workers, budget=budget, niceness=niceness
        )

    def __len__(self) -> int:
        """Texts that wait."""
        return len(self._scheduler)

    def submit(self, requests: Sequence[EncodeRequest]) -> list[Future[Floats]]:
        """Queue the texts of a call; each future gives a text's vector [hidden], or its token
        states [seq, hidden]. Cancel it to drop the text."""
        return self._scheduler.submit(
            [Work(request, len(request.text), self._kind(request)) for request in requests]
        )

    def run(self, requests: Sequence[EncodeRequest]) -> list[Floats]:
        """The same now, on the core that calls: few at a time where their stacks are deep."""
        deepest = max(len(request.stack) for request in requests)
        size, results = max(1, MAX_GATHERED // max(1, deepest)), list[Floats]()
        for start in range(0, len(requests), size):
            results += self._run_together(requests[start : start + size])
        return results

    def close(self) -> None:
        """Finish what runs, drop what waits, and stop."""
        self._scheduler.close()

    def _kind(self, request: EncodeRequest) -> tuple[int, bool]:
        """How deep its stack is, about, and whether it needs sites beyond the core."""
        depth = len(request.stack)
        about = next((deepest for deepest in DEPTHS if depth <= deepest), depth)
        return about, self.bank.beyond_core([slot for slot, _ in request.stack])

    def _run_together(self, requests: Sequence[EncodeRequest]) -> list[Floats]:
        batch = self.encoder.pad([r.text for r in requests])
        batch |= mixture([r.stack for r in requests])
        if all(r.output is Output.VECTOR for r in requests):
            return list(self.session.run(batch, self.bank))
        vectors, states = self.session.run_both(batch, self.bank)
        return [
            vector if request.output is Output.VECTOR else tokens
            for request, vector, tokens in zip(requests, vectors, states, strict=True)
        ]
