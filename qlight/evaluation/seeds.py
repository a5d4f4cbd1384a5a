"""Random numbers of attacks that draw from the global generators."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def derived_seed(seed: int, name: str, first_index: int) -> int:
    """A seed (0 to 2^63 - 1) for one batch of one attack: the same for the same three values, unrelated for others.

    >>> derived_seed(0, "FGSM", 0) == derived_seed(0, "FGSM", 0) != derived_seed(0, "FGSM", 8)
    True
    """
    digest = hashlib.sha256(f"{seed}\0{name}\0{first_index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed every generator that an attack may draw from (OnePixel and Pixle use NumPy's), and put their states back."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - attacks use the global generator
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
