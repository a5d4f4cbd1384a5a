"""The units that `resource_fit.py` synthesizes: small ones of every cell for the fit, and others, held out, that tell its error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from qlight.hardware import features
from qlight.hardware.features import Part
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
    for index, (bits, taken, given) in enumerate(
        [
            (2, 8, 2),
            (2, 4, 3),
            (1, 16, 32),
            (8, 4, 3),
            (1, 24, 10),
            (2, 4, 32),
            (2, 32, 12),
            (1, 5, 16),
            (2, 16, 4),
            (1, 12, 8),
            (1, 8, 12),
            (2, 6, 16),
            (1, 36, 16),
        ]
    ):
        parameters: dict[str, int | str] = {"BITS": bits, "IN_LANES": taken, "OUT_LANES": given}
        yield Sample("dwc", split_of(index, 8), "xc7", parameters, (features.dwc(bits, taken, given),))


def swgs() -> Iterator[Sample]:
    for index, (bits, lanes, channels, side) in enumerate([(1, 8, 16, 8), (8, 3, 3, 32), (2, 16, 16, 16), (1, 16, 64, 16), (4, 8, 32, 8)]):
        folds, pads = channels // lanes, (1, 1, 1, 1)
        source = Stream(bits, lanes, side * side * folds)
        unit = Swg("swg", "swg", source, Stream(bits, lanes, 9 * source.beats), channels, side, side, (3, 3), pads, 0)
        parameters: dict[str, int | str] = {"BITS": bits, "LANES": lanes, "CHANNELS": channels, "HEIGHT": side, "WIDTH": side}
        yield Sample("swg", split_of(index, 3), "xc7", parameters, (features.swg(unit, "xc7"),))


def pools() -> Iterator[Sample]:
    for index, (bits, lanes, channels, side, directed) in enumerate(
        [(1, 8, 16, 8, 0), (2, 4, 16, 16, 1), (4, 8, 8, 8, 1), (1, 32, 64, 8, 1), (2, 8, 32, 16, 1), (1, 16, 32, 8, 1)]
    ):
        beats = side * side * channels // lanes
        unit = Pool("pool", "pool", Stream(bits, lanes, beats), Stream(bits, lanes, beats // 4), channels, side, side, bool(directed))
        name = "directions.mem" if directed else ""
        memory = ((name, "0" * (channels // 4) + "\n"),) if directed else ()
        parameters: dict[str, int | str] = {"BITS": bits, "LANES": lanes, "CHANNELS": channels, "HEIGHT": side, "WIDTH": side}
        yield Sample("pool", split_of(index, 5), "xc7", parameters | {"DIRECTION_FILE": name}, (features.pool(unit, "xc7"),), memory)


#: (implementation, weight bits, two's complement, activation bits, bipolar, PE, SIMD), those of the fit first
DOTS = {
    "xnor": (
        [
            *((1, 1, 0, 1, 1, 4, 8), (1, 1, 0, 1, 1, 8, 16), (1, 1, 0, 1, 1, 2, 32), (1, 1, 0, 1, 1, 4, 32), (1, 1, 0, 1, 1, 16, 8)),
            *((1, 1, 0, 1, 1, 8, 4), (1, 1, 0, 1, 1, 2, 64)),
        ],
        [(1, 1, 0, 1, 1, 8, 32), (1, 1, 0, 1, 1, 16, 16), (1, 1, 0, 1, 1, 4, 3)],
    ),
    "planes": (
        [
            *((2, 2, 0, 2, 0, 4, 8), (2, 2, 0, 2, 0, 8, 8), (2, 1, 0, 2, 0, 4, 16), (2, 1, 0, 8, 0, 2, 8), (2, 8, 1, 8, 0, 1, 3)),
            *((2, 2, 0, 2, 0, 1, 64), (2, 3, 0, 3, 0, 1, 16), (2, 8, 1, 8, 0, 1, 9)),
        ],
        [(2, 2, 0, 2, 0, 4, 32), (2, 3, 0, 3, 0, 2, 8)],
    ),
    "multiply": (
        [
            *((0, 8, 1, 8, 0, 2, 4), (0, 8, 1, 8, 0, 1, 8), (0, 8, 1, 8, 0, 1, 3), (0, 8, 1, 8, 0, 1, 16), (0, 4, 0, 8, 0, 1, 8)),
            *((0, 8, 1, 8, 0, 4, 4), (0, 4, 0, 8, 0, 4, 3)),
        ],
        [(0, 4, 0, 8, 0, 2, 4), (0, 8, 1, 8, 0, 2, 9)],
    ),
    "multiply UltraScale+": (
        [
            *((0, 8, 1, 8, 0, 2, 4), (0, 8, 1, 8, 0, 1, 8), (0, 8, 1, 8, 0, 1, 3), (0, 8, 1, 8, 0, 1, 16), (0, 4, 0, 8, 0, 1, 8)),
            *((0, 8, 1, 8, 0, 4, 4), (0, 4, 0, 8, 0, 4, 3)),
        ],
        [(0, 4, 0, 8, 0, 2, 4), (0, 8, 1, 8, 0, 2, 9)],
    ),
    "packed UltraScale+": (
        [(3, 4, 0, 4, 0, 4, 4), (3, 4, 0, 4, 0, 2, 8), (3, 4, 0, 8, 0, 2, 4), (3, 4, 0, 4, 0, 2, 3), (3, 4, 0, 4, 0, 2, 16)],
        [(3, 4, 0, 4, 0, 4, 8), (3, 3, 0, 3, 0, 2, 12)],
    ),
    "signs": ([(0, 8, 1, 1, 1, 2, 8), (0, 8, 1, 1, 1, 1, 4)], [(0, 8, 1, 1, 1, 2, 4)]),
    "four": (
        [(4, 4, 0, 4, 0, 4, 4), (4, 4, 0, 4, 0, 4, 8), (4, 3, 0, 3, 0, 8, 4), (4, 4, 0, 4, 0, 4, 3), (4, 3, 0, 3, 0, 4, 16)],
        [(4, 4, 0, 4, 0, 8, 8), (4, 4, 0, 4, 0, 4, 12)],
    ),
    "multiply in LUTs": (
        [(0, 2, 0, 2, 0, 2, 4), (0, 3, 0, 3, 0, 2, 8), (0, 4, 0, 4, 0, 1, 8), (0, 1, 0, 8, 0, 2, 9), (0, 2, 0, 3, 0, 1, 8)],
        [(0, 2, 0, 3, 0, 4, 4)],
    ),
    "packed": (
        [(3, 4, 0, 4, 0, 4, 4), (3, 4, 0, 4, 0, 2, 8), (3, 4, 0, 8, 0, 2, 4), (3, 4, 0, 4, 0, 2, 3), (3, 4, 0, 4, 0, 2, 16)],
        [(3, 4, 0, 4, 0, 4, 8), (3, 3, 0, 3, 0, 4, 9)],
    ),
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
    shapes = [(4, 8, 12, 1), (4, 4, 12, 2), (2, 8, 16, 4), (8, 16, 14, 1), (4, 16, 13, 2), (2, 16, 17, 3), (8, 8, 11, 1), (4, 32, 15, 4)]
    for index, (pe, folds, acc, bits) in enumerate(shapes):
        parameters: dict[str, int | str] = {"PE": pe, "NF": folds, "ACC_BITS": acc, "OUTPUT_BITS": bits}
        part = features.threshold(pe, folds, acc, bits, "xc7")
        yield Sample("threshold", split_of(index, 4), "xc7", parameters, (part,))


#: (implementation, weight bits, activation bits, bipolar, output bits, PE, SIMD, MW, MH), those of the fit first
MVTUS = (
    [(1, 1, 1, 1, 1, 4, 8, 72, 16), (2, 2, 2, 0, 2, 4, 8, 144, 32), (0, 8, 8, 0, 0, 1, 4, 64, 10), (1, 1, 1, 1, 1, 8, 8, 64, 8)],
    [
        *((1, 1, 1, 1, 1, 8, 16, 576, 64), (2, 1, 2, 0, 2, 4, 16, 576, 32), (3, 4, 4, 0, 4, 2, 8, 144, 32), (2, 2, 2, 0, 2, 8, 8, 288, 64)),
        *((1, 1, 1, 1, 1, 16, 36, 576, 64), (2, 2, 2, 0, 2, 4, 36, 576, 64)),
    ],
)
#: the same, held out, of UltraScale+
ULTRASCALE_MVTUS = [*MVTUS[1][:2], (0, 8, 8, 0, 2, 4, 9, 27, 16), (4, 4, 4, 0, 4, 4, 8, 288, 32), (2, 3, 3, 0, 3, 2, 16, 288, 32)]


def mvtus() -> Iterator[Sample]:
    train, held_out = MVTUS
    for index, shape in enumerate([*train, *held_out]):
        yield mvtu(split_of(index, len(train)), "xc7", *shape)
    for shape in ULTRASCALE_MVTUS:
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
    [(1, 1, 1, 1, 1, 8, 8, 288, 32, 256), (2, 2, 2, 0, 2, 4, 16, 288, 32, 64)],
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
        part = features.weight_reader(bits, "xc7")
        parameters: dict[str, int | str] = {"DATA_BITS": bits, "WORDS": words, "DEPTH": features.READER_DEPTH}
        yield Sample("weight_reader", split_of(index, 2), "xc7", parameters, (part,))


def replays() -> Iterator[Sample]:
    for index, (width, frame, times) in enumerate(
        [(8, 16, 4), (32, 256, 8), (16, 36, 3), (64, 576, 16), (16, 100, 12), (32, 512, 5), (24, 144, 4)]
    ):
        part = features.replay(width, frame, times, "xc7")
        yield Sample("replay", split_of(index, 4), "xc7", {"WIDTH": width, "FRAME": frame, "TIMES": times}, (part,))


def reorders() -> Iterator[Sample]:
    for index, (width, outer, inner) in enumerate(
        [(8, 4, 16), (32, 8, 64), (16, 3, 36), (8, 12, 100), (24, 6, 16), (16, 16, 16), (32, 4, 144)]
    ):
        part = features.reorder(width, outer, inner, "xc7")
        yield Sample("reorder", split_of(index, 4), "xc7", {"WIDTH": width, "OUTER": outer, "INNER": inner}, (part,))


def affines() -> Iterator[Sample]:
    """(lanes, rows, rows of a group, times, bits of accumulators, bits of codes), those of the fit first."""
    shapes = [(1, 64, 64, 1, 20, 8), (2, 64, 4, 64, 24, 8), (1, 256, 256, 1, 22, 8), (4, 32, 32, 1, 18, 6)]
    shapes += [(2, 128, 128, 1, 21, 8), (1, 128, 2, 256, 27, 8)]
    for family in ("xc7", "xcup"):
        for index, shape in enumerate(shapes):
            names = ("LANES", "ROWS", "GROUP", "REPEAT", "ACC_BITS", "OUTPUT_BITS")
            yield Sample("affine", split_of(index, 4), family, dict(zip(names, shape, strict=True)), (features.affine(*shape, family),))


def controls() -> Iterator[Sample]:
    parameters: dict[str, int | str] = {"INPUT_BYTES": 3072, "CLASSES": 10, "PARAMETER_WORDS": 500000}
    yield Sample("control", TRAIN, "xc7", parameters, (features.control(),))


def registers() -> Iterator[Sample]:
    for index, streams in enumerate([1, 4]):
        yield Sample("weight_registers", split_of(index, 2), "xc7", {"STREAMS": streams}, (features.reader_registers(streams),))


#: in the order of the fit: an MVTU is fitted behind its dot product and its thresholds
CELLS = {"fifo": fifos, "dwc": dwcs, "swg": swgs, "pool": pools, "dot": dots, "threshold": thresholds, "mvtu": mvtus}
CELLS |= {"mvtu_stream": mvtu_streams, "weight_reader": weight_readers, "replay": replays, "reorder": reorders, "control": controls}
CELLS |= {"weight_registers": registers, "affine": affines}
