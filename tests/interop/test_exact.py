"""Reference executor = onnxruntime on the plain file = the qonnx package on the QONNX file, and back to the same graph: no tolerance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("qonnx")

import onnx

from qlight.interop import export_onnx_integer, export_qonnx, import_qonnx
from qlight.interop.bounds import FLOAT32_INTEGERS, largest_partial_sum
from qlight.intgraph import Conv2d, Graph, Linear, Threshold, execute, logits, operands, trace
from tests.interop.running import run_onnx, run_qonnx
from tests.interop.wide import wide_graph
from tests.intgraph.example import PIXELS, worked_example
from tests.intgraph.strategies import graphs, image_batches

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_all(graph: Graph, images: np.ndarray, folder: Path) -> None:
    expected = execute(graph, images)
    accumulators, found = run_onnx(export_onnx_integer(graph, folder / "graph.onnx"), images)
    assert accumulators.dtype == np.int32
    np.testing.assert_array_equal(accumulators, expected)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, logits(graph, expected))
    path = export_qonnx(graph, folder / "qonnx.onnx", batch=len(images))
    context = run_qonnx(path, images)
    np.testing.assert_array_equal(context["accumulators"], expected)
    again = import_qonnx(path)
    assert again.content_hash == graph.content_hash
    assert again.metadata == graph.metadata


@EXAMPLES
@given(st.data())
def test_random_graphs(tmp_path: Path, data: st.DataObject) -> None:
    graph = data.draw(graphs())
    check_all(graph, data.draw(image_batches(graph)), tmp_path)


@EXAMPLES
@given(st.data())
def test_a_file_without_metadata_gives_the_same_integers(tmp_path: Path, data: st.DataObject) -> None:
    """Names, encodings and scales are found from the operations alone then, as they must be in other people's files."""
    graph = data.draw(graphs())
    images = data.draw(image_batches(graph))
    path = export_qonnx(graph, tmp_path / "qonnx.onnx")
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    found = import_qonnx(path)
    assert found.metadata["producer"].startswith("qlight")
    np.testing.assert_array_equal(execute(found, images), execute(graph, images))


def test_the_worked_example_of_the_specification(tmp_path: Path) -> None:
    graph = worked_example()
    check_all(graph, PIXELS, tmp_path)
    np.testing.assert_array_equal(run_onnx(tmp_path / "graph.onnx", PIXELS)[0], [[3, -129]])
    context = run_qonnx(tmp_path / "qonnx.onnx", PIXELS)
    for name, tensor in trace(graph, PIXELS).items():
        if name not in ("pixels", "output_out"):
            found = context[name] if tensor.ndim < 4 else context[name].transpose(0, 2, 3, 1)
            np.testing.assert_array_equal(found, tensor, err_msg=name)


@pytest.mark.parametrize("encoding", ["signed", "odd"])
def test_sums_beyond_2_to_the_24(tmp_path: Path, encoding: str) -> None:
    graph = wide_graph(encoding)
    ranges = operands(graph)
    layers = [node for node in graph.nodes if isinstance(node, Conv2d | Linear)]
    assert sum(largest_partial_sum(node, ranges[node.input]) > FLOAT32_INTEGERS for node in layers) == 3
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    images[0], images[1] = 0, 255
    check_all(graph, images, tmp_path)
    # in float32 the same sums would be others
    sums = trace(graph, images)["conv1_out"]
    assert encoding == "signed" or (sums.astype(np.float32) != sums).any()


def test_threshold_that_float32_does_not_have(tmp_path: Path) -> None:
    """Proven ranges pass 2^24, the sums of these weights do not: the layer is float32, its saturated thresholds are not."""
    graph = wide_graph("signed")
    small = tuple(replace(node, weight=np.sign(node.weight)) if isinstance(node, Conv2d | Linear) else node for node in graph.nodes)
    graph = Graph(graph.tensors, small, graph.logit_scale, graph.logit_bias, graph.metadata)
    check_all(graph, np.full((1, 6, 6, 3), 255, np.uint8), tmp_path)
    model = onnx.load(tmp_path / "qonnx.onnx")
    assert "ConvInteger" not in {node.op_type for node in model.graph.node}
    thresholds = [array for array in model.graph.initializer if array.name.endswith(".thresholds")]
    assert {array.data_type for array in thresholds} == {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}
    assert any((np.abs(node.thresholds.astype(np.int64)) > FLOAT32_INTEGERS).any() for node in graph.nodes if isinstance(node, Threshold))


def test_metadata_of_the_plain_file(tmp_path: Path) -> None:
    graph = worked_example()
    said = {entry.key: entry.value for entry in onnx.load(export_onnx_integer(graph, tmp_path / "graph.onnx")).metadata_props}
    assert said["qlight_content_hash"] == graph.content_hash
    assert said["qlight_logit_scale"] == "[0.5, 0.25]"
    assert said["qlight_logit_bias"] == "[1.0, 40.0]"


def test_files_are_valid_onnx_and_deterministic(tmp_path: Path) -> None:
    graph = wide_graph("odd")
    for make in (export_onnx_integer, export_qonnx):
        first, second = make(graph, tmp_path / "a.onnx").read_bytes(), make(graph, tmp_path / "b.onnx").read_bytes()
        assert first == second
        onnx.checker.check_model(onnx.load_from_string(first))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]


def test_annotations_of_qonnx(tmp_path: Path) -> None:
    model = onnx.load(export_qonnx(worked_example(), tmp_path / "qonnx.onnx"))
    said = {entry.tensor_name: entry.quant_parameter_tensor_names[0].value for entry in model.graph.quantization_annotation}
    assert said["pixels"] == "UINT8"
    assert (said["conv.weight"], said["conv_out"], said["act_out"]) == ("INT3", "INT13", "UINT2")
    assert (said["output.weight"], said["accumulators"]) == ("INT8", "INT11")
