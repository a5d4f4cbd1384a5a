"""The logits of images and of their neighbours that differ in one value each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qlight.attacks.asking import AskingAttack

#: images n x C x H x W, coordinates int64 n x k, pixels n x s x k -> bool n x s x k: whether that change leaves the logits as they are
Unaffected = Callable[[Tensor, Tensor, Tensor], Tensor]
#: images n x C x H x W, which of them int64 m, coordinates int64 m, pixels m x s -> m x s x classes: by how much that changes the logits
Differences = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def probed_logits(
    attack: AskingAttack, points: Tensor, chosen: Tensor, probes: Tensor, unaffected: Unaffected | None, differences: Differences | None
) -> tuple[Tensor, Tensor]:
    """Logits of each point and of its probes, n x (1 + s k) x classes, and how many images were computed for each point, int64, n.

    Probes that change nothing are not computed: they get the logits of their point. With `differences` all are computed, and are in
    float64, as the logits of their point plus the difference.

    Args:
        attack: whose model is asked.
        points: n x C x H x W.
        chosen: the values that are probed, int64, n x k.
        probes: what they are set to, n x s x k.
        unaffected: which probes change nothing; None: none is known to.
        differences: by how much they change the logits; None: only the logits of whole images are known.
    """
    probes = probes.to(points.dtype)
    count, values = len(points), probes.flatten(1)
    width = values.shape[1]
    if unaffected is None and differences is not None:
        here = attack.logits(points).double()[:, None]
        outputs = torch.cat([here, here + _differences(attack, points, chosen, probes, differences)], 1)
        return outputs, torch.full((count,), 1 + width, device=points.device)
    if unaffected is None:
        asked = torch.arange(values.numel(), device=points.device)
        computed = torch.full((count,), 1 + width, device=points.device)
    else:
        affected = ~unaffected(points, chosen, probes).flatten(1)
        asked, computed = affected.flatten().nonzero()[:, 0], 1 + affected.sum(1)
    image, probe = asked // width, asked % width
    # the points themselves come first: each sets its first value to what it is
    every = torch.arange(count, device=points.device)
    which = torch.cat([every, image])
    where = torch.cat([torch.zeros_like(every), chosen[image, probe % chosen.shape[1]]])
    value = torch.cat([points.flatten(1)[:, 0], values.flatten()[asked]])
    if len(which) == 1:
        # a dense layer's kernels round a single image otherwise than several, and an attack would take the difference for a slope
        which, where, value = (x.repeat(2) for x in (which, where, value))
        computed = computed + 1
    logits = _changed_logits(attack, points, which, where, value)
    outputs = logits[:count, None].repeat(1, 1 + width, 1)
    outputs[image, 1 + probe] = logits[count : count + len(asked)]
    return outputs, computed


def _changed_logits(attack: AskingAttack, points: Tensor, which: Tensor, where: Tensor, value: Tensor) -> Tensor:
    """Logits of the points `which`, each with its value at the position `where` replaced by `value`; all three of length rows."""

    def ask(which: Tensor, where: Tensor, value: Tensor) -> tuple[Tensor]:
        rows = points[which]
        rows.flatten(1).scatter_(1, where[:, None], value[:, None])
        return attack.outputs(rows)

    return attack.in_pieces(ask, which, where, value)[0]


def _differences(attack: AskingAttack, points: Tensor, chosen: Tensor, probes: Tensor, differences: Differences) -> Tensor:
    """By how much the probes change the logits: n x s k x classes."""

    def ask(image: Tensor, coordinates: Tensor, pixels: Tensor) -> tuple[Tensor]:
        own, which = image.unique(return_inverse=True)
        return (differences(points[own], which, coordinates, pixels),)

    count, _, width = probes.shape
    image = torch.arange(count, device=points.device).repeat_interleave(width)
    changes = attack.in_pieces(ask, image, chosen.flatten(), probes.transpose(1, 2).flatten(0, 1))[0]
    return changes.unflatten(0, (count, width)).transpose(1, 2).flatten(1, 2)
