"""A guess about somebody's data, and why: what a user is asked to confirm, or told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def no_problem(value: str) -> None:
    """Any value will do."""


@dataclass(frozen=True)
class Guess:
    """What is guessed for one field of a recipe, and what it was guessed from. `problem` says what
    is wrong with a value that somebody gives in its place, or with the guess; None for nothing."""

    field: str
    value: str
    why: str
    problem: Callable[[str], str | None] = no_problem


Decide = Callable[[Guess], str]
"""What to take for a guess: the guess itself, or what the user says in its place, without a
problem. Raises `RecipeError` where the value that is given has one."""
