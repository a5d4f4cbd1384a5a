"""Lowering keeps the trained network's own function, layer by layer, and refuses what has no integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from qlight.errors import InputError
from qlight.intgraph import Graph, Linear, Threshold, trace
from qlight.lowering import Lowered, lower
from qlight.models import Classifier
from tests.models.networks import classifier

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))


def unit(images: Tensor = IMAGES) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255


def blocks(model: Classifier) -> list[torch.nn.Module]:
    return [*model.network.features, *model.network.dense]


def test_inner_layers_of_a_binary_network_equal_torch_s_exactly() -> None:
    """The trained network itself, not the simulated one, from the graph's first codes on."""
    model = classifier(1, 1, network="cifar10")
    found = trace(lower(model).graph, IMAGES.numpy())
    values = torch.from_numpy(found["conv1_act_out"]).permute(0, 3, 1, 2).float() * 2 - 1
    names = [f"conv{i}_act_out" for i in range(2, 7)] + ["dense1_act_out", "dense2_act_out"]
    with torch.no_grad():
        for block, name in zip(blocks(model)[1:], names, strict=True):
            values = block(torch.flatten(values, 1) if name == "dense1_act_out" else values)
            codes = (values.permute(0, 2, 3, 1) if values.dim() == 4 else values) > 0
            np.testing.assert_array_equal(codes.numpy(), found[name], err_msg=name)
            assert 0 < codes.float().mean() < 1


@pytest.mark.parametrize("bits", [2, 4])
def test_inner_layers_of_a_dorefa_network_equal_float64_exactly(bits: int) -> None:
    """In float64 the sums are right to 1e-16, so codes differ only where a step is that near: nowhere here."""
    model = classifier(bits, bits)
    found = trace(lower(model).graph, IMAGES.numpy())
    n = 2**bits - 1
    double = model.double()
    names = [f"conv{i}_act_out" for i in range(2, 7)] + ["dense1_act_out", "dense2_act_out"]
    previous = "conv1_act_out"
    with torch.no_grad():
        for block, name in zip(blocks(double)[1:], names, strict=True):
            codes = torch.from_numpy(found[previous]).double()
            values = (codes.permute(0, 3, 1, 2) if codes.dim() == 4 else codes) / n
            layer = block.get_submodule("dense" if "dense" in name else "conv")
            # the layer's weights are k / n in float32: round what they stand for
            weight = (layer.quantized_weight().float().mul(n).round().double() / n).detach()  # type: ignore[operator]
            if "dense" in name:
                sums = torch.nn.functional.linear(torch.flatten(values, 1), weight)
            else:
                sums = torch.nn.functional.conv2d(values, weight, padding=1)
                sums = torch.nn.functional.max_pool2d(sums, 2) if hasattr(block, "pool") else sums
            expected = (block.get_submodule("norm")(sums).clamp(0, 1) * n).round()
            expected = expected.permute(0, 2, 3, 1) if expected.dim() == 4 else expected
            # float32's batch norm may differ from float64's next to a step
            assert (expected.numpy() != found[name]).mean() < 1e-3, name
            previous = name


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_boundary_and_calibrated_bit_widths(bits: int) -> None:
    graph = lower(classifier(2, 32), IMAGES, boundary_bit_width=bits, activation_bit_width=bits).graph
    assert getattr(graph.nodes[0], "weight_bits") == getattr(graph.nodes[-1], "weight_bits") == bits  # noqa: B009
    assert {node.bits for node in graph.nodes if isinstance(node, Threshold)} == {bits}
    assert graph.metadata["boundary_bit_width"] == graph.metadata["calibrated_activation_bit_width"] == str(bits)


def test_real_weights_have_a_bit_width_of_their_own() -> None:
    graph = lower(classifier(), IMAGES, weight_bit_width=4).graph
    widths = [getattr(node, "weight_bits", None) for node in graph.nodes]
    assert [width for width in widths if width] == [8, *[4] * 7, 8]


def test_directions_follow_the_signs_of_batch_norm() -> None:
    model = classifier(1, 1)
    weight = model.network.features[1].get_submodule("norm").weight
    assert isinstance(weight, Tensor)
    with torch.no_grad():
        weight[0], weight[1] = 0.0, -0.5
    node = next(node for node in lower(model).graph.nodes if node.name == "conv2_act")
    assert isinstance(node, Threshold)
    operand_low = -9 * 16
    saturated = (node.thresholds[:, 0] <= operand_low) | (node.thresholds[:, 0] > 9 * 16)
    assert saturated[0]
    moving = ~saturated
    moving &= node.thresholds[:, 0] != 9 * 16
    np.testing.assert_array_equal(node.direction[moving], np.sign(weight.detach().numpy())[moving])
    assert (node.direction[moving] == -1).any()


def test_the_same_network_gives_the_same_graph_that_survives_a_file(tmp_path) -> None:
    graph = lower(classifier(4, 32), IMAGES, metadata={"checkpoint_sha256": "a" * 64}).graph
    assert graph.metadata["checkpoint_sha256"] == "a" * 64
    assert graph.metadata["calibration_images"] == "4"
    again = lower(classifier(4, 32).network, unit()).graph  # the network alone, the same images as real numbers
    assert again.content_hash == graph.content_hash
    graph.save(tmp_path)
    assert Graph.load(tmp_path).content_hash == graph.content_hash


def test_the_caller_s_random_numbers_and_mode_are_left_alone() -> None:
    model = classifier(1, 1).train()
    state = torch.random.get_rng_state()
    lowered = lower(model)
    assert torch.equal(state, torch.random.get_rng_state())
    assert model.training
    assert not lowered.simulated.training


def test_dense_columns_are_in_the_order_of_the_graph_s_flatten() -> None:
    model = classifier(1, 1)
    graph = lower(model).graph
    node = next(node for node in graph.nodes if node.name == "dense1")
    assert isinstance(node, Linear)
    weight = model.network.dense[0].get_submodule("dense").weight
    assert isinstance(weight, Tensor)
    channels = graph.tensor["conv6_act_out"].channels
    for o, y, x, c in [(0, 0, 0, 1), (3, 2, 1, 5), (7, 3, 3, 63)]:
        assert node.weight[o, (y * 4 + x) * channels + c] == (weight[o, (c * 4 + y) * 4 + x] >= 0)


def bad(**changes: object) -> Lowered:
    arguments: dict = {"model": classifier(2, 32), "calibration_images": IMAGES} | changes
    return lower(arguments.pop("model"), arguments.pop("calibration_images"), **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"calibration_images": None}, "Expected `calibration_images` for a network with real activations"),
        ({"calibration_images": IMAGES[:0]}, "at least one such image"),
        ({"calibration_images": IMAGES.int()}, "but got int32"),
        ({"calibration_images": IMAGES.float()}, "real numbers from 0 to 255"),
        ({"calibration_images": torch.full((1, 3, 32, 32), torch.nan)}, "real numbers from nan"),
        ({"calibration_images": IMAGES[:, :16]}, "4 x 16 x 32 x 3"),
        ({"calibration_images": "images"}, "but got str"),
        ({"boundary_bit_width": 1}, "`boundary_bit_width` to be an integer from 2 to 8"),
        ({"boundary_bit_width": 16}, "`boundary_bit_width`"),
        ({"activation_bit_width": 0}, "`activation_bit_width` to be an integer from 1 to 8"),
        ({"weight_bit_width": True}, "`weight_bit_width`"),
        ({"model": torch.nn.Linear(2, 2)}, "Classifier or one of its networks, but got Linear"),
        ({"metadata": {"Bad Key": "x"}}, "G9"),
    ],
)
def test_bad_input(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bad(**changes)


def test_networks_that_cannot_be_lowered() -> None:
    with pytest.raises(InputError, match="conv2 uses TTQ"):
        lower(classifier(2, 2, weight_quantizer="ttq"))
    with pytest.raises(InputError, match=r"is torch\.float64; convert"):
        lower(classifier(1, 1).double())
    broken = classifier(1, 1)
    with torch.no_grad():
        broken.network.output.bias[0] = torch.inf
    with pytest.raises(InputError, match=r"output.bias does not"):
        lower(broken)
