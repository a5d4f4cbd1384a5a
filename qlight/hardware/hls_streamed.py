"""Streamed weights in the generated C++: a memory port, a reader and a converter a layer; what lies behind the ports in C-simulation.

Ports of the core are `weights0`, `weights1`, ... in the pipeline's order, in AXI4 `m_axi_w0`, `m_axi_w1`, ...; their bases are registers of
`s_axi_control`, at the places where Vitis HLS would put them by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qlight.hardware.dram import BURST, DEPTH
from qlight.hardware.units import StreamedMvtu

#: of the first base in s_axi_control, and from one to the next: two words, and one that is reserved
FIRST_BASE, BASE_STEP = 0x10, 0x0C
#: of memory, in cycles, as the tool is to assume it
LATENCY = 64


def word_stream(unit: StreamedMvtu) -> str:
    """Variable, and name in C-simulation, of the stream of words that a layer reads from DRAM."""
    return f"w_{unit.name}"


def base_offset(port: int) -> int:
    """Of a port's base in s_axi_control: its lower word; the upper one follows."""
    return FIRST_BASE + port * BASE_STEP


def arguments(streamed: Sequence[StreamedMvtu]) -> list[str]:
    """Parameters of the top function, one a memory port."""
    return [f"const ap_uint<{unit.port_bits}>* weights{port}" for port, unit in enumerate(streamed)]


def interfaces(streamed: Sequence[StreamedMvtu]) -> Iterator[str]:
    """Pragmas of the memory ports."""
    for port, unit in enumerate(streamed):
        yield (
            f"#pragma HLS INTERFACE mode = m_axi port = weights{port} bundle = w{port} offset = slave depth = {unit.dram_words} "
            f"latency = {LATENCY} max_read_burst_length = {BURST} num_read_outstanding = {DEPTH // BURST}"
        )
        yield f"#pragma HLS INTERFACE mode = s_axilite port = weights{port} bundle = control offset = {base_offset(port)}"
        yield f"#pragma HLS STABLE variable = weights{port}"


def constants(unit: StreamedMvtu) -> list[tuple[str, dict[str, int]]]:
    """Names and constants of the structs of a layer's reader and converter."""
    found = [(f"u_{unit.name}_reader", {"DATA_BITS": unit.port_bits, "WORDS": unit.dram_words})]
    if unit.port_bits != unit.row_bits:
        frame = unit.synapse_folds * unit.neuron_folds
        found.append((f"u_{unit.name}_rows", {"BITS": 1, "IN_LANES": unit.port_bits, "OUT_LANES": unit.row_bits, "FRAME": frame}))
    return found


def processes(unit: StreamedMvtu) -> Iterator[str]:
    """The functions of the processes before the unit. The reader's is no pipeline: its loop is."""
    word, row = (f"hls::stream<ap_uint<{bits}>>&" for bits in (unit.port_bits, unit.row_bits))
    yield f"void run_{unit.name}_reader(const ap_uint<{unit.port_bits}>* memory, qlight::Orders& orders, {word} target) {{"
    yield "#pragma HLS INLINE off"
    yield f"    qlight::read_weights<u_{unit.name}_reader>(memory, orders, target);"
    yield "}"
    if unit.port_bits != unit.row_bits:
        yield f"void run_{unit.name}_rows({word} source, {row} target) {{"
        yield "#pragma HLS INLINE off"
        yield "#pragma HLS PIPELINE II = 1 style = flp"
        yield f"    qlight::dwc<u_{unit.name}_rows>(source, target);"
        yield "}"


def rows(unit: StreamedMvtu) -> str:
    """Variable of the stream of rows: the words themselves, where they are as wide."""
    return word_stream(unit) if unit.port_bits == unit.row_bits else f"r_{unit.name}"


def streams(unit: StreamedMvtu) -> Iterator[str]:
    """Declarations in the region, of the orders, words and rows of a layer."""
    name = word_stream(unit)
    yield f"    static qlight::Orders o_{unit.name};"
    yield f"#pragma HLS STREAM variable = o_{unit.name} depth = 2"
    yield f'    static hls::stream<ap_uint<{unit.port_bits}>> {name}("{name}");'
    yield f"#pragma HLS STREAM variable = {name} depth = {DEPTH}"
    if rows(unit) != name:
        yield f"    static hls::stream<ap_uint<{unit.row_bits}>> {rows(unit)};"
        yield f"#pragma HLS STREAM variable = {rows(unit)} depth = 2"


def calls(port: int, unit: StreamedMvtu) -> Iterator[str]:
    """The processes before the unit, in the region."""
    yield f"    run_{unit.name}_reader(weights{port}, o_{unit.name}, {word_stream(unit)});"
    if rows(unit) != word_stream(unit):
        yield f"    run_{unit.name}_rows({word_stream(unit)}, {rows(unit)});"


def settling(streamed: Sequence[StreamedMvtu]) -> tuple[int, int]:
    """Calls until a layer has fetched what fits, and until it has dropped what it had ordered; 0, 0 without layers."""
    words = [(-(-unit.row_bits // unit.port_bits), unit) for unit in streamed]
    fill = max((each * (2 * unit.synapse_folds + 3) + 50 for each, unit in words), default=0)
    return fill, max((2 * each * unit.synapse_folds * unit.neuron_folds for each, unit in words), default=0)


def memory(function: str, streamed: Sequence[StreamedMvtu]) -> Iterator[str]:
    """Lines of the header, for C-simulation: what lies behind the ports, and a call of the top function with it."""
    yield "#ifndef __SYNTHESIS__"
    yield "namespace accelerator {"
    yield "// What lies behind the memory ports, and a cycle with it."
    yield "struct Memory {"
    for port, unit in enumerate(streamed):
        yield f"    ap_uint<{unit.port_bits}> weights{port}[{unit.dram_words}];"
    yield "    // Words of 32 bits, as many as an image reads."
    yield "    void put(int port, const unsigned* words) {"
    for port, unit in enumerate(streamed):
        many = unit.port_bits // 32
        yield f"        for (int i = 0; port == {port} && i < {unit.dram_words * many}; ++i) {{"
        yield f"            weights{port}[i / {many}].range(i % {many} * 32 + 31, i % {many} * 32) = words[i];"
        yield "        }"
    yield "    }"
    yield "    void cycle(hls::stream<ap_uint<32>>& s_axis, qlight::Chain& cfg, hls::stream<ap_uint<32>>& m_axis) const {"
    yield f"        {function}({', '.join(['s_axis', 'cfg', 'm_axis', *(f'weights{port}' for port in range(len(streamed)))])});"
    yield "    }"
    yield "};"
    yield "}  // namespace accelerator"
    yield "#endif"
