"""Accelerators that fail when they are told to, and answers that no two images share."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from qlight.board.accelerator import Accelerator, DeviceError, Parameters
from qlight.board.server import BoardServer
from qlight.board.settings import Settings

GRAPH_HASH, GEOMETRY_HASH = "ab" * 32, "cd" * 32
IMAGE_BYTES, CLASSES = 12, 3
TOKEN = b"a token of the tests"


def answers(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """int32 N x CLASSES that depend on every byte of an image, and on nothing else."""
    rows = [[zlib.crc32(bytes([which]) + image.tobytes()) for which in range(CLASSES)] for image in pixels]
    return np.array(rows, np.uint32).reshape(len(pixels), CLASSES).view(np.int32)


def images(count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (count, IMAGE_BYTES)).astype(np.uint8)


class FakeAccelerator:
    """Answers at once, or does what the next entry of a script says: an exception, or a function of the pixels.

    Attributes:
        runs: images of each run; loads, resets, closed, counted: how often.
        gate: runs wait until it is set.
    """

    bitstream_hash, description = "", "a fake"
    image_bytes, classes, most_images = IMAGE_BYTES, CLASSES, 1000
    weight_bytes = ()

    def __init__(self, script: Iterable[Any] = (), on_reset: Callable[[], None] = lambda: None, parameter_words: int = 0) -> None:
        self.graph_hash, self.geometry_hash, self.parameter_words = GRAPH_HASH, GEOMETRY_HASH, parameter_words
        self.script, self.on_reset = list(script), on_reset
        self.runs: list[int] = []
        self.loads = self.resets = self.closed = self.counted = 0
        self.broken_counters = False
        self.gate = threading.Event()
        self.gate.set()

    def run(self, pixels: np.ndarray[Any, Any], deadline: float) -> np.ndarray[Any, Any]:
        self.gate.wait(30)
        self.runs.append(len(pixels))
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        return answers(pixels) if step is None else step(pixels)

    def load(self, parameters: Parameters, deadline: float = 60.0) -> None:
        self.loads += 1
        self.graph_hash = parameters.graph_hash

    def reset(self, deadline: float = 10.0) -> None:
        self.resets += 1
        self.on_reset()

    def counters(self, deadline: float = 5.0) -> dict[str, Any]:
        self.counted += 1
        if self.broken_counters:
            failing()
        return {"cycles": 100 * sum(self.runs)}

    def close(self) -> None:
        self.closed += 1


def failing() -> None:
    raise DeviceError("it does not come back")


def serve(accelerator: Accelerator | None = None, **settings: Any) -> BoardServer:
    """A server on a port of its own, not started."""
    held = FakeAccelerator() if accelerator is None else accelerator
    return BoardServer(lambda: held, Settings(**{"port": 0, **settings}))


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for what must come."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come"
        time.sleep(0.002)
