"""What qlight's own attacks refuse, each in one sentence: arguments, images, labels, and outputs of the model."""

from __future__ import annotations

import math
import warnings
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from qlight.errors import InputError


def is_number(value: Any) -> bool:
    """Whether `value` is a finite real number, and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Whether `value` is an integer, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def above_zero(attack: str, **given: tuple[Any, float]) -> None:
    """Refuse numbers that are not finite and above 0; `given` is argument -> (value, a value to try).

    >>> above_zero("SPSA", eps=(0.0, 0.03))
    Traceback (most recent call last):
    qlight.errors.InputError: Expected `eps` of SPSA to be a finite number above 0, but got 0.0; try 0.03.
    """
    for name, (value, better) in given.items():
        if not is_number(value) or not value > 0:
            raise InputError(f"Expected `{name}` of {attack} to be a finite number above 0, but got {value!r}; try {better:g}.")


def whole_from_one(attack: str, **given: tuple[Any, int]) -> None:
    """Refuse what is not a whole number from 1; `given` is argument -> (value, a value to try)."""
    for name, (value, better) in given.items():
        if not is_whole(value) or value < 1:
            raise InputError(f"Expected `{name}` of {attack} to be a whole number from 1, but got {value!r}; try {better}.")


def checked_images(images: Any, slack: float = 0.0) -> Tensor:
    """`images`, detached: N x C x H x W, floating-point, in [0, 1]; up to `slack` outside is rounding and is clipped.

    Raises:
        InputError: they are anything else.
    """
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 4:
        got = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise InputError(f"Expected `inputs` to be floating-point images N x C x H x W, but got {got}; divide pixels by 255.")
    images = images.detach()
    if not bool(((images >= -slack) & (images <= 1 + slack)).all()):
        raise InputError("Expected `inputs` in [0, 1], but got a value outside or NaN; divide pixels by 255 and do not normalize.")
    return images.clamp(0, 1) if slack else images


def checked_classes(labels: Any, count: int, device: torch.device, name: str = "labels") -> Tensor:
    """`labels` as int64 on `device`, one for each of `count` images.

    Raises:
        InputError: they are no integers, or of another number. Their range is checked where the number of classes is known.
    """
    if isinstance(labels, Tensor):
        whole = not labels.is_floating_point() and not labels.is_complex() and labels.dtype != torch.bool
        if whole and labels.shape == (count,):
            return labels.to(device, torch.int64)
        got = f"{labels.dtype} of shape {tuple(labels.shape)}"
    else:
        got = "none" if labels is None else f"a {type(labels).__name__}"
    raise InputError(f"Expected `{name}` to be a tensor of {count} class indices, but got {got}; pass one integer for each image.")


def checked_index(index: Any, count: int, device: torch.device) -> Tensor:
    """`index` as int64 on `device`, one for each of `count` images; None is 0 to count - 1.

    Raises:
        InputError: anything else.
    """
    if index is None:
        return torch.arange(count, device=device)
    if isinstance(index, Tensor) and not index.is_floating_point() and index.dtype != torch.bool and index.shape == (count,):
        return index.to(device, torch.int64)
    got = f"{index.dtype} of shape {tuple(index.shape)}" if isinstance(index, Tensor) else f"a {type(index).__name__}"
    raise InputError(
        f"Expected `index` to be a tensor of {count} integers, but got {got}; pass the position of each image in its data set."
    )


def checked_logits(logits: Any, count: int) -> Tensor:
    """What a model returned for `count` images, if it has the shape of logits. The host does not wait for the device here.

    Raises:
        InputError: it is not a floating-point tensor of shape count x classes, with two classes or more.
    """
    if isinstance(logits, Tensor):
        if logits.ndim == 2 and len(logits) == count and logits.shape[1] > 1 and logits.is_floating_point():
            return logits
        got = f"{logits.dtype} of shape {tuple(logits.shape)}"
    else:
        got = f"a {type(logits).__name__}"
    raise InputError(
        f"Expected `model` to return floating-point logits of shape {count} x classes (two or more) for {count} images, but got {got}; "
        "wrap it in a module that does."
    )


def check_range(name: str, low: int, high: int, classes: int) -> None:
    """Refuse labels from `low` to `high` that are not among so many classes; `name` is what they are called."""
    if low < 0 or high >= classes:
        raise InputError(f"Expected `{name}` from 0 to {classes - 1}, but got {low} to {high}; relabel or drop these images.")


def check_values(logits: Tensor) -> None:
    """Look at the first logits of a call, rows x classes: refuse NaN, and warn of what looks like probabilities."""
    logits = logits.detach().double()
    if bool(logits.isnan().any()):
        raise InputError("Expected `model` to return logits that are numbers, but got NaN; train it again, or use a wider float type.")
    if len(logits) and bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 1e-2).all()):
        warnings.warn(
            "Expected `model` to return logits, but its outputs are non-negative and sum to 1, as probabilities do: attacks on those "
            "fail where they saturate; leave the softmax off.",
            UserWarning,
            stacklevel=2,
        )
