"""What must pass the streams inside an accelerator that carry a layer's output: the reference executor's tensors, as beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw.tb.swg.reference import beats
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.units import Affine, Dwc, Mvtu, Pool, Reorder, Unit
from qlight.intgraph import trace
from qlight.intgraph.execute import run_node

__all__ = ["Tap", "difference", "due", "taps"]


@dataclass(frozen=True)
class Tap:
    """A layer's output, or that of one of its pools.

    Attributes:
        unit: whose output it is.
        stream: number of the stream in the top level.
        bits, lanes: of its beats.
        channels: of the map.
        beats: of an image.
    """

    unit: str
    stream: int
    bits: int
    lanes: int
    channels: int
    beats: int


def taps(pipeline: Pipeline) -> list[Tap]:
    """The outputs of all MVTUs, affine units and pools; where they leave in another order, when they are in order.

    The accumulators of an MVTU before an affine unit are not seen where they are never in order.
    """
    found = []
    for index, unit in enumerate(pipeline.units):
        if isinstance(unit, Mvtu | Affine | Pool):
            channels = unit.mh if isinstance(unit, Mvtu) else unit.channels
            behind = _ordered(pipeline.units[index:])
            if behind is not None:
                stream = pipeline.units[index + behind].target
                found.append(Tap(unit.name, index + 1 + behind, stream.bits, stream.lanes, channels, stream.beats))
    return found


def _ordered(units: Sequence[Unit]) -> int | None:
    """How many units behind the first one its results are in order: 0, or those up to a `Reorder`; None: they have become codes by then."""
    for behind, unit in enumerate(units[1:4], 1):
        if isinstance(unit, Reorder):
            return behind
        if isinstance(unit, Affine) and unit.repeat > 1:
            return None
        if not isinstance(unit, Dwc | Affine):
            break
    return 0


def due(pipeline: Pipeline, images: np.ndarray) -> list[list[int | None]]:
    """For every tap the beats of these images; None where a pool drops the pixel, which may be late enough to be another network's.

    The hardware applies thresholds before it pools, also where the graph does it after: those maps are not the graph's, and are made here.
    """
    graph = pipeline.graph
    tensors = trace(graph, images)
    by_node = {node.name: (tensor, tensors[tensor.name]) for node, tensor in zip(graph.nodes, graph.tensors[1:], strict=True)}
    layers = {layer.name: layer for layer in pipeline.layers}
    directed = {pool.name for layer in pipeline.layers for pool in layer.pools if pool.directed}
    by_unit = {unit.name: unit for unit in pipeline.units}
    found: list[list[int | None]] = []
    for tap in taps(pipeline):
        unit = by_unit[tap.unit]
        threshold = layers[unit.layer].threshold
        tensor, codes = by_node[unit.layer if isinstance(unit, Affine) else unit.name]
        coded = unit.output_bits > 0 if isinstance(unit, Mvtu) else isinstance(unit, Affine) or unit.name in directed
        if threshold is not None and coded:
            codes = run_node(threshold, tensor, codes.astype(np.int64))
        wanted = beats(codes.astype(np.int64).ravel() & ((1 << tap.bits) - 1), tap.lanes, tap.bits)
        follower = next((unit for unit in pipeline.units[tap.stream :] if not isinstance(unit, Dwc | Affine)), None)
        used = np.ones(tap.beats, bool)
        if isinstance(follower, Pool):
            row, column = np.indices((follower.height, follower.width))
            pooled = (row < follower.height // 2 * 2) & (column < follower.width // 2 * 2)
            used = np.repeat(pooled.ravel(), tap.channels // tap.lanes)
        found.append([beat if use else None for beat, use in zip(wanted, np.tile(used, len(images)).tolist(), strict=True)])
    return found


def difference(tap: Tap, found: Sequence[int], wanted: Sequence[int | None]) -> str:
    """Where a stream first differs from what is due: image, pixel, channel, both values; "" where it does not."""
    pairs = enumerate(zip(found, wanted, strict=False))
    place, wrong = next(((place, each ^ right) for place, (each, right) in pairs if right is not None and each != right), (-1, 0))
    if not wrong:
        return "" if len(found) == len(wanted) else f"{tap.unit}: {len(found)} beats instead of {len(wanted)}"
    lane = ((wrong & -wrong).bit_length() - 1) // tap.bits
    got, expected = (each >> (lane * tap.bits) & ((1 << tap.bits) - 1) for each in (found[place], wanted[place] or 0))
    image, beat_of_image = divmod(place, tap.beats)
    pixel, channel = divmod(beat_of_image * tap.lanes + lane, tap.channels)
    return f"{tap.unit}: image {image}, pixel {pixel}, channel {channel} is code {got} instead of {expected}"
