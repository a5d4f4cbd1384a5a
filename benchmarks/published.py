"""FINN's CNV networks at their published foldings, and our units for the same, by Yosys; for `hardware.py`.

Source of the published numbers: BNN-PYNQ, https://github.com/Xilinx/BNN-PYNQ at d39c1c7, bnn/src/network/NAME: hw/config.h (PE, SIMD, and
"Ext Latency", a layer's cycles) and README.md (utilization by Vivado 2018.2 for PYNQ-Z1 and PYNQ-Z2, the whole overlay).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qlight.hardware import cycles, make_pipeline
from qlight.hardware.boards import Resources, load_board
from qlight.hardware.features import memory_style, weight_rows
from qlight.hardware.memories import BLOCK
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.plan import make_plan
from qlight.hardware.resources import unit_resources
from qlight.hardware.synth import synthesize_pipeline
from qlight.hardware.units import Fifo, Mvtu
from qlight.intgraph import Graph, GraphBuilder

SOURCE = "BNN-PYNQ](https://github.com/Xilinx/BNN-PYNQ/tree/d39c1c7/bnn/src/network"
LAYERS: tuple[str, ...] = ("conv0", "conv1", "conv2", "conv3", "conv4", "conv5", "dense0", "dense1", "output")
BOARD = load_board("pynq_z2")
CLOCK_MHZ = 100


@dataclass(frozen=True)
class Published:
    """A design of BNN-PYNQ for PYNQ-Z1 and PYNQ-Z2.

    Attributes:
        bits: of weights and activations.
        folds, cycles: PE and SIMD, and cycles an image, of `LAYERS`.
        taken: LUT, FF, BRAM36 and DSP of the overlay.
    """

    name: str
    bits: int
    activation_bits: int
    folds: tuple[tuple[int, int], ...]
    cycles: tuple[int, ...]
    taken: tuple[int, int, float, int]


_FOLDS = ((16, 3), (32, 32), (16, 32), (16, 32), (4, 32), (1, 32), (1, 4), (1, 8), (4, 1))
_CYCLES = (32400, 28224, 20736, 28800, 20736, 18432, 32768, 32768, 8192)
PUBLISHED = (
    Published("cnvW1A1", 1, 1, _FOLDS, _CYCLES, (26072, 41312, 124, 24)),
    Published("cnvW1A2", 1, 2, _FOLDS, _CYCLES, (40321, 56276, 131.5, 26)),
)


def cnv(bits: int, activation_bits: int) -> Graph:
    """The shape of FINN's CNV: six unpadded 3 x 3 convolutions, pools behind the second and the fourth, three dense layers."""
    rng = np.random.default_rng(0)
    builder = GraphBuilder((32, 32, 3))

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(0, 2**bits, (*shape, builder.operand.type.channels)).astype(np.uint8)

    def threshold(name: str) -> None:
        shape = builder.operand.type.channels, 2**activation_bits - 1
        levels = np.sort(rng.integers(-20, 20, shape), axis=1).astype(np.int32)
        encoding = "bipolar" if activation_bits == 1 else "unsigned"
        builder.threshold(name, levels, np.ones(len(levels), np.int8), bits=activation_bits, encoding=encoding)

    for index, outputs in enumerate((64, 64, 128, 128, 256, 256)):
        builder.conv2d(f"conv{index}", weights(outputs, 3, 3), bits=bits, encoding="odd")
        threshold(f"act{index}")
        if index in (1, 3):
            builder.max_pool(f"pool{index}")
    builder.flatten("flat")
    for index in range(2):
        builder.linear(f"dense{index}", weights(512), bits=bits, encoding="odd")
        threshold(f"denseact{index}")
    builder.linear("output", weights(10), bits=bits, encoding="odd")
    return builder.build(np.ones(10), np.zeros(10))


def designs() -> Iterator[str]:
    """The tables beside the published ones."""
    yield from ("", "## FINN's CNV at its published foldings", "")
    yield (
        f"The same layers with the same PE x SIMD, weights resident, as [{SOURCE}) has them for PYNQ-Z1 and PYNQ-Z2 at {CLOCK_MHZ} MHz: "
        "PE, SIMD and cycles of its hw/config.h; resources of the whole overlay by Vivado 2018.2 of its README.md. Its last layer is "
        "padded to 64 outputs with PE 4, ours has 10 and PE 5. Ours are sums over units of Yosys for xc7, without DMA and interconnects. "
        "Not the same tool: an order of magnitude, no contest. Images a second are the clock over the cycles, on both sides."
    )
    yield from ("", "| | | cycles an image | images/s | LUT | FF | BRAM36 | DSP |", "|---|---|---|---|---|---|---|---|")
    found = [(each, *synthesized(each)) for each in PUBLISHED]
    for each, head, _ in found:
        slowest, (lut, ff, bram, dsp) = max(each.cycles), each.taken
        amounts = f"{lut:,} | {ff:,} | {bram:g} | {dsp}"
        yield f"| {each.name} | published | {slowest:,} | {CLOCK_MHZ * 1e6 / slowest:,.0f} | {amounts} |"
        yield f"| | ours | {head} |"
    columns = ["layer", "PE x SIMD", "cycles published", "cycles", "LUT", "FF", "BRAM36", "DSP", "packing of block RAM (0: in LUTs)"]
    for each, _, rows in found:
        yield from ("", f"{each.name}: our MVTUs; window generators, converters, pools and FIFOs are in the sum.", "")
        yield from (f"| {' | '.join(columns)} |", "|---|" + "---|" * (len(columns) - 1), *rows)
    graph = cnv(1, 1)
    plan = make_plan(graph, BOARD)
    published, chosen = (packing(make_pipeline(graph, folding)) for folding in (folded(PUBLISHED[0]), plan.folding))
    yield ""
    yield (
        f"Weights in block RAM fill {published:.0%} of it, as Yosys makes it, at the published folding of cnvW1A1, and {chosen:.0%} in the "
        f"solver's own plan of this network for the PYNQ-Z2: {plan.fps:,.0f} images a second estimated at {BOARD.clock_mhz:g} MHz, "
        f"{plan.resources.lut:,} LUT, {plan.resources.bram36:g} BRAM36."
    )


def folded(design: Published) -> dict[str, tuple[int, int]]:
    """Its folding for `make_pipeline`, with 10 outputs."""
    return dict(zip(LAYERS, (*design.folds[:-1], (5, 1)), strict=True))


def synthesized(design: Published) -> tuple[str, list[str]]:
    """Cells of the row of sums, and the rows of the MVTUs."""
    pipeline = make_pipeline(cnv(design.bits, design.activation_bits), folded(design))
    found = cycles(pipeline)
    total, said, rows = Resources(), Resources(), []
    theirs = dict(zip(LAYERS, design.cycles, strict=True))
    for unit in pipeline.units:
        made = synthesize_pipeline(pipeline, BOARD, unit.name).made
        total += made.resources
        said += unit_resources(unit, BOARD.family)
        if not isinstance(unit, Fifo):
            print(f"{design.name} {unit.name:<18} {made.resources} {made.seconds:.0f} s", flush=True)
        if isinstance(unit, Mvtu):
            took = made.resources
            amounts = f"{took.lut:,} | {took.ff:,} | {took.bram36:g} | {took.dsp} | {filled([(unit, took.bram18)]):.0%}"
            fold = f"{unit.pe} x {unit.simd}"
            rows.append(f"| {unit.name} | {fold} | {theirs[unit.name]:,} | {found.units[unit.name]:,} | {amounts} |")
    fps = CLOCK_MHZ * 1e6 / found.image
    amounts = f"{total.lut:,} (model {said.lut:,}) | {total.ff:,} (model {said.ff:,}) | {total.bram36:g} | {total.dsp}"
    return f"{found.image:,} | {fps:,.0f} | {amounts}", rows


def packing(pipeline: Pipeline) -> float:
    """How much of the block RAM that Yosys makes of its weight memories these fill."""
    units = [unit for unit in pipeline.units if isinstance(unit, Mvtu) and memory_style(unit) == BLOCK]
    return filled([(unit, synthesize_pipeline(pipeline, BOARD, unit.name).made.resources.bram18) for unit in units])


def filled(units: Sequence[tuple[Mvtu, int]]) -> float:
    """The share of so many halves of block RAM that the weights of units fill."""
    there = sum(halves for _, halves in units) * 18432
    return sum(weight_rows(unit) * unit.row_bits for unit, _ in units) / there if there else 0.0
