"""What the parts of a walk share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qlight.interop.constants import Constants
from qlight.interop.hints import Hints
from qlight.interop.meaning import Meaning
from qlight.interop.read import FileGraph, FileNode
from qlight.interop.refusal import refuse
from qlight.intgraph import GraphBuilder
from qlight.intgraph.nodes import Array


class Walking:
    """State of a `qlight.interop.walk.Walk`.

    Attributes:
        position: of the operation in the file's nodes.
        meaning: what the integers of ``builder.operand`` are worth.
        pools: max-pools that have been met where a channel may fall, and wait for the next codes.
        steps_before_pools: steps of the meaning before the first of these.
        waiting_pad: a Pad that waits for its convolution: top, left, bottom, right, and the code of the padding.
        copies: how often a Concat repeats the channels of the tensor.
        order: of the features of a flattened tensor in the file, as indices of the graph's; None where they agree.
        ended_with: operation of the last node made.
    """

    file: FileGraph
    hints: Hints
    constants: Constants
    builder: GraphBuilder
    meaning: Meaning
    real_bits: int | None
    position: int
    pools: list[FileNode]
    steps_before_pools: int
    waiting_pad: tuple[list[int], int] | None = None
    copies: int
    order: Array | None
    ended_with: str = ""

    def no_pad_waits(self, node: FileNode) -> None:
        """Refuse ``node`` between a Pad and its convolution.

        Raises:
            InputError: a Pad waits.
        """
        if self.waiting_pad is not None:
            refuse(node, "a convolution after Pad", "another operation")

    def append(
        self, default: str, op: str, make: Callable[..., None], *arguments: Any, hint: dict[str, Any] | None = None, **named: Any
    ) -> None:
        raise NotImplementedError

    def pool(self, node: FileNode) -> None:
        raise NotImplementedError

    def per_channel(self, node: FileNode, values: Array) -> Array:
        raise NotImplementedError

    def rising(self, steps: int | None = None) -> Array:
        raise NotImplementedError
