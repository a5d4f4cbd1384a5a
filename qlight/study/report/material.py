"""What the report is written from: the study's results, with numbers of images and intervals of transferred distortions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from qlight.evaluation.batches import Images, first_images
from qlight.study.claim import OVER_RIGHT, Key
from qlight.study.estimate import Estimate
from qlight.study.report.markup import Markup
from qlight.study.report.table import Table
from qlight.study.results import Results
from qlight.study.steps import data_class, data_module

#: attacks whose numbers, in the paper, seem to be of the images that the target had right before; ours beside them are of these too
OF_RIGHT = ("ZOO",)
#: why; true of `qlight.study.paper`
WHY_OF_RIGHT = (
    "in its Tables 17 to 34, 100 of 180 accuracies under ZOO are more than 0.02 above the target's accuracy without attack (Table 2), "
    "of 720 under other attacks none is"
)


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        name: its id in the page.
        title: its heading.
        body: HTML.
        tables: those in it that get files of their own.
        text: what it says before its tables, in words.
    """

    name: str
    title: str
    body: Markup
    tables: tuple[Table, ...] = ()
    text: str = ""


class Count(NamedTuple):
    """How a number was measured.

    Attributes:
        images: attacked.
        kappa: of an attack of which several were tried.
        right: of the images, those that the target had right before; None where there is no attack, or many targets.
    """

    images: int
    kappa: float | None = None
    right: int | None = None

    def n(self, attack: str) -> int:
        """Over how many images `Material.compared` has the accuracy under an attack."""
        return self.right if attack in OF_RIGHT and self.right is not None else self.images


@dataclass(frozen=True)
class Material:
    """A study's results.

    Attributes:
        name, dataset, seed: of the study; the data set is the column of the paper.
        data: class_path and init_args of its data module.
        results: what its tasks measured.
        missing: names of tasks that did not run.
    """

    name: str
    dataset: str
    seed: int
    data: Mapping[str, Any]
    results: Results
    missing: tuple[str, ...] = ()
    _images: dict[int, Images] = field(default_factory=dict, repr=False)

    @property
    def data_name(self) -> str:
        """Of the data: that of the data module, or of its file where it reads any."""
        path = self.data.get("init_args", {}).get("path")
        return self.data["class_path"].rpartition(".")[2] if path is None else PurePath(path).stem

    @property
    def measured(self) -> Mapping[Key, Estimate]:
        """Numbers by the paper's keys."""
        return self.results.measured

    def compared(self, key: Key) -> Estimate | None:
        """What is comparable to the paper's number of this key: of `OF_RIGHT`, what was measured on images that were right before."""
        return self.measured.get(key._replace(metric=OVER_RIGHT.get(key.metric, key.metric)) if key.attack in OF_RIGHT else key)

    @cached_property
    def counts(self) -> Mapping[tuple[str, str, str], Count]:
        """How the accuracy of (attack, source, target) was measured, of what `measured` holds."""
        found: dict[tuple[str, str, str], Count] = {}
        searched = set()
        for name in self.results.networks:
            found["none", name, name] = Count(self.results.accuracy(name)[1])
        for task in self.results.folders:
            if task.startswith("transfer/"):
                for cell in self.results.json(task, "transfer.json")["cells"]:
                    if cell["reported"]:
                        found[cell["attack"], cell["source"], cell["target"]] = Count(cell["images"], cell["kappa"], cell["correct"])
                    if cell["kappa"] is not None:
                        searched.add(cell["attack"])
        for content in self.results.ensembles:
            for row in content["defences"]:
                if row["reported"]:
                    found[row["attack"] or "none", row["source"] or "ensemble", "ensemble"] = Count(row["images"], row["kappa"])
        for each in self.results.attacked:  # as in `Results.measured`, a direct attack counts before the diagonal of transfer
            if (each.target, each.preset) == ("torch", "paper"):
                kappa = each.row["parameters"]["kappa"] if each.attack in searched else None
                found[each.attack, each.network, each.network] = Count(each.images, kappa, each.row["correct"])
        return found

    def clean(self, count: int) -> Images:
        """The test images that attacks on so many images see; read once."""
        if count not in self._images:
            self._images[count] = first_images(data_module(self.data, limit=count), count)
        return self._images[count]

    def pictures(self, count: int, index: np.ndarray) -> np.ndarray:
        """Those of these numbers, of the ones that attacks on ``count`` images see: float32, k x C x H x W."""
        clean = self.clean(count)
        place = {number: row for row, number in enumerate(clean.index.tolist())}
        return clean.images[[place[number] for number in index.tolist()]].numpy()

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes: of the data module, or of the data set where its images come from a file of that name."""
        named = self.data_name.casefold() == self.dataset.casefold()
        return tuple(getattr(data_class(f"qlight.data.{self.dataset}" if named else self.data["class_path"]), "class_names", ()))


def sizes(counts: Iterable[int]) -> str:
    """Numbers of images in a few words.

    >>> sizes([30, 10, 30]), sizes([7, 9, 8])
    ('10 or 30', '7 to 9')
    """
    found = sorted({*counts})
    return " or ".join(map(str, found)) if len(found) < 3 else f"{found[0]} to {found[-1]}"


def by_size(images: Mapping[str, int]) -> str:
    """Numbers of images by network; the number alone where it is one.

    >>> by_size({"float": 10, "w1a1": 30, "w1a32": 10})
    '10 (float, w1a32), 30 (w1a1)'
    """
    groups: dict[int, list[str]] = {}
    for name, size in images.items():
        groups.setdefault(size, []).append(name)
    return ", ".join(str(size) if len(groups) == 1 else f"{size} ({', '.join(names)})" for size, names in groups.items())
