"""Lowered networks of every precision: reference executor = onnxruntime = the qonnx package, and back to the same graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("qonnx")

import onnx

from qlight.intgraph import Graph, GraphBuilder
from qlight.lowering import lower
from tests.engines.networks import network_graph
from tests.interop.test_exact import check_all
from tests.models.networks import classifier

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
IMAGES[0], IMAGES[1] = 0, 255


@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (3, 3), (4, 4), (2, 32), (32, 32)])
def test_lowered_networks(tmp_path: Path, weights: int, activations: int) -> None:
    graph = lower(classifier(weights, activations, seed=weights), torch.from_numpy(IMAGES)).graph
    check_all(graph, IMAGES[: 4 if activations < 32 else 2], tmp_path)


def test_saturated_thresholds(tmp_path: Path) -> None:
    check_all(network_graph(2, 2, thresholds="saturated"), IMAGES[:2], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (4, 4), (4, 8), (8, 8)])
def test_paper_width(tmp_path: Path, weights: int, activations: int) -> None:
    """By types alone, 4-bit weights on 8-bit codes could pass 2^24; these weights cannot. 8-bit weights can: integers in QONNX too."""
    graph = network_graph(weights, activations, weights="odd" if weights < 8 else "signed", width=1.0)
    check_all(graph, IMAGES[2:3], tmp_path)
    found = {node.op_type for node in onnx.load(tmp_path / "qonnx.onnx").graph.node}
    assert ("MatMulInteger" in found) == (weights == 8)
    assert any(tensor.bits > 25 for tensor in graph.tensors) == (activations == 8)


def test_vectors_as_images(tmp_path: Path) -> None:
    """A network without convolutions."""
    rng = np.random.default_rng(0)
    builder = GraphBuilder((5, 4, 3))
    builder.flatten("flat")
    builder.linear("dense1", rng.integers(0, 2, (8, 60)).astype(np.uint8), bits=1, encoding="odd")
    direction = rng.choice([-1, 1], 8).astype(np.int8)
    builder.threshold("act1", rng.integers(-900, 900, (8, 1)).astype(np.int32), direction, bits=1, encoding="bipolar")
    builder.linear("output", rng.integers(-2, 2, (3, 8)).astype(np.int8), bits=2, encoding="signed")
    graph: Graph = builder.build(np.ones(3), np.zeros(3))
    check_all(graph, rng.integers(0, 256, (3, 5, 4, 3), dtype=np.uint8), tmp_path)
