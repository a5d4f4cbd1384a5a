"""Which shapes of the cells the testbenches cover: `python -m hw.tb coverage` prints the table, tests demand that nothing is missing.

A cell with its parameters falls into one class of each group of its kind, for example an MVTU into a class of how often it folds. The table
counts the cells under test alone, and those inside the accelerators.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product

from hw.tb.common.cases import Case
from hw.tb.common.run import CELLS
from hw.tb.network.networks import NETWORKS
from qlight.hardware.pipeline import make_pipeline
from qlight.hardware.top import cell_name, cell_parameters
from qlight.hardware.units import IMPLEMENTATIONS

__all__ = ["GROUPS", "classes", "of_cells", "of_networks", "table"]

Parameters = Mapping[str, int | str]
_SIZES = ("1", "2", "odd from 3", "even from 4")
_FOLDS = ("1", "2", "more")

#: every class that must be covered, by group
GROUPS: dict[str, tuple[str, ...]] = {
    "MVTU: rows at a time (PE)": _SIZES,
    "MVTU: columns at a time (SIMD)": _SIZES,
    "MVTU: folds of columns x rows (SF x NF)": tuple(f"{sf} x {nf}" for sf, nf in product(_FOLDS, _FOLDS)),
    "MVTU: products (IMPL), results": tuple(f"{name}, {what}" for name, what in product(IMPLEMENTATIONS.values(), ("raw", "thresholds"))),
    "MVTU: weights x activations": (
        *("signed x 8 bits", "signed x bipolar", "signed x codes"),
        *("odd 1 bit x bipolar", "odd 1 bit x codes", "odd codes x bipolar", "odd codes x codes", "odd codes x 8 bits"),
    ),
    "MVTU: bits of a result": ("raw", "1", "2", "3", "4", "8"),
    "streamed MVTU: vectors an image, folds of rows (NF)": ("1, 1", "1, more", "more, 1", "more, more"),
    "affine: lanes": ("1", "more"),
    "affine: rows of a group, times": ("1, 1", "1, more", "more, 1", "more, more"),
    "affine: bits of codes": ("to 4", "5 to 8"),
    "SWG: kernel": ("3 x 3", "one row", "one column", "square", "rectangle"),
    "SWG: padding": ("none", "one on each side", "uneven"),
    "SWG: code of padding": ("0", "other"),
    "SWG: beats of a pixel": _FOLDS,
    "DWC: ratio": ("whole, to wider", "whole, to narrower", "with a rest, to wider", "with a rest, to narrower"),
    "pool: directions": ("with", "without"),
    "pool: beats of a pixel": _FOLDS,
    "pool: last row or column": ("pooled", "dropped"),
    "FIFO: depth": ("2", "to 16", "more"),
    "FIFO: bits of a beat": ("to 32", "more"),
}


def classes(cell: str, parameters: Parameters) -> Iterator[tuple[str, str]]:
    """(group, class) of a cell: one for each group of its kind."""
    values = {name: value for name, value in parameters.items() if isinstance(value, int)}
    if cell == "qlight_mvtu":
        yield from _of_mvtu(values)
    elif cell == "qlight_mvtu_stream":
        sizes = values["VECTORS"], values["MH"] // values["PE"]
        yield "streamed MVTU: vectors an image, folds of rows (NF)", ", ".join("1" if size == 1 else "more" for size in sizes)
    elif cell == "qlight_affine":
        yield "affine: lanes", "1" if values["LANES"] == 1 else "more"
        yield "affine: rows of a group, times", ", ".join("1" if values[name] == 1 else "more" for name in ("GROUP", "REPEAT"))
        yield "affine: bits of codes", "to 4" if values["OUTPUT_BITS"] <= 4 else "5 to 8"
    elif cell == "qlight_swg":
        yield from _of_swg(values)
    elif cell == "qlight_dwc":
        yield "DWC: ratio", _ratio(values["IN_LANES"], values["OUT_LANES"])
    elif cell == "qlight_pool":
        yield "pool: directions", "with" if str(parameters["DIRECTION_FILE"]).strip('"') else "without"
        yield "pool: beats of a pixel", _fold(values["CHANNELS"] // values["LANES"])
        rest = values["HEIGHT"] % values["KERNEL"] or values["WIDTH"] % values["KERNEL"]
        yield "pool: last row or column", "dropped" if rest else "pooled"
    elif cell == "qlight_fifo":
        yield "FIFO: depth", "2" if values["DEPTH"] == 2 else "to 16" if values["DEPTH"] <= 16 else "more"
        yield "FIFO: bits of a beat", "to 32" if values["WIDTH"] <= 32 else "more"


def _of_mvtu(values: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    yield "MVTU: rows at a time (PE)", _size(values["PE"])
    yield "MVTU: columns at a time (SIMD)", _size(values["SIMD"])
    folds = _fold(values["MW"] // values["SIMD"]), _fold(values["MH"] // values["PE"])
    yield "MVTU: folds of columns x rows (SF x NF)", " x ".join(folds)
    results = "thresholds" if values["OUTPUT_BITS"] else "raw"
    yield "MVTU: products (IMPL), results", f"{IMPLEMENTATIONS[values['IMPL']]}, {results}"
    weights = "signed" if values["WEIGHT_SIGNED"] else "odd 1 bit" if values["WEIGHT_BITS"] == 1 else "odd codes"
    activations = "bipolar" if values["BIPOLAR"] else "8 bits" if values["ACTIVATION_BITS"] == 8 else "codes"
    yield "MVTU: weights x activations", f"{weights} x {activations}"
    yield "MVTU: bits of a result", str(values["OUTPUT_BITS"] or "raw")


def _of_swg(values: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    kernel = values["KERNEL_H"], values["KERNEL_W"]
    shape = "one row" if kernel[0] == 1 else "one column" if kernel[1] == 1 else "square" if kernel[0] == kernel[1] else "rectangle"
    yield "SWG: kernel", "3 x 3" if kernel == (3, 3) else shape
    padding = {values[f"PAD_{side}"] for side in ("TOP", "BOTTOM", "LEFT", "RIGHT")}
    yield "SWG: padding", "none" if padding == {0} else "one on each side" if padding == {1} else "uneven"
    yield "SWG: code of padding", "other" if values["PAD_CODE"] else "0"
    yield "SWG: beats of a pixel", _fold(values["CHANNELS"] // values["LANES"])


def of_cells() -> Counter[tuple[str, str]]:
    """How many cells of each class are under test alone."""
    found: Counter[tuple[str, str]] = Counter()
    for cell in CELLS:
        cases: list[Case] = importlib.import_module(f"hw.tb.{cell}.shapes").CASES
        for case in cases:
            found.update(classes(case.cell, case.parameters))
    return found


def of_networks() -> Counter[tuple[str, str]]:
    """How many cells of each class there are inside the accelerators under test."""
    found: Counter[tuple[str, str]] = Counter()
    for networks in NETWORKS.values():
        for network in networks:
            for unit in make_pipeline(network.graph(0), network.folding, network.target_cycles).units:
                found.update(classes(cell_name(unit), cell_parameters(unit)))
    return found


def missing(found: Counter[tuple[str, str]]) -> list[str]:
    """The classes that must be covered and are not."""
    return [f"{group}: {name}" for group, names in GROUPS.items() for name in names if not found[group, name]]


def table() -> str:
    """The counts of every class, those that no group has too."""
    cells, networks = of_cells(), of_networks()
    lines = [f"{'':44}{'alone':>8}{'inside':>8}"]
    for group, names in GROUPS.items():
        others = sorted({name for each, name in (*cells, *networks) if each == group} - set(names))
        lines += ["", group, *(f"  {name:42}{cells[group, name]:8}{networks[group, name]:8}" for name in (*names, *others))]
    lacking = missing(networks)
    return "\n".join([*lines, "", f"{sum(map(len, GROUPS.values()))} classes, {len(lacking)} not covered inside accelerators"])


def _size(number: int) -> str:
    return str(number) if number <= 2 else "odd from 3" if number % 2 else "even from 4"


def _fold(number: int) -> str:
    return str(number) if number <= 2 else "more"


def _ratio(source: int, target: int) -> str:
    wide, narrow = max(source, target), min(source, target)
    return f"{'with a rest' if wide % narrow else 'whole'}, to {'wider' if target > source else 'narrower'}"
