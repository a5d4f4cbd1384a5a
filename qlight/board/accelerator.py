"""What the board server owns: an accelerator, whatever runs it (the fabric behind pynq, an emulated board, an engine in this process)."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from qlight.errors import HardwareError

#: seconds that `Accelerator.load`, `Accelerator.reset` and `Accelerator.counters` may take where nothing else is said
LOAD_SECONDS, RESET_SECONDS, COUNTER_SECONDS = 60.0, 10.0, 2.0


class DeviceError(HardwareError):
    """The accelerator did not do what it must (DMA error, short answer, wrong register, lost connection); a reset may help."""


class DeviceTimeout(DeviceError):  # noqa: N818 - named as Python's TimeoutError is
    """The accelerator did not finish before the deadline; it has to be reset before it runs again."""


class Parameters(NamedTuple):
    """A network as an accelerator is loaded with it.

    Attributes:
        words: uint32, the parameter stream (parameters.bin of a build folder); none where there is nothing to be loaded through it.
        graph_hash: 64 hexadecimal digits, of the graph that they are the parameters of.
        weights: of each streamed layer, in the order of the memory ports, uint8, what must lie in DRAM (dram/ of a build folder).
    """

    words: np.ndarray[Any, Any]
    graph_hash: str
    weights: tuple[np.ndarray[Any, Any], ...] = ()


@runtime_checkable
class Accelerator(Protocol):
    """One streaming accelerator with one owner: the server calls it from one thread at a time.

    Every call ends by its deadline, in seconds from the call: with the result, or with `DeviceTimeout`. After a `DeviceError` of any kind
    the state of the accelerator is unknown: the owner calls `reset`, then `load`, then may run again. A result is never partial.

    Attributes:
        graph_hash: 64 hexadecimal digits: of the integer graph whose parameters are loaded, as the accelerator's own registers say.
        geometry_hash: 64 hexadecimal digits: of what it can be loaded with (`qlight.hardware.build.geometry_hash`).
        bitstream_hash: 64 hexadecimal digits, the SHA-256 of the bitstream file; "" where there is none (an engine, a simulation).
        description: what answers, in words that results show: "pynq 4.0.0, zcu104", "emulated board: packed engine", ...
        image_bytes: of one image, H W C.
        classes: accumulators of one answer.
        parameter_words: 32-bit words of the parameter stream; 0 where there is none.
        weight_bytes: of each streamed layer, that `load` must bring; none where all weights are on chip. Without these and without
            parameter words the parameters are fixed, and `load` does not work.
        most_images: that `run` takes at once (the size of the DMA buffers); the owner splits larger batches.
    """

    graph_hash: str
    geometry_hash: str
    bitstream_hash: str
    description: str
    image_bytes: int
    classes: int
    parameter_words: int
    weight_bytes: tuple[int, ...]
    most_images: int

    def run(self, pixels: np.ndarray[Any, Any], deadline: float) -> np.ndarray[Any, Any]:
        """The accumulators of the logits.

        Args:
            pixels: uint8, N x image_bytes, C-contiguous, N from 1 to `most_images`; H x W x C, channel fastest. Not kept, not changed.
            deadline: seconds from now.

        Returns:
            int32, N x classes, in the order of the images; an array of the caller's own.

        Raises:
            DeviceTimeout: it is not finished by then.
            DeviceError: it failed otherwise.
        """
        ...

    def load(self, parameters: Parameters, deadline: float = LOAD_SECONDS) -> None:
        """Load parameters of a network of this geometry; the accelerator's graph hash is then that network's.

        Raises:
            InputError: not so many words, or not so many bytes of weights, as this one takes; or its parameters are fixed.
            DeviceError, DeviceTimeout: as `run`; the board may have no memory for the weights.
        """
        ...

    def reset(self, deadline: float = RESET_SECONDS) -> None:
        """Bring the accelerator and its DMA back to the state after start-up; what was running is dropped. Parameters may be lost.

        Raises:
            DeviceError, DeviceTimeout: it does not come back: only a restart (or a person) helps.
        """
        ...

    def counters(self, deadline: float = COUNTER_SECONDS) -> dict[str, Any]:
        """What the hardware counted since its last reset, as JSON can hold it; empty where nothing counts.

        Raises:
            DeviceError, DeviceTimeout: it does not say.
        """
        ...

    def close(self) -> None:
        """Give buffers and the device back; may be called again. Does not raise."""
        ...
