"""The promises of the base class, for every quantizer, dtype and device."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given

from qlight.errors import InputError
from qlight.quantization import (
    TTQ,
    TWN,
    BinaryConnect,
    BinaryNet,
    DoReFaActivation,
    DoReFaWeight,
    FixedPoint,
    MinMaxUniform,
    PowerOfTwo,
    Quantizer,
    XNORNet,
)

from .helpers import DTYPES, check_promises, same_bits, tensors

QUANTIZERS: dict[str, Callable[[], Quantizer]] = {
    "binary_connect": BinaryConnect,
    "binary_connect_stochastic": lambda: BinaryConnect(stochastic=True),
    "binary_net": BinaryNet,
    "binary_net_stochastic": lambda: BinaryNet(stochastic=True),
    **{f"dorefa_weight_{n}": lambda n=n: DoReFaWeight(n) for n in range(1, 9)},
    **{f"dorefa_activation_{n}": lambda n=n: DoReFaActivation(n) for n in range(1, 9)},
    "xnor_net": XNORNet,
    "twn": TWN,
    "ttq": lambda: TTQ(initial_scale=0.3),
    **{f"fixed_point_{n}": lambda n=n: FixedPoint(n, n - 2) for n in (2, 4, 8)},
    "fixed_point_dynamic": lambda: FixedPoint(5),
    "fixed_point_nearest": lambda: FixedPoint(8, 6, stochastic=False),
    **{f"power_of_two_{k}": lambda k=k: PowerOfTwo(k) for k in (1, 2, 3)},
    "power_of_two_relative": lambda: PowerOfTwo(2, -3, 0, relative=True),
    **{f"min_max_{n}": lambda n=n: MinMaxUniform(n) for n in (1, 2, 4, 8)},
}
every_quantizer = pytest.mark.parametrize("make", QUANTIZERS.values(), ids=QUANTIZERS.keys())


@every_quantizer
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_promises_on_weights(make: Callable[[], Quantizer], dtype: torch.dtype, training: bool) -> None:
    torch.manual_seed(3)
    x = torch.randn(4, 3, 3, 3, dtype=torch.float64).mul(0.7).to(dtype)
    quantizer = make().train(training)
    check_promises(quantizer, x)
    check_promises(quantizer, torch.zeros(2, 3).to(dtype))
    check_promises(quantizer, x.permute(1, 0, 2, 3))  # not contiguous


@pytest.mark.parametrize("name", ["dorefa_weight_3", "twn", "ttq", "fixed_point_dynamic", "power_of_two_2", "min_max_4", "xnor_net"])
@given(x=tensors(rows=2, max_size=6))
def test_promises_on_any_numbers(name: str, x: torch.Tensor) -> None:
    check_promises(QUANTIZERS[name](), x)


@every_quantizer
def test_gradient_keeps_dtype_and_shape(make: Callable[[], Quantizer]) -> None:
    for dtype in DTYPES:
        x = torch.linspace(-0.9, 0.9, 12).reshape(3, 4).to(dtype).requires_grad_()
        make()(x).sum().backward()
        assert x.grad is not None
        assert x.grad.dtype == dtype
        assert x.grad.shape == x.shape
        assert bool(torch.isfinite(x.grad).all())
        assert bool((x.grad != 0).any())


@every_quantizer
def test_keeps_the_device(make: Callable[[], Quantizer]) -> None:
    """The meta device has no memory to copy from: a constant made on the CPU by mistake, or a read back to Python, raises there."""
    quantizer = make().to("meta")
    x = torch.empty(4, 3, device="meta", dtype=torch.float16)
    quantized = quantizer.quantize(x)
    assert quantizer(x).device == quantized.code.device == quantized.scale.device == quantized.value.device == x.device
    assert quantizer(x).dtype == quantized.value.dtype == torch.float16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_same_values_on_cuda() -> None:
    x = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    for make in QUANTIZERS.values():
        quantizer = make().eval()
        expected = quantizer.quantize(x)
        found = quantizer.cuda().quantize(x.cuda())
        assert found.value.is_cuda
        assert found.code.is_cuda
        torch.testing.assert_close(found.value.cpu(), expected.value)


@every_quantizer
def test_refuses_integers(make: Callable[[], Quantizer]) -> None:
    for call in (make(), make().quantize):
        with pytest.raises(InputError, match=r"floating-point tensor, but got torch\.int64; convert it with `\.float\(\)`"):
            call(torch.arange(6).reshape(2, 3))


@every_quantizer
def test_state_survives_a_round_trip(make: Callable[[], Quantizer]) -> None:
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    quantizer = make().eval()
    with torch.no_grad():
        for parameter in quantizer.parameters():
            parameter.add_(0.625)
    restored = make().eval()
    restored.load_state_dict(copy.deepcopy(quantizer.state_dict()))
    assert same_bits(restored(x), quantizer(x))


@every_quantizer
def test_evaluation_is_deterministic(make: Callable[[], Quantizer]) -> None:
    x = torch.randn(3, 40, generator=torch.Generator().manual_seed(2))
    quantizer = make().eval()
    state = torch.get_rng_state()
    first = quantizer(x)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert same_bits(quantizer(x), first)


@every_quantizer
def test_quantize_has_no_gradient(make: Callable[[], Quantizer]) -> None:
    quantized = make().quantize(torch.randn(3, 4, requires_grad=True))
    assert not quantized.value.requires_grad
    assert not quantized.scale.requires_grad
