"""What the logic of a unit is proportional to, part by part; `qlight.hardware.resources` weighs it with fitted coefficients.

A part is a cell of hw/rtl (or one kind of its arithmetic), its features for LUTs and for flip-flops, and what it takes exactly: memories
by their shape, and DSP slices. A feature is a count of something in the source: bits of a sum, inputs of a multiplexer, counters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from math import gcd

from qlight.hardware.affine import MULTIPLIER_BITS, OFFSET_BITS
from qlight.hardware.boards import ULTRASCALE, Resources
from qlight.hardware.memories import AUTO, DISTRIBUTED, best_style, memory
from qlight.hardware.timing import swg_capacity
from qlight.hardware.units import (
    FOUR,
    MULTIPLY,
    PACKED,
    PLANES,
    XNOR,
    Affine,
    Dwc,
    Fifo,
    Mvtu,
    Pool,
    Reorder,
    Replay,
    StreamedMvtu,
    Swg,
    Unit,
)

#: Yosys makes a DSP of a multiplication whose result has at least so many bits (``DSP_Y_MINWIDTH``) and no factor one, else LUTs
DSP_LEAST_BITS = 9


@dataclass(frozen=True, eq=False)
class Part:
    """See above. ``kind`` names the coefficients. Parts are as equal as they are the same, so that what they take can be kept."""

    kind: str
    lut: Mapping[str, float]
    ff: Mapping[str, float]
    exact: Resources = field(default_factory=Resources)


def parts(unit: Unit, family: str, weight_style: str) -> list[Part]:
    """The parts of a unit.

    Args:
        family: "xc7" or "xcup".
        weight_style: of an MVTU's weight memory (`qlight.hardware.memories`).
    """
    width = unit.source.width
    if isinstance(unit, Fifo):
        return [fifo(width, unit.depth, family)]
    if isinstance(unit, Dwc):
        return [dwc(unit.source.bits, unit.source.lanes, unit.target.lanes)]
    if isinstance(unit, Swg):
        return [swg(unit, family)]
    if isinstance(unit, Pool):
        return [pool(unit, family)]
    if isinstance(unit, Affine):
        return [affine(unit.lanes, unit.rows, unit.group, unit.repeat, unit.source.bits, unit.target.bits, family)]
    if isinstance(unit, Replay):
        return [replay(width, unit.frame, unit.times, family)]
    if isinstance(unit, Reorder):
        return [reorder(width, unit.outer, unit.inner, family)]
    assert isinstance(unit, Mvtu)
    found = [dot(unit.pe, unit.simd, unit.weight_bits, unit.activation_bits, unit.bipolar, unit.acc_bits, unit.implementation, family)]
    if unit.levels:
        found.append(threshold(unit.pe, unit.neuron_folds, unit.acc_bits, unit.output_bits, family))
    if isinstance(unit, StreamedMvtu):
        found += [mvtu_stream(unit, family, weight_style), weight_reader(unit.port_bits, family)]
        if unit.row_bits != unit.port_bits:
            found.append(dwc(1, unit.port_bits, unit.row_bits))
    else:
        found.append(mvtu(unit, family, weight_style))
    return found


def memory_style(unit: Mvtu) -> str:
    """RAM_STYLE of an MVTU's weights: what its fold asks for, or else by their shape."""
    return best_style(weight_rows(unit), unit.row_bits) if unit.memory == AUTO else unit.memory


def weight_rows(unit: Mvtu) -> int:
    """Words of the weight memory: all rows, or two folds of them where they are streamed."""
    return unit.synapse_folds * (2 if isinstance(unit, StreamedMvtu) else unit.neuron_folds)


def bits_of(values: int) -> int:
    """Bits of a counter over so many values, at least one."""
    return max(1, (values - 1).bit_length())


@cache
def fifo(width: int, depth: int, family: str) -> Part:
    words = depth - 1
    address = bits_of(words)
    return Part(
        "fifo",
        {"one": 1, "bits of a word": width, "bits of an address": address if words > 1 else 0},
        {"one": 1, "bits of a word": width, "bits of an address": address if words > 1 else 0},
        memory(words, width, AUTO, family),
    )


@cache
def dwc(bits: int, in_lanes: int, out_lanes: int) -> Part:
    common = gcd(in_lanes, out_lanes)
    taken, given, unit = in_lanes // common, out_lanes // common, common * bits
    capacity = max(taken, given) + 2 * min(taken, given) - 1
    places = capacity - taken + 1
    return Part(
        "dwc",
        # a place is written from one of several lanes, what there is to choose beside the first, or shifted
        {
            "one": 1,
            "bits held": capacity * unit,
            "bits chosen": (taken * places - capacity) * unit,
            "bits shifted": (capacity - given) * unit,
            "places": places * bits_of(capacity + 1),
        },
        {"one": 1, "bits held": capacity * unit, "bits of a count": bits_of(capacity + 1)},
    )


def swg(unit: Swg, family: str) -> Part:
    words, width = swg_capacity(unit), unit.source.width
    counters = bits_of(unit.folds) + sum(bits_of(size) for size in (*unit.kernel, unit.out_width, unit.out_height))
    features = {"one": 1, "bits of a word": width, "bits of an address": bits_of(words), "bits of counters": counters}
    return Part("swg", features, features, memory(words, width, AUTO, family))


def pool(unit: Pool, family: str) -> Part:
    lanes, width = unit.source.lanes, unit.source.width
    words = unit.width // 2 * (unit.channels // lanes)
    held = memory(words, width, DISTRIBUTED, family)
    directed = unit.channels if unit.directed else 0
    counters = bits_of(unit.channels // lanes) + bits_of(unit.width // 2 + 1) + bits_of(unit.height // 2 + 1) + 2 * bits_of(words)
    return Part(
        "pool",
        {"one": 1, "bits of a beat": width, "lanes": lanes, "directions": directed, "bits of counters": counters},
        {"one": 1, "bits of a beat": width, "directions": directed, "chain": 1 if directed else 0, "bits of counters": counters},
        # read without a register; few words are flip-flops
        Resources(lut=held.lut) if words > 1 else Resources(ff=width),
    )


@cache
def affine(lanes: int, rows: int, group: int, repeat: int, acc_bits: int, output_bits: int, family: str) -> Part:
    """Two multipliers a lane; each takes two slices where accumulators are wider than one does.

    Yosys puts registers and the first sum into the slices of the 7 series but not into those of UltraScale+: these are kinds of their own.
    """
    one = memory(rows, MULTIPLIER_BITS + OFFSET_BITS, AUTO, family)
    counters = 2 * bits_of(rows) + (bits_of(group) if group > 1 else 0) + (bits_of(repeat) if repeat > 1 else 0)
    shared = {"one": 1, "bits of counters": counters}
    lut = shared | {"lanes": lanes, "bits of accumulators": lanes * acc_bits, "bits of codes": lanes * output_bits}
    ff = shared | {"lanes": lanes, "bits of accumulators": lanes * acc_bits}
    kind, port = ("affine UltraScale+", 27) if family == ULTRASCALE else ("affine", 25)
    slices = 2 * lanes * (1 if acc_bits <= port else 2)
    return Part(kind, lut, ff, Resources(*(getattr(one, name) * lanes for name in ("lut", "ff", "bram18", "uram"))) + Resources(dsp=slices))


@cache
def dot(pe: int, simd: int, weight_bits: int, activation_bits: int, bipolar: bool, acc_bits: int, implementation: int, family: str) -> Part:
    """The dot product with its accumulators.

    Yosys puts sums of products into the DSP slices of the 7 series but not into those of UltraScale+, so these are kinds of their own. It
    makes a sum of many of full adders and a last adder; those of the first three share the LUTs of what is behind, so "compressed" are the
    others.
    """
    count_bits, sum_bits = simd.bit_length(), min(acc_bits, weight_bits + activation_bits + bits_of(simd) + 2)
    compressed = max(0, simd - 3)
    repaired = 0 if bipolar else compressed * activation_bits
    lut: dict[str, float] = {"one": 1, "bits of accumulators": pe * acc_bits}
    ff: dict[str, float] = {"one": 1, "bits of accumulators": pe * acc_bits, "bits of sums": pe * sum_bits}
    dsp = 0
    if implementation in (XNOR, PLANES):
        planes = weight_bits * activation_bits
        lut |= {"products of bits": pe * simd * planes, "bits compressed": pe * compressed * planes}
        lut |= {"bits of counts": pe * planes * count_bits, "bits of the repair": repaired}
        ff |= {"bits of counts": pe * planes * count_bits, "bits of the repair": 0 if bipolar else activation_bits * count_bits}
        return Part("dot xnor" if implementation == XNOR else "dot planes", lut, ff)
    product_bits = weight_bits + activation_bits
    lut |= {"bits of sums": pe * sum_bits, "bits of the repair": repaired}
    ff["bits of the repair"] = 0 if bipolar else activation_bits * count_bits
    if implementation == MULTIPLY and bipolar:
        lut["bits compressed"], ff["bits of products"] = pe * compressed * product_bits, pe * simd * product_bits
        return Part("dot signs", lut, ff)
    if implementation == MULTIPLY and (product_bits < DSP_LEAST_BITS or 1 in (weight_bits, activation_bits)):
        lut |= {"bits compressed": pe * compressed * product_bits, "products of bits": pe * simd * weight_bits * activation_bits}
        return Part("dot multiply in LUTs", lut, ff | {"bits of products": pe * simd * product_bits})
    together = {MULTIPLY: 1, PACKED: 2, FOUR: 4}[implementation]
    dsp = -(-pe // together) * simd
    field_bits = product_bits + ((simd - 1).bit_length() if implementation != FOUR else 0)
    if family == ULTRASCALE:
        lut["bits compressed"] = -(-pe // together) * together * compressed * (field_bits if together == 2 else product_bits)
    if implementation == FOUR:  # what of the fourth code does not fit the multiplier
        left = 27 - 3 * product_bits
        lut["bits of the rest"] = ff["bits of the rest"] = pe // 4 * simd * max(0, product_bits - left)
        ff["bits of packed products"] = dsp * (4 * product_bits if left > weight_bits else 27 + activation_bits)
    kind = {MULTIPLY: "dot multiply", PACKED: "dot packed", FOUR: "dot four"}[implementation]
    if family == ULTRASCALE and implementation != FOUR:
        kind += " UltraScale+"
        ff["bits of packed products"] = dsp * ((together - 1) * field_bits + product_bits)
    return Part(kind, lut, ff, Resources(dsp=dsp))


@cache
def threshold(pe: int, folds: int, acc_bits: int, output_bits: int, family: str) -> Part:
    held = Resources()
    for stage in range(output_bits):
        one = memory(folds << stage, acc_bits + 1 + (stage == 0), AUTO, family)
        held += Resources(*(getattr(one, name) * pe for name in ("lut", "ff", "bram18", "uram", "dsp")))
    stages = pe * output_bits
    lut = {"one": 1, "bits compared": stages * (acc_bits + 1), "stages": stages, "bits of a fold": output_bits * bits_of(folds)}
    lut["bits inverted"] = pe * (acc_bits + 1) if output_bits > 1 else 0  # with one stage, the comparison inverts them
    ff = {
        "one": 1,
        "bits compared": stages * (acc_bits + 1),
        "stages": stages,
        "bits of codes": pe * output_bits**2,
        "bits of a fold": output_bits * bits_of(folds),
    }
    return Part("threshold", lut, ff, held)


def mvtu(unit: Mvtu, family: str, style: str) -> Part:
    """Of an MVTU what is not its dot product or its thresholds: weights, activations, counters, the parameter chain."""
    rows, beat = unit.synapse_folds * unit.neuron_folds, unit.source.width
    held = memory(rows, unit.row_bits, style, family)
    if unit.neuron_folds > 1:
        held += memory(unit.synapse_folds, beat, AUTO, family)
    counters = bits_of(unit.synapse_folds) + bits_of(unit.neuron_folds) + 2 * bits_of(rows)
    shared = {"one": 1, "bits of counters": counters, "bits of a beat": beat if unit.neuron_folds > 1 else 0}
    shifted = (-(-unit.row_bits // 32) - 1) * 32
    single = beat if unit.neuron_folds == 1 else 0
    return Part("mvtu", shared, shared | {"bits shifted in": shifted, "bits of a beat taken": single}, held)


def mvtu_stream(unit: StreamedMvtu, family: str, style: str) -> Part:
    """The same of an MVTU whose weights are streamed: a memory of two folds of rows, or none where there is one vector."""
    rows = weight_rows(unit)
    many = unit.vectors > 1
    held = memory(rows, unit.row_bits, style, family) if many else Resources(ff=unit.row_bits)
    counters = bits_of(unit.synapse_folds) + (bits_of(unit.vectors) + 4 * bits_of(rows) if many else 0)
    features = {"one": 1, "bits of counters": counters}
    return Part("mvtu_stream", features, features | {"bits of a beat": unit.source.width}, held)


#: words of the FIFO behind a memory port (``DEPTH`` of qlight_weight_reader)
READER_DEPTH = 64


@cache
def weight_reader(port_bits: int, family: str) -> Part:
    """A memory port with its FIFO; counters and addresses are always as wide."""
    features = {"one": 1, "bits of a word": port_bits}
    return Part("weight_reader", features, features, memory(READER_DEPTH - 1, port_bits, AUTO, family))


@cache
def replay(width: int, frame: int, times: int, family: str) -> Part:
    address = bits_of(2 * frame)
    features = {"one": 1, "bits of an address": address, "bits that wrap": _wrapping(2 * frame), "bits of counters": bits_of(times)}
    return Part("replay", features, features, memory(2 * frame, width, AUTO, family))


@cache
def reorder(width: int, outer: int, inner: int, family: str) -> Part:
    address = bits_of(2 * outer * inner)
    wrapping = _wrapping(2 * outer * inner)
    features = {"one": 1, "bits of an address": address, "bits that wrap": wrapping, "bits of counters": bits_of(outer) + bits_of(inner)}
    return Part("reorder", features, features, memory(2 * outer * inner, width, AUTO, family))


def _wrapping(words: int) -> int:
    """Bits of an address from the lowest to change with a memory's length, which is a multiple of a power of two; none where it is one."""
    lowest = (words & -words).bit_length() - 1
    return bits_of(words) - lowest


def control() -> Part:
    """Registers and the router."""
    return Part("control", {"one": 1}, {"one": 1})


def reader_registers(streams: int, *, together: bool = True) -> Part:
    """Registers of so many memory ports, with (``together``) or without what they share."""
    features = {"one": 1.0 if together else 0.0, "streams": streams}
    return Part("readers", features, features)
