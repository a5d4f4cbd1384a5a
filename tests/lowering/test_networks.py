"""All nine networks of both data sets, and other quantizers, in integers: valid graphs that predict what torch does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qlight.intgraph import execute, logits
from qlight.lowering import lower
from tests.models.networks import classifier

NINE = [(32, 32), *((n, n) for n in range(1, 5)), *((n, 32) for n in range(1, 5))]
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))
REAL = IMAGES.permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("network", ["svhn", "cifar10"])
@pytest.mark.parametrize(("weights", "activations"), NINE)
def test_all_nine_networks_are_valid_graphs_that_predict_as_torch(network: str, weights: int, activations: int) -> None:
    model = classifier(weights, activations, seed=weights, network=network)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    lowered = lower(model, IMAGES)
    graph = lowered.graph  # a graph that breaks a rule cannot be made
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert len(graph.nodes) == 6 + 3 + 6 + 1 + 2 * 2 + 1
    assert max(tensor.bits for tensor in graph.tensors) <= 32
    inner = graph.nodes[2]
    assert getattr(inner, "weight_bits") == (8 if weights == 32 else weights)  # noqa: B009
    assert graph.metadata["network"] == network
    assert graph.metadata["precision"] == model.label
    found = logits(graph, execute(graph, IMAGES.numpy()[:2]))
    expected = lowered.simulated(REAL[:2]).numpy()
    # where rounding, which depends on processor and threads, moves some of many fine codes, the logits follow a little;
    # `test_compare` looks at every code
    np.testing.assert_allclose(found, expected, atol=np.abs(expected).max() * (5e-2 if activations > 2 else 1e-5))


@pytest.mark.parametrize(
    ("weights", "activations", "settings"),
    [
        (1, 1, {"weight_quantizer": "dorefa", "activation_quantizer": "dorefa"}),
        (8, 8, {}),
        (2, 1, {}),  # DoReFa weights on bipolar codes
        (1, 2, {"weight_quantizer": "xnor_net"}),
        (2, 2, {"weight_quantizer": "twn"}),
        (4, 4, {"weight_quantizer": "fixed_point"}),
        (4, 32, {"weight_quantizer": "power_of_two"}),
        (2, 2, {"gradient_bit_width": 4}),
    ],
)
def test_other_quantizers(weights: int, activations: int, settings: dict) -> None:
    lowered = lower(classifier(weights, activations, **settings), IMAGES)
    found = logits(lowered.graph, execute(lowered.graph, IMAGES.numpy()[:2]))
    expected = lowered.simulated(REAL[:2]).numpy()
    np.testing.assert_allclose(found, expected, atol=np.abs(expected).max() * (5e-2 if activations > 2 else 1e-5))
