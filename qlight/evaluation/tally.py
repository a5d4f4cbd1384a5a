"""The running count of an attack."""

from __future__ import annotations

from qlight.evaluation.records import Records


class Tally:
    """What is known of one attack so far on this process: the finished images, and how many of them resist."""

    def __init__(self, records: Records | None) -> None:
        self.done: dict[tuple[int, int], int] = {}
        self.resisting = 0
        if records is not None:
            keys = zip(records.loader.tolist(), records.index.tolist(), strict=True)
            self.done = dict(zip(keys, records.clean_checksum.tolist(), strict=True))
            self.resisting = int((records.adversarial_prediction == records.label).sum())

    def add(self, records: Records) -> None:
        self.done |= dict(
            zip(zip(records.loader.tolist(), records.index.tolist(), strict=True), records.clean_checksum.tolist(), strict=True)
        )
        self.resisting += int((records.adversarial_prediction == records.label).sum())

    @property
    def accuracy(self) -> float:
        return self.resisting / max(1, len(self.done))
