"""What the board server owns: an accelerator, whatever runs it (the fabric behind pynq, an emulated board, an engine in this process)."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from qlight.errors import HardwareError

#: seconds that `Accelerator.load` and `Accelerator.reset` may take where nothing else is said
LOAD_SECONDS, RESET_SECONDS = 60.0, 10.0


class DeviceError(HardwareError):
    """The accelerator did not do what it must (DMA error, short answer, wrong register, lost connection); a reset may help."""


class DeviceTimeout(DeviceError):  # noqa: N818 - named as Python's TimeoutError is
    """The accelerator did not finish before the deadline; it has to be reset before it runs again."""


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
        parameter_words: 32-bit words of the parameter stream; 0 where the parameters are fixed and `load` does not work.
        most_images: that `run` takes at once (the size of the DMA buffers); the owner splits larger batches.
    """

    graph_hash: str
    geometry_hash: str
    bitstream_hash: str
    description: str
    image_bytes: int
    classes: int
    parameter_words: int
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

    def load(self, words: np.ndarray[Any, Any], graph_hash: str, deadline: float = LOAD_SECONDS) -> None:
        """Load parameters of a network of this geometry; `graph_hash` is then that one's.

        Args:
            words: uint32, `parameter_words` of them (parameters.bin of a build folder).
            graph_hash: 64 hexadecimal digits, of the graph that they are the parameters of.

        Raises:
            InputError: not so many words, or the parameters are fixed.
            DeviceError, DeviceTimeout: as `run`.
        """
        ...

    def reset(self, deadline: float = RESET_SECONDS) -> None:
        """Bring the accelerator and its DMA back to the state after start-up; what was running is dropped. Parameters may be lost.

        Raises:
            DeviceError, DeviceTimeout: it does not come back: only a restart (or a person) helps.
        """
        ...

    def close(self) -> None:
        """Give buffers and the device back; may be called again. Does not raise."""
        ...
