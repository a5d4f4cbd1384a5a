"""What the accelerator's units take, by Yosys, beside the model and beside published designs: `docs/hardware.md`.

    python benchmarks/hardware.py [--out docs] [--skip-cnv]

* MVTUs and dot products of every kind at several foldings: those that `benchmarks/resource_fit.py` keeps in resource_model.json.
* FINN's CNV at its published foldings (`published.py`): the same network shape with random weights, our cycles, and Yosys on each of its
  units. Takes some twenty minutes of one core at first; results of Yosys are kept in the user's cache.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from published import designs

from qlight.hardware.resources import model
from qlight.hardware.units import FOUR, IMPLEMENTATIONS, PLANES, XNOR


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

    @property
    def luts(self) -> tuple[float, float]:
        """A product, with the accumulators and without a LUT for each of their bits."""
        made = self.sample["yosys"]["lut"]
        return made / self.products, (made - self.accumulators) / self.products

    def row(self) -> str:
        of, made, said = self.sample["parameters"], self.sample["yosys"], self.sample["model"]
        size = f"{of['MW']} x {of['MH']}" if "MH" in of else "-"
        amounts = [f"{made['lut']:,} ({said['lut']:,})", f"{made['ff']:,} ({said['ff']:,})", f"{made['bram18'] / 2:g}", str(made["dsp"])]
        per_dsp = f"{self.products / made['dsp']:g}" if made["dsp"] else "-"
        cells = [
            self.name,
            f"{of['PE']} x {of['SIMD']}",
            size,
            self.sample["family"],
            self.sample["split"],
            *amounts,
            *(f"{each:.2f}" for each in self.luts),
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


def bounds() -> Iterator[str]:
    """What a product takes, of folds large enough for it to tell."""
    yield from ("", "## LUT and DSP a product", "")
    yield (
        "Of the dot products above with eight columns and more a cycle. Accumulators are taken for a LUT a bit. What all rows share, the "
        "sum of the activations of w2a2, is counted too, so w2a2 is of four rows and more."
    )
    yield from ("", "| products | folds | aim | LUT a MAC | without accumulators | MAC a DSP |", "|---|---|---|---|---|---|")
    dots = [Kind(sample) for sample in model()["samples"] if sample["cell"] == "dot"]
    wanted = (("w1a1", XNOR, 1, "1.9 LUT"), ("w2a2", PLANES, 4, "7 LUT"), ("w4a4", FOUR, 4, "4 a DSP (UltraScale+)"))
    for name, implementation, rows, aim in wanted:
        of = [each for each in dots if each.name == f"{name} {IMPLEMENTATIONS[implementation]}"]
        folds = [each for each in of if each.sample["parameters"]["PE"] >= rows and each.sample["parameters"]["SIMD"] >= 8]
        spans = [f"{min(found):.2f} to {max(found):.2f}" for found in zip(*(each.luts for each in folds), strict=True)]
        slices = {each.products / each.sample["yosys"]["dsp"] for each in folds if each.sample["yosys"]["dsp"]}
        per_dsp = ", ".join(f"{each:g}" for each in sorted(slices)) or "-"
        yield f"| {name} {IMPLEMENTATIONS[implementation]} | {len(folds)} | {aim} | {' | '.join(spans)} | {per_dsp} |"


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
        *bounds(),
        *fit_errors(),
        *([] if options.skip_cnv else designs()),
        "",
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "hardware.md").write_text("\n".join(lines), encoding="utf-8")
    print(f"wrote {options.out / 'hardware.md'}")


if __name__ == "__main__":
    main()
