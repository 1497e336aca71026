"""The writer: what turns encoder states into text in a target language. Graphs + bank + tokenizer +
decode workers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.target_tokenizer import END_ID, TargetTokenizer, bound
from polygraft.runtime.bank import Bank
from polygraft.runtime.decode import DecoderSession, Text
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
        files.require(cross, step, files.decoder_tokenizer)
        self.target_tokenizer, self.bank, self.positions = (
            TargetTokenizer(files.decoder_tokenizer),
            Bank(card.sites, slots),
            card.positions,
        )
        session = DecoderSession(cross, step, card)
        self.bank.require(session.inputs, step)
        self._workers = DecodeWorkers(session, self.bank, END_ID, threads, niceness=niceness)

    def write(
        self,
        states: Future[Floats],
        stack: Stack,
        language: str,
        search: Search,
        listener: Callable[[str], None] | None = None,
    ) -> Future[list[Hypothesis]]:
        """The hypotheses for a text whose encoder states [seq, hidden] are on their way, by the
        decoder's slots in `stack`; at most as many tokens as `target_tokenizer.bound` allows.
        `listener` hears the text so far, from another thread. Cancel the future to write no
        further."""
        written: Future[list[Hypothesis]] = Promise()
        heard = (
            None
            if listener is None
            else (lambda tokens: listener(self.target_tokenizer.decode(tokens)))
        )

        def encoded(done: Future[Floats]) -> None:
            if done.cancelled() or written.cancelled():
                written.cancel()
                return
            try:
                found = done.result()
                max_tokens = min(self.positions - 1, bound(len(found)))
                text = Text(found, stack, self.target_tokenizer.start(language), search, max_tokens)
                under_way = self._workers.submit(text, heard)
            except Exception as error:
                fail(written, error)
                return
            under_way.add_done_callback(finished)
            written.add_done_callback(
                lambda ended: under_way.cancel() if ended.cancelled() else None
            )

        def finished(done: Future[list[Hypothesis]]) -> None:
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

    def text(self, hypothesis: Hypothesis) -> str:
        return self.target_tokenizer.decode(hypothesis.tokens).strip()

    def close(self) -> None:
        self._workers.close()
