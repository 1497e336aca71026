"""Every error polygraft raises on purpose: what went wrong, why, and what to do.

    PolygraftError            500
    ├── RecipeError           422  a recipe with all its problems listed
    ├── DataError             422  rows that cannot be trained on
    ├── BackboneError         422  a backbone folder that is incomplete or of an unsupported kind
    ├── ExportError           500  the ONNX graph drifted from PyTorch
    ├── AdapterError          422  an adapter folder that must not be served
    │   ├── WrongBackbone     409  made for another backbone
    │   ├── GoldenMismatch    409  its outputs are not those of its training
    │   └── NegativeTransfer  409  transfer harmed it, and no reason to serve it is given
    ├── InvalidRow            422  one input that cannot be answered
    │   ├── InvalidOption     422  what a row asks for, whatever its text, cannot be done
    │   └── UnknownLanguage   422  no adapter translates that way, or none was recognised
    │       ├── SameLanguage  422  the text is in the language to be written already
    │       └── ExperimentalDirection 422  what translates that way is often wrong altogether
    ├── TooManyRows           413  more rows than one request may hold
    ├── TooLarge              413  a body or an upload beyond the bound
    ├── SlowBody              408  a body that did not arrive in time
    ├── Overloaded            503  no room in the queue; says when to come again
    ├── DeadlineExceeded      504  a row was not answered in time; it is computed no further
    ├── RowFailed             500  the server failed on one row
    ├── SettingsError         500  environment variables that cannot be used, all listed
    ├── KeyFileError          500  the file with the admin key is not fit for use
    ├── UnknownAdapter        404  with near names
    │   └── UnknownVersion    404  of an adapter that is there; with the versions there are
    ├── Conflict              409  somebody else has changed it meanwhile
    ├── NotShown              409  what a promotion was to depend on is not shown by the figures
    ├── BankFull              507  no free slot
    ├── LibraryError          507  the library's folder cannot be written
    ├── Forbidden             403  a changing verb without the key
    └── ServerError           502  (client) the server answered with an error, or not at all

Does not wrap errors it does not understand: those stay as they are and are logged by the server.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

MAX_SHOWN, MAX_LISTED = 80, 50  # characters of a value, names of adapters


def shortened(value: str) -> str:
    """`value` quoted for a message, by its first `MAX_SHOWN` characters."""
    if len(value) <= MAX_SHOWN:
        return repr(value)
    return f"{value[:MAX_SHOWN]!r}... ({len(value):,} characters)"


def listed(problems: Sequence[str], count: int = 5) -> str:
    """The first `count` problems, each by its first 300 characters, and how many more there are:
    whoever writes a file must not decide how long a message is."""
    first = [p if len(p) <= 300 else f"{p[:300]}..." for p in problems[:count]]
    more = [f"and {len(problems) - count:,} more"] if len(problems) > count else []
    return "; ".join([*first, *more])


def problems_of(errors: Iterable[Any]) -> list[str]:
    """Pydantic's errors in a file, each with its place."""
    problems = []
    for error in errors:
        place = ".".join(str(part)[:80] for part in error["loc"]) or "content"
        problems.append(f"{place}: {error['msg']}")
    return problems


def end_of_sentence(message: str) -> str:
    """Pydantic's message, to stand after a colon."""
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


class PolygraftError(Exception):
    """Base of the tree. `status` is the HTTP status the service answers with."""

    status: ClassVar[int] = 500

    @property
    def code(self) -> str:
        """Stable machine-readable name, the class name."""
        return type(self).__name__

    def at(self, place: str) -> Self:
        """This error, whose message says where it is."""
        self.args = (f"{place}: {self}",)
        return self

    def payload(self) -> dict[str, str]:
        """What a client sees: `{"code", "message"}`."""
        return {"code": self.code, "message": str(self)}


class _WithProblems(PolygraftError):
    """An error that lists every problem at once."""

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{subject}: {count}", *(f"  - {p}" for p in self.problems)]))


class RecipeError(_WithProblems):
    status = 422


class DataError(_WithProblems):
    status = 422


class Gathered:
    """What is wrong in several steps, so that all of it is told at once. `subject` is what the
    steps are about, such as a recipe's file; `problems` are those it is known to have."""

    def __init__(self, subject: str, problems: Sequence[str] = ()) -> None:
        self.subject = subject
        self.errors: list[PolygraftError] = [RecipeError(subject, problems)] if problems else []

    @contextmanager
    def step(self) -> Iterator[None]:
        """Keeps the error of ours that ends the step. What comes after must not need the step's
        result before `raise_any`."""
        try:
            yield
        except PolygraftError as error:
            self.errors.append(error)

    def raise_any(self) -> None:
        """Raise the only error that was kept as it is, and for several a `RecipeError` with the
        problems of all."""
        if len(self.errors) == 1:
            raise self.errors[0]
        problems = list[str]()
        for error in self.errors:
            problems += error.problems if isinstance(error, _WithProblems) else [str(error)]
        if problems:
            raise RecipeError(self.subject, list(dict.fromkeys(problems)))


class BackboneError(PolygraftError):
    status = 422


class ExportError(PolygraftError):
    status = 500


class AdapterError(PolygraftError):
    status = 422


class WrongBackbone(AdapterError):
    status = 409


class GoldenMismatch(AdapterError):
    status = 409


class NegativeTransfer(AdapterError):
    status = 409


class InvalidRow(PolygraftError):
    status = 422


class UnknownLanguage(InvalidRow):
    status = 422


class SameLanguage(UnknownLanguage):
    status = 422


class ExperimentalDirection(UnknownLanguage):
    status = 422


class InvalidOption(InvalidRow):
    status = 422


class TooManyRows(PolygraftError):
    status = 413


class TooLarge(PolygraftError):
    status = 413


class SlowBody(PolygraftError):
    status = 408


class Overloaded(PolygraftError):
    """`retry_after`: seconds after which there is likely room."""

    status = 503

    def __init__(self, waiting: int, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"the server is busy with {waiting:,} units of work; send the request again in "
            f"{retry_after} s"
        )


class DeadlineExceeded(PolygraftError):
    status = 504


class RowFailed(PolygraftError):
    status = 500


class UnknownAdapter(PolygraftError):
    status = 404

    def __init__(self, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        self.near = difflib.get_close_matches(name[:MAX_SHOWN], known, n=3, cutoff=0.5)
        if self.near:
            hint = f"did you mean {' or '.join(self.near)}?"
        else:
            names = ", ".join(known[:MAX_LISTED]) or "none yet"
            more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
            hint = f"there are: {names}{more}"
        super().__init__(f"no adapter named {shortened(name)}; {hint}")


class UnknownVersion(UnknownAdapter):
    """`at` is what was asked for behind the name's @."""

    def __init__(self, name: str, at: str, known: Iterable[str]) -> None:
        there = ", ".join(list(known)[:MAX_LISTED]) or "none that is served"
        PolygraftError.__init__(
            self, f"adapter {shortened(name)} has no version {shortened(at)}; there are: {there}"
        )


class Conflict(PolygraftError):
    status = 409


class NotShown(PolygraftError):
    status = 409


class BankFull(PolygraftError):
    status = 507


class LibraryError(PolygraftError):
    status = 507


class Forbidden(PolygraftError):
    status = 403


class ServerError(PolygraftError):
    status = 502


class SettingsError(_WithProblems):
    status = 500


class KeyFileError(PolygraftError):
    status = 500
