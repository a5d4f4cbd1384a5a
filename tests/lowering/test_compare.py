"""The comparison counts every code that differs, knows which ones rounding explains, and sees a graph that is wrong."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
from rich.console import Console

from qlight.errors import InputError
from qlight.intgraph import Conv2d, Graph, Linear, Threshold, trace
from qlight.intgraph.nodes import Node
from qlight.lowering import Lowered, compare, layer_reports, lower, print_table
from qlight.lowering.compare import code_values
from qlight.lowering.simulation import blocks
from qlight.quantization import Quantizer
from tests.models.networks import classifier

IMAGES = np.random.default_rng(1).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(40) % 10


def changed(lowered: Lowered, name: str, **arrays: np.ndarray) -> Lowered:
    """The graph with arrays of one node replaced."""
    graph = lowered.graph
    nodes: list[Node] = [dataclasses.replace(node, **arrays) if node.name == name else node for node in graph.nodes]
    return Lowered(Graph(graph.tensors, tuple(nodes), graph.logit_scale, graph.logit_bias, graph.metadata), lowered.simulated)


def threshold(lowered: Lowered, name: str) -> Threshold:
    node = next(node for node in lowered.graph.nodes if node.name == name)
    assert isinstance(node, Threshold)
    return node


@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (2, 2), (4, 4), (2, 32)])
def test_every_other_code_is_explained(weights: int, activations: int) -> None:
    model = classifier(weights, activations)
    found = compare(lower(model, IMAGES), model, IMAGES, LABELS)
    assert found.images == 40
    assert sum(layer.unexplained for layer in found.layers) == found.unexplained_predictions == 0
    if (weights, activations) == (1, 1):  # torch's sums are whole numbers: equal, whatever the first layer did
        assert [layer.own for layer in found.layers[1:]] == [0] * 7
    assert found.agreement >= 0.97
    assert found.layers[0].codes == 40 * 32 * 32 * 16
    assert found.layers[-1].codes == 40 * 128
    assert all(layer.own <= layer.codes * 1e-3 for layer in found.layers)


def test_accuracies_are_those_of_the_predictions() -> None:
    model = classifier(2, 2)
    lowered = lower(model)
    real = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        trained, simulated = model(real).argmax(1).numpy(), lowered.simulated(real).argmax(1).numpy()
    found = compare(lowered, model.train(), torch.from_numpy(IMAGES), torch.from_numpy(LABELS[:, None]))
    assert model.training
    assert found.trained_accuracy == pytest.approx((trained == LABELS).mean())
    assert found.simulated_accuracy == pytest.approx((simulated == LABELS).mean())
    if found.agreement == 1:
        assert found.graph_accuracy == found.simulated_accuracy
        assert found.unchanged == pytest.approx((trained == simulated).mean())
    without = compare(lowered, None, IMAGES[:3])
    assert (without.trained_accuracy, without.graph_accuracy, without.unchanged) == (None, None, None)


def test_a_wrong_threshold_is_unexplained() -> None:
    lowered = lower(classifier(1, 1))
    found = threshold(lowered, "conv3_act")
    # two beyond, since accumulators have the parity of 288: an even threshold and the odd one before it are the same
    wrong = changed(lowered, "conv3_act", thresholds=np.clip(found.thresholds + 2 * found.direction[:, None], -288, 288).astype(np.int32))
    layers = {layer.name: layer for layer in compare(wrong, None, IMAGES[:8]).layers}
    assert layers["conv2_act"].unexplained == layers["conv4_act"].unexplained == 0
    assert layers["conv3_act"].unexplained >= layers["conv3_act"].own > 0
    assert layers["conv4_act"].mismatching > 0  # inherited
    assert layers["conv4_act"].own == 0


def test_one_wrong_weight_is_unexplained() -> None:
    lowered = lower(classifier(4, 4))
    node = next(node for node in lowered.graph.nodes if node.name == "dense2")
    assert isinstance(node, Linear)
    weight = node.weight.copy()
    weight[:, :8] = 15 - weight[:, :8]
    layers = compare(changed(lowered, "dense2", weight=weight), None, IMAGES[:8]).layers
    assert layers[-1].unexplained > 0
    assert layers[-2].unexplained == 0


def test_wrong_logits_are_unexplained() -> None:
    lowered = lower(classifier(1, 1))
    graph = lowered.graph
    bias = graph.logit_bias.copy()
    bias[9] += 1e3
    wrong = Lowered(Graph(graph.tensors, graph.nodes, graph.logit_scale, bias), lowered.simulated)
    found = compare(wrong, None, IMAGES[:8])
    assert found.agreement < 1
    assert found.unexplained_predictions > 0


@pytest.mark.parametrize(("weights", "activations"), [(1, 1), (4, 4), (8, 8), (1, 32)])
def test_values_of_codes_are_torch_s_bit_for_bit(weights: int, activations: int) -> None:
    activation = next(blocks(lower(classifier(weights, activations), IMAGES[:4]).simulated)).activation
    assert isinstance(activation, Quantizer)
    found = activation.quantize(torch.linspace(-1, 3, 4001))
    assert torch.equal(code_values(activation, found.code), found.value)


def test_layers_are_described() -> None:
    graph = lower(classifier(2, 2, network="cifar10")).graph
    layers = layer_reports(graph)
    assert [layer.name for layer in layers] == [*(f"conv{i}" for i in range(1, 7)), "dense1", "dense2", "output"]
    assert [layer.op for layer in layers[:2]] == ["Conv2d", "Conv2d + MaxPool"]
    assert sum(layer.weight_memory_bits for layer in layers) == sum(
        node.weight.size * node.weight_bits for node in graph.nodes if isinstance(node, Conv2d | Linear)
    )
    first, second, last = layers[0], layers[1], layers[-1]
    assert (first.weight_bits, first.accumulator_bits, first.activation_bits, first.output_shape) == (8, 21, 2, (32, 32, 16))
    assert (second.output_shape, second.multiplications) == ((16, 16, 16), 32 * 32 * 16 * 9 * 16)
    assert second.threshold_memory_bits == 16 * (3 * second.accumulator_bits + 1)
    assert (last.activation_bits, last.threshold_memory_bits, last.output_shape) == (None, 0, (10,))


def test_the_table_shows_every_layer_and_what_changed() -> None:
    model = classifier(1, 1)
    lowered = lower(model)
    out = io.StringIO()
    print_table(lowered.graph, compare(lowered, model, IMAGES[:4], LABELS[:4]), Console(file=out, width=60))
    text = out.getvalue()
    for wanted in ("svhn w1a1", "conv1", "16x3x3x3", "dense2", "output", "clean accuracy", "points", lowered.graph.content_hash):
        assert wanted in text
    assert "does not explain: 0" in text
    out = io.StringIO()
    print_table(lowered.graph, console=Console(file=out))
    assert "accuracy" not in out.getvalue()


def test_the_trace_is_not_changed_by_grouping() -> None:
    # 40 images are more than one chunk of `compare`
    lowered = lower(classifier(2, 2))
    whole = trace(lowered.graph, IMAGES[:33])
    single = trace(lowered.graph, IMAGES[32:33])
    assert all(np.array_equal(whole[name][32:], single[name]) for name in whole)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(LABELS[:3], "40 integers"), (LABELS / 1.0, "float64"), (LABELS + 1, "but got 10"), (LABELS - 1, "but got -1")],
)
def test_bad_labels(labels: np.ndarray, message: str) -> None:
    lowered = lower(classifier(1, 1))
    with pytest.raises(InputError, match=message):
        compare(lowered, None, IMAGES, labels)


def test_bad_images() -> None:
    lowered = lower(classifier(1, 1))
    with pytest.raises(InputError, match="Expected `images` to be images N x 3 x 32 x 32"):
        compare(lowered, None, IMAGES[0])
    with pytest.raises(InputError, match="Classifier or one of its networks"):
        compare(lowered, torch.nn.Identity(), IMAGES)
