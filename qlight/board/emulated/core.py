"""The accelerator of an emulated board as its registers and streams show it (hw/rtl/README.md); here with the packed engine inside."""

from __future__ import annotations

import contextlib
import threading
from typing import Protocol

import numpy as np

from qlight.board.emulated.memory import Memory
from qlight.board.emulated.parameters import loaded_graph
from qlight.board.emulated.weight_ports import WeightPorts
from qlight.engines.native import UnavailableError, library
from qlight.engines.packed import PackedEngine
from qlight.errors import InputError
from qlight.hardware import registers
from qlight.hardware.pipeline import Pipeline
from qlight.intgraph.nodes import Array

#: images that go through a core at a time; between two pieces the DMA can be reset
PIECE_IMAGES = 64
#: what an accelerator answers whose parameters are no network: a load was cut off
_NONSENSE = 0x5A5A_5A5A
_NOTHING = np.empty(0, np.uint32), np.empty(0, np.bool_)


class Core(Protocol):
    """An accelerator: registers, an input stream of words and an output stream of words. Threads may share it.

    Attributes:
        image_words: 32-bit words of an image.
        piece: words that `push` is best given at a time.
        takes_images: whether the next words are pixels, not parameters.
    """

    image_words: int
    piece: int

    @property
    def takes_images(self) -> bool: ...

    def read(self, offset: int) -> int:
        """A register of 32 bits."""
        ...

    def write(self, offset: int, value: int) -> None:
        """Write a register."""
        ...

    def push(self, words: Array) -> tuple[Array, Array]:
        """Words in, uint32; what comes out, uint32, and which of them carry TLAST, bool."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class EngineCore:
    """A model of qlight_top: the registers of qlight_control, loading of parameters, and the packed engine for the pipeline.

    Weights of streamed layers are what lies in the board's memory where the registers say, whatever that is, anew for every piece.

    Args:
        pipeline: of the network whose parameters it has at first.
        geometry_hash: 64 hexadecimal digits.
        cycles: that an image takes in steady state, for the cycle counter.
        memory: of the board; None where no layer is streamed.
    """

    def __init__(self, pipeline: Pipeline, geometry_hash: str, words: Array, cycles: int = 0, memory: Memory | None = None) -> None:
        with contextlib.suppress(UnavailableError):
            library()  # compiled now, if ever: the first query would wait longer for it than it may
        self.pipeline, self._cycles = pipeline, cycles
        self.image_words = pipeline.image_bytes // 4
        self.piece = PIECE_IMAGES * self.image_words
        self._ports = WeightPorts(pipeline.streamed, memory)
        self._engine: PackedEngine | None = None  # made when it is needed, of words that changed or weights
        self._changed, self._weights = True, ()
        self._words = words.copy()
        self._fixed = {
            registers.ID: registers.ID_VALUE,
            registers.VERSION: 1,
            registers.IMAGE_BYTES: pipeline.image_bytes,
            registers.CLASSES: pipeline.classes,
            registers.PARAMETER_WORDS: pipeline.words,
            **_hash_words(registers.GEOMETRY_HASH, geometry_hash),
        }
        self._hash = _hash_words(registers.GRAPH_HASH, pipeline.graph.content_hash)
        self._lock = threading.RLock()
        self._control = self._loaded = 0
        self._packet = self._left = 1
        self._clear()
        self._begun = np.empty(0, np.uint32)  # words of an image that is not whole

    @property
    def takes_images(self) -> bool:
        return not self._control & registers.LOAD_MODE

    def read(self, offset: int) -> int:
        with self._lock:
            changing = {
                registers.CONTROL: self._control,
                registers.LOADED: self._loaded,
                registers.IMAGES: self._images,
                registers.CYCLES_LOW: self._busy & 0xFFFF_FFFF,
                registers.CYCLES_HIGH: self._busy >> 32,
                registers.PACKET: self._packet,
            }
            return self._ports.read(offset) if offset >= registers.STREAMS else (self._fixed | self._hash | changing).get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        with self._lock:
            if offset == registers.CONTROL:
                self._set_control(value & 3)
            elif offset in self._hash:
                self._hash[offset] = value
            elif offset == registers.CLEAR:
                self._clear()
            elif offset == registers.PACKET:
                self._packet = self._left = value
            elif offset >= registers.STREAMS:
                self._ports.write(offset, value)

    def push(self, words: Array) -> tuple[Array, Array]:
        with self._lock:
            if self._control & registers.SOFT_RESET:
                return _NOTHING  # the stream is not ready; nobody has a use for what waits
            if self._control & registers.LOAD_MODE:
                rest = -len(self._begun) % self.image_words  # an image that has begun is finished first
                answers = self._run(words[:rest])
                self._load(words[rest:])
                return answers
            return self._run(words)

    def close(self) -> None:
        """Nothing is held."""

    def _set_control(self, value: int) -> None:
        entered = value & ~self._control
        left = self._control & ~value
        self._control = value
        if value & registers.SOFT_RESET:
            self._begun, self._left = self._begun[:0], self._packet
        if entered & registers.LOAD_MODE or (left & registers.SOFT_RESET and value & registers.LOAD_MODE):
            self._loaded = 0
        if left & registers.LOAD_MODE and self._loaded:
            self._changed = True

    def _clear(self) -> None:
        self._images = self._busy = 0
        self._ports.clear()

    def _computing(self, images: int) -> PackedEngine | None:
        """What computes so many images: the words that were loaded, and the weights that lie in memory; None where these are no network."""
        weights = self._ports.fetch(images)
        if weights is None:
            return None
        if self._changed or weights != self._weights:
            self._changed, self._weights = False, weights
            try:
                self._engine = PackedEngine(loaded_graph(self.pipeline, self._words, weights), threads=1)
            except InputError:
                self._engine = None
        return self._engine

    def _load(self, words: Array) -> None:
        taken = words[: max(0, len(self._words) - self._loaded)]  # the end of the chain drops the rest
        self._words[self._loaded : self._loaded + len(taken)] = taken
        self._loaded += len(words)

    def _run(self, words: Array) -> tuple[Array, Array]:
        words = np.concatenate([self._begun, words])
        count = len(words) // self.image_words
        whole, self._begun = words[: count * self.image_words], words[count * self.image_words :]
        if self._ports.units and not self._ports.go:
            return _NOTHING  # images wait for weights that do not come; the model forgets them
        engine = self._computing(count)
        if engine is None:
            found = np.full((count, self.pipeline.classes), _NONSENSE, np.int32)
        else:
            found = engine(whole.view(np.uint8).reshape(count, *self.pipeline.graph.input.shape))
        last = np.zeros(found.shape, np.bool_)
        for image in range(count):
            last[image, -1] = self._left == 1
            self._left = self._packet if self._left == 1 else self._left - 1
        self._images = self._images + count & 0xFFFF_FFFF
        self._busy += count * self._cycles
        return found.view(np.uint32).ravel(), last.ravel()


def _hash_words(addresses: tuple[int, ...], content_hash: str) -> dict[int, int]:
    """What the registers of a hash hold."""
    return {address: int(content_hash[8 * index : 8 * index + 8], 16) for index, address in enumerate(addresses)}
