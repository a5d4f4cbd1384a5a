"""CW as published, one image at a time in plain Python, written apart from qlight's implementation."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


class Reference:
    """One image at a time in plain Python, as published: l2_attack.py's loops with the squared distance and the loss of one image."""

    def __init__(self, net: nn.Module, targeted: bool = False, **settings: Any) -> None:
        defaults = {"c": 0.9, "kappa": 0.0, "steps": 100, "search_steps": 10, "learning_rate": 0.1, "abort_early": True, "upper": 1e10}
        self.net, self.targeted, self.set = net, targeted, {**defaults, **settings}

    def objective(self, variable: Tensor, image: Tensor, first: bool) -> tuple[Tensor, Tensor]:
        point = (torch.tanh(variable) + 1) / 2
        if first:
            point = point + (image - point).detach()
        return point, self.net(point[None])[0]

    def wins(self, logits: Tensor, label: int) -> tuple[Tensor, bool]:
        others = torch.stack([value for place, value in enumerate(logits) if place != label]).max()
        gap = others - logits[label] if self.targeted else logits[label] - others
        predicted = int(logits.argmax())
        right = predicted == label if self.targeted else predicted != label
        return gap, right and float(gap.detach()) <= -self.set["kappa"]

    def attack(self, image: Tensor, label: int) -> tuple[Tensor | None, int, int]:
        """The example or None, the queries, and the search steps that were cut short."""
        one = self.set
        start = torch.atanh((2 * image - 1) * 0.999999)
        anchor = (torch.tanh(start) + 1) / 2
        low, high, c = 0.0, one["upper"], one["c"]
        best, best_l2, queries, cut = None, math.inf, 0, 0
        for outer in range(one["search_steps"]):
            if one["search_steps"] >= 10 and outer == one["search_steps"] - 1:
                c = high
            w, m, v = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
            previous, worked = math.inf, False
            for inner in range(one["steps"]):
                w.requires_grad_(True)
                point, logits = self.objective(w, image, inner == 0)
                queries += 1
                gap, won = self.wins(logits, label)
                l2 = float(((point.detach() - image) ** 2).sum())
                if won:
                    worked = True
                    if l2 < best_l2:
                        best, best_l2 = point.detach().clone(), l2
                    if l2 == 0:
                        return best, queries, cut
                unchanged_distance = (((torch.tanh(w) + 1) / 2 - anchor) ** 2).sum()
                hinge = torch.relu(gap + one["kappa"])
                (g,) = torch.autograd.grad(unchanged_distance + c * hinge, w)
                loss = l2 + c * float(hinge.detach())
                if one["abort_early"] and inner % max(1, one["steps"] // 10) == 0:
                    if loss >= 0.9999 * previous:
                        cut += 1
                        break
                    previous = loss
                m = 0.9 * m + 0.1 * g
                v = 0.999 * v + 0.001 * g * g
                t = inner + 1
                w = (w - one["learning_rate"] * (m / (1 - 0.9**t)) / (torch.sqrt(v / (1 - 0.999**t)) + 1e-8)).detach()
            if worked:
                high = min(high, c)
                c = (low + high) / 2
            else:
                low = max(low, c)
                c = (low + high) / 2 if best is not None else min(10 * c, one["upper"])
        return best, queries, cut
