"""Cases of qlight_weight_reader, and a top whose ports are all of the cell's."""

from collections.abc import Sequence

from hw.tb.common.cases import Case

Port = tuple[str, str, int]


def _case(data: int, words: int, burst: int, depth: int, address: int = 40, slow: bool = False) -> Case:
    parameters: dict[str, int | str] = {"DATA_BITS": data, "ADDRESS_BITS": address, "WORDS": words, "BURST": burst, "DEPTH": depth}
    return Case("qlight_weight_reader", parameters, data, data, slow=slow)


CASES = [
    _case(64, 300, 16, 64),
    _case(32, 7, 4, 11, address=32),
    _case(128, 37, 8, 8),
    _case(32, 1, 1, 5),
    _case(64, 24, 16, 35, address=64),
]
CASES += [
    _case(data, words, burst, depth, slow=True)
    for data in (32, 64, 128)
    for words, burst, depth in ((1100, 256 * 32 // max(data, 32), 512), (2, 2, 4), (100, 16, 16), (65, 64, 200))
]


def ports(case: Case) -> list[Port]:
    """(direction, name, bits) of the cell's ports."""
    data, address = case["DATA_BITS"], case["ADDRESS_BITS"]
    inputs = {"clk": 1, "rst_n": 1, "run": 1, "base": address, "m_axi_arready": 1, "m_axi_rdata": data, "m_axi_rresp": 2}
    inputs |= {"m_axi_rlast": 1, "m_axi_rvalid": 1, "m_axis_tready": 1, "clear": 1, "starved": 1}
    outputs = {"m_axi_araddr": address, "m_axi_arlen": 8, "m_axi_arsize": 3, "m_axi_arburst": 2, "m_axi_arvalid": 1, "m_axi_rready": 1}
    outputs |= {"m_axis_tdata": data, "m_axis_tvalid": 1, "words": 48, "busy_cycles": 48, "starved_cycles": 48, "error": 1}
    return [("input", *port) for port in inputs.items()] + [("output", *port) for port in outputs.items()]


def top_of(cases: Sequence[Case]) -> str:
    """Verilog of module `bench`, as `hw.tb.common.cases.top_of`."""
    declared = [f"    {kind} logic [{bits - 1}:0] c{i}_{name}" for i, case in enumerate(cases) for kind, name, bits in ports(case)]
    body = []
    for i, case in enumerate(cases):
        values = ", ".join(f".{name}({value})" for name, value in case.parameters.items())
        body.append(f"  {case.cell} #({values}) i{i} ({', '.join(f'.{name}(c{i}_{name})' for _, name, _ in ports(case))});")
    return "module bench (\n" + ",\n".join(declared) + "\n);\n" + "\n".join(body) + "\nendmodule\n"
