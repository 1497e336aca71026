"""Progress bars of everything that takes long, on stderr: a bar says what is done, and ends when
that is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[float], None]
"""Called with how many more steps are done."""


def bar() -> Progress:
    """Steps done, of how many, and the time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True))


@contextmanager
def phase(title: str, steps: int) -> Iterator[Advance]:
    """A bar for work of so many steps."""
    with bar() as progress:
        task = progress.add_task(title, total=steps)
        yield lambda count: progress.advance(task, count)
        progress.update(task, completed=steps)
