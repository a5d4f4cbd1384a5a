"""What an evaluation writes beside Lightning's progress bar, which shows no metrics while it tests."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar


def show(trainer: Trainer, text: str) -> None:
    """Put `text` beside the test bar of the Trainer, if it has one that is on."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, TQDMProgressBar) and not bar.is_disabled:
        bar.test_progress_bar.set_postfix_str(text, refresh=True)
    elif isinstance(bar, RichProgressBar) and bar.progress is not None and bar.test_progress_bar_id is not None:
        bar.progress.update(bar.test_progress_bar_id, description=f"Testing {text}")
