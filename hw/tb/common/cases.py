"""A case is one cell with one set of parameters. All cases of a cell share one build: a top with one instance of each.

Every instance has its own clock, so those that are not under test cost nothing.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

__all__ = ["Case", "selected", "top_of"]


@dataclasses.dataclass(frozen=True)
class Case:
    """One set of parameters of a cell with one input and one output stream.

    Attributes:
        cell: module name.
        parameters: of the module, in any order; a text is a file name.
        in_bits: bits of a beat of `s_axis`.
        out_bits: bits of a beat of `m_axis`.
        chain: whether the cell has the ports of the parameter chain.
        slow: whether it belongs to the larger space that only the slow run covers.
        extra: direction, name and bits of ports that only this cell has.
    """

    cell: str
    parameters: dict[str, int | str]
    in_bits: int
    out_bits: int
    chain: bool = False
    slow: bool = False
    extra: tuple[tuple[str, str, int], ...] = ()

    def __getitem__(self, name: str) -> int:
        value = self.parameters[name]
        assert isinstance(value, int)
        return value

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.parameters.items())


def selected(cases: Sequence[Case], slow: bool | None = None) -> list[Case]:
    """The slow cases, or the others; inside a simulation `QLIGHT_TB_SLOW` says which run it is. `QLIGHT_TB_EVERY=N`: every Nth slow one."""
    if slow is None:
        slow = os.environ.get("QLIGHT_TB_SLOW") == "1"
    every = int(os.environ.get("QLIGHT_TB_EVERY", "1")) if slow else 1
    return [case for case in cases if case.slow == slow][::every]


def top_of(cases: Sequence[Case]) -> str:
    """Verilog of module `bench`: instance i of case i, its ports named `c<i>_<port>`."""
    ports: list[str] = []
    body: list[str] = []
    for i, case in enumerate(cases):
        widths = [("input", "clk", 1), ("input", "rst_n", 1)]
        widths += [("input", "s_axis_tdata", case.in_bits), ("input", "s_axis_tvalid", 1), ("output", "s_axis_tready", 1)]
        widths += [("output", "m_axis_tdata", case.out_bits), ("output", "m_axis_tvalid", 1), ("input", "m_axis_tready", 1)]
        if case.chain:
            for kind, end in (("input", ""), ("output", "_o")):
                widths += [(kind, f"cfg_start{end}", 1), (kind, f"cfg_valid{end}", 1), (kind, f"cfg_data{end}", 32)]
        widths += case.extra
        ports += [f"    {kind} logic [{bits - 1}:0] c{i}_{port}" for kind, port, bits in widths]
        values = ", ".join(f".{name}({_literal(value)})" for name, value in case.parameters.items())
        wires = ", ".join(f".{port}(c{i}_{port})" for _, port, _ in widths)
        body.append(f"  {case.cell} #({values}) i{i} ({wires});")
    return "module bench (\n" + ",\n".join(ports) + "\n);\n" + "\n".join(body) + "\nendmodule\n"


def _literal(value: int | str) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
