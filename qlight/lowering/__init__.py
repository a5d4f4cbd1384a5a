"""From a trained torch network to an integer graph: the only door from torch to ``intgraph``."""

from qlight.lowering.compare import Comparison, LayerMismatch, compare
from qlight.lowering.lower import Lowered, lower
from qlight.lowering.report import LayerReport, layer_reports, print_table

__all__ = ["Comparison", "LayerMismatch", "LayerReport", "Lowered", "compare", "layer_reports", "lower", "print_table"]
