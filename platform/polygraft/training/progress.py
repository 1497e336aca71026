"""A rich progress bar for transformers' Trainer, with the last dev score beside it."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from polygraft.training.phases import bar


class RichProgress(TrainerCallback):
    """Shows steps done, time left and the dev macro-F1 (or loss) after each look at dev, on
    stderr."""

    def __init__(self, title: str) -> None:
        self.bar = bar()
        self.title = title

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.start()
        self.task = self.bar.add_task(
            self.title, total=state.max_steps, completed=state.global_step
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(self.task, completed=state.global_step)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any
    ) -> None:
        score = metrics.get("eval_macro_f1")
        shown = (
            f"epoch {state.epoch:.0f}  dev macro-F1 {score:.1f}"
            if score
            else f"dev loss {metrics['eval_loss']:.3f}"
        )
        self.bar.update(self.task, description=f"{self.title}  {shown}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say where it stopped, when that is before the last step, and which checkpoint is kept."""
        self.bar.stop()
        if state.best_global_step and state.best_global_step != state.max_steps:
            early = f"stopped at step {state.global_step}: no better dev score since; " * (
                state.global_step < state.max_steps
            )
            self.bar.console.print(f"{early}kept is step {state.best_global_step}")
