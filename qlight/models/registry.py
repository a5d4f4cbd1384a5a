"""The networks by name: what a configuration and a checkpoint call them."""

from __future__ import annotations

from collections.abc import Callable

from qlight.errors import InputError, nearest
from qlight.models.blocks import Precision
from qlight.models.cifar10 import CIFAR10Network
from qlight.models.network import PaperNetwork
from qlight.models.svhn import SVHNNetwork

NETWORKS: dict[str, Callable[[float, Precision], PaperNetwork]] = {"cifar10": CIFAR10Network, "svhn": SVHNNetwork}


def build_network(name: str, width: float = 1.0, precision: Precision | None = None) -> PaperNetwork:
    """The paper's network called ``name`` ("cifar10" or "svhn"), with new weights.

    Raises:
        InputError: for an unknown name, or a width that leaves no whole channel counts.

    >>> build_network("svhn", 0.125, Precision(1, 1)).output.in_features
    128
    """
    if name not in NETWORKS:
        known = ", ".join(NETWORKS)
        close = nearest(name, NETWORKS)
        raise InputError(
            f"Expected `network` to be one of {known}, but got {name!r}; " + (f"did you mean {close}?" if close else "choose one.")
        )
    return NETWORKS[name](width, precision or Precision())
