"""Units of hw/hls compiled one by one for C-simulation: every case is a struct of constants, the unit, and a way to drive it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hw.tb.common.cases import Case
from qlight.hardware.hls_top import struct
from qlight.targets import native_csim


class Bench:
    """The units of some cases, in their state after configuration, memories empty; what a case does lasts.

    Args:
        cases: of hw/tb, with the parameters of the RTL's cells.
        folder: for the library.
    """

    def __init__(self, cases: Sequence[Case], folder: Path) -> None:
        self.cases = list(cases)
        source = folder / "bench.cpp"
        source.write_text("\n".join(['#include "bench.hpp"', *(_unit(index, case) for index, case in enumerate(self.cases))]))
        native_csim.compile_library([source], folder / "bench.so", [Path(__file__).parent])
        self._library = ctypes.CDLL(str(folder / "bench.so"))

    def run(self, case: Case, beats: Sequence[int], most: int, gaps: int = 0) -> tuple[list[int], list[int]]:
        """What comes out for ``beats`` in ``most`` calls, and the call of each, from 1.

        Args:
            gaps: 0: there always is a beat; else the seed of when there is one.
        """
        index = self.cases.index(case)
        size, wide = -(-case.in_bits // 8), -(-case.out_bits // 8)
        given = b"".join(beat.to_bytes(size, "little") for beat in beats)
        out, calls = np.zeros(most * wide, np.uint8), np.zeros(most, np.int64)
        function = self._library[f"run{index}"]
        function.restype = ctypes.c_int64
        arguments = (ctypes.c_int64(len(beats)), ctypes.c_uint64(gaps), ctypes.c_void_p(out.ctypes.data))
        count = function(given, *arguments, ctypes.c_void_p(calls.ctypes.data), ctypes.c_int64(most), ctypes.c_int64(most))
        assert count <= most
        found = out[: count * wide].tobytes()
        return [int.from_bytes(found[i : i + wide], "little") for i in range(0, len(found), wide)], calls[:count].tolist()

    def load(self, case: Case, words: Sequence[int]) -> list[int]:
        """Send words on the parameter chain, bit 32 marking a start; those that are passed on."""
        given, passed = np.array(words, np.uint64), np.zeros(len(words), np.uint64)
        function = self._library[f"load{self.cases.index(case)}"]
        function.restype = ctypes.c_int64
        count = function(ctypes.c_void_p(given.ctypes.data), ctypes.c_int64(len(given)), ctypes.c_void_p(passed.ctypes.data))
        return passed[:count].tolist()


def _unit(index: int, case: Case) -> str:
    """C++ of a case: its struct, its streams and memories, and functions that drive it."""
    kind, name = case.cell.removeprefix("qlight_"), f"U{index}"
    constants = {key: value for key, value in case.parameters.items() if isinstance(value, int)}
    memories, step, load = "", f"qlight::{kind}<{name}>(source{index}, target{index});", ""
    if kind == "mvtu":
        constants |= {"SF": case["MW"] // case["SIMD"], "NF": case["MH"] // case["PE"]}
        stages = range(case["OUTPUT_BITS"])
        held = ", ".join([f"weights{index}", f"falling{index}", *(f"levels{index}_{stage}" for stage in stages)])
        memories = f"static qlight::Weights<{name}> weights{index};\nstatic qlight::Falling<{name}> falling{index};\n"
        memories += "".join(f"static qlight::Levels<{name}, {stage}> levels{index}_{stage};\n" for stage in stages)
        step = f"qlight::mvtu<{name}>(source{index}, target{index}, {held});"
        load = f"qlight::load<{name}>(chain{index}, next{index}, {held});"
    elif kind == "pool":
        memories = f"static qlight::Directions<{name}> directions{index};\n"
        step = f"qlight::pool<{name}>(source{index}, target{index}, directions{index});"
        load = f"qlight::load_directions<{name}>(chain{index}, next{index}, directions{index});"
    lines = [
        *struct(name, constants),
        f"static hls::stream<ap_uint<{case.in_bits}>> source{index};",
        f"static hls::stream<ap_uint<{case.out_bits}>> target{index};",
        memories,
        f"EXPORTED int64_t run{index}(const uint8_t* in, int64_t count, uint64_t gaps, uint8_t* out, int64_t* calls, int64_t room, "
        "int64_t most) {",
        f"    return drive(source{index}, target{index}, [] {{ {step} }}, in, count, gaps, out, calls, room, most);",
        "}",
    ]
    if load:
        lines += [
            f"static qlight::Chain chain{index}, next{index};",
            f"EXPORTED int64_t load{index}(const uint64_t* words, int64_t count, uint64_t* passed) {{",
            f"    return send(chain{index}, next{index}, [] {{ {load} }}, words, count, passed);",
            "}",
        ]
    return "\n".join(lines)
