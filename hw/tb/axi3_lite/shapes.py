"""Cases of qlight_axi3_lite, and a top whose ports are all of the cell's."""

from collections.abc import Sequence

from hw.tb.common.axi3 import PORTS as AXI3
from hw.tb.common.cases import Case

Port = tuple[str, str, int]


def _case(ports: int, block_bits: int, base: int, slow: bool = False) -> Case:
    return Case("qlight_axi3_lite", {"PORTS": ports, "BLOCK_BITS": block_bits, "BASE": base}, 32, 32, slow=slow)


CASES = [_case(2, 16, 0x4000_0000), _case(3, 8, 0x7FFF_F000), _case(1, 4, 0x4000_0000, slow=True), _case(16, 24, 0, slow=True)]


def ports(case: Case) -> list[Port]:
    """(direction, name, bits) of the cell's ports."""
    count, block = case["PORTS"], case["BLOCK_BITS"]
    found = [("input", "clk", 1), ("input", "rst_n", 1)]
    for kind, text in AXI3.items():
        found += [(kind, name, int(bits or 1)) for name, _, bits in (each.partition(":") for each in text.split())]
    outputs = {"awaddr": block, "awvalid": count, "wdata": 32, "wstrb": 4, "wvalid": count, "bready": count}
    outputs |= {"araddr": block, "arvalid": count, "rready": count}
    inputs = {"awready": count, "wready": count, "bresp": 2 * count, "bvalid": count, "arready": count, "rdata": 32 * count}
    inputs |= {"rresp": 2 * count, "rvalid": count}
    found += [("output", f"m_axi_{name}", bits) for name, bits in outputs.items()]
    return found + [("input", f"m_axi_{name}", bits) for name, bits in inputs.items()]


def top_of(cases: Sequence[Case]) -> str:
    """Verilog of module `bench`, as `hw.tb.common.cases.top_of`."""
    declared = [f"    {kind} logic [{bits - 1}:0] c{i}_{name}" for i, case in enumerate(cases) for kind, name, bits in ports(case)]
    body = []
    for i, case in enumerate(cases):
        values = ", ".join(f".{name}({value})" for name, value in case.parameters.items())
        body.append(f"  {case.cell} #({values}) i{i} ({', '.join(f'.{name}(c{i}_{name})' for _, name, _ in ports(case))});")
    return "module bench (\n" + ",\n".join(declared) + "\n);\n" + "\n".join(body) + "\nendmodule\n"
