"""The layers of a graph as a table: shapes, bits, memory, and what changed against torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qlight.console import wide
from qlight.intgraph import Conv2d, Graph, Linear, MaxPool, Threshold
from qlight.lowering.compare import Comparison

_KIB = 8 * 1024


@dataclass(frozen=True)
class LayerReport:
    """One layer of a graph: its sums, the pool and the thresholds after it.

    Attributes:
        name: of the Conv2d or Linear node.
        op: its operation, ``Conv2d + MaxPool`` where a pool follows.
        weight_shape: out x kernel height x kernel width x in, or out x in.
        output_shape: of what the layer passes on, one image: codes, or the accumulators of the logits.
        weight_bits, weight_encoding: of a weight code.
        activation_bits, activation_encoding: of a code that the layer passes on; None for the last one.
        accumulator_bits: of its sums, proven from the types.
        weight_memory_bits: number of weights times their bits.
        threshold_memory_bits: thresholds at the accumulator's width, and one bit of direction per channel.
        multiplications: multiply-accumulates per image, padding included.
    """

    name: str
    op: str
    weight_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    weight_bits: int
    weight_encoding: str
    activation_bits: int | None
    activation_encoding: str | None
    accumulator_bits: int
    weight_memory_bits: int
    threshold_memory_bits: int
    multiplications: int


def layer_reports(graph: Graph) -> tuple[LayerReport, ...]:
    """The layers of ``graph`` in order."""
    starts = [index for index, node in enumerate(graph.nodes) if isinstance(node, Conv2d | Linear)]
    found = []
    for start, end in zip(starts, [*starts[1:], len(graph.nodes)], strict=True):
        node, rest = graph.nodes[start], graph.nodes[start + 1 : end]
        assert isinstance(node, Conv2d | Linear)
        sums = graph.tensor[node.output]
        pooled = any(isinstance(after, MaxPool) for after in rest)
        threshold = next((after for after in rest if isinstance(after, Threshold)), None)
        codes = None if threshold is None else graph.tensor[threshold.output]
        found.append(
            LayerReport(
                name=node.name,
                op=f"{node.op} + MaxPool" if pooled else node.op,
                weight_shape=node.weight.shape,
                output_shape=(codes or sums).shape,
                weight_bits=node.weight_bits,
                weight_encoding=node.weight_encoding,
                activation_bits=None if codes is None else codes.bits,
                activation_encoding=None if codes is None else codes.encoding,
                accumulator_bits=sums.bits,
                weight_memory_bits=node.weight.size * node.weight_bits,
                threshold_memory_bits=0 if threshold is None else threshold.thresholds.size * sums.bits + len(threshold.direction),
                multiplications=math.prod(sums.shape) * math.prod(node.weight.shape[1:]),
            )
        )
    return tuple(found)


def print_table(graph: Graph, comparison: Comparison | None = None, console: Any = None) -> None:
    """Print the layers, and below them what changed.

    Args:
        graph: of `Lowered`.
        comparison: what `compare` returned; without it the columns about torch hold "-".
        console: a `rich.console.Console`; default: standard output.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console = wide(console)
    said = graph.metadata
    title = f"{said.get('network', 'network')} {said.get('precision', '')} in integers, {graph.content_hash[:12]}"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    table.add_column("op", overflow="fold")
    for heading in ("weights", "output", "w bits", "a bits", "acc", "KiB", "other codes", "own"):
        table.add_column(heading, justify="right", no_wrap=True)
    changed = {} if comparison is None else {layer.name: layer for layer in comparison.layers}
    for layer in layer_reports(graph):
        change = changed.get(f"{layer.name}_act")
        table.add_row(
            layer.name,
            layer.op.replace("MaxPool", "pool"),
            _shape(layer.weight_shape),
            _shape(layer.output_shape),
            str(layer.weight_bits),
            "-" if layer.activation_bits is None else str(layer.activation_bits),
            str(layer.accumulator_bits),
            f"{layer.weight_memory_bits / _KIB:.1f}",
            "-" if change is None else _share(change.mismatching, change.codes),
            "-" if change is None else _share(change.own, change.codes),
        )
    console.print(table)
    for line in _below(graph, comparison):
        console.print(line, highlight=False, markup=False)


def _below(graph: Graph, comparison: Comparison | None) -> list[str]:
    """What stands below the table."""
    total = sum(layer.weight_memory_bits for layer in layer_reports(graph)) / _KIB
    lines = [f"weights: {total:.1f} KiB; graph {graph.content_hash}"]
    if comparison is None:
        return lines
    lines.append(
        f"{comparison.images} images: same class as torch with these weights {_percent(comparison.agreement)}; "
        f"codes unlike torch's that rounding does not explain: {sum(layer.unexplained for layer in comparison.layers)}"
    )
    if comparison.unchanged is not None:
        lines.append(f"same class as the trained network: {_percent(comparison.unchanged)}")
    before, after = comparison.trained_accuracy, comparison.graph_accuracy
    if after is not None:
        gain = "" if before is None else f" ({100 * (after - before):+.2f} points)"
        lines.append(f"clean accuracy: {'-' if before is None else _percent(before)} before, {_percent(after)} after{gain}")
    return lines


def _share(part: int, whole: int) -> str:
    """A share, readable where it is small; 0 only where it is none.

    >>> _share(0, 10), _share(1, 4), _share(3, 10**8)
    ('0', '25.000 %', '3.0e-06 %')
    """
    if not part:
        return "0"
    percent = 100 * part / whole
    return f"{percent:.3f} %" if percent >= 0.001 else f"{percent:.1e} %"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)
