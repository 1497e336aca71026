"""The writer: what turns encoder states into text in a target language. Graphs + bank + tokenizer +
decode workers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.runtime.bank import Bank
from polygraft.runtime.decode import DecoderBatch, DecodeRequest, DecoderSession
from polygraft.runtime.decode_worker import DecodeWorkers
from polygraft.runtime.futures import Promise, fail, settle
from polygraft.runtime.graph import DecoderCard, Floats, Stack
from polygraft.runtime.search import Hypothesis, Search


class Writer:
    """`threads` workers over one bank of `slots` adapters."""

    def __init__(
        self,
        files: BackboneFiles,
        card: DecoderCard,
        precision: str,
        slots: int,
        threads: int,
        niceness: int = 0,
    ) -> None:
        cross, step = files.cross(precision), files.step(precision)
        files.require(cross, step)
        self.target_tokenizer = load_target_tokenizer(files.folder)
        self.bank = Bank(card.sites, slots)
        session = DecoderSession(cross, step, card)
        self.bank.require(session.inputs, step)
        end, never = self.target_tokenizer.end, self.target_tokenizer.never
        self._workers = DecodeWorkers(
            lambda: DecoderBatch(session, self.bank, end, never), threads, niceness=niceness
        )

    def write(
        self,
        states: Future[Floats],
        stack: Stack,
        language: str,
        search: Search,
        listener: Callable[[str], None] | None = None,
    ) -> Future[list[Hypothesis]]:
        """The hypotheses for a text whose encoder states [seq, hidden] are on their way, by the
        decoder's slots in `stack`; at most as many tokens as `TargetTokenizer.most` allows.
        `listener` hears the text so far, from another thread. Cancel the future to write no
        further."""
        written: Future[list[Hypothesis]] = Promise()
        on_tokens = None if listener is None else partial(self._tell, listener)

        def encoded(done: Future[Floats]) -> None:
            if done.cancelled() or written.cancelled():
                written.cancel()
                return
            try:
                request = self._request(done.result(), stack, language, search)
                decoding = self._workers.submit(request, on_tokens)
            except Exception as error:
                fail(written, error)
                return
            decoding.add_done_callback(decoded)
            written.add_done_callback(
                lambda ended: decoding.cancel() if ended.cancelled() else None
            )

        def decoded(done: Future[list[Hypothesis]]) -> None:
            if done.cancelled():
                written.cancel()
                return
            error = done.exception()
            if error is None:
                settle(written, done.result())
            else:
                fail(written, error)

        states.add_done_callback(encoded)
        return written

    def _tell(self, listener: Callable[[str], None], tokens: list[int]) -> None:
        listener(self.target_tokenizer.decode(tokens).strip())

    def _request(
        self, states: Floats, stack: Stack, language: str, search: Search
    ) -> DecodeRequest:
        pieces = self.target_tokenizer
        most = pieces.most(len(states))
        return DecodeRequest(states, stack, pieces.start(language), search, most)

    def text(self, hypothesis: Hypothesis) -> str:
        """What its tokens say."""
        return self.target_tokenizer.decode(hypothesis.tokens).strip()

    def close(self) -> None:
        self._workers.close()
