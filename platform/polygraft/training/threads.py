"""How many threads linear algebra uses.

A linear model of some hundred rows is fitted in thousands of products of small matrices. OpenBLAS
splits each among its threads, which wait for one another without sleeping. Where other processes
want the cores, a head on 300 vectors takes 2.4 s on two threads, 1.5 s of them computing, and
0.02 s on one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def on_one_thread(compute: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`compute` with its linear algebra on one thread; what runs beside it is not touched."""

    @wraps(compute)
    def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        with _libraries().limit(limits=1, user_api="blas"):
            return compute(*arguments, **options)

    return run


@cache
def _libraries() -> ThreadpoolController:
    """The libraries with threads of their own that are loaded; to look for them takes a while."""
    return ThreadpoolController()
