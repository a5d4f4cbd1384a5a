"""What the integers of the tensor that a walk has reached are worth, and what is still to be done to them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from qlight.interop.arithmetic import Step
from qlight.intgraph.nodes import Array


@dataclass
class Meaning:
    """An integer i of channel c is worth (i + offset[c]) * numerator[c] / denominator, rounded to float32, then sent through ``steps``.

    Attributes:
        numerator, offset: float64, one per channel.
        denominator: a whole number (1/255 is no floating-point number).
        steps: elementwise operations that no node of the graph has taken yet.
        dtype: that the worth is rounded to; float64 after operations on integers, which is exact.
    """

    numerator: Array
    offset: Array
    denominator: int = 1
    steps: list[Step] = field(default_factory=list)
    dtype: str = "float32"

    @classmethod
    def of(cls, channels: int, numerator: float, offset: float = 0.0, denominator: int = 1) -> Meaning:
        """The same for every channel."""
        return cls(np.full(channels, numerator), np.full(channels, offset), denominator)

    def real(self, integers: Array, steps: int | None = None) -> Array:
        """What integers P x channels are worth after the first ``steps`` steps (None: all)."""
        with np.errstate(over="ignore"):
            worth = ((integers + self.offset) * self.numerator / self.denominator).astype(self.dtype)
        for step in self.steps[:steps]:
            worth = step(worth)
        return worth

    def taken(self, order: Array) -> None:
        """Other channels: channel i becomes the one at ``order[i]``."""
        self.numerator, self.offset = self.numerator[order], self.offset[order]
        self.steps = [step.taken(order) for step in self.steps]

    @property
    def plain(self) -> bool:
        """Whether an integer is worth itself, before the steps."""
        return self.denominator == 1 and bool((self.numerator == 1).all() and (self.offset == 0).all())

    def folded(self, low: int) -> tuple[Array, Array] | None:
        """Factor and addend of all that is done to an integer, in float64; None where it is not affine.

        Args:
            low: the smallest integer: Relu does nothing to what is not negative.
        """
        with np.errstate(all="ignore"):  # what is not finite is refused below
            factor = self.numerator / self.denominator
            addend = self.offset * factor
            for step in self.steps:
                if step.op == "Relu":
                    if (factor * low + addend < 0).any() or (factor < 0).any():
                        return None
                elif step.op == "Add":
                    addend = addend + step.value.astype(np.float64)
                elif step.value.size:
                    value = step.value.astype(np.float64)
                    value = value if step.op == "Mul" else 1 / value
                    factor, addend = factor * value, addend * value
        return (factor, addend) if np.isfinite(factor).all() and np.isfinite(addend).all() else None
