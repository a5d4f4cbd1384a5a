"""What a client asked, and how long that took."""

from __future__ import annotations

import copy
import statistics
from collections import deque
from dataclasses import dataclass, field

#: round trips that are kept for the median and the 99th percentile
_KEPT = 10_000
_SUMS = ("images", "batches", "seconds", "device_seconds", "waited_seconds", "reconnects", "repeated")


@dataclass
class Traffic:
    """Counts of a client, or of a part of its life (`since`).

    Attributes:
        images, batches: answered.
        seconds: sum of the batches' round trips; two in flight overlap.
        device_seconds, waited_seconds: of these, on the accelerator, and waiting for it behind others.
        reconnects: connections after the first; repeated: images that were sent again on them.
        round_trips: seconds of the last batches, with the images of each.
        trouble: why the last connection was lost; "" where none was.
    """

    images: int = 0
    batches: int = 0
    seconds: float = 0.0
    device_seconds: float = 0.0
    waited_seconds: float = 0.0
    reconnects: int = 0
    repeated: int = 0
    round_trips: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_KEPT), repr=False)
    trouble: str = ""

    def answered(self, images: int, seconds: float, waited: int, device: int) -> None:
        """Count a batch; `waited` and `device` in nanoseconds."""
        self.images += images
        self.batches += 1
        self.seconds += seconds
        self.waited_seconds += waited / 1e9
        self.device_seconds += device / 1e9
        self.round_trips.append((seconds, images))

    def reconnected(self, repeated: int) -> None:
        """Count a new connection."""
        self.reconnects += 1
        self.repeated += repeated

    def copy(self) -> Traffic:
        """As it is now."""
        return copy.deepcopy(self)

    def sums(self) -> dict[str, float]:
        """Everything that adds up: images, batches, their seconds, connections made anew and images sent again."""
        return {name: getattr(self, name) for name in _SUMS}

    def since(self, before: Traffic) -> Traffic:
        """What came after `before`, a copy of the past."""
        fresh = min(self.batches - before.batches, len(self.round_trips))
        counts = {name: value - getattr(before, name) for name, value in self.sums().items()}
        trips = list(self.round_trips)[len(self.round_trips) - fresh :]
        return Traffic(**counts, round_trips=deque(trips, maxlen=_KEPT), trouble=self.trouble)

    def summary(self) -> dict[str, float]:
        """Milliseconds of a batch's round trip (median, 99th percentile), of an image, and what of it the accelerator took.

        >>> traffic = Traffic()
        >>> traffic.answered(10, 0.002, 0, 1_000_000)
        >>> traffic.summary()["image_ms"], traffic.summary()["device_ms_per_image"]
        (0.2, 0.1)
        """
        if not self.images:
            return {}
        trips = sorted(seconds for seconds, _ in self.round_trips)
        return {
            "images": self.images,
            "batches": self.batches,
            "batch_ms_median": round(1e3 * statistics.median(trips), 6),
            "batch_ms_p99": round(1e3 * trips[min(len(trips) - 1, int(0.99 * len(trips)))], 6),
            "image_ms": round(1e3 * self.seconds / self.images, 6),
            "device_ms_per_image": round(1e3 * self.device_seconds / self.images, 6),
            "waited_ms_per_image": round(1e3 * self.waited_seconds / self.images, 6),
            "reconnects": self.reconnects,
            "repeated": self.repeated,
        }
