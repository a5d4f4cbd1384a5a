"""What an ensemble defence came to: the paper's Tables 5, 6 and 7, on screen, as files and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qlight.evaluation.analysis import tables
from qlight.evaluation.analysis.tables import HeatMap
from qlight.evaluation.analysis.votes import Agreement, Decisions


@dataclass(frozen=True)
class Defence:
    """What the ensemble with one m does with one set of images; shares with their 95 % Wilson intervals (_low, _high).

    Attributes:
        source: network on which the examples were crafted; None: the clean test set.
        attack: label; None: the clean test set.
        kappa: of a Carlini-Wagner attack.
        m: members that must agree.
        reported: whether the tables show this one: the m that was asked for, and the kappa that is best for the attacker.
        images: number of images, |X|.
        predicted: images for which a prediction is performed, |valid(X)|.
        prediction_rate: PR, equation (12).
        accuracy: of the predicted images those that are right (Table 6); None where none is predicted.
        defence_accuracy: d_acc, equation (13); None for the test set.
    """

    source: str | None
    attack: str | None
    kappa: float | None
    m: int
    reported: bool
    images: int
    predicted: int
    prediction_rate: float | None
    prediction_rate_low: float
    prediction_rate_high: float
    accuracy: float | None
    accuracy_low: float
    accuracy_high: float
    defence_accuracy: float | None
    defence_accuracy_low: float | None
    defence_accuracy_high: float | None

    @classmethod
    def of(
        cls, source: str | None, attack: str | None, kappa: float | None, m: int, reported: bool, decisions: Decisions, labels: np.ndarray
    ) -> Defence:
        """The row of some decisions; `labels` are the true classes, int64, N."""
        rate, right = decisions.prediction_rate, decisions.accuracy(labels)
        withstood = None if attack is None else decisions.defence_accuracy(labels)
        return cls(
            source=source,
            attack=attack,
            kappa=kappa,
            m=m,
            reported=reported,
            images=rate.total,
            predicted=rate.count,
            prediction_rate=rate.share,
            prediction_rate_low=rate.low,
            prediction_rate_high=rate.high,
            accuracy=right.share,
            accuracy_low=right.low,
            accuracy_high=right.high,
            defence_accuracy=None if withstood is None else withstood.share,
            defence_accuracy_low=None if withstood is None else withstood.low,
            defence_accuracy_high=None if withstood is None else withstood.high,
        )


@dataclass(frozen=True)
class EnsembleReport:
    """The tables of section 6.

    Attributes:
        members: names of the networks.
        m: members that must agree.
        attacks: labels.
        agreements: Table 5.
        defences: Tables 6 (the rows without a source) and 7, for every m and kappa; of adaptive attacks for the m that they attacked.
        settings: what it was made with.
    """

    members: tuple[str, ...]
    m: int
    attacks: tuple[str, ...]
    agreements: tuple[Agreement, ...]
    defences: tuple[Defence, ...]
    settings: dict[str, Any]

    def __getitem__(self, key: tuple[str | None, str | None]) -> Defence:
        """The reported row of (source, attack); (None, None) is the clean test set; KeyError where there is none."""
        for row in self.defences:
            if row.reported and (row.source, row.attack) == key:
                return row
        raise KeyError(key)

    @property
    def adaptive(self) -> tuple[Defence, ...]:
        """The reported rows of attacks on the ensemble itself."""
        return tuple(row for row in self.defences if row.reported and row.source is not None and row.source not in self.members)

    def heat_maps(self) -> list[HeatMap]:
        """Table 7 as two matrices, attacks x sources, and the trade-off between the values of m."""
        of = f"m = {self.m} of {len(self.members)}"
        reported = [[self[source, attack] for source in self.members] for attack in self.attacks]
        accuracy = [[row.defence_accuracy for row in line] for line in reported]
        rate = [[row.prediction_rate for row in line] for line in reported]
        return [
            HeatMap(f"defence accuracy, {of}", self.attacks, self.members, accuracy),
            HeatMap(f"prediction rate, {of}", self.attacks, self.members, rate),
            self._trade_off(),
        ]

    def _trade_off(self) -> HeatMap:
        """For every m: PR and accuracy on clean images, and the lowest d_acc of each attack over its sources and kappas; an adaptive attack
        is of one m."""
        sizes = range(1, len(self.members) + 1)
        adaptive = [row.attack for row in self.adaptive]
        values: list[list[float | None]] = []
        for m in sizes:
            rows = [row for row in self.defences if row.m == m]
            (clean,) = (row for row in rows if row.attack is None)
            found = [(row.source in self.members, row.attack, row.defence_accuracy) for row in rows if row.defence_accuracy is not None]
            wanted = [*((True, attack) for attack in self.attacks), *((False, attack) for attack in adaptive)]
            lowest = [min((share for *key, share in found if tuple(key) == attack), default=None) for attack in wanted]
            values.append([clean.prediction_rate, clean.accuracy, *lowest])
        columns = [
            "PR clean",
            "acc clean",
            *(f"d_acc {attack}" for attack in self.attacks),
            *(f"d_acc {attack}, adaptive" for attack in adaptive),
        ]
        return HeatMap("every m (d_acc: lowest over sources)", [f"m = {m}" for m in sizes], columns, values)

    def save(self, folder: str | Path) -> None:
        """Write agreement.csv (Table 5), ensemble.csv (Tables 6 and 7), ensemble.json and ensemble.png, each whole or not at all.

        Raises:
            InputError: `folder` is a file or cannot be written.
        """
        folder = tables.check_folder(folder)
        tables.save_rows(folder / "agreement.csv", self.agreements)
        tables.save_rows(folder / "ensemble.csv", self.defences)
        tables.save_json(folder / "ensemble.json", self.settings, agreements=self.agreements, defences=self.defences)
        tables.draw(folder / "ensemble.png", self.heat_maps(), "", "")

    def print(self, console: Any = None) -> None:
        """Print Tables 5, 6 and 7."""
        kinds = list(dict.fromkeys((row.examples, row.outcome) for row in self.agreements))
        shares = {(row.examples, row.outcome, row.source): row.same_outcome for row in self.agreements}
        values = [[shares[*kind, source] for source in self.members] for kind in kinds]
        rows = [", ".join(kind) for kind in kinds]
        tables.print_matrix(HeatMap("The other members do as the source does (Table 5)", rows, self.members, values), "source", console)
        clean = self[None, None]
        values = [[clean.prediction_rate, clean.accuracy, None]]
        names = ["test set"]
        for source in (*self.members, *dict.fromkeys(row.source for row in self.adaptive)):
            for attack in self.attacks if source in self.members else [row.attack for row in self.adaptive]:
                row = self[source, attack]
                names.append(f"{attack} from {source}" + ("" if row.kappa is None else f", kappa {row.kappa:g}"))
                values.append([row.prediction_rate, row.accuracy, row.defence_accuracy])
        title = f"{self.m} of {len(self.members)} must agree (Tables 6 and 7), {clean.images} images"
        tables.print_matrix(HeatMap(title, names, ["PR", "accuracy", "d_acc"], values), "images", console)
