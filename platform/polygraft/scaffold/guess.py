"""A guess about somebody's data, and why: what a user is asked to confirm, or told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Guess:
    """What is guessed for one field of a recipe, and what it was guessed from."""

    field: str
    value: str
    why: str


Decide = Callable[[Guess], str]
"""What to take for a guess: the guess itself, or what the user says in its place."""
