"""The cells' handshakes, register by register and cycle by cycle, without data: what the cycle model must predict."""

from __future__ import annotations

from qlight.hardware.pipeline import Pipeline
from qlight.hardware.units import Affine, Dwc, Fifo, Mvtu, Pool, Reorder, Replay, StreamedMvtu, Swg, Unit
from tests.hardware.stepped_streamed import ReorderCell, ReplayCell, StreamedMvtuCell


class FifoCell:
    def __init__(self, unit: Fifo) -> None:
        self.depth, self.count = unit.depth, 0

    @property
    def valid(self) -> bool:
        return self.count > 0

    def ready(self, behind: bool) -> bool:
        return self.count < self.depth

    def clock(self, taken: bool, given: bool, offered: bool) -> None:
        self.count += taken - given


class DwcCell:
    def __init__(self, unit: Dwc) -> None:
        a, b = unit.source.lanes, unit.target.lanes
        while b:
            a, b = b, a % b
        self.taken, self.given, self.count = unit.source.lanes // a, unit.target.lanes // a, 0
        if self.taken > self.given:
            self.capacity = self.taken + 2 * self.given - 1
        else:
            self.capacity = self.given + 2 * self.taken - 1

    @property
    def valid(self) -> bool:
        return self.count >= self.given

    def ready(self, behind: bool) -> bool:
        return self.count <= self.capacity - self.taken

    def clock(self, taken: bool, given: bool, offered: bool) -> None:
        self.count += taken * self.taken - given * self.given


class SwgCell:
    """The counters of qlight_swg.sv."""

    def __init__(self, unit: Swg) -> None:
        self.unit = unit
        (tall, wide), (top, bottom, left, right) = unit.kernel, unit.padding
        self.words = (
            max(
                (tall - 1) * unit.width + max(wide + 1, 2 * wide - left - right),
                (2 * tall - 2 - top - bottom) * unit.width + 2 * wide - left - right,
            )
            * unit.folds
        )
        self.room, self.written, self.frame = self.words, 0, 0
        self.place = [0, 0, 0, 0, 0]  # y, x, ky, kx, fold
        self.valid = False

    def ready(self, behind: bool) -> bool:
        return self.room > 0

    def clock(self, taken: bool, given: bool, offered: bool) -> None:
        unit = self.unit
        (tall, wide), (top, _, left, _) = unit.kernel, unit.padding
        y, x, ky, kx, fold = self.place
        row, column = y + ky - top, x + kx - left
        inside = 0 <= row < unit.height and 0 <= column < unit.width
        start = self.frame * unit.height * unit.width * unit.folds
        needed = start + ((row * unit.width + column) * unit.folds + fold if inside else -1)
        if not any(self.place):
            needed = max(needed, start)
        enable = not self.valid or given
        present = self.written > needed if inside or not any(self.place) else True
        read = enable and present
        if enable:
            self.valid = present
        self.room -= taken
        self.written += taken
        if read:
            limits = (unit.out_height, unit.out_width, tall, wide, unit.folds)
            if fold == unit.folds - 1 and kx == wide - 1 and ky == tall - 1:
                self.room += self._freed(y, x)
            for axis in reversed(range(5)):
                self.place[axis] += 1
                if self.place[axis] < limits[axis]:
                    break
                self.place[axis] = 0
            else:
                self.frame += 1

    def _freed(self, y: int, x: int) -> int:
        unit = self.unit
        top, left = unit.padding[0], unit.padding[2]
        last_column = max(unit.out_width - 1 - left, 0)
        if x < unit.out_width - 1:
            return unit.folds if y >= top and x >= left else 0
        if y < unit.out_height - 1:
            return (unit.width - last_column) * unit.folds if y >= top else 0
        gone = (unit.out_height - 1 - top) * unit.width + last_column if unit.out_height > top else 0
        return (unit.height * unit.width - gone) * unit.folds


class MvtuCell:
    def __init__(self, unit: Mvtu) -> None:
        self.sf, self.nf = unit.synapse_folds, unit.neuron_folds
        self.at, self.pipe, self.valid = 0, [False] * (3 + 2 * unit.output_bits), False

    def ready(self, behind: bool) -> bool:
        return (not self.valid or behind) and self.at < self.sf

    def clock(self, taken: bool, given: bool, offered: bool) -> None:
        if self.valid and not given:
            return
        issued = offered or self.at >= self.sf
        self.valid = self.pipe[-1]
        self.pipe = [issued and self.at % self.sf == self.sf - 1, *self.pipe[:-1]]
        if issued:
            self.at = (self.at + 1) % (self.sf * self.nf)


class PoolCell:
    def __init__(self, unit: Pool) -> None:
        self.unit, self.at, self.valid = unit, 0, False

    def ready(self, behind: bool) -> bool:
        return not self.valid or behind

    def clock(self, taken: bool, given: bool, offered: bool) -> None:
        unit = self.unit
        folds = unit.channels // unit.source.lanes
        y, x = divmod(self.at // folds, unit.width)
        last = y % 2 == 1 and x % 2 == 1  # a last odd row or column has an even number
        if not self.valid or given:
            self.valid = taken and last
        if taken:
            self.at = (self.at + 1) % (unit.height * unit.width * folds)


class AffineCell:
    """Six stages, each of which moves on where the next one is empty or moves on."""

    def __init__(self, unit: Affine) -> None:
        self.stages = [False] * 6

    @property
    def valid(self) -> bool:
        return self.stages[-1]

    def ready(self, behind: bool) -> bool:
        return behind or not all(self.stages)

    def clock(self, taken: bool, given: bool, offered: bool) -> None:
        moves = given
        for place in reversed(range(6)):
            moves = moves or not self.stages[place]
            if moves:
                self.stages[place] = self.stages[place - 1] if place else taken


CELLS = {Fifo: FifoCell, Dwc: DwcCell, Swg: SwgCell, Mvtu: MvtuCell, Pool: PoolCell}
CELLS |= {Replay: ReplayCell, Reorder: ReorderCell, StreamedMvtu: StreamedMvtuCell, Affine: AffineCell}


def image_ends(pipeline: Pipeline, images: int) -> list[int]:
    """Cycles from the first word in to the last accumulator of every image, both included."""
    units: tuple[Unit, ...] = pipeline.units
    cells = [CELLS[type(unit)](unit) for unit in units]
    words, classes = images * units[0].source.beats, pipeline.classes
    sent = received = cycle = idle = 0
    found = []
    while len(found) < images:
        offered = [sent < words, *(cell.valid for cell in cells)]
        ready = [True]
        for cell in reversed(cells):
            ready.insert(0, cell.ready(ready[0]))
        moved = [a and b for a, b in zip(offered, ready, strict=True)]
        for index, cell in enumerate(cells):
            cell.clock(moved[index], moved[index + 1], offered[index])
        sent += moved[0]
        received += moved[-1]
        cycle += 1
        if moved[-1] and received % classes == 0:
            found.append(cycle)
        idle = 0 if any(moved) else idle + 1
        assert idle < 100_000, "nothing moves"
    return found
