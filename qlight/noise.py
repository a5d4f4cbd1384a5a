"""What Lightning and its dependencies say on the screen that is no news to a user of qlight."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

_NOISE = (
    ".*does not have many workers.*",  # with images in memory a loader without workers is the quick one
    ".*args parameter is intended to run from within Python.*",
    ".*log_every_n_steps.*",
    "(?s).*JSONARGPARSE_DEPRECATION_WARNINGS.*",  # Lightning's use of an older jsonargparse interface
    r"(?s).*was deprecated in v\d.*will be removed in v\d.*",
    ".*isinstance.treespec, LeafSpec.*",  # Lightning's use of an older torch interface
    ".*Experiment logs directory .* exists and is not empty.*",  # the CSV log shares TensorBoard's folder
    ".*dirpath has changed from.*",  # a resumed run has a folder of its own
    ".*Checkpoint directory .* exists and is not empty.*",
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out these warnings, and Lightning's notes on devices, seeds and its makers' services; other warnings stay."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for pattern in _NOISE:
            warnings.filterwarnings("ignore", pattern)
        yield
