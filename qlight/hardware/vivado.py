"""The folder vivado/ of a build folder: scripts that make a bitstream for a board, and the accelerator as a block for them.

build.tcl      from packaging to reports, the same for every board (hw/boards/build.tcl)
board.tcl      names of the vendor's board files (hw/boards/BOARD.tcl, or the file of that name beside a board's own .toml)
system.tcl     the processing system of the family (hw/boards/xc7.tcl, xcup.tcl)
design.tcl     generated: part, clock, and which weights are read over which memory port
qlight_ip.v    generated: Verilog around the top level, which Vivado's packager wants, with its interfaces named

Not tried with the vendor's tools.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from qlight.errors import InputError
from qlight.hardware.boards import SERIES_7, ULTRASCALE, Board, boards_folder, load_board
from qlight.hardware.dram import ADDRESS_BITS, BURST, DEPTH
from qlight.hardware.top import TOP
from qlight.hardware.units import StreamedMvtu

VIVADO, BUILD_SCRIPT, WRAPPER = "vivado", "build.tcl", "qlight_ip"
#: memory ports that a family's processing system has (hw/boards/FAMILY.tcl)
FAMILY_PORTS = {SERIES_7: 4, ULTRASCALE: 6}
#: where a board has no Tcl file of its own
_NO_BOARD = """# No .tcl file of this name was beside the board's: name the vendor's board files, or settings of the processing system.
set board_parts {}
set ps_settings {}
"""
_PORT = re.compile(r"^ +(input|output) +logic +(?:\[ *(\d+):0\] +)?(\w+),?$", re.MULTILINE)
_CLOCK, _RESET, _CONTROL, _SOURCE, _SINK = "clk", "rst_n", "s_axi", "s_axis", "m_axis"
_AXI, _STREAM = "xilinx.com:interface:aximm:1.0", "xilinx.com:interface:axis:1.0"
#: of a memory port, and not from the reader. Normal memory: bursts may be merged into those of a wider port.
_CONSTANTS = (("arcache", 4, "4'b0011"), ("arprot", 3, "3'b000"))


def vivado_files(board: str | Path, top: str, sources: str, streamed: Sequence[StreamedMvtu] = ()) -> dict[str, str]:
    """Texts of the files of vivado/ by name.

    Args:
        board: a name, or a .toml file, beside which a .tcl file of its name is looked for.
        top: the text of qlight_top.sv.
        sources: folder of the build folder that Vivado takes the other sources from.
        streamed: units that read their weights over memory ports, in the order of these.

    Raises:
        InputError: there is no such board, or a script is missing.
    """
    known, folder = load_board(board), boards_folder()
    own = Path(board).expanduser().with_suffix(".tcl") if str(board).endswith(".toml") else folder / f"{known.name}.tcl"
    return {
        BUILD_SCRIPT: _read(folder / BUILD_SCRIPT),
        "board.tcl": _read(own) if own.is_file() else _NO_BOARD,
        "system.tcl": _read(folder / f"{known.family}.tcl"),
        "design.tcl": _design(known, sources, streamed),
        f"{WRAPPER}.v": wrapper(top),
    }


def memory_ports(board: Board, image_bytes: Sequence[int]) -> list[list[int]]:
    """Which weight ports read over which memory port of the processing system, the first of which the DMA has.

    The others share the bytes: the largest stream goes where the fewest bytes are.

    Args:
        image_bytes: that each weight port reads an image.

    >>> from qlight.hardware.boards import load_board
    >>> memory_ports(load_board("pynq_z2"), [500, 100, 300, 200])
    [[], [0], [2], [1, 3]]
    """
    count = min(board.ports, FAMILY_PORTS[board.family])
    held: list[list[int]] = [[] for _ in range(count)]
    # where there is only one, weights share it with the DMA
    free = range(min(1, count - 1), count)
    for weight in sorted(range(len(image_bytes)), key=lambda index: -image_bytes[index]):
        held[min(free, key=lambda port: sum(image_bytes[each] for each in held[port]))].append(weight)
    return [sorted(each) for each in held]


def ports(top: str) -> list[tuple[str, int, str]]:
    """Direction, bits and name of every port of a generated top level."""
    head = top[top.index(f"module {TOP} ") : top.index("\n);")]
    return [(direction, int(last or 0) + 1, name) for direction, last, name in _PORT.findall(head)]


def wrapper(top: str) -> str:
    """The text of qlight_ip.v: the ports of qlight_top with attributes that say which interface each belongs to.

    Args:
        top: the text of the top level.
    """
    found = ports(top)
    interfaces = list(dict.fromkeys(_interface(name) for _, _, name in found if name not in (_CLOCK, _RESET)))
    memories = [name for name in interfaces if name not in (_CONTROL, _SOURCE, _SINK)]
    seen: set[str] = set()
    declared = []
    for direction, bits, name in found:
        span = f" [{bits - 1}:0]" if bits > 1 else ""
        declared.append("\n".join([*_attributes(name, bits, interfaces, seen), f"    {direction} wire{span} {name}"]))
    assigned = []
    for memory in memories:
        for signal, bits, value in _CONSTANTS:
            declared.append(f"{_info(_AXI, memory, signal.upper())}\n    output wire [{bits - 1}:0] {memory}_{signal}")
            assigned.append(f"  assign {memory}_{signal} = {value};")
    lines = [f"// Generated by qlight: {TOP} for Vivado's IP packager, whose top must be Verilog.", f"module {WRAPPER} ("]
    lines += [",\n".join(declared), ");", *assigned, f"  {TOP} u_top ("]
    lines += [",\n".join(f"      .{name}({name})" for _, _, name in found), "  );", "endmodule", ""]
    return "\n".join(lines)


def _interface(port: str) -> str:
    return port.rpartition("_")[0]


def _attributes(name: str, bits: int, interfaces: Sequence[str], seen: set[str]) -> Iterator[str]:
    """Of a port; the parameters of an interface stand at its first one."""
    if name == _CLOCK:
        yield _info("xilinx.com:signal:clock:1.0", name, "CLK")
        yield _parameters(name, {"ASSOCIATED_BUSIF": ":".join(interfaces), "ASSOCIATED_RESET": _RESET})
        return
    if name == _RESET:
        yield _info("xilinx.com:signal:reset:1.0", name, "RST")
        yield _parameters(name, {"POLARITY": "ACTIVE_LOW"})
        return
    interface, _, signal = name.rpartition("_")
    yield _info(_STREAM if interface in (_SOURCE, _SINK) else _AXI, interface, signal.upper())
    if interface in seen:
        return
    seen.add(interface)
    if interface in (_SOURCE, _SINK):
        yield _parameters(interface, {"TDATA_NUM_BYTES": bits // 8, "HAS_TREADY": 1, "HAS_TLAST": int(interface == _SINK)})
    elif interface == _CONTROL:
        yield _parameters(interface, {"PROTOCOL": "AXI4LITE", "DATA_WIDTH": 32, "ADDR_WIDTH": bits, "READ_WRITE_MODE": "READ_WRITE"})
    else:
        values: dict[str, int | str] = {"PROTOCOL": "AXI4", "ADDR_WIDTH": ADDRESS_BITS, "READ_WRITE_MODE": "READ_ONLY", "HAS_BURST": 1}
        values |= {"SUPPORTS_NARROW_BURST": 0, "MAX_BURST_LENGTH": BURST, "NUM_READ_OUTSTANDING": DEPTH // BURST}
        yield _parameters(interface, values)


def _info(kind: str, interface: str, signal: str) -> str:
    return f'    (* X_INTERFACE_INFO = "{kind} {interface} {signal}" *)'


def _parameters(interface: str, values: dict[str, int | str] | dict[str, int] | dict[str, str]) -> str:
    text = ", ".join([f"XIL_INTERFACENAME {interface}", *(f"{name} {value}" for name, value in values.items())])
    return f'    (* X_INTERFACE_PARAMETER = "{text}" *)'


def _design(board: Board, sources: str, streamed: Sequence[StreamedMvtu]) -> str:
    shared = memory_ports(board, [unit.dram_bytes for unit in streamed])
    held = " ".join(f"{port} {{{' '.join(map(str, weights))}}}" for port, weights in enumerate(shared) if port == 0 or weights)
    lines = [
        f"# Generated by qlight for {board.name}.",
        f"set part {board.part}",
        f"set clock_mhz {board.clock_mhz:g}",
        f"set sources {sources}",
        f"set port_bits {board.port_bits}",
        "# weight ports m_axi_w0, m_axi_w1, ... by the memory port of the processing system that they read over",
        f"set memory_ports {{{held}}}",
        *(f"# m_axi_w{index}: {unit.layer}, {unit.dram_bytes} bytes an image" for index, unit in enumerate(streamed)),
    ]
    return "\n".join([*lines, ""])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Expected the script {path}, but it cannot be read ({error}); install qlight again.") from error
