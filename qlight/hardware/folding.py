"""How each layer is folded: PE rows and SIMD columns of its matrix a cycle, where its weights lie, and how its products are made.

A folding is given, or chosen (with all weights on chip) for a number of cycles an image. An entry of one that is given is a list
[PE, SIMD], or a mapping with `pe` and `simd`, and what is not the default of ``weights``, ``multiply``, ``port_bits``, ``memory`` and
``requantize`` of `Fold`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from qlight.errors import InputError, nearest
from qlight.hardware.dram import PORT_BITS, stream_words
from qlight.hardware.layers import BEAT_BYTES, Layer
from qlight.hardware.memories import STYLES

#: the default parallelism: the slowest layer makes sqrt(products)/6 of its products a cycle. That is 256 of 2.4 million at width 0.125,
#: where an image takes 11 to 25 ms in simulation, and 2048 of 151 million at the paper's, twice what published accelerators of this size do
#: (FINN's CNV on a Zynq 7020: 32 x 32).
_MODEST = 6


#: where weights lie: in memories of the unit, or in DRAM, from where each is read once an image
RESIDENT, STREAMED = "resident", "streamed"
#: how products are made: as `qlight.hardware.pipeline.implementation` thinks best, of LUTs, of DSP multipliers, or four a DSP multiplier of
#: UltraScale+
AUTO, LUT, DSP, DSP4 = "auto", "lut", "dsp", "dsp4"
#: how accumulators become codes: by a search among thresholds, or an affine function that gives the same codes (`qlight.hardware.affine`)
THRESHOLDS, AFFINE = "thresholds", "affine"
#: bits of codes from which on the affine function is the default where there is one: a bit more doubles the thresholds' memory
AFFINE_BITS = 5
_WORDS = {"weights": (RESIDENT, STREAMED), "multiply": (AUTO, LUT, DSP, DSP4), "port_bits": PORT_BITS, "memory": STYLES}
_WORDS |= {"requantize": (AUTO, THRESHOLDS, AFFINE)}


class Fold(NamedTuple):
    """How a layer is folded.

    Attributes:
        pe: outputs (rows) at a time.
        simd: inputs (columns) at a time.
        weights: `RESIDENT` or `STREAMED`.
        multiply: `AUTO`, `LUT`, `DSP` or `DSP4`.
        port_bits: width of the memory port of streamed weights, of `PORT_BITS`.
        memory: of what resident weights' memory is made, of `qlight.hardware.memories.STYLES`; `AUTO`: as its shape says. One of UltraRAM
            has no content before parameters are loaded.
        requantize: `AUTO`, `THRESHOLDS` or `AFFINE`. In a pipeline `AUTO` is thresholds, of fewer than `AFFINE_BITS` bits or none.
    """

    pe: int
    simd: int
    weights: str = RESIDENT
    multiply: str = AUTO
    port_bits: int = 64
    memory: str = AUTO
    requantize: str = AUTO

    @property
    def streamed(self) -> bool:
        return self.weights == STREAMED

    @property
    def affine(self) -> bool:
        return self.requantize == AFFINE

    @property
    def entry(self) -> list[int] | dict[str, int | str]:
        """As JSON has it.

        >>> Fold(4, 8).entry
        [4, 8]
        >>> Fold(4, 8, "streamed").entry
        {'pe': 4, 'simd': 8, 'weights': 'streamed'}
        """
        if self == Fold(self.pe, self.simd):
            return [self.pe, self.simd]
        default = Fold._field_defaults
        return {name: value for name, value in self._asdict().items() if name not in default or value != default[name]}


Folding = dict[str, Fold]


def divisors(number: int) -> list[int]:
    """Ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [each for each in range(1, math.isqrt(number) + 1) if number % each == 0]
    return small + [number // each for each in reversed(small) if each * each != number]


def window_lanes(layer: Layer, simd: int) -> int:
    """Lanes of the window generator that feeds ``layer``: the most, up to SIMD, that a pixel's channels are a multiple of."""
    return max(each for each in divisors(layer.source.channels) if each <= simd)


def layer_cycles(layer: Layer, fold: Fold) -> int:
    """Cycles an image of the layer's slowest cell: the MVTU, the window generator that feeds it a beat a cycle, or the memory port.

    With streamed weights the window generator sees the map once a fold of the outputs, and the port gives a word a cycle at best.
    """
    products = layer.products // (fold.pe * fold.simd)
    windows = layer.vectors * layer.window * layer.source.channels // window_lanes(layer, fold.simd) if layer.windowed else 0
    if not fold.streamed:
        return max(products, windows)
    return max(products, windows * (layer.outputs // fold.pe), dram_words(layer, fold))


def dram_words(layer: Layer, fold: Fold) -> int:
    """Words of ``port_bits`` bits that a layer reads from DRAM an image, all weights once; 0 if they are resident."""
    if not fold.streamed:
        return 0
    rows = layer.inputs * layer.outputs // (fold.pe * fold.simd)
    return stream_words(rows, fold.pe * fold.simd * layer.node.weight_bits, fold.port_bits)


def fastest(layer: Layer) -> int:
    """Cycles an image of the layer when it is unfolded: a vector a cycle, or a pixel of the window a cycle."""
    return layer.vectors * (layer.window if layer.windowed else 1)


def default_target(layers: Sequence[Layer]) -> int:
    """Cycles an image at a modest parallelism, to which `choose` balances all layers."""
    most = max(layer.products for layer in layers)
    parallel = max(1.0, math.sqrt(most) / _MODEST)
    return max(_floor(layers)[0], math.ceil(most / parallel))


def choose(layers: Sequence[Layer], target_cycles: int | None = None) -> Folding:
    """For every layer the legal folding of the smallest `cost` that reaches ``target_cycles``, then balanced to the slowest.

    Args:
        target_cycles: the most cycles between two images; None: `default_target`.

    Raises:
        InputError: ``target_cycles`` is no positive number, or less than some layer, or the input stream, can do.
    """
    if target_cycles is None:
        target_cycles = default_target(layers)
    if isinstance(target_cycles, bool) or not isinstance(target_cycles, int) or target_cycles < 1:
        raise InputError(f"Expected `target_cycles` to be a positive number of cycles an image, but got {target_cycles!r}; leave it out.")
    least, what = _floor(layers)
    if target_cycles < least:
        raise InputError(
            f"Expected `target_cycles` to be at least {least}, which {what} takes at best, but got {target_cycles}; ask for more cycles."
        )
    chosen = {layer.name: _smallest(layer, target_cycles) for layer in layers}
    slowest = max(layer_cycles(layer, chosen[layer.name]) for layer in layers)
    return {layer.name: _smallest(layer, max(slowest, least)) for layer in layers}


def checked(layers: Sequence[Layer], folding: Mapping[str, Any]) -> Folding:
    """A folding that was given, in the order of the layers.

    Raises:
        InputError: it is no mapping of every layer to an entry whose PE and SIMD divide its rows and columns; the message names the layer.
    """
    if not isinstance(folding, Mapping):
        raise InputError(f"Expected `folding` to be a mapping of layers to (PE, SIMD), but got {type(folding).__name__}.")
    names = [layer.name for layer in layers]
    for name in folding:
        if name not in names:
            close = nearest(str(name), names, 1)
            raise InputError(
                f"Expected `folding` to name layers of the graph, but got {name!r}; "
                + (f"did you mean {close}?" if close else f"they are {', '.join(names)}.")
            )
    missing = [name for name in names if name not in folding]
    if missing:
        raise InputError(f"Expected `folding` to have every layer, but {missing[0]!r} is missing; add its (PE, SIMD).")
    return {layer.name: _requantized(layer, _checked_fold(layer, folding[layer.name])) for layer in layers}


def requantization(layer: Layer) -> str:
    """Of a layer whose folding leaves it open: thresholds or affine, or `AUTO` where codes have few bits or there are none."""
    if layer.levels.bit_length() < AFFINE_BITS:
        return AUTO
    return AFFINE if layer.affine is not None and not layer.affine.missing else THRESHOLDS


def affine_lanes(layer: Layer, fold: Fold) -> int:
    """Accumulators that become codes at a time: the fewest with which a vector's PE results are done before the next PE come."""
    return min(lanes for lanes in divisors(fold.pe) if fold.pe * fold.simd <= lanes * layer.inputs)


def _requantized(layer: Layer, fold: Fold) -> Fold:
    if fold.requantize == AUTO:
        return fold._replace(requantize=requantization(layer))
    if layer.affine is None:
        raise InputError(
            f"Expected no `requantize` of {layer.name!r}, whose accumulators are the network's, but got {fold.requantize!r}; leave it out."
        )
    if fold.affine and layer.affine.missing:
        missing = layer.affine.missing
        raise InputError(
            f"Expected thresholds of {layer.name!r} that are an affine function of the accumulator, which `requantize` of this folding "
            f"needs, but {len(missing)} of {layer.outputs} channels have none, the first is {missing[0]}; use a folding with thresholds "
            "there, or a network of `export --thresholds affine`."
        )
    return fold._replace(requantize=AUTO) if not fold.affine and layer.levels.bit_length() < AFFINE_BITS else fold


def _checked_fold(layer: Layer, fold: Any) -> Fold:
    options: dict[str, Any] = {}
    pair: tuple[Any, ...] = tuple(fold) if isinstance(fold, list | tuple) else ()
    if isinstance(fold, Mapping):
        options = {str(name): value for name, value in fold.items() if name not in ("pe", "simd")}
        pair = fold.get("pe"), fold.get("simd")
    elif isinstance(fold, Fold):
        pair, options = (fold.pe, fold.simd), {name: getattr(fold, name) for name in _WORDS}
    if len(pair) != 2 or any(isinstance(each, bool) or not isinstance(each, int) or each < 1 for each in pair):
        raise InputError(f"Expected `folding` of {layer.name!r} to be a pair of positive integers (PE, SIMD), but got {fold!r}.")
    for each, total, name, what in zip(pair, (layer.outputs, layer.inputs), ("PE", "SIMD"), ("outputs", "inputs"), strict=True):
        if total % each:
            legal = [str(divisor) for divisor in sorted(divisors(total), key=lambda divisor: abs(divisor - each))[:2]]
            raise InputError(
                f"Expected `folding` of {layer.name!r} to have a {name} that divides its {total} {what}, but got {each}; "
                f"try {' or '.join(legal)}."
            )
    for name, value in options.items():
        known = _WORDS.get(name)
        if known is None:
            raise InputError(
                f"Expected `folding` of {layer.name!r} to have pe, simd, {', '.join(_WORDS)}, but got {name!r}; "
                + (f"did you mean {close}?" if (close := nearest(name, list(_WORDS), 1)) else "leave it out.")
            )
        if value not in known or isinstance(value, bool):
            words = [str(each) for each in known]
            close = nearest(str(value), words, 1)
            raise InputError(
                f"Expected `{name}` of {layer.name!r} to be one of {', '.join(words)}, but got {value!r}"
                + (f"; did you mean {close}?" if close else ".")
            )
    found = Fold(*pair, **options)
    if found.streamed and found.memory != AUTO:
        raise InputError(
            f"Expected `memory` of {layer.name!r} with resident weights only, but got {found.memory!r} and streamed ones; leave it out."
        )
    return found


def _floor(layers: Sequence[Layer]) -> tuple[int, str]:
    """The fewest cycles an image that any folding can reach, and what needs them."""
    needs = [(fastest(layer), f"layer {layer.name!r}") for layer in layers]
    needs.append((math.prod(layers[0].source.shape) // BEAT_BYTES, f"the input stream of {BEAT_BYTES} bytes a cycle"))
    needs.append((layers[-1].outputs, "the output stream of one class a cycle"))
    # between two layers, a beat is as wide as the next layer takes it: at most a pixel or a vector
    return max(needs, key=lambda need: need[0])


def cost(layer: Layer, fold: Fold) -> int:
    """About how many LUTs the products, comparisons and converters of a layer take; only its ratios matter.

    Two a product of single bits (1.6 to 2 were measured with Yosys for 1 x 1 and 2 x 2 bits), one a bit of a comparator with its memory, of
    which every PE has one a bit of its codes, and three a bit of a beat where the window must be converted: a SIMD that does not divide the
    channels. Of an affine function one a bit of the accumulators that wait for it, and eight a bit of one that is computed.
    """
    products = 2 * fold.pe * fold.simd * layer.node.weight_bits * layer.source.bits
    bits = fold.pe + 8 * affine_lanes(layer, fold) if fold.affine else fold.pe * layer.levels.bit_length()
    comparisons = bits * layer.accumulator.bits
    converted = layer.windowed and layer.source.channels % fold.simd != 0
    return products + comparisons + (3 * fold.simd * layer.source.bits if converted else 0)


def _smallest(layer: Layer, target: int) -> Fold:
    how = requantization(layer)
    legal = (Fold(pe, simd, requantize=how) for simd in divisors(layer.inputs) for pe in divisors(layer.outputs))
    return min((fold for fold in legal if layer_cycles(layer, fold) <= target), key=lambda fold: (cost(layer, fold), fold.pe))
