"""An engine of this process as an accelerator: no hardware, the same face. For tests, trials, and boards whose fabric is not ready."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from qlight.board.accelerator import COUNTER_SECONDS, LOAD_SECONDS, RESET_SECONDS, DeviceTimeout, Parameters
from qlight.errors import InputError


class EngineAccelerator:
    """An `Accelerator` whose parameters are fixed: it runs a function.

    Args:
        query: uint8 N x H x W x C -> int32 N x classes, such as `qlight.engines.packed.PackedEngine`.
        shape: (H, W, C) of one image.
        classes: accumulators of one answer.
        graph_hash, geometry_hash: 64 hexadecimal digits; the geometry's is the graph's where nothing else is said.
        description: what results say answered.
        most_images: at once.

    >>> engine = EngineAccelerator(lambda pixels: pixels.reshape(len(pixels), -1).astype(np.int32), (1, 2, 1), 2, "0" * 64)
    >>> engine.run(np.array([[3, 4]], np.uint8), deadline=1.0)
    array([[3, 4]], dtype=int32)
    """

    bitstream_hash = ""
    parameter_words = 0
    weight_bytes: tuple[int, ...] = ()

    def __init__(
        self,
        query: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]],
        shape: tuple[int, int, int],
        classes: int,
        graph_hash: str,
        *,
        geometry_hash: str = "",
        description: str = "an engine in the server's process, no hardware",
        most_images: int = 4096,
    ) -> None:
        self._query, self._shape = query, shape
        self.graph_hash, self.geometry_hash, self.description = graph_hash, geometry_hash or graph_hash, description
        self.image_bytes, self.classes, self.most_images = shape[0] * shape[1] * shape[2], classes, most_images

    def run(self, pixels: np.ndarray[Any, Any], deadline: float) -> np.ndarray[Any, Any]:
        """See `Accelerator.run`. A function cannot be ended: where it is late, its answer is not given."""
        start = time.monotonic()
        found = self._query(pixels.reshape(len(pixels), *self._shape))
        if time.monotonic() - start > deadline:
            raise DeviceTimeout(f"the engine took longer than {deadline:g} s for {len(pixels)} images")
        return found

    def load(self, parameters: Parameters, deadline: float = LOAD_SECONDS) -> None:
        """See `Accelerator.load`: parameters are fixed here."""
        raise InputError(
            "Expected an accelerator that can be loaded, but the parameters of an engine are fixed; start it with another graph."
        )

    def reset(self, deadline: float = RESET_SECONDS) -> None:
        """See `Accelerator.reset`: there is no state."""

    def counters(self, deadline: float = COUNTER_SECONDS) -> dict[str, Any]:
        """See `Accelerator.counters`: nothing counts."""
        return {}

    def close(self) -> None:
        """See `Accelerator.close`."""
