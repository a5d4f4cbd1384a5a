"""The quantization shift phenomenon: how much of a perturbation quantization levels out (section 5.2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, Trainer

from qlight.attacks import AttackSuite
from qlight.evaluation.analysis import tables
from qlight.evaluation.analysis.crossing import Progress, cross
from qlight.evaluation.analysis.judging import Judge
from qlight.evaluation.analysis.layers import unchanged_values
from qlight.evaluation.analysis.networks import Network, check_differentiable
from qlight.evaluation.analysis.tables import HeatMap
from qlight.evaluation.intervals import mean_interval, wilson_interval
from qlight.evaluation.records import Records
from qlight.evaluation.results import versions
from qlight.evaluation.runner import describe


@dataclass(frozen=True)
class LayerShift:
    """One layer of one network under the perturbations that one attack crafted on a source.

    Attributes:
        source: the network on which the examples were crafted.
        attack: label.
        network: the one that is looked at: the source itself or a target.
        layer: name of the module.
        kind: sums: "weight-induced": what the layer's weights, quantized or not, make of its input; activations: codes behind it.
        bits: of the weights or the activations; 32 for real ones.
        values: of the layer for an image.
        images: examples that differ from their clean image.
        unchanged: share of the values that the perturbation leaves as they were, mean over these images, with its 95 % interval over images
            (_low, _high); None where no example differs.
        change: l2 norm of the change of the values relative to that of the clean values, mean over these images.
        fooled: share of these examples that the network has wrong, with its 95 % Wilson interval; None where there is none.
    """

    source: str
    attack: str
    network: str
    layer: str
    kind: str
    bits: int
    values: int
    images: int
    unchanged: float | None
    unchanged_low: float | None
    unchanged_high: float | None
    change: float | None
    fooled: float | None
    fooled_low: float | None
    fooled_high: float | None


@dataclass(frozen=True)
class QuantizationShift:
    """Every layer of sources and targets; `settings` is what it was made with."""

    rows: tuple[LayerShift, ...]
    settings: dict[str, Any]

    def heat_maps(self) -> list[HeatMap]:
        """For every source and attack: the share of unchanged values, layers x networks; layers are matched by their order."""
        maps = []
        for source, attack in dict.fromkeys((row.source, row.attack) for row in self.rows):
            chosen = [row for row in self.rows if (row.source, row.attack) == (source, attack)]
            networks = list(dict.fromkeys(row.network for row in chosen))
            columns = [[row for row in chosen if row.network == network] for network in networks]
            deepest = max(columns, key=len)
            names = [f"{row.layer} ({row.kind})" for row in deepest]
            values = [[column[place].unchanged if place < len(column) else None for column in columns] for place in range(len(deepest))]
            maps.append(HeatMap(f"{attack} from {source}", names, networks, values))
        return maps

    def save(self, folder: str | Path) -> None:
        """Write shift.csv, shift.json and shift.png, each whole or not at all.

        Raises:
            InputError: `folder` is a file or cannot be written.
        """
        folder = tables.check_folder(folder)
        tables.save_rows(folder / "shift.csv", self.rows)
        tables.save_json(folder / "shift.json", self.settings, layers=self.rows)
        tables.draw(folder / "shift.png", self.heat_maps(), "", "", "Share of values that the perturbation leaves unchanged")

    def print(self, console: Any = None) -> None:
        """Print the matrices."""
        for one in self.heat_maps():
            title = f"Share of values unchanged by {one.title}"
            tables.print_matrix(HeatMap(title, one.rows, one.columns, one.values), "layer", console)


def shift(
    trainer: Trainer,
    sources: Sequence[Network],
    targets: Sequence[Network],
    suite: AttackSuite,
    datamodule: LightningDataModule,
    *,
    out: str | Path,
    seed: int = 0,
    known: Iterable[str | Path] = (),
    on_progress: Progress | None = None,
) -> QuantizationShift | None:
    """The share of weight-induced and activation codes that perturbations leave unchanged, per layer, on source and target.

    "The quantization value shift phenomenon [...] takes places when quantization ruins the adversarial effect by mapping two different
    values to the same quantization bucket" (section 5.2.2), of activations or, as in Figure 3, through the sums that quantized weights
    make. Each source is looked at as well as every target. Arguments as of `transfer`, whose files are used; kappa is not searched.

    Args:
        sources, targets: networks in torch; a deployed graph has other layers.

    Returns:
        the rows; None on processes other than the first.

    Raises:
        InputError: bad input, a target without gradients, or an attack that cannot run.
    """
    suite = AttackSuite.from_value(suite)
    check_differentiable(sources, "sources")
    check_differentiable(targets, "targets")
    report = on_progress or (lambda done, total, what: None)
    crossing = cross(trainer, sources, targets, suite, datamodule, out=out, seed=seed, kappas=(), known=known, report=report)
    if crossing is None:
        return None
    rows: list[LayerShift] = []
    for number, source in enumerate(sources):
        networks = [source, *(target for target in targets if target.name != source.name)]
        for spec in suite:
            examples = crossing.examples[source.name][spec.name]
            crafted = examples.load()
            for network in networks:
                report(len(sources) + number, 2 * len(sources), f"{spec.name} of {source.name} on {network.name}")
                judged = crossing.judge.on(network, examples, crafted)
                rows += _layers(crossing.judge, source.name, spec.name, network, judged)
    report(1, 1, "done")
    settings = {
        "networks": {network.name: network.identity for network in (*sources, *targets)},
        "data": describe(datamodule),
        "seed": seed,
        "attacks": {spec.name: {"class_path": spec.class_path, "parameters": spec.parameters} for spec in suite},
        "versions": versions(),
    }
    return QuantizationShift(tuple(rows), settings)


def _layers(judge: Judge, source: str, attack: str, network: Network, judged: Records) -> list[LayerShift]:
    place = {number: row for row, number in enumerate(judge.images.index.tolist())}
    clean = judge.images.images[[place[number] for number in judged.index.tolist()]]
    perturbed = torch.from_numpy(judged.adversarial).to(clean.dtype)
    moved = (clean != perturbed).flatten(1).any(1)
    count = int(moved.sum())
    device = judge.device
    # with nothing moved, the layers are still named
    pairs = (clean[moved], perturbed[moved]) if count else (clean[:1], clean[:1])
    network.module.to(device)
    fooled = (judged.adversarial_prediction != judged.label)[np.asarray(moved)]
    rows = []
    for layer in unchanged_values(network.module, *(images.to(device) for images in pairs)):
        mean, low, high = mean_interval(layer.unchanged.tolist() if count else [])
        rows.append(
            LayerShift(
                source=source,
                attack=attack,
                network=network.name,
                layer=layer.layer,
                kind=layer.kind,
                bits=layer.bits,
                values=layer.values,
                images=count,
                unchanged=mean,
                unchanged_low=None if low is None else max(0.0, low),
                unchanged_high=None if high is None else min(1.0, high),
                change=layer.change.mean().item() if count else None,
                fooled=float(fooled.mean()) if count else None,
                fooled_low=wilson_interval(int(fooled.sum()), count)[0] if count else None,
                fooled_high=wilson_interval(int(fooled.sum()), count)[1] if count else None,
            )
        )
    return rows
