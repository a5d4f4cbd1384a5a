"""Thresholds equal torch's batch norm and activation on every accumulator, whatever the batch norm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from qlight.errors import InputError
from qlight.intgraph import GraphBuilder
from qlight.intgraph.execute import run_node
from qlight.intgraph.thresholds import find_thresholds
from qlight.lowering.calibration import CalibratedActivation
from qlight.lowering.codes import Unit, activation_codes
from qlight.lowering.thresholds import codes_through
from qlight.models.batch_norm import BatchNorm1d, BatchNorm2d
from qlight.quantization import BinaryNet, DoReFaActivation, Quantizer

CHANNELS = 5
ACTIVATIONS = [BinaryNet(), DoReFaActivation(1), DoReFaActivation(2), DoReFaActivation(4), CalibratedActivation(3, 0.0625)]
#: 0, subnormal, tiny, ordinary and huge, of either sign
SCALES = st.sampled_from([0.0, -0.0, 1e-42, 1e-20, 1e-3, 1.0, 1.5, 1e4, 1e15]).flatmap(lambda x: st.sampled_from([x, -x]))
ORDINARY = st.floats(-3, 3, width=32)


def norm_of(dense: bool, weight: list[float], bias: list[float], mean: list[float], var: list[float]) -> nn.Module:
    norm = BatchNorm1d(len(weight)) if dense else BatchNorm2d(len(weight))
    with torch.no_grad():
        for name, numbers in (("weight", weight), ("bias", bias), ("running_mean", mean), ("running_var", var)):
            getattr(norm, name).copy_(torch.tensor(numbers))
    return norm.eval()


def graph_codes(norm: nn.Module, activation: Quantizer, unit: Unit, fan_in: int) -> tuple[np.ndarray, np.ndarray]:
    """Every accumulator that `fan_in` products of 2-bit weights and 2-bit codes can reach, and the codes of a graph's Threshold."""
    channels = len(norm.weight)  # type: ignore[arg-type]
    builder = GraphBuilder((1, 1, 1))
    builder.conv2d("first", np.ones((fan_in, 1, 1, 1), np.uint8), bits=1, encoding="odd")
    builder.threshold("codes", np.zeros((fan_in, 3), np.int32), np.ones(fan_in, np.int8), bits=2)
    builder.flatten("flat")
    builder.linear("layer", np.zeros((channels, fan_in), np.uint8), bits=2, encoding="odd")
    low, high = builder.operand.low, builder.operand.high
    assert high == 9 * fan_in
    out = activation_codes(activation)
    found = find_thresholds(codes_through("layer", norm, activation, unit), low, high, channels, 2**out.bits - 1)
    source = builder.operand.type
    builder.threshold("act", *found, bits=out.bits, encoding=out.encoding)  # checks the rules of SPEC.md
    builder.linear("output", np.zeros((1, channels), np.uint8), bits=1, encoding="odd")
    graph = builder.build(np.ones(1), np.zeros(1))
    accumulators = np.arange(low, high + 1)[:, None].repeat(channels, 1)
    return accumulators, run_node(graph.nodes[4], source, accumulators)


def torch_codes(norm: nn.Module, activation: Quantizer, unit: Unit, accumulators: np.ndarray) -> np.ndarray:
    """The layers as a network runs them: all accumulators side by side in one image, or one below the other for a dense layer."""
    real = torch.from_numpy(np.float32(accumulators * np.float64(unit.numerator) / unit.denominator))
    if isinstance(norm, nn.BatchNorm2d):
        images = real.T[None, :, :, None].contiguous(memory_format=torch.channels_last)
        value = activation(norm(images))[0, :, :, 0].T
    else:
        value = activation(norm(real))
    step = activation_codes(activation).unit
    integers = value.detach().double().numpy() / step.numerator * step.denominator
    return np.rint((integers + 1) / 2 if isinstance(activation, BinaryNet) else integers).astype(np.int64)


@settings(max_examples=120, deadline=None)
@given(
    dense=st.booleans(),
    activation=st.sampled_from(ACTIVATIONS),
    weight=st.lists(SCALES, min_size=CHANNELS, max_size=CHANNELS),
    bias=st.lists(ORDINARY, min_size=CHANNELS, max_size=CHANNELS),
    mean=st.lists(ORDINARY, min_size=CHANNELS, max_size=CHANNELS),
    var=st.lists(st.sampled_from([0.0, 1e-12, 0.01, 1.0, 400.0]), min_size=CHANNELS, max_size=CHANNELS),
    unit=st.sampled_from([Unit(np.array(1.0)), Unit(np.array(1.0), 9), Unit(np.linspace(1e-3, 2, CHANNELS), 255)]),
    fan_in=st.integers(1, 40),
)
def test_a_graph_s_thresholds_equal_torch_on_every_accumulator(
    dense: bool, activation: Quantizer, weight: list, bias: list, mean: list, var: list, unit: Unit, fan_in: int
) -> None:
    norm = norm_of(dense, weight, bias, mean, var)
    accumulators, found = graph_codes(norm, activation, unit, fan_in)
    np.testing.assert_array_equal(found, torch_codes(norm, activation, unit, accumulators))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_ties_fall_as_in_torch(sign: float) -> None:
    # with units of 1/6 and 2 bits, 3 * 1/6 is half way between two codes at every odd accumulator: round half to even
    norm = norm_of(True, [sign], [0.0], [0.0], [1.0])
    norm.eps = 0.0  # type: ignore[assignment]
    accumulators, found = graph_codes(norm, DoReFaActivation(2), Unit(np.array(1.0), 6), 1)
    expected = {0: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 2, 6: 3}
    for accumulator, code in zip(accumulators[:, 0], found[:, 0], strict=True):
        assert code == expected[min(max(int(sign * accumulator), 0), 6)]


def test_zero_after_batch_norm_is_plus_one() -> None:
    norm = norm_of(True, [1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, -1e-30], [2.0, 2.0, 1.0, 1.0], [1.0] * 4)
    norm.eps = 0.0  # type: ignore[assignment]
    accumulators, found = graph_codes(norm, BinaryNet(), Unit(np.array(1.0)), 1)
    column = accumulators[:, 0]
    np.testing.assert_array_equal(found, np.stack([column >= 2, column <= 2, column == column, column != column], 1))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_find_thresholds_reproduces_any_monotone_function(data: st.DataObject) -> None:
    low = data.draw(st.integers(-40, 0))
    high = data.draw(st.integers(0, 40))
    largest = data.draw(st.integers(1, 7))
    columns = []
    for _ in range(3):
        column = sorted(data.draw(st.lists(st.integers(0, largest), min_size=high - low + 1, max_size=high - low + 1)))
        columns.append(column[::-1] if data.draw(st.booleans()) else column)
    table = np.array(columns).T
    thresholds, direction = find_thresholds(lambda acc: np.take_along_axis(table, acc - low, 0), low, high, 3, largest)
    signed = direction.astype(int)
    found = (signed * np.arange(low, high + 1)[:, None])[..., None] >= (signed[:, None] * thresholds)
    np.testing.assert_array_equal(found.sum(2), table)
    directed = signed[:, None] * thresholds
    assert (np.diff(directed, axis=1) >= 0).all()
    assert (directed >= np.where(signed > 0, low, -high)[:, None]).all()
    assert (directed <= np.where(signed > 0, high + 1, 1 - low)[:, None]).all()


def test_the_whole_32_bit_range_is_searched() -> None:
    step = 2**31 - 3
    found, direction = find_thresholds(lambda acc: (acc >= step).astype(np.int64), -(2**31) + 1, 2**31 - 2, 1, 1)
    assert (found.item(), direction.item()) == (step, 1)
    found, direction = find_thresholds(lambda acc: (acc <= -step).astype(np.int64), -(2**31) + 1, 2**31 - 2, 1, 1)
    assert (found.item(), direction.item()) == (-step, -1)


def test_a_batch_norm_that_gives_nan_is_refused() -> None:
    norm = norm_of(True, [1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [1.0, -1.0])
    with pytest.raises(InputError, match="that of conv9 gives NaN"):
        find_thresholds(codes_through("conv9", norm, BinaryNet(), Unit(np.array(1.0))), -9, 9, 2, 1)
