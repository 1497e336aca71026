from __future__ import annotations

from typing import Literal

from polygraft.tasks.recipe import AdapterRecipe


class RatingRecipe(AdapterRecipe):
    task: Literal["rating"]
    file: str
    steps: int = 40
    learning_rate: float = 0.02


RECIPE = RatingRecipe
