"""What can be seen of a model in a forward pass or two: whether it repeats itself, and whether it returns logits."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from qlight.errors import InputError

_SUM_TOLERANCE = 1e-4


def probabilities(outputs: Tensor) -> Tensor:
    """Which rows of `outputs` (N x classes) are probability distributions: bool, N.

    >>> probabilities(torch.tensor([[0.25, 0.75], [0.5, 1.5]]))
    tensor([ True, False])
    """
    outputs = outputs.detach().double()
    return ((outputs.sum(1) - 1).abs() <= _SUM_TOLERANCE) & ((outputs >= 0) & (outputs <= 1)).all(1)


@torch.no_grad()
def repeats(model: nn.Module, images: Tensor) -> bool:
    """Whether two passes over the same images give the same outputs.

    >>> repeats(nn.Dropout(), torch.ones(9)), repeats(nn.Dropout().eval(), torch.ones(9))
    (False, True)
    """
    return torch.equal(model(images), model(images))


def culprit_of(model: nn.Module, images: Tensor) -> str:
    """Where a network that is not deterministic begins to differ, in words: the first leaf module whose output differs for equal inputs."""
    passes: list[list[tuple[str, Any, Any]]] = []
    leaves = [(name, module) for name, module in model.named_modules() if not any(module.children())]
    for _ in range(2):
        calls: list[tuple[str, Any, Any]] = []
        passes.append(calls)
        handles = [module.register_forward_hook(_recorder(calls, name)) for name, module in leaves]
        try:
            with torch.no_grad():
                model(images)
        finally:
            for handle in handles:
                handle.remove()
    before = "the input"
    for (name, given, result), (other, given_again, result_again) in zip(*passes, strict=False):
        module = dict(leaves)[name]
        label = f"`{name}` ({type(module).__name__})" if name else f"the model itself ({type(module).__name__})"
        if name != other or not _equal(given, given_again):
            return f"no leaf module differs for equal inputs: something in a forward method between {before} and {label} is random"
        if not _equal(result, result_again):
            return f"the first module whose output differs for equal inputs is {label}"
        before = label
    return f"no leaf module differs for equal inputs: something in a forward method after {before} is random"


def _recorder(calls: list[tuple[str, Any, Any]], name: str) -> Any:
    def record(module: nn.Module, given: Any, result: Any) -> None:
        calls.append((name, _copy(given), _copy(result)))  # a copy: the next module may work in place

    return record


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    return [_copy(item) for item in value] if isinstance(value, tuple | list) else None


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and bool(torch.equal(one, other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_equal(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other)


def check_logits(logits: Any, images: Tensor, labels: Tensor) -> None:
    """Refuse what is no output of a classifier of these images, before an attack crashes on it.

    Raises:
        InputError: no N x classes tensor, NaN or infinity, or labels that it has no class for.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"Expected the network to return logits of shape {len(images)} x classes, but got {got}; attack a classifier.")
    if not bool(torch.isfinite(logits).all()):
        raise InputError("Expected the network to return finite logits, but got NaN or infinity; train it again or check its checkpoint.")
    if int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]:
        raise InputError(
            f"Expected `labels` from 0 to {logits.shape[1] - 1}, but got {int(labels.min())} to {int(labels.max())}; "
            "relabel or drop these images."
        )


def warn_of(model: nn.Module, images: Tensor, logits: Tensor) -> None:
    """Say what makes results on a model worth less.

    Args:
        model: as it is attacked.
        images: a few, for two more passes.
        logits: what it returned for others.
    """
    if bool(probabilities(logits).all()):
        warnings.warn(
            "The network seems to return probabilities, not logits: gradients vanish where it is sure, and margins mean something "
            "else; attack the network without its softmax.",
            stacklevel=3,
        )
    if not repeats(model, images):
        warnings.warn(
            f"The network is not deterministic: {culprit_of(model, images)}. Results depend on chance, and an interrupted "
            "evaluation does not end as an unbroken one; put it into evaluation mode or seed it.",
            stacklevel=3,
        )
