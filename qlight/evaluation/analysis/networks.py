"""Networks side by side: what an analysis calls them, and what makes them the ones they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from qlight.attacks.unchanged import unchanged
from qlight.errors import InputError
from qlight.evaluation.attacked import Attacked
from qlight.evaluation.diagnostics.subject import evaluation_view
from qlight.evaluation.runner import describe


@dataclass(frozen=True)
class Network:
    """One of several networks that an analysis compares.

    Attributes:
        name: what tables and pictures call it: float, w1a1, ...
        module: images N x C x H x W in [0, 1] -> logits; a network or a target.
        checkpoint: the file that its weights came from, for the records; None where there is none.
    """

    name: str
    module: nn.Module
    checkpoint: Path | None = None

    @cached_property
    def attacked(self) -> Attacked:
        """What the module says of itself."""
        return Attacked.by(self.module)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that its predictions depend on: kind, class, hyperparameters, weights."""
        known = [self.attacked.kind, settings(describe(self.attacked.network)), self.attacked.weights_sha256]
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    @contextlib.contextmanager
    def view(self) -> Iterator[nn.Module]:
        """Its evaluation view in evaluation mode; the module is afterwards as it was."""
        with unchanged(self.module):
            view = evaluation_view(self.module)
            yield view.eval()


def settings(description: Mapping[str, Any]) -> dict[str, Any]:
    """What `describe` says of a network without what only says how it was made (LightningCLI's `_instantiator`).

    >>> settings({"class_path": "Net", "init_args": {"width": 1, "_instantiator": "lightning.pytorch.cli.instantiate_module"}})
    {'class_path': 'Net', 'init_args': {'width': 1}}
    """
    arguments = {name: value for name, value in description.get("init_args", {}).items() if not name.startswith("_")}
    return {**description, "init_args": arguments}


def check_networks(networks: Sequence[Network], name: str = "networks", least: int = 1) -> None:
    """Refuse networks that no table could tell apart, and fewer than ``least``.

    Raises:
        InputError: one is no torch module, a name comes twice, or they are too few.
    """
    if len(networks) < least:
        raise InputError(f"Expected `{name}` to name at least {least} networks, but got {len(networks)}; give more checkpoints.")
    for network in networks:
        if not isinstance(network, Network) or not isinstance(network.module, nn.Module):
            raise InputError(f"Expected `{name}` to hold networks, but got {network!r}; make them with Network(name, module).")
        if [other.name for other in networks].count(network.name) > 1:
            raise InputError(f"Expected `{name}` with different names, but {network.name!r} comes twice; write name=path.")


def check_differentiable(networks: Sequence[Network], name: str = "networks") -> None:
    """Refuse targets without gradients.

    Raises:
        InputError: there is one.
    """
    for network in networks:
        if not network.attacked.differentiable:
            raise InputError(
                f"Expected `{name}` with gradients, but {network.name!r} is a {network.attacked.kind} target, which has none; "
                "name its checkpoint."
            )
