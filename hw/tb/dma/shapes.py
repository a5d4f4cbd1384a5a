"""Cases of qlight_dma, and a top whose ports are all of the cell's."""

from collections.abc import Sequence

from hw.tb.common.cases import Case

# Direction and name of every port, `name:bits` where there is more than one.
_PORTS = """
input clk rst_n s_axi_awaddr:8 s_axi_awvalid s_axi_wdata:32 s_axi_wstrb:4 s_axi_wvalid s_axi_bready s_axi_araddr:8 s_axi_arvalid
input s_axi_rready
output s_axi_awready s_axi_wready s_axi_bresp:2 s_axi_bvalid s_axi_arready s_axi_rdata:32 s_axi_rresp:2 s_axi_rvalid
output m_axi_araddr:32 m_axi_arlen:4 m_axi_arsize:2 m_axi_arburst:2 m_axi_arvalid m_axi_rready
input m_axi_arready m_axi_rdata:64 m_axi_rresp:2 m_axi_rvalid
output m_axi_awaddr:32 m_axi_awlen:4 m_axi_awsize:2 m_axi_awburst:2 m_axi_awvalid
output m_axi_wdata:64 m_axi_wstrb:8 m_axi_wlast m_axi_wvalid m_axi_bready
input m_axi_awready m_axi_wready m_axi_bresp:2 m_axi_bvalid
output m_axis_tdata:32 m_axis_tvalid s_axis_tready
input m_axis_tready s_axis_tdata:32 s_axis_tvalid s_axis_tlast
"""
PORTS = [
    (kind, name.partition(":")[0], int(name.partition(":")[2] or 1))
    for kind, *names in map(str.split, _PORTS.strip().splitlines())
    for name in names
]


def _case(read: int, write: int, slow: bool = False) -> Case:
    return Case("qlight_dma", {"READ_DEPTH": read, "WRITE_DEPTH": write}, 32, 32, slow=slow)


CASES = [_case(64, 32), _case(16, 16), _case(37, 19, slow=True)]


def top_of(cases: Sequence[Case]) -> str:
    """Verilog of module `bench`, as `hw.tb.common.cases.top_of`."""
    ports = [f"    {kind} logic [{bits - 1}:0] c{i}_{name}" for i in range(len(cases)) for kind, name, bits in PORTS]
    body = []
    for i, case in enumerate(cases):
        values = ", ".join(f".{name}({value})" for name, value in case.parameters.items())
        body.append(f"  qlight_dma #({values}) i{i} ({', '.join(f'.{name}(c{i}_{name})' for _, name, _ in PORTS)});")
    return "module bench (\n" + ",\n".join(ports) + "\n);\n" + "\n".join(body) + "\nendmodule\n"
