"""Files in the form of Brevitas become graphs that give the file's own numbers, as the qonnx package computes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("qonnx")

import onnxruntime
from onnx import TensorProto, helper

from qlight.interop import convert, import_qonnx
from qlight.interop.arithmetic import ROUNDINGS, IntQuantizer, Step, batch_norm
from qlight.intgraph import Conv2d, Graph, Threshold, execute, logits
from tests.interop.brevitas_form import File
from tests.interop.running import channels_first, cleaned, run_any

#: from dark to bright
PIXELS = (np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3)) * np.linspace(0, 1, 10)[:, None, None, None]).astype(np.uint8)


def check(file: File, folder: Path, images: np.ndarray = PIXELS, scale: float = 1 / 255) -> Graph:
    """The file and the cleaned file give the graph, whose logits are the file's up to their own rounding: a code that differs is seen."""
    path = file.save(folder / "model.onnx")
    after = cleaned(path)
    expected = run_any(after, channels_first(images).astype(np.float32) / np.float32(1 / scale))
    graph = import_qonnx(path, input_scale=scale)
    np.testing.assert_allclose(logits(graph, execute(graph, images)), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert len(np.unique(expected.round(3), axis=0)) > 4  # the images make a difference
    assert import_qonnx(after, input_scale=scale).content_hash == graph.content_hash
    return graph


def test_relu_network_with_batch_norms_and_biases(tmp_path: Path) -> None:
    file = File(3, 8, 8)
    file.activation(8, 1 / 255, signed=0)  # the codes are the pixels
    file.conv(8, 6, 3, bias=True)
    file.pool()
    file.batch_norm(6)
    file.relu()
    file.activation(4, 0.21, signed=0)
    file.conv(3, 8, 6, pad=0)
    file.batch_norm(8)
    file.relu()
    file.activation(2, 0.6, signed=0)
    file.reshape(32)
    file.gemm(4, 12, 32)
    file.batch_norm(12)
    file.relu()
    file.activation(4, 0.1, signed=0, narrow=1)
    file.gemm(8, 5, 12)
    graph = check(file, tmp_path)
    ops = [node.op for node in graph.nodes]
    assert ops == ["Conv2d", "MaxPool", "Threshold", "Conv2d", "Threshold", "Flatten", "Linear", "Threshold", "Linear"]
    weights = [node for node in graph.nodes if isinstance(node, Conv2d)]
    assert [(node.weight_encoding, node.weight_bits) for node in weights] == [("signed", 8), ("signed", 3)]
    assert graph.metadata["producer"] == "pytorch"


@pytest.mark.parametrize("pad", [0, 1])
def test_binary_network(tmp_path: Path, pad: int) -> None:
    """Brevitas pads -1 and +1 with 0, which needs a third code; without padding one bit is enough."""
    file = File(3, 8, 8, domain="onnx.brevitas")
    file.conv(8, 16, 3)
    file.pool()
    file.batch_norm(16)
    file.binary()
    file.conv(1, 32, 16, pad=pad)
    file.pool()
    file.batch_norm(32)
    file.binary(scale=0.5)
    file.op("Flatten", file.last, axis=1)
    features = 32 * (2 if pad else 1) ** 2
    file.gemm(1, 64, features, bias=False)
    file.batch_norm(64)
    file.binary()
    file.gemm(1, 5, 64)
    graph = check(file, tmp_path)
    first, second, third = (node for node in graph.nodes if isinstance(node, Threshold))
    assert (first.encoding, first.bits) == (("unsigned", 2) if pad else ("bipolar", 1))
    assert (second.encoding, third.encoding) == ("bipolar", "bipolar")


def test_pool_after_a_negative_batch_norm_scale(tmp_path: Path) -> None:
    """There the largest output is that of the smallest sum: codes are pooled instead of sums."""
    file = File(3, 8, 8)
    file.conv(4, 6, 3)
    file.batch_norm(6)
    file.relu()
    file.pool()
    file.activation(3, 0.1, signed=0)
    file.reshape(96)
    file.gemm(4, 5, 96)
    graph = check(file, tmp_path)
    assert [node.op for node in graph.nodes][:3] == ["Conv2d", "Threshold", "MaxPool"]


def test_pad_and_what_stands_between_it_and_the_convolution(tmp_path: Path) -> None:
    """The padding goes through the same operations as all else: 1 becomes 2 * 1 - 0.5."""
    file = File(3, 8, 8)
    file.op("Pad", file.last, file.constant([0, 0, 1, 0, 0, 0, 1, 2], np.int64), file.constant(1.0))
    file.op("Mul", file.last, file.constant(2.0))
    file.op("Add", file.last, file.constant(-0.5))
    file.conv(4, 6, 3, pad=0)
    file.relu()
    file.activation(4, 0.5, signed=0)
    file.reshape(8 * 8 * 6)
    file.gemm(4, 5, 8 * 8 * 6)
    first = check(file, tmp_path).nodes[0]
    assert isinstance(first, Conv2d)
    assert (first.padding, first.pad_code) == ((1, 1, 0, 2), 255)


def test_signed_activations_padding_and_normalized_pixels(tmp_path: Path) -> None:
    """Pixels through 2 x - 1 by channel and an 8-bit signed Quant become a 1x1 convolution with thresholds; 0 is the middle code."""
    file = File(3, 8, 8)
    file.op("Mul", file.last, file.constant([[[2.0]], [[1.9]], [[2.2]]]))
    file.op("Sub", file.last, file.constant(np.array([1.0, 0.9, 1.1]).reshape(1, 3, 1, 1)))
    file.activation(8, 1 / 128)
    file.conv(4, 6, 3)
    file.batch_norm(6)
    file.activation(3, 0.4, narrow=1)
    file.op("Identity", file.last)
    file.activation(3, 0.4, narrow=1)  # once more: nothing changes
    file.conv(4, 6, 6, stride=2)
    file.batch_norm(6)
    file.activation(8, 0.05, zero=3.0)
    file.activation(2, 1.1)  # another: again thresholds
    file.reshape(96)
    file.gemm(4, 5, 96)
    file.op("Mul", file.last, file.constant([[0.5, 1, 2, 3, 4]]))
    graph = check(file, tmp_path)
    assert graph.nodes[0].name == "select1"
    second = [node for node in graph.nodes if isinstance(node, Conv2d)][1]
    assert second.pad_code == 128


def test_vectors(tmp_path: Path) -> None:
    file = File(12)
    file.gemm(2, 9, 12, bias=False)
    file.batch_norm(9)
    file.relu()
    file.activation(2, 0.8, signed=0)
    file.gemm(3, 4, 9)
    images = np.random.default_rng(1).integers(0, 256, (10, 1, 1, 12), dtype=np.uint8)
    path = file.save(tmp_path / "model.onnx")
    expected = run_any(cleaned(path), images[:, 0, 0].astype(np.float32) / np.float32(255))
    graph = import_qonnx(path)
    np.testing.assert_allclose(logits(graph, execute(graph, images)), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("mode", ["ROUND", "CEIL", "HALF_UP"])
def test_every_code_of_every_sum_is_the_files_own(tmp_path: Path, mode: str) -> None:
    """Pixels through 24 channels whose numbers tie often (steps of 1/4, 1/2 and 1, batch norm scales that are powers of two): the sums
    are integers and so exact in float32, and what follows must agree to the last bit, at ties too."""
    channels = 24
    file = File(1, 1, 1, seed=3)
    rng = file.rng
    before = file.last
    weight = file.quant(file.constant(rng.integers(-3, 4, (channels, 1, 1, 1))), 3, 1.0)
    file.op("Conv", before, weight, kernel_shape=[1, 1], strides=[1, 1], pads=[0] * 4)
    factor = 2.0 ** rng.integers(-4, 1, channels) * rng.choice([-1, 1], channels)
    moved = rng.integers(-64, 64, channels) / 4
    arrays = (factor, moved, rng.integers(-8, 8, channels) / 2, np.ones(channels))
    file.op("BatchNormalization", file.last, *(file.constant(array) for array in arrays), epsilon=0.0)
    file.op("Add", file.last, file.constant(rng.integers(-8, 8, (channels, 1, 1)) / 4))
    file.op("Div", file.last, file.constant(0.5))
    file.activation(5, 1.5, mode=mode)
    file.op("Flatten", file.last)
    file.op("MatMul", file.last, file.constant(np.eye(channels)))
    path = file.save(tmp_path / "model.onnx")
    images = np.arange(0, 256, 3, dtype=np.uint8).reshape(-1, 1, 1, 1)
    expected = run_any(cleaned(path), channels_first(images).astype(np.float32))
    graph = import_qonnx(path, input_scale=1.0)
    np.testing.assert_array_equal(logits(graph, execute(graph, images)), expected)
    assert len(np.unique(expected)) > 20


def test_arithmetic_is_that_of_onnxruntime() -> None:
    """Bit for bit, on numbers that round."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 16, 1, 1)).astype(np.float32)
    arrays = [array.astype(np.float32) for array in rng.normal(size=(3, 16))] + [rng.uniform(0.1, 9, 16).astype(np.float32)]
    names = ["weight", "bias", "mean", "variance"]
    node = helper.make_node("BatchNormalization", ["x", *names], ["y"], epsilon=1e-5)
    typed = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)]
    typed += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [16]) for name in names]
    graph = helper.make_graph([node], "one", typed, [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.asarray(session.run(None, {"x": x, **dict(zip(names, arrays, strict=True))})[0])[:, :, 0, 0]
    found = x[:, :, 0, 0]
    weight, bias, mean, variance = arrays
    for step in batch_norm(weight, bias, mean, variance, 1e-5):
        found = step(found)
    np.testing.assert_array_equal(found, expected)
    assert Step("Div", arrays[3])(x[:, :, 0, 0]).dtype == np.float32


@pytest.mark.parametrize("mode", sorted(ROUNDINGS))
def test_quantizers_are_those_of_qonnx(mode: str) -> None:
    from qonnx.custom_op.general.intquant import int_quant

    x = np.concatenate([np.arange(-40, 40) / 8, np.random.default_rng(0).normal(0, 3, 200)]).astype(np.float32)[:, None]
    quantizer = IntQuantizer(0.25, 1.0, -8, 7, mode)
    found = (quantizer.codes(x) + quantizer.shift) * quantizer.scale
    scale, zero, bits = (np.array(number, np.float32) for number in (0.25, 1.0, 4.0))
    np.testing.assert_array_equal(found, int_quant(x, scale, zero, bits, True, False, mode))


def test_real_weights_are_rounded_only_on_demand(tmp_path: Path) -> None:
    file = File(3, 8, 8)
    rng = np.random.default_rng(0)
    file.op("Conv", file.last, file.constant(rng.normal(size=(6, 3, 3, 3))), pads=[1] * 4, kernel_shape=[3, 3])
    file.relu()
    file.activation(4, 0.2, signed=0)
    file.reshape(384)
    file.gemm(4, 5, 384)
    path = file.save(tmp_path / "model.onnx")
    expected = run_any(cleaned(path), channels_first(PIXELS).astype(np.float32) / 255)
    graph = import_qonnx(path, real_weight_bit_width=8)
    found = logits(graph, execute(graph, PIXELS))
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert graph.metadata["real_weight_bit_width"] == "8"
    assert convert(path, tmp_path / "graph", real_weight_bit_width=8).content_hash == Graph.load(tmp_path / "graph").content_hash
