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
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import nnls

from qlight.hardware import features
from qlight.hardware.boards import Resources
from qlight.hardware.features import Part
from qlight.hardware.resources import MODEL, weighed
from qlight.hardware.sources import cell_sources
from qlight.hardware.synthesis import Synthesis, needed, synthesize, yosys_version
from qlight.hardware.units import Mvtu, Pool, Stream, StreamedMvtu, Swg

TRAIN, HELD_OUT = "fit", "held out"


@dataclass(frozen=True)
class Sample:
    """A unit to synthesize.

    Attributes:
        cell: its module without the prefix.
        parts: that the model makes of it; the last one is fitted here, those before it elsewhere.
        memory: files that the module reads.
    """

    cell: str
    split: str
    family: str
    parameters: dict[str, int | str]
    parts: tuple[Part, ...]
    memory: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> str:
        return self.parts[-1].kind


def split_of(index: int, train: int) -> str:
    return TRAIN if index < train else HELD_OUT


def fifos() -> Iterator[Sample]:
    for index, (width, depth) in enumerate([(8, 2), (32, 33), (16, 100), (64, 600), (48, 40)]):
        part = features.fifo(width, depth, "xc7")
        yield Sample("fifo", split_of(index, 4), "xc7", {"WIDTH": width, "DEPTH": depth}, (part,))


def dwcs() -> Iterator[Sample]:
    for index, (bits, taken, given) in enumerate([(2, 8, 2), (2, 4, 3), (1, 16, 32), (8, 4, 3), (2, 16, 4), (1, 12, 8)]):
        parameters: dict[str, int | str] = {"BITS": bits, "IN_LANES": taken, "OUT_LANES": given}
        yield Sample("dwc", split_of(index, 4), "xc7", parameters, (features.dwc(bits, taken, given),))


def swgs() -> Iterator[Sample]:
    for index, (bits, lanes, channels, side) in enumerate([(1, 8, 16, 8), (8, 3, 3, 32), (2, 16, 16, 16), (1, 16, 64, 16)]):
        folds, pads = channels // lanes, (1, 1, 1, 1)
        source = Stream(bits, lanes, side * side * folds)
        unit = Swg("swg", "swg", source, Stream(bits, lanes, 9 * source.beats), channels, side, side, (3, 3), pads, 0)
        parameters: dict[str, int | str] = {"BITS": bits, "LANES": lanes, "CHANNELS": channels, "HEIGHT": side, "WIDTH": side}
        yield Sample("swg", split_of(index, 3), "xc7", parameters, (features.swg(unit, "xc7"),))


def pools() -> Iterator[Sample]:
    for index, (bits, lanes, channels, side, directed) in enumerate(
        [(1, 8, 16, 8, 0), (2, 4, 16, 16, 1), (4, 8, 8, 8, 1), (1, 16, 32, 8, 1)]
    ):
        beats = side * side * channels // lanes
        unit = Pool("pool", "pool", Stream(bits, lanes, beats), Stream(bits, lanes, beats // 4), channels, side, side, bool(directed))
        name = "directions.mem" if directed else ""
        memory = ((name, "0" * (channels // 4) + "\n"),) if directed else ()
        parameters: dict[str, int | str] = {"BITS": bits, "LANES": lanes, "CHANNELS": channels, "HEIGHT": side, "WIDTH": side}
        yield Sample("pool", split_of(index, 3), "xc7", parameters | {"DIRECTION_FILE": name}, (features.pool(unit, "xc7"),), memory)


#: (implementation, weight bits, two's complement, activation bits, bipolar, PE, SIMD), those of the fit first
DOTS = {
    "xnor": (
        [(1, 1, 0, 1, 1, 4, 8), (1, 1, 0, 1, 1, 8, 16), (1, 1, 0, 1, 1, 2, 32), (1, 1, 0, 1, 1, 4, 32), (1, 1, 0, 1, 1, 16, 8)],
        [(1, 1, 0, 1, 1, 8, 32), (1, 1, 0, 1, 1, 16, 16), (1, 1, 0, 1, 1, 4, 3)],
    ),
    "planes": (
        [(2, 2, 0, 2, 0, 4, 8), (2, 2, 0, 2, 0, 8, 8), (2, 1, 0, 2, 0, 4, 16), (2, 1, 0, 8, 0, 2, 8), (2, 8, 1, 8, 0, 1, 3)],
        [(2, 2, 0, 2, 0, 4, 32), (2, 3, 0, 3, 0, 2, 8)],
    ),
    "multiply": ([(0, 8, 1, 8, 0, 2, 4), (0, 8, 1, 8, 0, 1, 8)], [(0, 4, 0, 8, 0, 2, 4)]),
    "multiply UltraScale+": ([(0, 8, 1, 8, 0, 2, 4), (0, 8, 1, 8, 0, 1, 8)], [(0, 4, 0, 8, 0, 2, 4)]),
    "packed UltraScale+": ([(3, 4, 0, 4, 0, 4, 4), (3, 4, 0, 4, 0, 2, 8), (3, 4, 0, 8, 0, 2, 4)], [(3, 4, 0, 4, 0, 4, 8)]),
    "signs": ([(0, 8, 1, 1, 1, 2, 8), (0, 8, 1, 1, 1, 1, 4)], [(0, 8, 1, 1, 1, 2, 4)]),
    "four": ([(4, 4, 0, 4, 0, 4, 4), (4, 4, 0, 4, 0, 4, 8), (4, 3, 0, 3, 0, 8, 4)], [(4, 4, 0, 4, 0, 8, 8)]),
    "multiply in LUTs": ([(0, 2, 0, 2, 0, 2, 4), (0, 3, 0, 3, 0, 2, 8)], [(0, 2, 0, 3, 0, 4, 4)]),
    "packed": ([(3, 4, 0, 4, 0, 4, 4), (3, 4, 0, 4, 0, 2, 8), (3, 4, 0, 8, 0, 2, 4)], [(3, 4, 0, 4, 0, 4, 8)]),
}


def dots() -> Iterator[Sample]:
    for name, (train, held_out) in DOTS.items():
        family = "xcup" if name.endswith("UltraScale+") or name == "four" else "xc7"
        for index, shape in enumerate([*train, *held_out]):
            yield dot(split_of(index, len(train)), family, *shape)


def dot(split: str, family: str, impl: int, weight: int, signed: int, activation: int, bipolar: int, pe: int, simd: int) -> Sample:
    columns = 16 * simd
    acc = accumulator_bits(weight, activation, columns)
    parameters: dict[str, int | str] = {"PE": pe, "SIMD": simd, "MW": columns, "WEIGHT_BITS": weight, "WEIGHT_SIGNED": signed}
    parameters |= {"ACTIVATION_BITS": activation, "BIPOLAR": bipolar, "ACC_BITS": acc, "IMPL": impl}
    return Sample("dot", split, family, parameters, (features.dot(pe, simd, weight, activation, bool(bipolar), acc, impl, family),))


def accumulator_bits(weight: int, activation: int, columns: int) -> int:
    """Enough for odd weights; more than signed ones need."""
    return (columns * (2**weight - 1) * (2**activation - 1) + 1).bit_length() + 1


def thresholds() -> Iterator[Sample]:
    shapes = [(4, 8, 12, 1), (4, 4, 12, 2), (2, 8, 16, 4), (8, 16, 14, 1), (4, 16, 13, 2), (2, 16, 17, 3)]
    for index, (pe, folds, acc, bits) in enumerate(shapes):
        parameters: dict[str, int | str] = {"PE": pe, "NF": folds, "ACC_BITS": acc, "OUTPUT_BITS": bits}
        part = features.threshold(pe, folds, acc, bits, "xc7")
        yield Sample("threshold", split_of(index, 4), "xc7", parameters, (part,))


#: (implementation, weight bits, activation bits, bipolar, output bits, PE, SIMD, MW, MH), those of the fit first
MVTUS = (
    [(1, 1, 1, 1, 1, 4, 8, 72, 16), (2, 2, 2, 0, 2, 4, 8, 144, 32), (0, 8, 8, 0, 0, 1, 4, 64, 10), (1, 1, 1, 1, 1, 8, 8, 64, 8)],
    [(1, 1, 1, 1, 1, 8, 16, 576, 64), (2, 1, 2, 0, 2, 4, 16, 576, 32), (3, 4, 4, 0, 4, 2, 8, 144, 32), (2, 2, 2, 0, 2, 8, 8, 288, 64)],
)


def mvtus() -> Iterator[Sample]:
    train, held_out = MVTUS
    for index, shape in enumerate([*train, *held_out]):
        yield mvtu(split_of(index, len(train)), "xc7", *shape)
    for shape in held_out[:2]:
        yield mvtu(HELD_OUT, "xcup", *shape)


def mvtu(split: str, family: str, *shape: int) -> Sample:
    unit = unit_of(*shape)
    style = features.memory_style(unit)
    parameters: dict[str, int | str] = {"PE": unit.pe, "SIMD": unit.simd, "MW": unit.mw, "MH": unit.mh, "WEIGHT_BITS": unit.weight_bits}
    parameters |= {"WEIGHT_SIGNED": int(unit.weight_signed), "ACTIVATION_BITS": unit.activation_bits, "BIPOLAR": int(unit.bipolar)}
    parameters |= {"OUTPUT_BITS": unit.output_bits, "ACC_BITS": unit.acc_bits, "IMPL": unit.implementation, "RAM_STYLE": style}
    return Sample("mvtu", split, family, parameters, tuple(features.parts(unit, family, style)))


def unit_of(impl: int, weight: int, activation: int, bipolar: int, output: int, pe: int, simd: int, columns: int, rows: int) -> Mvtu:
    acc = accumulator_bits(weight, activation, columns)
    return Mvtu(
        "mvtu",
        "mvtu",
        Stream(activation, simd, columns // simd),
        Stream(output or acc, pe, rows // pe),
        pe=pe,
        simd=simd,
        mw=columns,
        mh=rows,
        vectors=1,
        weight_bits=weight,
        weight_signed=weight == 8,
        activation_bits=activation,
        bipolar=bool(bipolar),
        output_bits=output,
        acc_bits=acc,
        implementation=impl,
    )


#: (implementation, weight bits, activation bits, bipolar, output bits, PE, SIMD, MW, MH, vectors), those of the fit first
STREAMED = (
    [(1, 1, 1, 1, 1, 4, 8, 72, 16, 16), (2, 2, 2, 0, 2, 4, 8, 144, 32, 64), (1, 1, 1, 1, 1, 8, 16, 256, 64, 1)],
    [(1, 1, 1, 1, 1, 8, 8, 288, 32, 256)],
)


def mvtu_streams() -> Iterator[Sample]:
    train, held_out = STREAMED
    for index, (*shape, vectors) in enumerate([*train, *held_out]):
        plain = mvtu(split_of(index, len(train)), "xc7", *shape)
        parameters: dict[str, int | str] = dict(plain.parameters)
        unit = StreamedMvtu(**vars(replace(unit_of(*shape), vectors=vectors)), port_bits=64)
        parameters |= {"VECTORS": vectors, "RAM_STYLE": features.memory_style(unit)}
        found = [part for part in features.parts(unit, "xc7", str(parameters["RAM_STYLE"])) if part.kind not in ("weight_reader", "dwc")]
        yield Sample("mvtu_stream", plain.split, "xc7", parameters, tuple(found))


def weight_readers() -> Iterator[Sample]:
    for index, (bits, words) in enumerate([(32, 1000), (128, 5000), (64, 100000)]):
        part = features.weight_reader(bits, words, "xc7")
        parameters: dict[str, int | str] = {"DATA_BITS": bits, "WORDS": words, "DEPTH": features.READER_DEPTH}
        yield Sample("weight_reader", split_of(index, 2), "xc7", parameters, (part,))


def replays() -> Iterator[Sample]:
    for index, (width, frame, times) in enumerate([(8, 16, 4), (32, 256, 8), (16, 100, 12)]):
        part = features.replay(width, frame, times, "xc7")
        yield Sample("replay", split_of(index, 2), "xc7", {"WIDTH": width, "FRAME": frame, "TIMES": times}, (part,))


def reorders() -> Iterator[Sample]:
    for index, (width, outer, inner) in enumerate([(8, 4, 16), (32, 8, 64), (24, 6, 16)]):
        part = features.reorder(width, outer, inner, "xc7")
        yield Sample("reorder", split_of(index, 2), "xc7", {"WIDTH": width, "OUTER": outer, "INNER": inner}, (part,))


def controls() -> Iterator[Sample]:
    parameters: dict[str, int | str] = {"INPUT_BYTES": 3072, "CLASSES": 10, "PARAMETER_WORDS": 500000}
    yield Sample("control", TRAIN, "xc7", parameters, (features.control(),))


def registers() -> Iterator[Sample]:
    for index, streams in enumerate([1, 4]):
        yield Sample("weight_registers", split_of(index, 2), "xc7", {"STREAMS": streams}, (features.reader_registers(streams),))


#: in the order of the fit: an MVTU is fitted behind its dot product and its thresholds
CELLS = {"fifo": fifos, "dwc": dwcs, "swg": swgs, "pool": pools, "dot": dots, "threshold": thresholds, "mvtu": mvtus}
CELLS |= {"mvtu_stream": mvtu_streams, "weight_reader": weight_readers, "replay": replays, "reorder": reorders, "control": controls}
CELLS |= {"weight_registers": registers}


#: what the sources suggest that a feature takes; 1 where nothing is here. It decides what few samples leave open.
SUGGESTED = {
    "lut": {
        "one": 10,
        "products of bits": 1.5,
        "bits of counts": 0.5,
        "bits of the repair": 2,
        "bits of an address": 3,
        "bits of counters": 2,
    }
    | {"bits written, a place": 0.5, "places": 0.5, "directions": 0.4, "streams": 100},
    "ff": {"one": 10, "bits of an address": 3, "chain": 34, "streams": 40, "bits of codes": 0.5, "bits compared": 2},
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
        with tempfile.NamedTemporaryFile("w", dir=MODEL.parent, delete=False, encoding="ascii") as part:
            part.write(text)
        os.chmod(part.name, 0o644)
        os.replace(part.name, MODEL)


if __name__ == "__main__":
    main()
