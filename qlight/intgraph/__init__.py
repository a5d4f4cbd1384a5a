"""The integer graph: the contract between training and hardware. SPEC.md is its text; only numpy and safetensors are needed."""

from qlight.intgraph.builder import GraphBuilder
from qlight.intgraph.encodings import Operand, activation_integers, weight_integers
from qlight.intgraph.execute import execute, logits, trace
from qlight.intgraph.graph import Graph
from qlight.intgraph.nodes import Conv2d, Flatten, Linear, MaxPool, Node, TensorType, Threshold
from qlight.intgraph.rules import GraphError
from qlight.intgraph.validate import operands, validate

__all__ = [
    "Conv2d",
    "Flatten",
    "Graph",
    "GraphBuilder",
    "GraphError",
    "Linear",
    "MaxPool",
    "Node",
    "Operand",
    "TensorType",
    "Threshold",
    "activation_integers",
    "execute",
    "logits",
    "operands",
    "trace",
    "validate",
    "weight_integers",
]
