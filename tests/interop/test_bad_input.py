"""Files and arguments that no graph can be made of: one sentence each, and nothing runs or is opened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from qlight.errors import InputError
from qlight.interop import FORMATS, export_onnx_integer, export_qonnx, extra, import_qonnx, write
from qlight.intgraph import Graph, execute
from tests.interop.brevitas_form import File
from tests.intgraph.example import PIXELS, worked_example


def small() -> File:
    file = File(3, 8, 8)
    file.conv(4, 6, 3)
    file.relu()
    file.activation(4, 0.2, signed=0)
    file.reshape(384)
    return file


def refused(file: File, tmp_path: Path) -> str:
    with pytest.raises(InputError) as error:
        import_qonnx(file.save(tmp_path / "model.onnx"))
    message = str(error.value)
    assert message.startswith("Expected ")
    assert "\n" not in message
    return message


def test_the_small_network_itself_is_accepted(tmp_path: Path) -> None:
    file = small()
    file.gemm(4, 5, 384)
    assert len(import_qonnx(file.save(tmp_path / "model.onnx")).nodes) == 4


Change = Callable[[File], object]
UNSUPPORTED: dict[str, tuple[Change, str]] = {
    "operation": (lambda file: file.op("Softmax", file.last), "Softmax"),
    "unknown operation": (lambda file: file.op("Evil", file.last, domain="some.module"), "Evil"),
    "sigmoid": (lambda file: file.op("Sigmoid", file.last), "supported are Conv, Gemm"),
    "branch": (lambda file: file.op("Add", file.last, "input"), "one operation after the other"),
    "real weights": (lambda file: file.op("MatMul", file.last, file.constant(np.full((384, 4), 0.3))), "`real_weight_bit_width`"),
    "huge weights": (lambda file: file.op("MatMul", file.last, file.constant(np.full((384, 4), 300))), "at most 8 bits"),
    "weights that are not finite": (lambda file: file.op("MatMul", file.last, file.constant(np.full((384, 4), np.nan))), "finite"),
    "shape of weights": (lambda file: file.gemm(4, 5, 383), "for vectors of 384"),
    "quantizer at the end": (lambda file: (file.gemm(4, 5, 384), file.activation(4, 0.1)), "a dense layer (Gemm or MatMul) at the end"),
    "ReLU at the end": (lambda file: (file.gemm(4, 5, 384), file.relu()), "accumulators times a positive scale"),
    "no dense layer": (lambda file: file.relu(), "a dense layer"),
    "two layers": (lambda file: (file.gemm(4, 5, 384), file.gemm(4, 5, 5)), "a quantizer between two layers"),
    "scales of activations": (lambda file: file.activation(4, np.full((1, 384), 0.1) * np.arange(1, 385)), "one scale for all channels"),
    "negative scale": (lambda file: file.activation(4, -0.1), "a positive scale"),
    "zero point": (lambda file: file.activation(4, 0.1, zero=0.3), "an integer zero point"),
    "bit width": (lambda file: file.activation(9, 0.1), "1 to 8 bits"),
    "bit width that is no number": (lambda file: file.activation(4.5, 0.1), "1 to 8 bits"),  # type: ignore[arg-type]
    "zero point of one bit": (lambda file: file.activation(1, 0.1, zero=1.0), "the zero point 0"),
    "operations on constants": (lambda file: file.op("Mul", file.constant(1.0), file.constant(2.0)), "cleanup folds"),
    "rounding": (lambda file: file.activation(4, 0.1, mode="STOCHASTIC"), "`rounding_mode`"),
    "reshape": (lambda file: file.reshape(192), "Reshape to N x 384"),
    "division": (lambda file: file.op("Div", file.constant(1.0), file.last), "a division by a constant"),
    "constant": (lambda file: file.op("Mul", file.last, file.constant(np.ones((384, 384)))), "for each of 384 channels"),
    "infinite constant": (lambda file: file.op("Mul", file.last, file.constant(np.inf)), "finite numbers"),
    "cast": (lambda file: file.op("Cast", file.last, to=9), "a Cast to real numbers"),
    "gemm": (lambda file: file.op("Gemm", file.last, file.weight(4, 384, 5), alpha=2.0), "`alpha`"),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_unsupported_operations_and_settings(tmp_path: Path, case: str) -> None:
    change, words = UNSUPPORTED[case]
    file = small()
    change(file)
    assert words in refused(file, tmp_path)


IMAGES: dict[str, tuple[Change, str]] = {
    "groups": (lambda file: file.op("Conv", file.last, file.weight(4, 3, 3, 3, 3), group=3), "one group"),
    "dilation": (lambda file: file.op("Conv", file.last, file.weight(4, 3, 3, 3, 3), dilations=[2, 2]), "no dilation"),
    "auto_pad": (lambda file: file.op("Conv", file.last, file.weight(4, 3, 3, 3, 3), auto_pad="SAME_UPPER"), "explicit `pads`"),
    "padding": (lambda file: file.op("Conv", file.last, file.weight(4, 3, 3, 3, 3), pads=[3] * 4), "rule N5"),
    "pool": (lambda file: file.op("MaxPool", file.last, kernel_shape=[2, 2], pads=[1] * 4), "without padding"),
    "average": (lambda file: file.op("AveragePool", file.last, kernel_shape=[2, 2]), "AveragePool"),
    "padding of other axes": (
        lambda file: file.op("Pad", file.last, file.constant([0, 1, 0, 0, 0, 0, 0, 0], np.int64)),
        "height and width",
    ),
    "padding with no code": (
        lambda file: (
            file.op("Pad", file.last, file.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64), file.constant(-0.5)),
            file.conv(4, 2, 3, pad=0),
        ),
        "the value of a code",
    ),
    "two values of padding": (
        lambda file: (file.op("Pad", file.last, file.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64), file.constant(1.0)), file.conv(4, 2, 3)),
        "one value of padding",
    ),
    "normalization without a quantizer": (
        lambda file: (file.op("Sub", file.last, file.constant(np.array([0.4, 0.5, 0.6]).reshape(3, 1, 1))), file.conv(4, 2, 3)),
        "one scale and offset for all channels",
    ),
    "Flatten before pooled sums are quantized": (
        lambda file: (file.conv(4, 6, 3), file.batch_norm(6), file.pool(), file.op("Flatten", file.last), file.activation(4, 0.1)),
        "and Flatten",
    ),
    "Pad before a pool": (
        lambda file: (file.op("Pad", file.last, file.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)), file.pool()),
        "a convolution after Pad",
    ),
    "flatten": (lambda file: file.op("Flatten", file.last, axis=2), "`axis` 1"),
    "transpose": (lambda file: file.op("Transpose", file.last, perm=[0, 2, 3, 1]), "Transpose"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_unsupported_operations_on_images(tmp_path: Path, case: str) -> None:
    change, words = IMAGES[case]
    file = File(3, 8, 8)
    change(file)
    assert words in refused(file, tmp_path)


def edited(tmp_path: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    file = small()
    file.gemm(4, 5, 384)
    path = file.save(tmp_path / "model.onnx")
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4 * 162))

    def outside(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="secret")

    with pytest.raises(InputError, match="another file, which is not opened"):
        import_qonnx(edited(tmp_path, outside))


def test_arrays_that_claim_more_than_they_hold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="whole arrays"):
        import_qonnx(edited(tmp_path, lambda model: model.graph.initializer[0].dims.extend([1 << 40])))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: model.graph.initializer[0].__setattr__("data_type", onnx.TensorProto.STRING), "real numbers and integers"),
        (lambda model: model.graph.output.extend([*model.graph.output]), "one input and one output"),
        (lambda model: model.graph.ClearField("node"), "no graph"),
        (lambda model: model.functions.add(name="f"), "functions"),
        (lambda model: model.graph.node[2].attribute.add(name="then", type=onnx.AttributeProto.GRAPH), "graphs or lists of texts"),
        (lambda model: model.graph.input[0].type.tensor_type.shape.ClearField("dim"), "known sizes"),
        (lambda model: model.graph.input[0].type.tensor_type.shape.dim[2].__setattr__("dim_value", 1 << 40), "rule G5"),
        (lambda model: model.graph.output[0].__setattr__("name", "elsewhere"), "up to its output"),
    ],
)
def test_other_parts_of_a_file(tmp_path: Path, change: Callable[[onnx.ModelProto], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        import_qonnx(edited(tmp_path, change))


def test_types_of_attributes_and_names_are_checked(tmp_path: Path) -> None:
    def text(model: onnx.ModelProto) -> None:
        attribute = next(each for node in model.graph.node for each in node.attribute if each.name == "pads")
        attribute.CopyFrom(onnx.helper.make_attribute("pads", "1"))

    with pytest.raises(InputError, match=r"`pads` of node .* to be of type INTS"):
        import_qonnx(edited(tmp_path, text))

    def twice(model: onnx.ModelProto) -> None:
        model.graph.node[1].output[0] = model.graph.initializer[0].name

    with pytest.raises(InputError, match="a name of its own"):
        import_qonnx(edited(tmp_path, twice))


def test_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        import_qonnx(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="no regular file"):
        import_qonnx(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no regular file"):
        import_qonnx(tmp_path / "pipe")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(InputError, match="to be an ONNX model"):
        import_qonnx(tmp_path / "text.onnx")
    path = edited(tmp_path, lambda model: None)
    with pytest.raises(InputError, match="at most 100 bytes"):
        import_qonnx(path, max_bytes=100)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_damaged_files_raise_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = export_qonnx(worked_example(), folder / "model.onnx")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from((len(content), place)))])
    try:
        found = import_qonnx(path)
    except InputError:
        return
    assert isinstance(found, Graph)


def test_metadata_is_not_believed(tmp_path: Path) -> None:
    """What a file says of its graph changes no integer, and nonsense is left out."""
    path = export_qonnx(worked_example(), tmp_path / "model.onnx")
    expected = execute(worked_example(), PIXELS)
    for key, value in [
        ("qlight_nodes", "[" * 100_000),
        ("qlight_nodes", json.dumps([{"op": "Conv2d", "name": "conv", "encoding": "signed", "bits": 2, "scale": "x", "pad_code": -1}])),
        ("qlight_nodes", json.dumps([{"op": "Conv2d", "name": "act1"}, {"op": "MaxPool", "name": "act1"}])),
        ("qlight_tensors", json.dumps(["a", "a", "a", "a", "a", "a"])),
        ("qlight_tensors", json.dumps(["../x"] * 6)),
        ("qlight_logit_scale", "[1]"),
        ("qlight_metadata", "[1]"),
    ]:
        model = onnx.load(path)
        onnx.helper.set_model_props(model, {**{entry.key: entry.value for entry in model.metadata_props}, key: value})
        onnx.save(model, tmp_path / "edited.onnx")
        np.testing.assert_array_equal(execute(import_qonnx(tmp_path / "edited.onnx"), PIXELS), expected)


def test_arguments(tmp_path: Path) -> None:
    graph = worked_example()
    with pytest.raises(InputError, match="`batch` to be a positive integer, but got 0"):
        export_qonnx(graph, tmp_path / "a.onnx", batch=0)
    with pytest.raises(InputError, match="`graph` to be a Graph, but got str"):
        export_onnx_integer("graph", tmp_path / "a.onnx")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is a folder"):
        export_qonnx(graph, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot"):
        export_qonnx(graph, tmp_path / "file" / "a.onnx")
    with pytest.raises(InputError, match="one of graph, qonnx, onnx, but got 'onx'; try onnx"):
        write(graph, tmp_path, "onx")
    path = export_qonnx(graph, tmp_path / "a.onnx")
    with pytest.raises(InputError, match="`input_scale` to be a positive number"):
        import_qonnx(path, input_scale=0)
    with pytest.raises(InputError, match="`real_weight_bit_width` to be from 2 to 8, but got 9"):
        import_qonnx(path, real_weight_bit_width=9)
    with pytest.raises(InputError, match="`max_bytes` to be a positive integer"):
        import_qonnx(path, max_bytes=0)


@pytest.mark.parametrize("name", FORMATS)
def test_write(tmp_path: Path, name: str) -> None:
    graph = worked_example()
    path = write(graph, tmp_path / "folder", name)
    assert path == tmp_path / "folder" / FORMATS[name]
    if name == "graph":
        assert Graph.load(path.parent).content_hash == graph.content_hash
        return
    other = write(graph, tmp_path / "own.onnx", name)
    assert other.read_bytes() == path.read_bytes()


def test_a_missing_extra_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    path = export_qonnx(worked_example(), tmp_path / "a.onnx")
    monkeypatch.setattr(extra, "import_module", missing)
    for call in (lambda: export_onnx_integer(worked_example(), tmp_path / "b.onnx"), lambda: import_qonnx(path)):
        with pytest.raises(InputError, match=r"pip install -e '\.\[interop\]'"):
            call()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.onnx"]


def test_dense_constants_of_other_types(tmp_path: Path) -> None:
    """float64 and float16 arrays, and a Constant node, are read as well."""
    file = small()
    weight = numpy_helper.from_array(np.ones((384, 2), np.float16), "w")
    before = file.last
    file.op("Constant", value=weight)
    file.op("MatMul", before, file.last)
    assert import_qonnx(file.save(tmp_path / "model.onnx")).output.shape == (2,)
