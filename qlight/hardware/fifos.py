"""How deep FIFOs must be, computed from the rates of what is before and behind them; nothing is tried out.

Let P be the cycles an image of the slowest unit. Think of every unit slowed down to P: its vectors start at even distances over the image,
as soon as their data are there, and every image starts P cycles after the one before. Producer and consumer of a FIFO then have the same
rate over an image, but not within it: a pool gives its pixels in every second row, a dense layer takes its vector in its first fold and
then works through the other folds. A FIFO's depth is the most beats that are in it at once, in the images for which the pipeline fills, and
in the one that repeats from then on.

With these depths the plan can be run, at P cycles an image. The hardware does everything as early as data and room allow. Times only grow
with one another (`qlight.hardware.timing`), so no beat of it comes later than the plan's: it takes P cycles an image as well, and the
slowest unit never waits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qlight.hardware.timing import transfer_times
from qlight.hardware.units import Fifo, Mvtu, Pool, StreamedMvtu, Unit
from qlight.intgraph.nodes import Array

#: one word in the memory, one at the output
LEAST_DEPTH = 2
_MOST_IMAGES = 64


def unit_cycles(unit: Unit) -> int:
    """Cycles an image that a unit needs where its streams never wait."""
    if isinstance(unit, StreamedMvtu):  # the port gives a word a cycle
        return max(unit.vectors * unit.synapse_folds * unit.neuron_folds, unit.dram_words)
    if isinstance(unit, Mvtu):
        return unit.vectors * unit.synapse_folds * unit.neuron_folds
    return max(unit.source.beats, unit.target.beats) if not isinstance(unit, Pool) else unit.source.beats


def bottleneck_cycles(units: Sequence[Unit]) -> int:
    """P: cycles an image of the slowest unit, or of a stream."""
    return max(unit_cycles(unit) for unit in units)


def depths(units: Sequence[Unit]) -> dict[str, int]:
    """The depth of every FIFO that has none yet (``depth`` 0), by its name."""
    period = bottleneck_cycles(units)
    images = 3
    while True:
        times = transfer_times(units, images, period)
        if images >= _MOST_IMAGES or all(_repeats(stream, images, period) for stream in times[1:]):
            break
        images *= 2
    found = {}
    for index, unit in enumerate(units):
        if isinstance(unit, Fifo) and not unit.depth:
            found[unit.name] = max(LEAST_DEPTH, most_inside(times[index], times[index + 1]))
    return found


def most_inside(came: Array, left: Array) -> int:
    """The most beats between two streams, a beat's place being free the cycle after it left.

    >>> most_inside(np.array([0, 1, 2, 9]), np.array([3, 4, 5, 10]))
    3
    """
    return int((np.arange(1, len(came) + 1) - np.searchsorted(left, came, side="left")).max())


def _repeats(times: Array, images: int, period: int) -> bool:
    """Whether the last image is the one before, a period later."""
    last = times.reshape(images, -1)
    return bool((last[-1] == last[-2] + period).all())
