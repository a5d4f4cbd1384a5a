"""The units of a pipeline: the cells of hw/rtl with their parameters, as frozen dataclasses. Nothing is chosen here."""

from __future__ import annotations

from dataclasses import dataclass, field

from qlight.hardware.dram import stream_words
from qlight.hardware.memories import AUTO, ULTRA

#: IMPL of qlight_mvtu: how products are made
MULTIPLY, XNOR, PLANES, PACKED, FOUR = 0, 1, 2, 3, 4
IMPLEMENTATIONS = {MULTIPLY: "multiply", XNOR: "xnor-popcount", PLANES: "bit planes", PACKED: "two products a multiply"}
IMPLEMENTATIONS |= {FOUR: "four products a multiply"}


@dataclass(frozen=True)
class Stream:
    """Codes between two units: ``lanes`` codes of ``bits`` bits a beat, ``beats`` beats an image.

    >>> Stream(2, 4, 64).width
    8
    """

    bits: int
    lanes: int
    beats: int

    @property
    def width(self) -> int:
        """Bits of a beat."""
        return self.bits * self.lanes

    @property
    def codes(self) -> int:
        """Codes an image."""
        return self.lanes * self.beats

    def of(self, lanes: int) -> Stream:
        """The same codes, ``lanes`` a beat."""
        assert self.codes % lanes == 0
        return Stream(self.bits, lanes, self.codes // lanes)


@dataclass(frozen=True)
class Unit:
    """A cell that reads ``source`` and writes ``target``.

    Attributes:
        name: unique in the pipeline, a name of the graph with what the unit is: ``conv1_swg``.
        layer: name of the layer that it belongs to; picture and messages use it.
    """

    name: str
    layer: str
    source: Stream
    target: Stream


@dataclass(frozen=True)
class Fifo(Unit):
    """``qlight_fifo``: ``depth`` beats."""

    depth: int


@dataclass(frozen=True)
class Dwc(Unit):
    """``qlight_dwc``: from the lanes of ``source`` to those of ``target``."""


@dataclass(frozen=True)
class Swg(Unit):
    """``qlight_swg``: every kernel window of a padded map, row by row; padding is (top, bottom, left, right)."""

    channels: int
    height: int
    width: int
    kernel: tuple[int, int]
    padding: tuple[int, int, int, int]
    pad_code: int

    @property
    def folds(self) -> int:
        """Beats of a pixel."""
        return self.channels // self.source.lanes

    @property
    def out_height(self) -> int:
        return self.height + self.padding[0] + self.padding[1] - self.kernel[0] + 1

    @property
    def out_width(self) -> int:
        return self.width + self.padding[2] + self.padding[3] - self.kernel[1] + 1


@dataclass(frozen=True)
class Mvtu(Unit):
    """``qlight_mvtu``: ``vectors`` products of a MH x MW matrix with a vector an image, PE rows and SIMD columns a cycle.

    Its weights' memory is of the kind ``memory``, of `qlight.hardware.memories.STYLES`.
    """

    pe: int
    simd: int
    mw: int
    mh: int
    vectors: int
    weight_bits: int
    weight_signed: bool
    activation_bits: int
    bipolar: bool
    output_bits: int
    acc_bits: int
    implementation: int
    memory: str = field(default=AUTO, kw_only=True)

    @property
    def preset(self) -> bool:
        """Whether the weights' memory has a content after configuration; UltraRAM cannot."""
        return self.memory != ULTRA

    @property
    def synapse_folds(self) -> int:
        """SF: cycles that an accumulator takes."""
        return self.mw // self.simd

    @property
    def neuron_folds(self) -> int:
        """NF: beats that a vector's results are."""
        return self.mh // self.pe

    @property
    def levels(self) -> int:
        """Thresholds a channel, 0 for raw accumulators."""
        return 2**self.output_bits - 1

    @property
    def row_bits(self) -> int:
        """Bits of a row of the weight memory."""
        return self.pe * self.simd * self.weight_bits

    @property
    def weight_words(self) -> int:
        return self.synapse_folds * self.neuron_folds * -(-self.row_bits // 32)

    @property
    def words(self) -> int:
        """Parameter words that it takes: weights, then thresholds with directions."""
        return self.weight_words + (self.mh * (self.levels + 1) if self.levels else 0)


@dataclass(frozen=True)
class StreamedMvtu(Mvtu):
    """``qlight_mvtu_stream``: an MVTU whose weights come from DRAM, once an image, over a port of ``port_bits`` bits.

    Its source has every image NF times, its target the results fold by fold: `Replay` before it and `Reorder` behind it see to that.
    """

    port_bits: int

    @property
    def weight_words(self) -> int:
        """None: they are not part of the parameter stream."""
        return 0

    @property
    def dram_words(self) -> int:
        """Words of the port that an image's weights are."""
        return stream_words(self.synapse_folds * self.neuron_folds, self.row_bits, self.port_bits)

    @property
    def dram_bytes(self) -> int:
        """Bytes that it reads an image."""
        return self.dram_words * self.port_bits // 8


@dataclass(frozen=True)
class Replay(Unit):
    """``qlight_replay``: every frame of ``frame`` beats, ``times`` times."""

    frame: int
    times: int


@dataclass(frozen=True)
class Reorder(Unit):
    """``qlight_reorder``: ``outer`` groups of ``inner`` beats become ``inner`` groups of ``outer`` beats."""

    outer: int
    inner: int


@dataclass(frozen=True)
class Affine(Unit):
    """``qlight_affine``: codes of raw accumulators, an affine function of each channel's; ``lanes`` channels a beat.

    ``group`` beats come ``repeat`` times before those of the next channels.
    """

    channels: int
    group: int
    repeat: int

    @property
    def lanes(self) -> int:
        """Accumulators that are computed at a time."""
        return self.source.lanes

    @property
    def rows(self) -> int:
        """Words of a lane's memory."""
        return self.channels // self.lanes

    @property
    def words(self) -> int:
        """Parameter words that it takes: three a channel."""
        return 3 * self.channels


@dataclass(frozen=True)
class Pool(Unit):
    """``qlight_pool``: 2 x 2 maximum; the minimum where a direction says so."""

    channels: int
    height: int
    width: int
    directed: bool

    @property
    def words(self) -> int:
        """Parameter words that it takes: one bit a channel."""
        return -(-self.channels // 32) if self.directed else 0


#: the units in the parameter chain
LOADED = (Mvtu, Affine, Pool)
