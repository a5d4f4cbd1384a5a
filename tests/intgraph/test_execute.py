"""The reference executor against the worked example and against a second executor, and what it refuses."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlight.errors import InputError
from qlight.intgraph import GraphBuilder, execute, logits, operands, trace
from tests.intgraph import scalar
from tests.intgraph.example import PIXELS, worked_example
from tests.intgraph.strategies import graphs, image_batches

EXAMPLE = worked_example()


def test_the_worked_example_of_the_specification() -> None:
    found = trace(EXAMPLE, PIXELS)
    expected = {
        "pixels": [[[10], [200]], [[255], [0]]],
        "conv_out": [[[10, 30], [190, 610]], [[225, 755], [-825, 25]]],
        "pool_out": [[[225, 755]]],
        "act_out": [[[2, 1]]],
        "flat_out": [2, 1],
        "output_out": [3, -129],
    }
    assert {name: tensor[0].tolist() for name, tensor in found.items()} == expected
    assert [(operand.low, operand.high, operand.type.bits) for operand in operands(EXAMPLE).values()] == [
        (0, 255, 8),
        (-3060, 3060, 13),
        (-3060, 3060, 13),
        (0, 3, 2),
        (0, 3, 2),
        (-768, 762, 11),
    ]
    accumulators = execute(EXAMPLE, PIXELS)
    assert accumulators.dtype == np.int32
    assert logits(EXAMPLE, accumulators).tolist() == [[2.5, 7.75]]


def test_bipolar_codes_are_minus_and_plus_one() -> None:
    builder = GraphBuilder((1, 1, 3))
    builder.conv2d("conv", np.eye(3, dtype=np.int8)[:, None, None, :], bits=2, encoding="signed")
    builder.threshold("act", np.full((3, 1), 100, np.int32), np.ones(3, np.int8), bits=1, encoding="bipolar")
    builder.flatten("flat")
    builder.linear("output", np.array([[1, 1, 0]], np.uint8), bits=1, encoding="odd")
    graph = builder.build(np.ones(1), np.zeros(1))
    found = trace(graph, np.array([200, 99, 100], np.uint8).reshape(1, 1, 1, 3))
    assert found["act_out"].tolist() == [[[[1, 0, 1]]]]
    assert found["output_out"].tolist() == [[-1]]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_every_tensor_is_that_of_the_scalar_executor(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    images = data.draw(image_batches(graph))
    found = trace(graph, images)
    for index, image in enumerate(images):
        for name, expected in scalar.run(graph, image).items():
            tensor = found[name][index]
            assert tensor.shape == graph.tensor[name].shape
            assert {place: int(tensor[place]) for place in expected} == expected, name
    assert (execute(graph, images) == found[graph.output.name]).all()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_integers_stay_in_the_proven_range(data: st.DataObject) -> None:
    graph = data.draw(graphs(max_side=4, max_channels=4))
    found = trace(graph, data.draw(image_batches(graph)))
    for name, operand in operands(graph).items():
        stored = found[name].astype(np.int64)
        low, high = (operand.low, operand.high) if operand.type.signed else (0, 2**operand.type.bits - 1)
        assert low <= stored.min() <= stored.max() <= high


@pytest.mark.parametrize(("weight", "pixel", "bound"), [(-128, 255, "low"), (127, 255, "high")])
def test_the_ends_of_the_range_are_reached(weight: int, pixel: int, bound: str) -> None:
    builder = GraphBuilder((3, 3, 2))
    builder.flatten("flat")
    builder.linear("output", np.full((1, 18), weight, np.int8), bits=8, encoding="signed")
    expected = getattr(builder.operand, bound)
    graph = builder.build(np.ones(1), np.zeros(1))
    assert execute(graph, np.full((1, 3, 3, 2), pixel, np.uint8)) == expected


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("pixel", [0, 255])
def test_saturated_thresholds_always_and_never_fire(direction: int, pixel: int) -> None:
    builder = GraphBuilder((1, 1, 1))
    ends = np.array([0, 3], np.uint8).reshape(2, 1, 1, 1)  # the integers -3 and +3 reach both ends of the range
    builder.conv2d("conv", ends, bits=2, encoding="odd")
    low, high = builder.operand.low, builder.operand.high
    always, never = (low, high + 1) if direction == 1 else (high, low - 1)
    thresholds = np.array([[always, always, never], [always, never, never]], np.int32)
    builder.threshold("act", thresholds, np.full(2, direction, np.int8), bits=2)
    builder.flatten("flat")
    builder.linear("output", np.eye(2, dtype=np.int8), bits=2, encoding="signed")
    graph = builder.build(np.ones(2), np.zeros(2))
    assert execute(graph, np.full((1, 1, 1, 1), pixel, np.uint8)).tolist() == [[2, 1]]


def test_flatten_permutes_torch_weights_as_the_specification_says() -> None:
    height, width, channels = 2, 3, 4
    rng = np.random.default_rng(0)
    torch_weight = rng.integers(-128, 128, (5, channels * height * width)).astype(np.int8)
    image = rng.integers(0, 256, (1, height, width, channels), dtype=np.uint8)
    permuted = torch_weight.reshape(5, channels, height, width).transpose(0, 2, 3, 1).reshape(5, -1)
    o, y, x, c = 3, 1, 2, 1
    assert permuted[o, (y * width + x) * channels + c] == torch_weight[o, (c * height + y) * width + x]
    builder = GraphBuilder((height, width, channels))
    builder.flatten("flat")
    builder.linear("output", permuted, bits=8, encoding="signed")
    graph = builder.build(np.ones(5), np.zeros(5))
    nchw = image.transpose(0, 3, 1, 2).reshape(1, -1).astype(np.int64)
    assert (execute(graph, image) == nchw @ torch_weight.T.astype(np.int64)).all()


def test_a_batch_is_its_images_one_by_one() -> None:
    images = np.random.default_rng(0).integers(0, 256, (19, 2, 2, 1), dtype=np.uint8)
    one_by_one = np.concatenate([execute(EXAMPLE, image[None]) for image in images])
    assert (execute(EXAMPLE, images) == one_by_one).all()
    assert len(np.unique(one_by_one, axis=0)) > 3
    assert execute(EXAMPLE, images[:0]).shape == (0, 2)
    assert trace(EXAMPLE, images[:0])["conv_out"].shape == (0, 2, 2, 2)


def test_logits_round_the_product_before_the_sum() -> None:
    builder = GraphBuilder((1, 1, 1))
    builder.flatten("flat")
    builder.linear("output", np.array([[1]], np.int8), bits=2, encoding="signed")
    graph = builder.build(np.array([0.1]), np.array([-0.3]))
    fused = float(3 * Fraction(0.1) + Fraction(-0.3))  # rounded once
    rounded_twice = float(3 * 0.1) - 0.3
    assert fused != rounded_twice
    assert logits(graph, np.array([[3]], np.int32)) == rounded_twice


@pytest.mark.parametrize(
    ("images", "came"),
    [
        (np.zeros((1, 2, 2, 1)), "float64 of shape (1, 2, 2, 1)"),
        (np.zeros((2, 2, 1), np.uint8), "uint8 of shape (2, 2, 1)"),
        (np.zeros((1, 1, 2, 2), np.uint8), "uint8 of shape (1, 1, 2, 2)"),
        ([[1]], "list"),
    ],
)
def test_images_must_be_pixels_of_the_input(images: np.ndarray, came: str) -> None:
    for run in (execute, trace):
        with pytest.raises(InputError, match=rf"`images`.*N x 2 x 2 x 1.*{re.escape(came)}"):
            run(EXAMPLE, images)


@pytest.mark.parametrize("accumulators", [np.zeros((1, 2)), np.zeros((1, 3), np.int32), [[1, 2]]])
def test_accumulators_must_be_integers_of_the_classes(accumulators: np.ndarray) -> None:
    with pytest.raises(InputError, match="`accumulators`"):
        logits(EXAMPLE, accumulators)
