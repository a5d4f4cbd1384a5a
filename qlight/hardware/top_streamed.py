"""Streamed weights in the generated top level: memory ports m_axi_w0, m_axi_w1, ..., their readers, and the registers of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qlight.hardware.dram import ADDRESS_BITS, BURST, DEPTH
from qlight.hardware.units import StreamedMvtu

#: of a memory port, from the reader: direction, name, bits (0: those of a word)
AXI = (
    *(("output", "araddr", ADDRESS_BITS), ("output", "arlen", 8), ("output", "arsize", 3), ("output", "arburst", 2)),
    *(("output", "arvalid", 1), ("input", "arready", 1), ("input", "rdata", 0), ("input", "rresp", 2), ("input", "rlast", 1)),
    *(("input", "rvalid", 1), ("output", "rready", 1)),
)
_STREAM = ("tdata", "tvalid", "tready")
_COUNTERS = ("words", "busy_cycles", "starved_cycles")

#: the nets from qlight_control where no layer is streamed
NO_READERS = """  logic unused_readers;
  assign ext_read_data = '0;
  assign unused_readers = &{1'b0, ext_write, ext_write_word, ext_write_data, ext_read, ext_read_word, clear, idle, weights_allowed};"""


def memory_ports(streamed: Sequence[StreamedMvtu]) -> Iterator[str]:
    """The declarations of the module's memory ports."""
    for index, unit in enumerate(streamed):
        for direction, name, bits in AXI:
            bits = bits or unit.port_bits
            span = f" [{bits - 1}:0]" if bits > 1 else ""
            yield f"    {direction:6} logic{span} m_axi_w{index}_{name}"


def registers(streamed: Sequence[StreamedMvtu]) -> str:
    """The instance of qlight_weight_registers and the nets between it and the readers."""
    last = len(streamed) - 1
    sizes = {
        "WORD_BYTES": [unit.port_bits // 8 for unit in streamed],
        "IMAGE_WORDS": [unit.dram_words for unit in streamed],
    }
    lines = [f"  logic [{last}:0][{ADDRESS_BITS - 1}:0] weights_base;"]
    lines.append(f"  logic [{last}:0][47:0] {', '.join(f'weights_{name}' for name in _COUNTERS)};")
    lines.append(f"  logic [{last}:0] weights_error;")
    lines.append("  logic weights_run;")
    lines.append("  qlight_weight_registers #(")
    lines.append(f"      .STREAMS({len(streamed)}),\n      .ADDRESS_BITS({ADDRESS_BITS}),")
    packed = {name: ", ".join(f"32'd{value}" for value in reversed(values)) for name, values in sizes.items()}
    lines.append(",\n".join(f"      .{name}({{{values}}})" for name, values in packed.items()))
    nets = {"clk": "clk", "rst_n": "rst_n", "write": "ext_write", "write_word": "ext_write_word", "write_data": "ext_write_data"}
    nets |= {"read": "ext_read", "read_word": "ext_read_word", "read_data": "ext_read_data", "allowed": "weights_allowed", "idle": "idle"}
    nets |= {name: f"weights_{name}" for name in ("run", "base", *_COUNTERS, "error")}
    lines += ["  ) u_weights (", _connected(nets), "  );"]
    return "\n".join(lines)


def reader(index: int, unit: StreamedMvtu) -> Iterator[str]:
    """The reader of memory port ``index``, and the converter from its words to rows of weights, the nets ``w<index>_row_t*``."""
    words, rows = f"w{index}", f"w{index}_row"
    yield f"  // Weights of {unit.layer}: {unit.dram_bytes} bytes an image."
    for name, bits in ((words, unit.port_bits), (rows, unit.row_bits)):
        yield f"  logic [{bits - 1}:0] {name}_tdata;"
        yield f"  logic {name}_tvalid, {name}_tready;"
    yield f"  logic w{index}_starved;"
    nets = {"clk": "clk", "rst_n": "rst_n", "run": "weights_run", "base": f"weights_base[{index}]"}
    nets |= {f"m_axi_{name}": f"m_axi_w{index}_{name}" for _, name, _ in AXI}
    nets |= {f"m_axis_{name}": f"{words}_{name}" for name in _STREAM}
    nets |= {"clear": "clear", "starved": f"w{index}_starved"}
    nets |= {name: f"weights_{name}[{index}]" for name in (*_COUNTERS, "error")}
    sizes = {"DATA_BITS": unit.port_bits, "ADDRESS_BITS": ADDRESS_BITS, "WORDS": unit.dram_words, "BURST": BURST, "DEPTH": DEPTH}
    yield f"  qlight_weight_reader #(\n{_connected(sizes)}\n  ) u_{unit.name}_reader (\n{_connected(nets)}\n  );"
    if unit.port_bits == unit.row_bits:
        yield f"  assign {rows}_tdata = {words}_tdata;"
        yield f"  assign {rows}_tvalid = {words}_tvalid;"
        yield f"  assign {words}_tready = {rows}_tready;"
        return
    sizes = {"BITS": 1, "IN_LANES": unit.port_bits, "OUT_LANES": unit.row_bits, "FRAME": unit.synapse_folds * unit.neuron_folds}
    nets = {"clk": "clk", "rst_n": "weights_run"}
    nets |= {f"s_axis_{name}": f"{words}_{name}" for name in _STREAM} | {f"m_axis_{name}": f"{rows}_{name}" for name in _STREAM}
    yield f"  qlight_dwc #(\n{_connected(sizes)}\n  ) u_{unit.name}_rows (\n{_connected(nets)}\n  );"


def row_ports(index: int) -> Iterator[tuple[str, str]]:
    """(port, net) of the MVTU's side of reader ``index``."""
    yield "weights_rst_n", "weights_run"
    for name in _STREAM:
        yield f"w_axis_{name}", f"w{index}_row_{name}"
    yield "starved", f"w{index}_starved"


def _connected(nets: dict[str, str] | dict[str, int]) -> str:
    return ",\n".join(f"      .{port}({net})" for port, net in nets.items())
