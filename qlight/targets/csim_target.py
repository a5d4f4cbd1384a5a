"""The HLS twin of a build folder in C-simulation, as a target that attacks query."""

from __future__ import annotations

from pathlib import Path

from qlight.engines.csim import CSimEngine
from qlight.targets.eight_bit import CACHE_BYTES, PixelTarget


class CSimTarget(PixelTarget):
    """A build folder on the compiled HLS C++.

    Args:
        folder: that `python -m qlight export --format hls` wrote.
        threads: see `CSimEngine`.
        budget, cache_bytes: see `PixelTarget`.

    Raises:
        InputError: there is no whole build in the folder, or another argument is wrong.
        HardwareError: ap_int.h or a compiler is missing.
    """

    kind = "csim"

    def __init__(
        self, folder: str | Path, *, threads: int | None = None, budget: int | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        engine = CSimEngine(folder, threads)
        super().__init__(engine.graph, engine, budget=budget, cache_bytes=cache_bytes)
