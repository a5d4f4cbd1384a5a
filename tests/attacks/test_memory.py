"""An attack that runs out of memory goes on with fewer images at once, to the same result."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.attacks.networks import MAKERS, ExactNet, Maker, problem, report, same

COUNT = 9
every_attack = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


class Small(nn.Module):
    """Runs out of memory above so many images, in the words of `error`."""

    def __init__(self, rows: int, error: Callable[[], Exception]) -> None:
        super().__init__()
        self.net, self.rows, self.error, self.sizes = ExactNet(), rows, error, []

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.rows:
            raise self.error()
        self.sizes.append(len(images))
        return self.net(images)


ERRORS = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"),
    "python": MemoryError,
}


@every_attack
@pytest.mark.parametrize(("error", "rows"), [(ERRORS["cuda"], 3), (ERRORS["cpu"], 2), (ERRORS["python"], 7)], ids=ERRORS.keys())
def test_out_of_memory_gives_the_same_result_and_one_warning(make: Maker, error: Callable[[], Exception], rows: int) -> None:
    images, labels = problem(ExactNet(), COUNT, torch.float32)
    roomy = make(ExactNet(), max_rows=64)
    expected = roomy(images, labels)
    net = Small(rows, error)
    attack = make(net, max_rows=64)
    with pytest.warns(UserWarning, match="Memory ran out") as caught:
        result = attack(images, labels)
    assert [f"goes on with {attack._rows}: set `max_rows`" in str(warning.message) for warning in caught] == [True]
    assert torch.equal(result, expected)
    same(report(attack), report(roomy))
    assert max(net.sizes) <= rows
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(attack(images, labels), expected)  # it knows by now


@every_attack
def test_memory_that_is_too_small_for_one_image_is_an_error(make: Maker) -> None:
    images, labels = problem(ExactNet(), 2, torch.float32)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        make(Small(0, ERRORS["cuda"]))(images, labels)


@every_attack
def test_another_error_of_the_model_is_not_taken_for_memory(make: Maker) -> None:
    images, labels = problem(ExactNet(), 2, torch.float32)
    with pytest.raises(RuntimeError, match="shapes"):
        make(Small(0, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied")))(images, labels)
