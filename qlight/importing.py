"""``python -m qlight import``: a QONNX file of another tool becomes an integer graph, which can be attacked and deployed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qlight.interop import convert
from qlight.lowering import print_table
from qlight.options import OptionParser


def main(args: Sequence[str]) -> None:
    """Run the verb with these options.

    Raises:
        InputError: an option is wrong, or the file holds what no integer graph has.
    """
    parser = OptionParser("import", "the options of `import`")
    parser.add_argument("--qonnx", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--input_scale", type=float)
    parser.add_argument("--real_weight_bit_width", type=int)
    options = parser.parse_args(args)
    graph = convert(options.qonnx, options.out, input_scale=options.input_scale, real_weight_bit_width=options.real_weight_bit_width)
    print_table(graph)
    print(f"wrote {options.out}: graph {graph.content_hash[:16]}")
