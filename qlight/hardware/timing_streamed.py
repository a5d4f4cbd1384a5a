"""Rules of the cells around streamed weights (`qlight.hardware.timing`): replay, reorder, and the MVTU with its weight reader.

The memory is ideal: it takes a burst a cycle and gives a word a cycle, the first one in the cycle after it took the burst. Weights that can
be fetched before the first image have been fetched.
"""

from __future__ import annotations

import numpy as np

from qlight.hardware.dram import BURST, DEPTH
from qlight.hardware.event_rules import BufferRules, DwcRules, at_least, in_turn
from qlight.hardware.units import Reorder, Replay, StreamedMvtu
from qlight.intgraph.nodes import Array


def replay_rules(unit: Replay, images: int) -> BufferRules:
    """Beat b of an image can be read as soon as it was written; the last time through makes room for beat b of the image after the next."""
    frame, times = unit.frame, unit.times
    starts = np.arange(images)[:, None] * frame
    needs = (starts + np.tile(np.arange(frame), times)).ravel()
    waiting = np.arange(2 * frame, images * frame)
    old = waiting - 2 * frame
    return BufferRules(needs, waiting, (old // frame * times + times - 1) * frame + old % frame)


def reorder_rules(unit: Reorder, images: int, period: int | None) -> BufferRules:
    """The last beat read of an image makes room for the image after the next."""
    size = unit.outer * unit.inner
    starts = np.arange(images)[:, None] * size
    needs = (starts + np.arange(size).reshape(unit.outer, unit.inner).T.ravel()).ravel()
    waiting = np.arange(2 * size, images * size)
    pace = None if period is None else np.arange(images * size) * period // size
    return BufferRules(needs, waiting, (waiting // size - 1) * size - 1, pace)


class StreamedMvtuRules:
    """Times of the issues, which are those of the source, and inside: of words, and of rows.

    ``words``: the cycle in which each word comes from memory; ``read``: leaves the reader's FIFO; ``rows``: each row is taken.
    """

    def __init__(self, unit: StreamedMvtu, images: int, period: int | None) -> None:
        self.latency = 4 + 2 * unit.output_bits
        self.sf, self.vectors = unit.synapse_folds, unit.vectors
        folds, words = images * unit.neuron_folds, unit.dram_words
        self.shape = (folds, self.vectors, self.sf)
        count = folds * self.vectors
        self.pace = None if period is None else np.arange(count) * period // (unit.vectors * unit.neuron_folds)
        early = -4 * (DEPTH + 2 * self.sf * -(-unit.row_bits // unit.port_bits)) - 100  # before anything that an image does
        self.words, self.read = (np.arange(images * words) + early for _ in range(2))
        self.rows = np.arange(folds * self.sf) + early
        within = np.append(np.arange(BURST, words, BURST), words)  # a base is a multiple of a burst
        self.ends = (np.arange(images)[:, None] * words + within).ravel() - 1  # last word of every burst
        self.starts = np.append(0, self.ends[:-1] + 1)
        self.asked = np.arange(len(self.ends)) + early  # the cycle in which a burst is asked for
        same = unit.row_bits == unit.port_bits
        self.converter = None if same else DwcRules(unit.port_bits, unit.row_bits, self.sf * unit.neuron_folds, images)

    def apply(self, source: Array, target: Array) -> None:
        issue = source.reshape(self.shape)
        before = -1
        while before != (before := int(self.rows.sum() + source.sum() + self.words.sum())):
            self._fetch()
            self._issue(issue, source, target)
        steps = np.arange(len(target)) * self.sf  # results are SF places apart in the pipeline
        at_least(target, source[self.sf - 1 :: self.sf] + self.latency)
        np.maximum.accumulate(target - steps, out=target)
        target += steps

    def _fetch(self) -> None:
        """Memory, reader and converter, as far as the rows."""
        room = self.ends - DEPTH  # the word whose leaving makes room for the burst's last
        waits = room >= 0
        self.asked[waits] = np.maximum(self.asked[waits], self.read[room[waits]] + 1)
        in_turn(self.asked)
        self.words[self.starts] = np.maximum(self.words[self.starts], self.asked + 2)
        in_turn(self.words)
        at_least(self.read, self.words + 1)
        if self.converter is None:  # the reader's words are the rows
            in_turn(self.read)
            at_least(self.rows, self.read)
            in_turn(self.rows)
            at_least(self.read, self.rows)
        else:
            self.converter.apply(self.read, self.rows)

    def _issue(self, issue: Array, source: Array, target: Array) -> None:
        """Rows and activations meet."""
        rows = self.rows.reshape(-1, self.sf)
        if self.pace is not None:
            first = issue.reshape(-1, self.sf)[:, 0]
            issue.reshape(-1, self.sf)[:, 0] = np.maximum.accumulate(first - self.pace) + self.pace
        # while a result waits, what is issued `latency` issues later waits as well
        stopped = source[self.sf - 1 + self.latency :: self.sf]
        at_least(stopped, target[: len(stopped)])
        if self.vectors == 1:  # in the same cycle
            at_least(source, self.rows)
            in_turn(source)
            at_least(self.rows, source)
        else:  # from the cycle after the row came; its last use makes room for the row of the fold after the next
            at_least(issue[:, 0], rows + 1)
            in_turn(source)
            at_least(rows[2:], issue[:-2, -1] + 1)
            in_turn(self.rows)
