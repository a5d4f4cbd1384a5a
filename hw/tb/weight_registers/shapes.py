"""Cases of qlight_weight_registers, and a top whose ports are all of the cell's."""

from collections.abc import Sequence

from hw.tb.common.cases import Case

Port = tuple[str, str, int]
WORD_BYTES = (4, 8, 16)
IMAGE_WORDS = (1, 70000, 123)


def _case(streams: int, address: int, slow: bool = False) -> Case:
    return Case("qlight_weight_registers", {"STREAMS": streams, "ADDRESS_BITS": address}, 32, 32, slow=slow)


CASES = [_case(3, 40), _case(1, 33), _case(2, 64, slow=True)]


def ports(case: Case) -> list[Port]:
    """(direction, name, bits) of the cell's ports."""
    streams = case["STREAMS"]
    inputs = {"clk": 1, "rst_n": 1, "write": 1, "write_word": 6, "write_data": 32, "read": 1, "read_word": 6, "allowed": 1, "idle": 1}
    inputs |= {"words": 48 * streams, "busy_cycles": 48 * streams, "starved_cycles": 48 * streams, "error": streams}
    outputs = {"read_data": 32, "run": 1, "base": case["ADDRESS_BITS"] * streams}
    return [("input", *port) for port in inputs.items()] + [("output", *port) for port in outputs.items()]


def packed(numbers: Sequence[int]) -> str:
    """A packed array of 32-bit numbers, the first one at index 0."""
    return "{" + ", ".join(f"32'd{number}" for number in reversed(numbers)) + "}"


def top_of(cases: Sequence[Case]) -> str:
    """Verilog of module `bench`, as `hw.tb.common.cases.top_of`."""
    declared = [f"    {kind} logic [{bits - 1}:0] c{i}_{name}" for i, case in enumerate(cases) for kind, name, bits in ports(case)]
    body = []
    for i, case in enumerate(cases):
        streams = case["STREAMS"]
        values = [f".{name}({value})" for name, value in case.parameters.items()]
        for name, numbers in (("WORD_BYTES", WORD_BYTES), ("IMAGE_WORDS", IMAGE_WORDS)):
            values.append(f".{name}({packed(numbers[:streams])})")
        body.append(f"  {case.cell} #({', '.join(values)}) i{i} ({', '.join(f'.{name}(c{i}_{name})' for _, name, _ in ports(case))});")
    return "module bench (\n" + ",\n".join(declared) + "\n);\n" + "\n".join(body) + "\nendmodule\n"
