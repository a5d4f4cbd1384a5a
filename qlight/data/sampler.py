"""Which images a process sees, in which order: a pure function of (seed, epoch, position), whatever the processes, workers and restarts.

Both samplers subclass `DistributedSampler` so that Lightning neither replaces them under DDP nor forgets to call `set_epoch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from qlight.data.counter import Stream, random_bits
from qlight.errors import InputError


class TrainSampler(DistributedSampler):
    """Shuffled training order: yields pairs (epoch, position), `batch_size / num_replicas` of every global batch for this process.

    The global batches of an epoch are consecutive slices of one permutation that depends on `seed` and the epoch alone, and process r
    takes the r-th equal part of each: the same images meet in a step, however many processes share it. The last, incomplete batch of
    an epoch is left out. The pair carries the epoch so that augmentation can depend on it inside a worker.

    `batch_size` is the global one. Raises `InputError` if it is no multiple of `num_replicas` or larger than the data set.

    >>> sampler = TrainSampler(range(10), batch_size=4, num_replicas=2, rank=0, seed=0)
    >>> len(sampler), len(list(sampler))
    (4, 4)
    """

    def __init__(self, dataset: Dataset | range, batch_size: int, num_replicas: int = 1, rank: int = 0, seed: int = 0) -> None:
        size = len(dataset)  # pyright: ignore[reportArgumentType]
        if batch_size < 1 or batch_size % num_replicas:
            raise InputError(
                f"Expected `batch_size` to be a multiple of the number of processes, {num_replicas}, since it is the global batch, "
                f"but got {batch_size}; choose for example {max(1, round(batch_size / num_replicas)) * num_replicas}."
            )
        if size < batch_size:
            raise InputError(f"Expected at least `batch_size` = {batch_size} training images, but got {size}; lower `batch_size`.")
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=True, seed=seed, drop_last=True)  # pyright: ignore[reportArgumentType]
        self.size = size
        self.batch_size = batch_size
        self.batches = size // batch_size
        self.num_samples = self.batches * (batch_size // num_replicas)
        self.total_size = self.batches * batch_size
        #: Added to the epoch that Lightning sets: see `TrainLoader`.
        self.epoch_shift = 0
        #: The global batch at which the next pass begins; every pass sets it back to 0.
        self.first_batch = 0

    @property
    def effective_epoch(self) -> int:
        """The number of the pass over the data, 0 for the first."""
        return self.epoch + self.epoch_shift

    def permutation(self, epoch: int) -> np.ndarray:
        """The order of all positions in an epoch; int64, length of the data set."""
        keys = random_bits(self.seed, Stream.SHUFFLE, epoch, np.arange(self.size))
        return np.argsort(keys, kind="stable")

    def __iter__(self) -> Iterator[tuple[int, int]]:
        # A generator: the epoch is read when the first element is asked for, which is after Lightning has set it.
        epoch, first = self.effective_epoch, self.first_batch
        self.first_batch = 0
        order = self.permutation(epoch)[: self.total_size].reshape(self.batches, self.num_replicas, -1)
        for position in order[first:, self.rank].ravel().tolist():
            yield epoch, position


class EvalSampler(DistributedSampler):
    """Evaluation order: the positions rank, rank + num_replicas, ...: none dropped, none repeated, so counts may differ by one.

    >>> list(EvalSampler(range(5), num_replicas=2, rank=1))
    [1, 3]
    """

    def __init__(self, dataset: Dataset | range, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=False)  # pyright: ignore[reportArgumentType]
        self.positions = range(rank, len(dataset), num_replicas)  # pyright: ignore[reportArgumentType]
        self.num_samples = len(self.positions)
        self.total_size = len(dataset)  # pyright: ignore[reportArgumentType]

    def __iter__(self) -> Iterator[int]:
        return iter(self.positions)


class TrainLoader(DataLoader):
    """A loader over a `TrainSampler` that a checkpoint saved in mid-epoch continues with exactly the batches that were left.

    Lightning stores `state_dict()` with its loop counters and gives it back to `load_state_dict` before the first batch. Counted are the
    batches handed out, not those that workers have prefetched. When `max_steps` ends a run in mid-epoch, Lightning counts that epoch as
    processed and names the rest of it by the next number; `epoch_shift` keeps the order of images that of an unbroken run.
    """

    _pass: int = 0
    _position: int = 0
    _restored: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # A generator, because Lightning calls iter() before it sets the epoch, and workers would start to fetch at once.
        sampler = self.sampler
        start = 0
        if isinstance(sampler, TrainSampler):
            start = self._start(sampler)
            sampler.first_batch = start
            self._pass = sampler.effective_epoch
        self._position = start
        for batch in super().__iter__():
            self._position += 1
            yield batch

    def _start(self, sampler: TrainSampler) -> int:
        """The batch of this epoch to begin with."""
        state, self._restored = self._restored, None
        if state is None:
            return 0
        finished = state["position"] >= state["batches"]
        sampler.epoch_shift = state["epoch"] + finished - sampler.epoch
        if finished or state["position"] == 0:
            return 0
        mine = self._identity(sampler)
        if changed := [f"`{name}` = {state[name]}" for name in mine if state[name] != mine[name]]:
            now = ", ".join(f"{mine[name]}" for name in mine if state[name] != mine[name])
            raise InputError(
                f"Expected the data module to have {', '.join(changed)}, as when this checkpoint was saved in mid-epoch, but got {now}; "
                "resume with the same settings, or from a checkpoint saved at the end of an epoch."
            )
        return state["position"]

    @staticmethod
    def _identity(sampler: TrainSampler) -> dict[str, int]:
        return {"batch_size": sampler.batch_size, "images": sampler.size, "seed": sampler.seed}

    def state_dict(self) -> dict[str, Any]:
        """The pass and the number of its batches that were handed out; the same in every process."""
        state = {"epoch": self._pass, "position": self._position, "batches": len(self)}
        if isinstance(self.sampler, TrainSampler):
            state |= self._identity(self.sampler)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration begin where `state_dict` was taken."""
        self._restored = dict(state)
