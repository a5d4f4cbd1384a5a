"""The resource model: LUT, FF, BRAM, URAM and DSP of a unit, fitted to Yosys.

Memories and DSP slices follow from shapes; logic is a sum of features (`qlight.hardware.features`) with coefficients that
`benchmarks/resource_fit.py` fits to Yosys on small units, and writes to resource_model.json with the units, the tool's version and the
errors on units that the fit has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from qlight.hardware.boards import Resources
from qlight.hardware.features import Part, memory_style, parts
from qlight.hardware.units import Mvtu, Unit

MODEL = Path(__file__).with_name("resource_model.json")
Coefficients = Mapping[str, Mapping[str, Mapping[str, float]]]


@cache
def model() -> dict[str, Any]:
    """resource_model.json: ``coefficients`` {kind: {"lut" or "ff": {feature: coefficient}}}, ``errors``, ``samples``, ``made_by``."""
    return json.loads(MODEL.read_text(encoding="ascii"))


def unit_resources(unit: Unit, family: str, style: str | None = None) -> Resources:
    """What a unit takes.

    Args:
        family: "xc7" or "xcup".
        style: of an MVTU's weight memory; None: `memory_style`.

    >>> from qlight.hardware.units import Fifo, Stream
    >>> unit_resources(Fifo("f", "f", Stream(2, 8, 64), Stream(2, 8, 64), 1024), "xc7").bram18
    1
    """
    if style is None:
        style = memory_style(unit) if isinstance(unit, Mvtu) else ""
    total = Resources()
    for part in parts(unit, family, style):
        total += _taken(part)
    return total


@lru_cache(maxsize=100_000)
def _taken(part: Part) -> Resources:
    return weighed([part], model()["coefficients"])


def weighed(found: Iterable[Part], coefficients: Coefficients) -> Resources:
    """The sum of parts."""
    total = Resources()
    for part in found:
        of = coefficients[part.kind]
        total += part.exact
        total += Resources(
            lut=round(sum(of["lut"][name] * value for name, value in part.lut.items())),
            ff=round(sum(of["ff"][name] * value for name, value in part.ff.items())),
        )
    return total
