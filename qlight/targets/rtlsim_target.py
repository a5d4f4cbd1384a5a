"""The RTL of a build folder in simulation, as a target that attacks query."""

from __future__ import annotations

from pathlib import Path

from qlight.engines.rtlsim import RtlSimEngine
from qlight.targets.eight_bit import CACHE_BYTES, PixelTarget


class RtlSimTarget(PixelTarget):
    """A build folder on the verilated RTL.

    Args:
        folder: that `python -m qlight export --format rtl` wrote.
        threads: see `RtlSimEngine`.
        budget, cache_bytes: see `PixelTarget`.

    Raises:
        InputError: there is no whole build in the folder, or another argument is wrong.
        HardwareError: verilator or a compiler is missing.
    """

    kind = "rtlsim"

    def __init__(
        self, folder: str | Path, *, threads: int | None = None, budget: int | None = None, cache_bytes: int = CACHE_BYTES
    ) -> None:
        engine = RtlSimEngine(folder, threads)
        super().__init__(engine.graph, engine, budget=budget, cache_bytes=cache_bytes)
