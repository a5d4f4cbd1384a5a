"""Cases of qlight_control, and a top whose ports are all of the cell's."""

from collections.abc import Sequence

from hw.tb.common.cases import Case

GRAPH_HASH = bytes(range(0x10, 0x30)).hex()
GEOMETRY_HASH = bytes(range(0xC0, 0xE0)).hex()
# Direction and name of every port `name:bits` where there is more than one.
_PORTS = """
input clk rst_n s_axi_awaddr:8 s_axi_awvalid s_axi_wdata:32 s_axi_wstrb:4 s_axi_wvalid s_axi_bready s_axi_araddr:8 s_axi_arvalid
input s_axi_rready
output s_axi_awready s_axi_wready s_axi_bresp:2 s_axi_bvalid s_axi_arready s_axi_rdata:32 s_axi_rresp:2 s_axi_rvalid
input s_axis_tdata:32 s_axis_tvalid m_axis_tready out_tvalid out_tready out_tlast
output s_axis_tready m_axis_tdata:32 m_axis_tvalid pipeline_rst_n cfg_start_o cfg_valid_o cfg_data_o:32
output out_packet_last ext_write ext_write_word:6 ext_write_data:32 ext_read ext_read_word:6 clear idle weights_allowed
input ext_read_data:32
"""
PORTS = [
    (kind, name.partition(":")[0], int(name.partition(":")[2] or 1))
    for kind, *names in map(str.split, _PORTS.strip().splitlines())
    for name in names
]


def _case(version: int, input_bytes: int, classes: int, words: int, slow: bool = False) -> Case:
    parameters: dict[str, int | str] = {"VERSION": version, "INPUT_BYTES": input_bytes, "CLASSES": classes, "PARAMETER_WORDS": words}
    return Case("qlight_control", parameters, 32, 32, slow=slow)


CASES = [_case(1, 24, 3, 50), _case(0xFEDC_BA98, 4, 1, 7)]
CASES += [_case(2, 3072, 10, 1000, slow=True), _case(3, 20, 4, 0, slow=True)]


def top_of(cases: Sequence[Case]) -> str:
    """Verilog of module `bench`, as `hw.tb.common.cases.top_of`."""
    ports = [f"    {kind} logic [{bits - 1}:0] c{i}_{name}" for i in range(len(cases)) for kind, name, bits in PORTS]
    body = []
    for i, case in enumerate(cases):
        hashes = f".GRAPH_HASH(256'h{GRAPH_HASH}), .GEOMETRY_HASH(256'h{GEOMETRY_HASH}), .VERSION(32'd{case['VERSION']})"
        values = ", ".join([hashes, *(f".{name}({value})" for name, value in case.parameters.items() if name != "VERSION")])
        body.append(f"  qlight_control #({values}) i{i} ({', '.join(f'.{name}(c{i}_{name})' for _, name, _ in PORTS)});")
    return "module bench (\n" + ",\n".join(ports) + "\n);\n" + "\n".join(body) + "\nendmodule\n"
