"""What the accelerator's units take, by Yosys, beside the model and beside published designs: `docs/hardware.md`.

    python benchmarks/hardware.py [--out docs] [--skip-cnv]

* MVTUs and dot products of every kind at several foldings: those that `benchmarks/resource_fit.py` keeps in resource_model.json.
* FINN's CNV at its published folding: the same network shape with random weights, our cycles, and Yosys on each of its units. Takes some
  ten minutes of one core at first; results of Yosys are kept in the user's cache.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qlight.hardware import cycles, make_pipeline
from qlight.hardware.boards import Resources, load_board
from qlight.hardware.features import memory_style, weight_rows
from qlight.hardware.memories import BLOCK, memory, packing
from qlight.hardware.pipeline import Pipeline
from qlight.hardware.plan import make_plan
from qlight.hardware.resources import model, unit_resources
from qlight.hardware.synth import synthesize_pipeline
from qlight.hardware.units import IMPLEMENTATIONS, Fifo, Mvtu
from qlight.intgraph import Graph, GraphBuilder

#: PE, SIMD of CNV's layers on PYNQ-Z1/Z2 (BNN-PYNQ, cnvW1A1). Its last layer has 64 outputs, of which 10 are used, and PE 4.
PUBLISHED = {"conv0": (16, 3), "conv1": (32, 32), "conv2": (16, 32), "conv3": (16, 32), "conv4": (4, 32), "conv5": (1, 32)}
PUBLISHED |= {"dense0": (1, 4), "dense1": (1, 8), "output": (5, 1)}
PUBLISHED_CYCLES, PUBLISHED_LUT, PUBLISHED_BRAM, PUBLISHED_DSP = 32768, 26072, 124, 24


def cnv() -> Graph:
    """The shape of FINN's CNV-w1a1: six unpadded 3 x 3 convolutions, pools behind the second and the fourth, three dense layers."""
    rng = np.random.default_rng(0)
    builder = GraphBuilder((32, 32, 3))

    def threshold(name: str) -> None:
        channels = builder.operand.type.channels
        levels = rng.integers(-20, 20, (channels, 1)).astype(np.int32)
        builder.threshold(name, levels, np.ones(channels, np.int8), bits=1, encoding="bipolar")

    for index, outputs in enumerate((64, 64, 128, 128, 256, 256)):
        shape = (outputs, 3, 3, builder.operand.type.channels)
        builder.conv2d(f"conv{index}", rng.integers(0, 2, shape).astype(np.uint8), bits=1, encoding="odd")
        threshold(f"act{index}")
        if index in (1, 3):
            builder.max_pool(f"pool{index}")
    builder.flatten("flat")
    for index in range(2):
        shape = (512, builder.operand.type.channels)
        builder.linear(f"dense{index}", rng.integers(0, 2, shape).astype(np.uint8), bits=1, encoding="odd")
        threshold(f"denseact{index}")
    builder.linear("output", rng.integers(0, 2, (10, 512)).astype(np.uint8), bits=1, encoding="odd")
    return builder.build(np.ones(10), np.zeros(10))


@dataclass(frozen=True)
class Kind:
    """A sample of the fit, as a row."""

    sample: dict[str, Any]

    @property
    def name(self) -> str:
        of = self.sample["parameters"]
        return f"w{of['WEIGHT_BITS']}a{of['ACTIVATION_BITS']} {IMPLEMENTATIONS[of['IMPL']]}"

    @property
    def products(self) -> int:
        return self.sample["parameters"]["PE"] * self.sample["parameters"]["SIMD"]

    @property
    def accumulators(self) -> int:
        return self.sample["parameters"]["PE"] * self.sample["parameters"]["ACC_BITS"]

    def row(self) -> str:
        of, made, said = self.sample["parameters"], self.sample["yosys"], self.sample["model"]
        size = f"{of['MW']} x {of['MH']}" if "MH" in of else "-"
        amounts = [f"{made['lut']:,} ({said['lut']:,})", f"{made['ff']:,} ({said['ff']:,})", f"{made['bram18'] / 2:g}", str(made["dsp"])]
        each = f"{made['lut'] / self.products:.2f}"
        without = f"{(made['lut'] - self.accumulators) / self.products:.2f}"
        per_dsp = f"{self.products / made['dsp']:g}" if made["dsp"] else "-"
        cells = [
            self.name,
            f"{of['PE']} x {of['SIMD']}",
            size,
            self.sample["family"],
            self.sample["split"],
            *amounts,
            each,
            without,
            per_dsp,
        ]
        return f"| {' | '.join(cells)} |"


def kinds() -> Iterator[str]:
    columns = "kind, PE x SIMD, MW x MH, family, split, LUT (model), FF (model), BRAM36, DSP, LUT a MAC, without accumulators, MAC a DSP"
    head = f"| {columns.replace(', ', ' | ')} |"
    for cell, title in (("mvtu", "MVTUs, with weight memory, thresholds and control"), ("dot", "Dot products with their accumulators")):
        yield from ("", f"## {title}", "", head, "|---|" + "---|" * (head.count("|") - 2))
        for sample in model()["samples"]:
            if sample["cell"] == cell:
                yield Kind(sample).row()


def fit_errors() -> Iterator[str]:
    yield from (
        "",
        "## The model's error on units that the fit has not seen",
        "",
        "|model / Yosys - 1| of LUT and FF; units whose BRAM and DSP are exact.",
        "",
    )
    yield "| part | units | LUT median | LUT largest | FF median | FF largest | BRAM exact | DSP exact |"
    yield "|---|---|---|---|---|---|---|---|"
    for kind, found in model()["errors"].items():
        lut, ff, units = found["lut"], found["ff"], found["units"]
        shown = [f"{lut['median']:.1%}", f"{lut['largest']:.1%}", f"{ff['median']:.1%}", f"{ff['largest']:.1%}"]
        yield f"| {kind} | {units} | {' | '.join(shown)} | {found['bram18 exact']} | {found['dsp exact']} |"


def block_packing(units: Iterator[tuple[int, int]]) -> tuple[int, int]:
    """Bits stored in block RAM, and of the block RAMs that store them, of (depth, width) memories."""
    stored = there = 0
    for depth, width in units:
        made = memory(depth, width, BLOCK, "xc7")
        stored += depth * width
        there += made.bram18 * 18432
    return stored, there


def weights_in_blocks(pipeline: Pipeline) -> Iterator[tuple[int, int]]:
    for unit in pipeline.units:
        if isinstance(unit, Mvtu) and memory_style(unit) == BLOCK:
            yield weight_rows(unit), unit.row_bits


def published() -> Iterator[str]:
    """The table beside FINN's."""
    graph, board = cnv(), load_board("pynq_z2")
    pipeline = make_pipeline(graph, PUBLISHED)
    found = cycles(pipeline)
    total, said = Resources(), Resources()
    rows = []
    for unit in pipeline.units:
        report = synthesize_pipeline(pipeline, board, unit.name)
        total += report.made.resources
        said += unit_resources(unit, board.family)
        print(f"{unit.name:<18} {report.made.resources} model {report.predicted} {report.made.seconds:.0f} s", flush=True)
        if isinstance(unit, Mvtu):
            made = report.made.resources
            bits = packing(weight_rows(unit), unit.row_bits, memory(weight_rows(unit), unit.row_bits, memory_style(unit), "xc7"))
            fold = f"{unit.pe} x {unit.simd}"
            busy = found.units[unit.name]
            rows.append(f"| {unit.name} | {fold} | {busy:,} | {made.lut:,} | {made.ff:,} | {made.bram36:g} | {made.dsp} | {bits:.0%} |")
    others = sum(not isinstance(unit, Mvtu | Fifo) for unit in pipeline.units)
    yield from ("", "## FINN's CNV-w1a1 at its published folding", "")
    yield (
        "The same layers, the same PE x SIMD (BNN-PYNQ's cnvW1A1 on PYNQ-Z1/Z2 at 100 MHz; its last layer is padded to 64 outputs "
        "with PE 4, ours has "
        "10 and PE 5), weights resident. Theirs are Vivado's figures of the whole overlay, as the BNN-PYNQ and FINN projects "
        "published them; ours are the sum over units of "
        "Yosys for xc7, without DMA and interconnects, which Vivado would map to fewer LUTs. Not the same tool: an order of "
        "magnitude, no contest."
    )
    yield from ("", "| | cycles an image | images/s at 100 MHz | LUT | BRAM36 | DSP |", "|---|---|---|---|---|---|")
    yield f"| published | {PUBLISHED_CYCLES:,} | 3,052 | {PUBLISHED_LUT:,} | {PUBLISHED_BRAM} | {PUBLISHED_DSP} |"
    yield f"| ours | {found.image:,} | {1e8 / found.image:,.0f} | {total.lut:,} (model {said.lut:,}) | {total.bram36:g} | {total.dsp} |"
    yield from ("", f"Our MVTUs; the other {others} units (window generators, converters, pools) and the FIFOs are in the sum.", "")
    yield from (
        "| layer | PE x SIMD | cycles | LUT | FF | BRAM36 | DSP | packing of block RAM (0: in LUTs) |",
        "|---|---|---|---|---|---|---|---|",
    )
    yield from rows
    plan = make_plan(graph, board)
    own = make_pipeline(graph, plan.folding)
    at_folding, chosen = (
        stored / max(there, 1) for stored, there in (block_packing(weights_in_blocks(pipeline)), block_packing(weights_in_blocks(own)))
    )
    yield ""
    yield (
        f"Weights in block RAM fill {at_folding:.0%} of it at the published folding, and {chosen:.0%} in the solver's own plan of "
        f"this network for the "
        f"PYNQ-Z2: {plan.fps:,.0f} images a second estimated at {board.clock_mhz:g} MHz, {plan.resources.lut:,} LUT, "
        f"{plan.resources.bram36:g} BRAM36."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs")
    parser.add_argument("--skip-cnv", action="store_true", help="only what resource_model.json holds")
    options = parser.parse_args()
    lines = [
        "# What the accelerator's units take",
        "",
        f"Yosys (pyosys {model()['made_by']['pyosys']}, `synth_xilinx -flatten`); LUT are its estimate of logic cells plus LUTs "
        f"used as memory. No vendor tool was run.",
        "",
        "```sh",
        "python benchmarks/resource_fit.py   # synthesizes, fits, writes qlight/hardware/resource_model.json",
        "python benchmarks/hardware.py       # this page",
        "```",
        *kinds(),
        *fit_errors(),
        *([] if options.skip_cnv else published()),
        "",
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "hardware.md").write_text("\n".join(lines), encoding="utf-8")
    print(f"wrote {options.out / 'hardware.md'}")


if __name__ == "__main__":
    main()
