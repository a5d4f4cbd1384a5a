"""What can go wrong on an emulated board, and when it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from qlight.errors import InputError, nearest

#: kind -> what happens
KINDS = {
    "delay": "the accelerator stands still for `seconds`, then goes on",
    "freeze": "the accelerator stands still until it is reset",
    "hang": "the daemon answers nothing for `seconds`",
    "crash": "the daemon ends, the fabric loses its design; both are back after `seconds`",
    "slave_error": "the DMA stops with a slave error while it reads images",
    "decode_error": "the DMA stops with a decode error while it writes answers",
    "short_input": "the DMA says that it has sent the images, but the last word is missing",
    "short_output": "a packet of answers ends a word too early",
    "long_output": "a packet of answers does not end where it must",
    "corrupt_output": "a bit of an answer is flipped on its way, which no register shows",
    "wrong_bitstream": "the fabric gets another design, of another network and geometry",
    "full_disk": "as a crash; then nothing can be written to the disk for `seconds`",
    "out_of_memory": "as a crash; then no memory can be allocated for `seconds`",
}


@dataclass(frozen=True)
class Fault:
    """One fault: it comes while the image number `after` (from 0, counted from when it is armed) goes into the accelerator.

    Raises:
        InputError: there is no such kind, or a number is negative.
    """

    kind: str
    after: int = 0
    seconds: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"Expected `fault` to be one of {', '.join(KINDS)}, but got {self.kind!r}; did you mean {nearest(self.kind, KINDS, 1)}?"
            )
        if not (self.after >= 0 and self.seconds >= 0):
            raise InputError(
                f"Expected `fault` {self.kind} at an image from 0 and of seconds from 0, but got {self.after}, {self.seconds}."
            )

    @classmethod
    def parse(cls, text: str) -> Fault:
        """KIND, KIND@IMAGE or KIND@IMAGE:SECONDS.

        Raises:
            InputError: it is not of that form.

        >>> Fault.parse("delay@100:0.2")
        Fault(kind='delay', after=100, seconds=0.2)
        """
        kind, _, place = text.partition("@")
        image, _, seconds = place.partition(":")
        try:
            return cls(kind, int(image or 0), float(seconds or cls.seconds))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"Expected `fault` as KIND@IMAGE:SECONDS, such as delay@100:0.2, but got {text!r}.") from error


class Faults:
    """The faults that a board still has before it. Threads may share it.

    Attributes:
        happened: those that came, in order.
    """

    def __init__(self) -> None:
        self.happened: list[Fault] = []
        self._armed: list[tuple[int, Fault]] = []  # at which image of all
        self._images = 0
        self._lock = threading.Lock()
        #: what a "crash" and its like do; the daemon says
        self.on_crash: Callable[[Fault], None] = lambda fault: None

    def arm(self, fault: Fault) -> None:
        """Let a fault come."""
        with self._lock:
            self._armed.append((self._images + fault.after, fault))

    def take(self, images: int) -> Fault | None:
        """Count images that go in; the fault that comes with them, if one does."""
        with self._lock:
            self._images += images
            for each in self._armed:
                if each[0] < self._images:
                    self._armed.remove(each)
                    self.happened.append(each[1])
                    return each[1]
        return None

    @property
    def waiting(self) -> int:
        """How many are armed."""
        return len(self._armed)
