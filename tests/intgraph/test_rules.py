"""Every rule of a graph is broken once; the error names the rule and the node. SPEC.md and the code know the same rules."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qlight.intgraph
from qlight.errors import InputError
from qlight.intgraph import Flatten, Graph, GraphBuilder, GraphError, validate
from qlight.intgraph.rules import RULES
from tests.intgraph.example import worked_example

EXAMPLE = worked_example()
SPEC = (Path(qlight.intgraph.__file__).parent / "SPEC.md").read_text()


def node(name: str, /, **changes: Any) -> dict[str, Any]:
    """The example's nodes with one changed."""
    return {"nodes": tuple(replace(each, **changes) if each.name == name else each for each in EXAMPLE.nodes)}


def tensor(name: str, /, **changes: Any) -> dict[str, Any]:
    """The example's tensors with one changed."""
    return {"tensors": tuple(replace(each, **changes) if each.name == name else each for each in EXAMPLE.tensors)}


def array(name: str, field: str, change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """The example's nodes with one array changed."""
    before = next(getattr(each, field) for each in EXAMPLE.nodes if each.name == name)
    return node(name, **{field: change(before.copy())})


def put(value: Any, *place: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(before: np.ndarray) -> np.ndarray:
        before[place] = value
        return before

    return change


def without_flatten() -> dict[str, Any]:
    """A Linear right after feature maps."""
    nodes = tuple(replace(each, input="act_out") if each.name == "output" else each for each in EXAMPLE.nodes if each.name != "flat")
    return {"nodes": nodes, "tensors": tuple(each for each in EXAMPLE.tensors if each.name != "flat_out")}


def flatten_last() -> dict[str, Any]:
    """A graph whose last node is the Flatten."""
    return {"nodes": EXAMPLE.nodes[:-1], "tensors": EXAMPLE.tensors[:-1]}


def wide_linear() -> dict[str, Any]:
    """An accumulator of more than 32 bits: 2^17 products of 8-bit pixels and 8-bit weights."""
    builder = GraphBuilder((256, 512, 1))
    builder.flatten("flat")
    builder.linear("output", np.zeros((1, 2**17), np.int8), bits=8, encoding="signed")
    raise AssertionError("the builder accepts a wide accumulator")


PIXELS = EXAMPLE.tensors[0]
BROKEN: list[tuple[str, str, Callable[[], dict[str, Any]]]] = [
    ("G1", "node `conv`", lambda: node("conv", kernel=[2, 2])),
    ("G1", "node `conv`", lambda: node("conv", kernel=(2, 2, 2))),
    ("G1", "node `conv`", lambda: node("conv", padding=(1, 0, True, 0))),
    ("G1", "node `conv`", lambda: node("conv", pad_code=0.0)),
    ("G1", "node `act`", lambda: node("act", bits=True)),
    ("G1", "node `act`", lambda: node("act", direction=None)),
    ("G1", "node `act`", lambda: node("act", thresholds=[[1]])),
    ("G1", "node 7", lambda: node("act", name=7)),
    ("G1", "tensor `conv_out`", lambda: tensor("conv_out", shape=[2, 2, 2])),
    ("G1", "tensor `conv_out`", lambda: tensor("conv_out", bits="13")),
    ("G1", "the graph", lambda: {"nodes": list(EXAMPLE.nodes)}),
    ("G1", "the graph", lambda: {"nodes": (*EXAMPLE.nodes, None)}),
    ("G1", "the graph", lambda: {"logit_bias": [1.0, 2.0]}),
    ("G2", "a node", lambda: node("conv", name="../conv")),
    ("G2", "a node", lambda: node("conv", name="conv\n")),
    ("G2", "a tensor", lambda: tensor("conv_out", name="Conv")),
    ("G2", "node `pool`", lambda: node("flat", name="pool")),
    ("G2", "node `conv_out`", lambda: node("flat", name="conv_out")),
    ("G3", "the graph", lambda: {"tensors": EXAMPLE.tensors[:-1]}),
    ("G3", "node `conv`", lambda: {"tensors": tuple(EXAMPLE.tensors[index] for index in (0, 2, 1, 3, 4, 5))}),
    ("G4", "node `pool`", lambda: node("pool", input="act_out")),  # a cycle
    ("G4", "node `flat`", lambda: node("flat", input="nothing")),
    ("G4", "node `conv`", lambda: node("conv", input="conv_out")),
    ("G5", "the graph", lambda: {"nodes": (), "tensors": EXAMPLE.tensors[:1]}),
    ("G5", "the graph", lambda: {"nodes": tuple(Flatten(f"n{index}", "a", "b") for index in range(1025))}),
    ("G5", "tensor `pixels`", lambda: tensor("pixels", shape=(2**70, 1, 1))),
    ("G5", "tensor `pixels`", lambda: tensor("pixels", shape=(65536, 65536, 1))),
    ("G5", "tensor `conv_out`", lambda: tensor("conv_out", shape=(0, 2, 2))),
    ("G5", "tensor `conv_out`", lambda: tensor("conv_out", shape=())),
    ("G6", "tensor `pixels`", lambda: tensor("pixels", bits=7)),
    ("G6", "tensor `pixels`", lambda: tensor("pixels", encoding="bipolar")),
    ("G6", "tensor `pixels`", lambda: tensor("pixels", shape=(4,))),
    ("G7", "node `flat`", flatten_last),
    ("G8", "the graph", lambda: {"logit_scale": np.array([0.5, np.nan])}),
    ("G8", "the graph", lambda: {"logit_scale": np.array([0.5, 0.0])}),
    ("G8", "the graph", lambda: {"logit_scale": np.ones(2, np.float32)}),
    ("G8", "the graph", lambda: {"logit_scale": np.ones(3)}),
    ("G8", "the graph", lambda: {"logit_bias": np.array([-np.inf, 0.0])}),
    ("G8", "the graph", lambda: {"logit_bias": np.array([np.nan, 0.0])}),
    ("G8", "the graph", lambda: {"logit_bias": np.zeros((1, 2))}),
    ("G9", "the graph", lambda: {"metadata": {"seed": 1}}),
    ("G9", "the graph", lambda: {"metadata": {"name": "red \x1b[31m"}}),
    ("G9", "the graph", lambda: {"metadata": {"name": "a" * 4097}}),
    ("G9", "the graph", lambda: {"metadata": {"../name": "a"}}),
    ("G9", "the graph", lambda: {"metadata": {f"key{index}": "" for index in range(65)}}),
    ("G9", "the graph", lambda: {"metadata": None}),
    ("T1", "node `act`", lambda: node("act", encoding="bipolar")),
    ("T1", "node `act`", lambda: node("act", encoding="accumulator")),
    ("T1", "node `act`", lambda: node("act", bits=9)),
    ("T1", "node `act`", lambda: node("act", bits=0)),
    ("T1", "node `output`", wide_linear),
    ("T2", "node `conv`", lambda: tensor("conv_out", shape=(2, 2, 3))),
    ("T3", "node `conv`", lambda: tensor("conv_out", bits=12)),
    ("T3", "node `conv`", lambda: tensor("conv_out", bits=14)),
    ("T3", "node `act`", lambda: tensor("act_out", encoding="bipolar")),
    ("N2", "node `output`", without_flatten),
    ("N3", "node `conv`", lambda: node("conv", weight_encoding="unsigned")),
    ("N3", "node `conv`", lambda: node("conv", weight_bits=9)),
    ("N3", "node `output`", lambda: node("output", weight_bits=1)),
    ("N3", "node `conv`", lambda: array("conv", "weight", lambda before: before.astype(np.int8))),
    ("N3", "node `conv`", lambda: array("conv", "weight", lambda before: before[..., 0])),
    ("N3", "node `conv`", lambda: array("conv", "weight", lambda before: before[:0])),
    ("N3", "node `conv`", lambda: node("conv", weight=np.array(1, np.uint8))),
    ("N3", "node `output`", lambda: array("output", "weight", lambda before: before[:, :1])),
    ("N4", "node `conv`", lambda: array("conv", "weight", put(4, 1, 0, 0, 0))),
    ("N4", "node `output`", lambda: node("output", weight_bits=7)),
    ("N5", "node `conv`", lambda: node("conv", stride=(0, 1))),
    ("N5", "node `conv`", lambda: node("conv", padding=(2, 0, 1, 0))),
    ("N5", "node `conv`", lambda: node("conv", padding=(-1, 0, 1, 0))),
    ("N5", "node `conv`", lambda: node("conv", kernel=(4, 2))),
    ("N6", "node `conv`", lambda: node("conv", pad_code=256)),
    ("N6", "node `conv`", lambda: node("conv", pad_code=-1)),
    ("N7", "node `pool`", lambda: node("pool", kernel=(3, 2))),
    ("N7", "node `pool`", lambda: node("pool", stride=(2, -2))),
    ("N8", "node `act`", lambda: array("act", "thresholds", lambda before: before.astype(np.int64))),
    ("N8", "node `act`", lambda: array("act", "thresholds", lambda before: before[:, :2])),
    ("N8", "node `act`", lambda: array("act", "direction", lambda before: before[:1])),
    ("N8", "node `act`", lambda: array("act", "direction", put(0, 1))),
    ("N9", "node `act`", lambda: array("act", "thresholds", put(226, 0, 0))),
    ("N9", "node `act`", lambda: array("act", "direction", put(1, 1))),
    ("N10", "node `act`", lambda: array("act", "thresholds", put(3062, 0, 2))),
    ("N10", "node `act`", lambda: array("act", "thresholds", put(-3061, 0, 0))),
    ("N10", "node `act`", lambda: array("act", "thresholds", put(3061, 1, 0))),
    ("N10", "node `act`", lambda: array("act", "thresholds", put(-3062, 1, 2))),
    ("N11", "node `act`", lambda: node("act", output_scale=np.array([np.inf]))),
    ("N11", "node `conv`", lambda: node("conv", weight_scale=np.array([1.0, -1.0]))),
    ("N11", "node `conv`", lambda: node("conv", weight_scale=np.ones(3))),
]


@pytest.mark.parametrize(("rule", "where", "changes"), BROKEN)
def test_a_broken_rule_is_named_with_its_node(rule: str, where: str, changes: Callable[[], dict[str, Any]]) -> None:
    with pytest.raises(GraphError) as caught:
        replace(EXAMPLE, **changes())
    assert (caught.value.rule, caught.value.where) == (rule, where), str(caught.value)
    assert re.fullmatch(
        rf"Expected .*, but got .*; {re.escape(where)} breaks rule {rule} \(.*\) of qlight/intgraph/SPEC.md\.", str(caught.value)
    )
    assert isinstance(caught.value, InputError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_operands_of_the_wrong_kind_break_n1() -> None:
    weight = np.ones((1, 1, 1, 1), np.uint8)
    builder = GraphBuilder((2, 2, 1))
    with pytest.raises(GraphError, match="node `act` breaks rule N1"):
        builder.threshold("act", np.ones((1, 1), np.int32), np.ones(1, np.int8), bits=1)
    builder.conv2d("first", weight, bits=1, encoding="odd")
    with pytest.raises(GraphError, match="node `second` breaks rule N1"):
        builder.conv2d("second", weight, bits=1, encoding="odd")


def test_every_rule_of_a_graph_is_broken_above() -> None:
    assert {rule for rule in RULES if rule[0] != "F"} == {rule for rule, _, _ in BROKEN} | {"N1"}


def test_specification_and_code_know_the_same_rules() -> None:
    assert sorted(re.findall(r"^\* \*\*([FGTN]\d+)\*\* ", SPEC, re.M)) == sorted(RULES)


def test_the_extremes_of_the_rules_are_valid() -> None:
    changes = array("act", "thresholds", lambda _: np.array([[-3060, 3061, 3061], [3060, -3061, -3061]], np.int32))
    validate(replace(EXAMPLE, **changes))
    validate(replace(EXAMPLE, **node("conv", pad_code=255)))
    validate(replace(EXAMPLE, logit_scale=np.array([2.0**-126, 2.0**127]), logit_bias=np.array([-(2.0**127), -0.0])))


def test_arrays_are_copies_and_read_only() -> None:
    weight = np.array([[1, -2]], np.int8)
    builder = GraphBuilder((1, 1, 2))
    builder.flatten("flat")
    builder.linear("output", weight, bits=2, encoding="signed")
    graph: Graph = builder.build(np.ones(1), np.zeros(1))
    before = graph.content_hash
    weight[:] = 0
    _, kept = next(graph.nodes[1].arrays())
    assert kept.tolist() == [[1, -2]]
    with pytest.raises(ValueError, match="read-only"):
        kept[:] = 0
    assert replace(graph).content_hash == before


def test_a_refused_node_leaves_the_builder_as_it_was() -> None:
    builder = GraphBuilder((2, 2, 1))
    before = builder.operand
    with pytest.raises(GraphError, match="`pool` breaks rule N7"):
        builder.max_pool("pool", (3, 3))
    with pytest.raises(InputError, match="`weight` of node 'conv'"):
        builder.conv2d("conv", np.ones((1, 1), np.uint8), bits=1, encoding="odd")
    assert builder.operand == before
    with pytest.raises(GraphError, match="G5"):
        builder.build(np.ones(1), np.zeros(1))
