"""The Verilog around the accelerators under test: module `bench`, whose ports are those of every top level, and what watches inside them.

Ports of case i are named `c<i>_<port>`. Besides those of the top level there are:

status         bit 0 s_axis_tready, bit 1 m_axis_tvalid, then for every layer's output whether a beat of it moves: one read a cycle says all
tap_<k>        the data of layer output k
broken         for every stream inside: a beat was changed or withdrawn before it was taken
beats_<k>      beats of stream k since reset

Another tool's top level has the first two bits of `status` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hw.tb.common.axilite import PORTS as AXI_LITE
from hw.tb.network.layers import Tap
from qlight.hardware.build import Build
from qlight.hardware.top import MEMORY, TOP
from qlight.hardware.top_streamed import AXI
from qlight.hardware.units import StreamedMvtu

__all__ = ["MONITOR", "MONITORED", "PORTS", "Port", "bench_of", "memory_ports", "top_of"]

#: direction, name, bits
Port = tuple[str, str, int]

MONITOR = Path(__file__).with_name("stream_monitor.sv")
_STREAMS = {
    "input": "clk rst_n s_axis_tdata:32 s_axis_tvalid m_axis_tready",
    "output": "s_axis_tready m_axis_tdata:32 m_axis_tvalid m_axis_tlast",
}
#: every port of the top level but those of memories
PORTS: list[Port] = [
    (kind, name.partition(":")[0], int(name.partition(":")[2] or 1))
    for kind in ("input", "output")
    for name in f"{_STREAMS[kind]} {AXI_LITE[kind]}".split()
]
#: bits of `status` before those of the taps
MONITORED = 2


def memory_ports(streamed: Sequence[StreamedMvtu]) -> list[Port]:
    """The memory ports of a top level whose units are these."""
    return [(kind, f"m_axi_w{port}_{name}", bits or unit.port_bits) for port, unit in enumerate(streamed) for kind, name, bits in AXI]


def top_of(text: str, index: int) -> str:
    """A generated top level as module and with memory files of case `index`, so that several fit one bench."""
    assert f"module {TOP} " in text
    return text.replace(f"module {TOP} ", f"module {TOP}_{index} ").replace(f'"{MEMORY}/', f'"c{index}/{MEMORY}/')


def bench_of(builds: Sequence[tuple[Build, Sequence[Tap]]]) -> str:
    """Verilog of module `bench` with an accelerator for each build folder, and its taps."""
    ports: list[str] = []
    body: list[str] = []
    for index, (build, taps) in enumerate(builds):
        units = build.pipeline.units
        widths = [unit.source.width for unit in units] + [units[-1].target.width]
        prefix, inside = f"c{index}_", f"i{index}"
        outside = [*PORTS, *memory_ports(build.pipeline.streamed)]
        ports += _ports(prefix, MONITORED + len(taps), outside)
        ports += [f"    output logic [{widths[tap.stream] - 1}:0] {prefix}tap_{k}" for k, tap in enumerate(taps)]
        ports += [f"    output logic [31:0] {prefix}beats_{k}" for k in range(len(widths))]
        ports.append(f"    output logic [{len(widths) - 1}:0] {prefix}broken")
        body += _instance(f"{TOP}_{index}", inside, prefix, outside)
        moves = [f"{inside}.s{tap.stream}_tvalid && {inside}.s{tap.stream}_tready" for tap in reversed(taps)]
        body.append(_status(prefix, moves))
        body += [f"  assign {prefix}tap_{k} = {inside}.s{tap.stream}_tdata;" for k, tap in enumerate(taps)]
        for k, width in enumerate(widths):
            stream = ", ".join(f".{port}({inside}.s{k}_{port})" for port in ("tdata", "tvalid", "tready"))
            ends = f".clk({prefix}clk), .rst_n({inside}.pipeline_rst_n), .beats({prefix}beats_{k}), .broken({prefix}broken[{k}])"
            body.append(f"  stream_monitor #(.WIDTH({width})) {prefix}watch_{k} ({ends}, {stream});")
    return _module(ports, body)


def foreign_bench(streamed: Sequence[StreamedMvtu] = ()) -> str:
    """Verilog of module `bench` around another tool's `qlight_top`, which has a memory port for each of these units."""
    outside = [*PORTS, *memory_ports(streamed)]
    return _module(_ports("c0_", MONITORED, outside), [*_instance(TOP, "i0", "c0_", outside), _status("c0_", [])])


def _ports(prefix: str, status_bits: int, outside: Sequence[Port] = PORTS) -> Iterable[str]:
    yield from (f"    {kind} logic [{bits - 1}:0] {prefix}{name}" for kind, name, bits in outside)
    yield f"    output logic [{status_bits - 1}:0] {prefix}status"


def _instance(module: str, name: str, prefix: str, outside: Sequence[Port] = PORTS) -> Iterable[str]:
    yield f"  {module} {name} ({', '.join(f'.{port}({prefix}{port})' for _, port, _ in outside)});"


def _status(prefix: str, moves: Sequence[str]) -> str:
    return f"  assign {prefix}status = {{{', '.join([*moves, f'{prefix}m_axis_tvalid', f'{prefix}s_axis_tready'])}}};"


def _module(ports: Iterable[str], body: Iterable[str]) -> str:
    return "module bench (\n" + ",\n".join(ports) + "\n);\n" + "\n".join(body) + "\nendmodule\n"
