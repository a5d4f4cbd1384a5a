"""Rules of a timed event graph that cells share (`qlight.hardware.timing`): FIFO, width converter, buffers that are read in another order.

A rules object raises the times of two streams, arrays of int64 with the cycle in which each beat moves, in place, as far as its cell asks.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from qlight.intgraph.nodes import Array


class Rules(Protocol):
    """Of one cell."""

    def apply(self, source: Array, target: Array) -> None:
        """Raise the times of both streams."""


def in_turn(times: Array) -> None:
    """One beat a cycle, in order."""
    steps = np.arange(len(times))
    np.maximum.accumulate(times - steps, out=times)
    times += steps


def at_least(times: Array, least: Array) -> None:
    """Raise times."""
    np.maximum(times, least, out=times)


class FifoRules:
    """``depth`` 0: without end."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    def apply(self, source: Array, target: Array) -> None:
        in_turn(source)
        at_least(target, source + 1)
        in_turn(target)
        if 0 < self.depth < len(source):
            at_least(source[self.depth :], target[: -self.depth] + 1)
            in_turn(source)


class StageRules:
    """A pipeline of so many stages, each of which moves on as soon as the one behind it does."""

    def __init__(self, stages: int) -> None:
        self.stages = stages

    def apply(self, source: Array, target: Array) -> None:
        in_turn(source)
        at_least(target, source + self.stages)
        in_turn(target)
        at_least(source[self.stages :], target[: -self.stages])
        in_turn(source)


class DwcRules:
    """From so many lanes to so many.

    Args:
        frame: beats out of a frame, behind which the rest of an input beat is dropped; 0: frames are multiples of both sides.
        frames: how many.
    """

    def __init__(self, lanes_in: int, lanes_out: int, frame: int = 0, frames: int = 1) -> None:
        common = int(np.gcd(lanes_in, lanes_out))
        self.taken, self.given = lanes_in // common, lanes_out // common
        self.capacity = max(self.taken, self.given) + 2 * min(self.taken, self.given) - 1
        self.counted: Array | None = None  # units that count after every input beat
        if frame:
            beats = -(-frame * self.given // self.taken)
            within = np.minimum(np.arange(1, beats + 1) * self.taken, frame * self.given)
            self.counted = (np.arange(frames)[:, None] * (frame * self.given) + within).ravel()

    def apply(self, source: Array, target: Array) -> None:
        in_turn(source)
        counted = np.arange(1, len(source) + 1) * self.taken if self.counted is None else self.counted
        outputs = np.arange(1, len(target) + 1)
        at_least(target, source[np.searchsorted(counted, outputs * self.given)] + 1)
        in_turn(target)
        # an input beat comes when so many outputs left that it fits
        before = np.concatenate([[0], counted[:-1]])
        needed = -(-(before + self.taken - self.capacity) // self.given)
        wait = needed > 0
        at_least(source, np.where(wait, target[needed.clip(1) - 1] + 1, source))
        in_turn(source)


class BufferRules:
    """A buffer that is read in an order of its own; ``read`` is the cycle in which each output beat is read, at least one before it leaves.

    Args:
        needs: for every output beat the input beat that must have been written, -1 for none.
        waiting: the input beats that wait for room.
        freed_by: for each of these the output beat whose reading gives it.
        pace: the least distances of the output beats, as times; None: none.
    """

    def __init__(self, needs: Array, waiting: Array, freed_by: Array, pace: Array | None = None) -> None:
        self.reads = np.flatnonzero(needs >= 0)
        self.needed = needs[self.reads]
        self.waiting, self.freed_by, self.pace = waiting, freed_by, pace
        self.read = np.zeros(len(needs), np.int64)

    def apply(self, source: Array, target: Array) -> None:
        read = self.read
        in_turn(source)
        read[self.reads] = np.maximum(read[self.reads], source[self.needed] + 1)
        at_least(read[1:], target[:-1])
        if self.pace is not None:
            np.maximum.accumulate(read - self.pace, out=read)
            read += self.pace
        in_turn(read)
        at_least(target, read + 1)
        in_turn(target)
        source[self.waiting] = np.maximum(source[self.waiting], read[self.freed_by] + 1)
        in_turn(source)
