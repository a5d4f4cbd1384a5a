"""Units of hw/hls compiled one by one for C-simulation: every case is a struct of constants, the unit, and a way to drive it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hw.tb.common.cases import Case
from qlight.engines import native_csim
from qlight.hardware.hls_top import affine_constants, struct


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

    def put(self, case: Case, words: Sequence[int], bits: int, every: int = 1) -> None:
        """An image's weights: rows of a streamed unit, one of which can come every so many calls, or words of a reader."""
        size = -(-bits // 8)
        given = b"".join(word.to_bytes(size, "little") for word in words)
        self._library[f"put{self.cases.index(case)}"](given, ctypes.c_int64(len(words)), ctypes.c_int64(every))

    def ordered(self, case: Case) -> int:
        """Images whose rows a streamed unit has ordered."""
        function = self._library[f"ordered{self.cases.index(case)}"]
        function.restype = ctypes.c_int64
        return function()


def _unit(index: int, case: Case) -> str:
    """C++ of a case: its struct, its streams and memories, and functions that drive it."""
    kind, name = case.cell.removeprefix("qlight_"), f"U{index}"
    constants = {key: value for key, value in case.parameters.items() if isinstance(value, int)}
    memories, step, load = "", f"qlight::{kind}<{name}>(source{index}, target{index});", ""
    if kind in ("mvtu", "mvtu_stream"):
        constants |= {"SF": case["MW"] // case["SIMD"], "NF": case["MH"] // case["PE"]}
        stages = range(case["OUTPUT_BITS"])
        held = ", ".join([f"falling{index}", *(f"levels{index}_{stage}" for stage in stages)])
        memories = f"static qlight::Falling<{name}> falling{index};\n"
        memories += "".join(f"static qlight::Levels<{name}, {stage}> levels{index}_{stage};\n" for stage in stages)
        if kind == "mvtu":
            memories += f"static qlight::Weights<{name}> weights{index};\n"
            step = f"qlight::mvtu<{name}>(source{index}, target{index}, weights{index}, {held});"
            load = f"qlight::load<{name}>(chain{index}, next{index}, weights{index}, {held});"
        else:
            memories += (
                f"static qlight::RowStream<{name}> rows{index};\nstatic qlight::Orders orders{index};\nstatic bool running{index};\n"
            )
            memories += f"static Feeder<qlight::Beat<{name}::WEIGHT_BITS, {name}::PE * {name}::SIMD>> feeder{index};\n"
            step = f"qlight::mvtu_stream<{name}>(source{index}, rows{index}, orders{index}, target{index}, running{index}, {held});"
            step += f" feeder{index}.step(orders{index}, rows{index});"
            load = f"qlight::load_streamed<{name}>(chain{index}, next{index}, running{index}, {held}); {step}"
    elif kind == "affine":
        constants |= affine_constants(case["ACC_BITS"], case["OUTPUT_BITS"])
        memories = f"static qlight::Forms<{name}> forms{index};\n"
        step = f"qlight::affine<{name}>(source{index}, target{index}, forms{index});"
        load = f"qlight::load_forms<{name}>(chain{index}, next{index}, forms{index});"
    elif kind == "pool":
        memories = f"static qlight::Directions<{name}> directions{index};\n"
        step = f"qlight::pool<{name}>(source{index}, target{index}, directions{index});"
        load = f"qlight::load_directions<{name}>(chain{index}, next{index}, directions{index});"
    elif kind == "weight_reader":
        memories = f"static ap_uint<{case['DATA_BITS']}> memory{index}[{case['WORDS']}];\n"
        step = f"qlight::read_weights<{name}>(memory{index}, source{index}, target{index});"
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
    if kind == "mvtu_stream":
        lines += [
            f"EXPORTED void put{index}(const uint8_t* rows, int64_t count, int64_t every) {{",
            f"    feeder{index}.put(rows, count), feeder{index}.every = every;",
            "}",
            f"EXPORTED int64_t ordered{index}() {{ return feeder{index}.ordered; }}",
        ]
    elif kind == "weight_reader":
        lines += [
            f"EXPORTED void put{index}(const uint8_t* words, int64_t count, int64_t) {{",
            f"    for (int64_t i = 0; i < count; ++i) memory{index}[i] = from_bytes<ap_uint<{case['DATA_BITS']}>>(words + "
            f"{case['DATA_BITS'] // 8} * i);",
            "}",
        ]
    return "\n".join(lines)
