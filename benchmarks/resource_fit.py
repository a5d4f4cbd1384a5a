"""Fits the resource model to Yosys on small units, and says how far off it is on units that the fit has not seen.

    python benchmarks/resource_fit.py [--cells dot threshold ...] [--check | --refit]

Writes qlight/hardware/resource_model.json. A unit takes 5 to 60 s of one core; all of them about half an hour. Results of Yosys are kept
in the user's cache by content, so that a rerun takes seconds, and only what changed in hw/rtl is synthesized again. ``--check`` writes
nothing and fails where the file is not the one that this run would write. ``--refit`` takes Yosys' figures from the file itself, where it
has them: for changes of the features alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
from resource_samples import CELLS, HELD_OUT, TRAIN, Sample
from scipy.optimize import nnls

from qlight.files import whole_file
from qlight.hardware.boards import Resources
from qlight.hardware.resources import MODEL, weighed
from qlight.hardware.sources import cell_sources
from qlight.hardware.synthesis import Synthesis, needed, synthesize, yosys_version

#: what the sources suggest that a feature takes; 1 where nothing is here. It decides what few samples leave open.
SUGGESTED = {
    "lut": {
        "one": 10,
        "bits compressed": 1.5,
        "bits of sums": 0.5,
        "bits of counts": 0.5,
        "bits of the repair": 1.5,
        "bits of an address": 3,
        "bits of counters": 2,
    }
    | {"bits held": 0.3, "places": 0.5, "directions": 0.4, "streams": 100},
    "ff": {"one": 10, "bits of an address": 3, "bits that wrap": 0, "chain": 34, "streams": 40, "bits of codes": 0.5, "bits compared": 2},
}
#: how much a relative error of a sample counts against the same departure from what is suggested
_TRUST = 100


def fitted(samples: list[tuple[Sample, Synthesis]], coefficients: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Coefficients of a kind that are not negative, by the least squares of relative errors, and of departures from `SUGGESTED`."""
    found = {}
    for name in ("lut", "ff"):
        wanted = {feature: SUGGESTED[name].get(feature, 1.0) for feature in getattr(samples[0][0].parts[-1], name)}
        rows, targets = [], []
        for sample, made in samples:
            part = sample.parts[-1]
            before = weighed(sample.parts[:-1], coefficients)
            rest = getattr(made.resources, name) - getattr(before, name) - getattr(part.exact, name)
            scale = 1 / max(getattr(made.resources, name), 10)
            rows.append([value * scale for value in getattr(part, name).values()])
            targets.append(max(rest, 0) * scale)
        matrix = np.array(rows)
        prior = np.diag(matrix.mean(axis=0) / _TRUST**0.5)
        weights, _ = nnls(np.vstack([matrix, prior]), np.concatenate([targets, prior @ np.array(list(wanted.values()))]))
        found[name] = {feature: round(float(weight), 4) for feature, weight in zip(wanted, weights, strict=True)}
    return found


def run(cells: list[str], refit: bool) -> dict[str, Any]:
    sources = cell_sources()
    known = {identity(sample): sample for sample in json.loads(MODEL.read_text())["samples"]} if refit else {}
    done: list[tuple[Sample, Synthesis]] = []
    for cell in cells:
        for sample in CELLS[cell]():
            top = f"qlight_{cell}"
            if refit:
                kept = known.get(identity({"cell": cell, "family": sample.family, "parameters": sample.parameters}))
                if kept is not None:
                    done.append((sample, Synthesis(Resources(**kept["yosys"]), 0, kept["lut_cells"], 0.0)))
                    continue
            made = synthesize(top, needed(top, sources), sample.family, sample.parameters, memory=dict(sample.memory))
            done.append((sample, made))
            print(f"{sample.kind:<18} {sample.split:<9} {made.seconds:5.1f} s {made.resources} {sample.parameters}", flush=True)
    coefficients: dict[str, Any] = {} if cells == list(CELLS) else dict(json.loads(MODEL.read_text())["coefficients"])
    for kind in dict.fromkeys(sample.kind for sample, _ in done):
        coefficients[kind] = fitted([each for each in done if each[0].kind == kind and each[0].split == TRAIN], coefficients)
    return document(done, coefficients)


def identity(sample: dict[str, Any]) -> str:
    return json.dumps([sample[key] for key in ("cell", "family", "parameters")])


def document(done: list[tuple[Sample, Synthesis]], coefficients: dict[str, Any]) -> dict[str, Any]:
    """What resource_model.json holds."""
    samples = []
    for sample, made in done:
        entry = {"kind": sample.kind, "split": sample.split, "family": sample.family, "cell": sample.cell, "parameters": sample.parameters}
        entry |= {"yosys": asdict(made.resources), "model": asdict(weighed(sample.parts, coefficients)), "lut_cells": made.lut_cells}
        samples.append(entry)
    return {
        "made_by": {"command": "python benchmarks/resource_fit.py", "pyosys": yosys_version(), "pass": "synth_xilinx -flatten -noiopad"},
        "errors": errors(samples),
        "coefficients": coefficients,
        "samples": samples,
    }


def errors(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the units held out, by kind and in all: median and largest |model / Yosys - 1|; how many have exactly Yosys' BRAM and DSP."""
    held_out = [sample for sample in samples if sample["split"] == HELD_OUT]
    groups = {kind: [each for each in held_out if each["kind"] == kind] for kind in dict.fromkeys(each["kind"] for each in held_out)}
    found = {}
    for kind, group in {**groups, "all": held_out}.items():
        found[kind] = {"units": len(group)}
        for name in ("lut", "ff"):
            off = [abs(each["model"][name] / max(each["yosys"][name], 1) - 1) for each in group]
            found[kind][name] = {"median": round(statistics.median(off), 3), "largest": round(max(off), 3)}
        for name in ("bram18", "dsp"):
            found[kind][f"{name} exact"] = sum(each["model"][name] == each["yosys"][name] for each in group)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS), help="synthesize these only, and write nothing")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--refit", action="store_true")
    options = parser.parse_args()
    found = run(options.cells, options.refit)
    for kind, error in found["errors"].items():
        print(f"{kind:<18} {error}")
    text = json.dumps(found, indent=1) + "\n"
    if options.check:
        sys.exit(0 if text == MODEL.read_text(encoding="ascii") else "resource_model.json is not what this run gives")
    if options.cells == list(CELLS):
        with whole_file(MODEL) as part:
            part.write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
