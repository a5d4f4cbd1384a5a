"""What an evaluation attacks: a torch network, or a target that says of itself what it is."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from qlight.attacks import AttackSuite
from qlight.attacks.spec import AttackSpec, attacks_without_gradients
from qlight.errors import InputError
from qlight.evaluation.manifest import weights_sha256

#: what a target says of itself (`qlight.targets.Target`); other modules are torch networks
_STATES = ("kind", "differentiable", "input_levels", "graph_hash", "queries")
#: how far an image may be from 8-bit pixels by rounding of its type, not by its content
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Attacked:
    """What a module is to an evaluation.

    Attributes:
        kind: torch, packed, ...
        differentiable: whether gradients can be asked of it.
        graph_hash: content hash of the integer graph that it runs; None where there is none.
        network: the module whose class and weights identify the results: the one inside a torch target.
        rounded: images -> the 8-bit images that it sees in their place; None where it takes images as they are.
        metadata: what the graph says of where it came from.
    """

    kind: str
    differentiable: bool
    graph_hash: str | None
    network: nn.Module
    rounded: Callable[[Tensor], Tensor] | None
    metadata: dict[str, str]

    @classmethod
    def by(cls, module: nn.Module) -> Attacked:
        """What `module` is.

        >>> Attacked.by(nn.Flatten()).kind
        'torch'
        """
        if not all(hasattr(module, name) for name in _STATES):
            return cls("torch", True, None, module, None, {})
        target: Any = module
        return cls(
            kind=target.kind,
            differentiable=target.differentiable,
            graph_hash=target.graph_hash,
            network=target.module if target.differentiable and isinstance(getattr(target, "module", None), nn.Module) else target,
            rounded=None if target.input_levels is None else target.rounded,
            metadata=dict(getattr(target, "metadata", {})),
        )

    @property
    def weights_sha256(self) -> str:
        """Of the network's parameters and buffers; of an integer graph its content hash."""
        return weights_sha256(self.network) if self.differentiable or self.graph_hash is None else self.graph_hash

    @property
    def checkpoint_sha256(self) -> str | None:
        """Of the checkpoint that the graph says it was lowered from."""
        said = self.metadata.get("checkpoint_sha256", "")
        return said if re.fullmatch("[0-9a-f]{64}", said) else None

    def crafts_elsewhere(self, attack: AttackSpec) -> bool:
        """Whether an attack must craft on another network, as it differentiates and this has no gradient."""
        return not self.differentiable and attack.needs_gradients is True

    def check(self, suite: AttackSuite, gradients_from: nn.Module | None) -> None:
        """Refuse attacks that cannot run, before anything is computed.

        Raises:
            InputError: they need gradients that neither this nor `gradients_from` has, or `gradients_from` is of no use.
        """
        if gradients_from is not None:
            if self.differentiable:
                raise InputError(
                    f"Expected `gradients_from` only with a target without gradients, but a {self.kind} target has its own; leave it out."
                )
            if not Attacked.by(gradients_from).differentiable:
                raise InputError("Expected `gradients_from` to be a torch network, but got a target without gradients; give a checkpoint.")
            return
        names = [spec.name for spec in suite if self.crafts_elsewhere(spec)]
        if not names:
            return
        can = [spec.name for spec in suite if spec.name not in names]
        here = f"of these, {', '.join(can)} can run" if can else "none of these can run"
        raise InputError(
            f"Expected `attacks` that only query, because a {self.kind} target has no gradient, but {', '.join(names)} "
            f"need{'s' * (len(names) == 1)} one; {here} (of all: {', '.join(attacks_without_gradients())}), or give --gradients_from CKPT "
            "to craft on a torch network and judge on the target."
        )

    def clean(self, images: Tensor) -> Tensor:
        """The clean images as the target sees them; warns where they were no 8-bit images."""
        if self.rounded is None or not len(images):
            return images
        seen = self.rounded(images)
        most = (seen - images).abs().max().item()
        # a 16-bit float holds u/255 less exactly
        if most > max(_ROUNDING, torch.finfo(images.dtype).eps):
            warnings.warn(
                f"The test images are no 8-bit images: they are rounded, by up to {255 * most:.2g} levels, and all distances are measured "
                "from the rounded ones, which the target sees.",
                stacklevel=2,
            )
        return seen
