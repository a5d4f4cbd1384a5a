"""What attacks cost and where they succeed, from the folders that they left: accuracy against queries, against eps, by class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qlight.errors import InputError
from qlight.evaluation.records import RecordFolder, Records
from qlight.evaluation.results import ResultRow, load_results


@dataclass(frozen=True)
class Attack:
    """One attack of a folder.

    Attributes:
        name: its label, after the folder's name where several folders have that label.
        row: its result.
        records: what it did to each image.
    """

    name: str
    row: ResultRow
    records: Records

    @property
    def title(self) -> str:
        """The class of the attack, and whether it crafted on another network."""
        name = self.row.class_path.rpartition(".")[2]
        return f"{name}, transferred" if self.row.gradients_from else name


def load_attacks(folders: Sequence[Path]) -> list[Attack]:
    """The attacks of folders that `attack` left.

    Raises:
        InputError: there is no folder, or one holds no results or not the images of them.
    """
    if not folders:
        raise InputError("Expected at least one folder of `attack`, but got none; name those whose attacks are to be drawn.")
    rows = [(folder, row) for folder in folders for row in load_results(folder)]
    taken = Counter(row.attack for _, row in rows)
    found = []
    for folder, row in rows:
        records = RecordFolder(folder).load(row.attack)
        if records is None or len(records) != row.images:
            raise InputError(
                f"Expected {str(folder)!r} to hold the {row.images} images of attack `{row.attack}`, but it does not; "
                "finish the run by giving its command again."
            )
        found.append(Attack(row.attack if taken[row.attack] == 1 else f"{folder.name}/{row.attack}", row, records))
    return found


def still_right(records: Records, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many images are right and not fooled at a price or below.

    Args:
        records: of N images.
        price: N, 0 or more: what each image's example cost; an image that is wrong without an attack is lost at 0.

    Returns:
        prices: at which images are lost, each once, ascending from 0, which is always there.
        left: int64, as many: images that are left at each.
    """
    wrong = records.clean_prediction != records.label
    lost = wrong | (records.adversarial_prediction != records.label)
    prices, counts = np.unique(np.append(np.where(wrong, 0, price)[lost], 0), return_counts=True)
    return prices, len(records) + 1 - np.cumsum(counts)  # the 0 that is always there is no image


def against_queries(attack: Attack) -> list[tuple[float, float]] | None:
    """The share of images that are right and that an attack of x queries or fewer has not fooled: (x, share), x ascending from 0.

    Returns:
        None where images have no counts of their own, or the network attacked was not asked alone: gradients, another network.
    """
    records = attack.records
    if attack.row.gradients or attack.row.gradients_from or not records.counted_singly.all():
        return None
    queries, left = still_right(records, records.queries)
    return [(float(x), count / len(records)) for x, count in zip(queries.tolist(), left.tolist(), strict=True)]


def against_eps(attacks: Sequence[Attack]) -> dict[str, list[Attack]]:
    """Attacks that have an eps, in lines of those that differ in nothing else, eps ascending; by the class, or else by name."""
    groups: dict[str, dict[str, list[Attack]]] = defaultdict(lambda: defaultdict(list))
    for attack in attacks:
        parameters = {name: value for name, value in attack.row.parameters.items() if name not in ("eps", "seed")}
        if isinstance(attack.row.parameters.get("eps"), int | float):
            groups[attack.title][repr((sorted(parameters.items()), attack.row.gradients_from))].append(attack)
    lines = {}
    for title, apart in groups.items():
        for line in apart.values():
            line.sort(key=lambda attack: attack.row.parameters["eps"])
            own = line[0].name if len(line) == 1 else f"{line[0].name} to {line[-1].name}"
            lines[title if len(apart) == 1 else own] = line
    return lines


def by_class(attacks: Sequence[Attack]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """How many images of each class are right, clean and after each attack.

    Returns:
        names of the lines: clean, then the attacks; images that are right and images, both int64, lines x classes. Clean is of the first
        attack's images.
    """
    classes = 1 + max(int(attack.records.label.max()) for attack in attacks)
    first = attacks[0].records
    lines = [("clean", first.label, first.clean_prediction)]
    lines += [(attack.name, attack.records.label, attack.records.adversarial_prediction) for attack in attacks]
    right = np.stack([np.bincount(label[label == said], minlength=classes) for _, label, said in lines])
    return [name for name, *_ in lines], right, np.stack([np.bincount(label, minlength=classes) for _, label, _ in lines])
