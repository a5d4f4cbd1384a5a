"""What the report is written from: the study's results, with numbers of images and intervals of transferred distortions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from qlight.evaluation.batches import Images, first_images
from qlight.study.claim import Key
from qlight.study.estimate import Estimate
from qlight.study.report.markup import Markup
from qlight.study.report.table import Table
from qlight.study.results import Results
from qlight.study.steps import data_class, data_module


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
    """How a number was measured: on how many images, and with which kappa."""

    images: int
    kappa: float | None = None


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

    @cached_property
    def counts(self) -> Mapping[tuple[str, str, str], Count]:
        """How the accuracy of (attack, source, target) was measured, of what `measured` holds."""
        found: dict[tuple[str, str, str], Count] = {}
        for name in self.results.networks:
            found["none", name, name] = Count(self.results.accuracy(name)[1])
        for task in self.results.folders:
            if task.startswith("transfer/"):
                for cell in self.results.json(task, "transfer.json")["cells"]:
                    if cell["reported"]:
                        found[cell["attack"], cell["source"], cell["target"]] = Count(cell["images"], cell["kappa"])
        for content in self.results.ensembles:
            for row in content["defences"]:
                if row["reported"]:
                    found[row["attack"] or "none", row["source"] or "ensemble", "ensemble"] = Count(row["images"], row["kappa"])
        for each in self.results.attacked:  # as in `Results.measured`, a direct attack counts before the diagonal of transfer
            if (each.target, each.preset) == ("torch", "paper"):
                found[each.attack, each.network, each.network] = Count(each.images, each.row["parameters"].get("kappa"))
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
