"""The cells around streamed weights, register by register (`tests.hardware.stepped`): replay, reorder, MVTU with reader and memory."""

from __future__ import annotations

import math
from collections import deque

from qlight.hardware.units import Reorder, Replay, StreamedMvtu

BURST, DEPTH = 16, 128


class ReplayCell:
    def __init__(self, unit: Replay) -> None:
        self.unit, self.room, self.ahead, self.at, self.valid = unit, 2 * unit.frame, 0, 0, False

    def ready(self, behind: bool) -> bool:
        return self.room > 0

    def clock(self, taken: bool, given: bool, offered: bool) -> None:
        read = (not self.valid or given) and self.ahead > 0
        if not self.valid or given:
            self.valid = self.ahead > 0
        self.room -= taken
        self.ahead += taken
        if read:
            time, beat = divmod(self.at, self.unit.frame)
            self.ahead -= 1
            if time == self.unit.times - 1:
                self.room += 1
            elif beat == self.unit.frame - 1:
                self.ahead += self.unit.frame
            self.at = (self.at + 1) % (self.unit.frame * self.unit.times)


class ReorderCell:
    def __init__(self, unit: Reorder) -> None:
        self.unit, self.size = unit, unit.outer * unit.inner
        self.room, self.written, self.at, self.valid = 2 * self.size, 0, 0, False

    def ready(self, behind: bool) -> bool:
        return self.room > 0

    def clock(self, taken: bool, given: bool, offered: bool) -> None:
        inner, outer = divmod(self.at, self.unit.outer)
        present = self.written > outer * self.unit.inner + inner
        read = (not self.valid or given) and present
        if not self.valid or given:
            self.valid = present
        self.room -= taken
        self.written += taken
        if read:
            self.at += 1
            if self.at == self.size:
                self.at = 0
                self.room += self.size
                self.written -= self.size


class RowStream:
    """An ideal memory, the reader, and the converter to rows."""

    def __init__(self, unit: StreamedMvtu) -> None:
        self.words = unit.dram_words
        self.bursts = [min(BURST, self.words - start) for start in range(0, self.words, BURST)]
        self.burst, self.asking, self.room, self.fifo = 0, 0, DEPTH, 0
        self.coming: deque[int] = deque()
        self.direct = unit.row_bits == unit.port_bits
        common = math.gcd(unit.row_bits, unit.port_bits)
        self.taken, self.given = unit.port_bits // common, unit.row_bits // common
        self.capacity = max(self.taken, self.given) + 2 * min(self.taken, self.given) - 1
        self.last = unit.synapse_folds * unit.neuron_folds * self.given - (self.words - 1) * self.taken
        self.held = self.word = 0

    @property
    def valid(self) -> bool:
        return self.fifo > 0 if self.direct else self.held >= self.given

    def clock(self, row: bool) -> None:
        """``row``: one is taken."""
        word = row if self.direct else self.fifo > 0 and self.held <= self.capacity - self.taken
        if not self.direct:
            self.held -= row * self.given
            if word:
                self.held += self.last if self.word == self.words - 1 else self.taken
                self.word = (self.word + 1) % self.words
        came = bool(self.coming)
        if came:
            self.coming[0] -= 1
            if not self.coming[0]:
                self.coming.popleft()
        if self.asking:
            self.coming.append(self.asking)
        self.asking = 0
        if self.room >= self.bursts[self.burst]:
            self.asking = self.bursts[self.burst]
            self.burst = (self.burst + 1) % len(self.bursts)
        self.room += word - self.asking
        self.fifo += came - word


class StreamedMvtuCell:
    def __init__(self, unit: StreamedMvtu) -> None:
        self.sf, self.vectors = unit.synapse_folds, unit.vectors
        self.at, self.pipe, self.valid = 0, [False] * (3 + 2 * unit.output_bits), False
        self.rows, self.room, self.held = RowStream(unit), 2 * unit.synapse_folds, 0
        for _ in range(3 * DEPTH + 8 * unit.synapse_folds * (1 + unit.row_bits // unit.port_bits)):
            self._fetch(False)

    @property
    def present(self) -> bool:
        return self.rows.valid if self.vectors == 1 else self.held > self.at % self.sf

    def ready(self, behind: bool) -> bool:
        return (not self.valid or behind) and self.present

    def clock(self, taken: bool, given: bool, offered: bool) -> None:
        if not self.valid or given:
            self.valid = self.pipe[-1]
            self.pipe = [taken and self.at % self.sf == self.sf - 1, *self.pipe[:-1]]
        self._fetch(taken)

    def _fetch(self, taken: bool) -> None:
        """The rows' side of a cycle, in which an issue is ``taken``."""
        if self.vectors == 1:
            self.rows.clock(taken)
        else:
            row = self.rows.valid and self.room > 0
            self.rows.clock(row)
            self.held += row
            self.room -= row
            if taken and self.at // self.sf == self.vectors - 1:
                self.room += 1
                if self.at % self.sf == self.sf - 1:
                    self.held -= self.sf
        if taken:
            self.at = (self.at + 1) % (self.sf * self.vectors)
