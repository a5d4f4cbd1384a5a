"""The cycle model: cycles an image in steady state, the first image's latency, and what each unit does meanwhile.

Both are those of simulation, exactly, where the input stream always has data, the output stream is always ready, and a memory with streamed
weights answers at once (`qlight.hardware.timing_streamed`).
"""

from __future__ import annotations

from dataclasses import dataclass

from qlight.errors import InputError
from qlight.hardware.fifos import bottleneck_cycles, unit_cycles
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.timing import transfer_times
from qlight.hardware.units import Mvtu


@dataclass(frozen=True)
class Cycles:
    """What a pipeline takes.

    Attributes:
        image: cycles between two images in steady state: those of the slowest unit.
        latency: cycles from the first word of the first image to its last accumulator, both included.
        slowest: name of the slowest unit, the first of equal ones.
        units: cycles an image that each unit works, by name.
        products: multiply-accumulates an image over PE * SIMD of the slowest layer: what its MVTU takes.
    """

    image: int
    latency: int
    slowest: str
    units: dict[str, int]
    products: int

    @property
    def bound(self) -> float:
        """Cycles an image over those of the multiply-accumulates of the slowest layer; 1 is ideal."""
        return self.image / self.products


def cycles(pipeline: Pipeline) -> Cycles:
    """The cycle model of a pipeline.

    >>> import numpy as np
    >>> from qlight.hardware.pipeline import make_pipeline
    >>> from qlight.intgraph import GraphBuilder
    >>> builder = GraphBuilder((2, 2, 1))
    >>> builder.flatten("flat")
    >>> builder.linear("output", np.array([[1, -2, 0, 1]] * 4, np.int8), bits=2, encoding="signed")
    >>> found = cycles(make_pipeline(builder.build(np.ones(4), np.zeros(4)), {"output": (1, 2)}))
    >>> found.image, found.slowest
    (8, 'output')
    """
    busy = {unit.name: unit_cycles(unit) for unit in pipeline.units}
    slowest = max(busy, key=lambda name: busy[name])
    products = max(busy[unit.name] for unit in pipeline.units if isinstance(unit, Mvtu))
    return Cycles(bottleneck_cycles(pipeline.units), image_ends(pipeline, 1)[0], slowest, busy, products)


def image_ends(pipeline: Pipeline, images: int) -> list[int]:
    """Cycles from the first word of the first image to the last accumulator of each image, both included, of images back to back.

    Raises:
        InputError: ``images`` is no positive number.
    """
    if isinstance(images, bool) or not isinstance(images, int) or images < 1:
        raise InputError(f"Expected `images` to be a positive number, but got {images!r}.")
    last = transfer_times(pipeline.units, images)[-1].reshape(images, -1)[:, -1]
    return [int(time) + 1 for time in last]
