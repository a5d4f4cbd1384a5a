"""What a simulation of accelerators runs on: a folder with build folders, images and networks to load, written before and read inside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hw.tb.network.layers import Tap, due, taps
from hw.tb.network.networks import Network
from qlight.hardware.build import Build, load_build, write_build
from qlight.hardware.folders import MANIFEST
from qlight.hardware.packing import dram_weights
from qlight.hardware.pipeline import Pipeline, make_pipeline
from qlight.hardware.units import StreamedMvtu, Unit
from qlight.intgraph import Graph

__all__ = ["Case", "foreign_case", "read_cases", "write_cases"]

_BUILD, _OTHER, _IMAGES = "c{}", "other{}", "images{}.npy"
_FOREIGN_PATIENCE = 5_000_000


@dataclass
class Case:
    """An accelerator under test.

    Attributes:
        build: its build folder; None for another tool's Verilog.
        folded: of another tool's Verilog that a build folder belongs to: which layers stream their weights. Its network stays loaded.
        graph: what it computes after configuration.
        other: a network of the same geometry; None for another tool's Verilog.
        images: uint8, N x H x W x C.
        loaded: the graph whose parameters it holds now; who loads others says so here.
    """

    build: Build | None
    graph: Graph
    other: Graph | None
    images: np.ndarray
    folded: Pipeline | None = None
    loaded: Graph = field(init=False)

    def __post_init__(self) -> None:
        self.loaded = self.graph

    @property
    def pipeline(self) -> Pipeline:
        """Of the loaded network, for an accelerator of ours, or whose folding is known."""
        if self.build is None:
            assert self.folded is not None
            return self.folded
        return self.build.pipeline if self.loaded is self.graph else make_pipeline(self.loaded, self.build.pipeline.folding)

    @property
    def taps(self) -> list[Tap]:
        """The layers' outputs that can be seen."""
        return [] if self.build is None else taps(self.build.pipeline)

    @property
    def units(self) -> Sequence[Unit]:
        """The units whose inputs can be seen."""
        return () if self.build is None else self.build.pipeline.units

    @property
    def streamed(self) -> Sequence[StreamedMvtu]:
        """The units whose weights come over a memory port."""
        pipeline = self.folded if self.build is None else self.build.pipeline
        return () if pipeline is None else pipeline.streamed

    def weights(self) -> list[bytes]:
        """What must lie behind each memory port for the loaded network."""
        return [content.tobytes() for _, content in dram_weights(self.pipeline)]

    def due(self, images: np.ndarray) -> list[list[int | None]]:
        """For every tap the beats that the loaded network makes of these images."""
        return [] if self.build is None else due(self.pipeline, images)

    @property
    def image_words(self) -> int:
        """Beats of an image."""
        return self.images[0].size // 4

    @property
    def classes(self) -> int:
        """Logits of an image."""
        return self.graph.output.shape[0]

    @property
    def image_cycles(self) -> int:
        """Cycles an image, about: handshakes stop for as long."""
        return 20_000 if self.build is None else int(self.build.manifest["cycles"]["image"])

    @property
    def patience(self) -> int:
        """Cycles without a beat at either end that are a hang."""
        return _FOREIGN_PATIENCE if self.build is None else 2000 + 8 * int(self.build.manifest["cycles"]["latency"])


def write_cases(folder: Path, networks: Sequence[Network]) -> list[Build]:
    """Fill a folder for `read_cases`."""
    builds = []
    for index, network in enumerate(networks):
        graph = network.graph(0)
        builds.append(write_build(graph, folder / _BUILD.format(index), network.folding, network.target_cycles))
        network.graph(1).save(folder / _OTHER.format(index))
        np.save(folder / _IMAGES.format(index), network.images(graph.input.shape))
    return builds


def foreign_case(folder: Path, design: Path, network: Network) -> None:
    """Fill a folder with what belongs to another tool's Verilog in `design`: its graph, and files that it may read when it starts.

    `graph/` lies in the folder of the Verilog or beside it, as in a build folder.

    Raises:
        FileNotFoundError: there is no graph.
    """
    home = next((each for each in (design, design.parent) if (each / "graph").is_dir()), None)
    if home is None:
        raise FileNotFoundError(f"Expected `QLIGHT_DUT` to name a folder with graph/ in it or beside it, but {design} has none.")
    for each in (home, design):
        for path in each.iterdir():
            if not (folder / path.name).exists():
                (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
    np.save(folder / _IMAGES.format(0), network.images(Graph.load(folder / "graph").input.shape))


def read_cases(folder: Path) -> list[Case]:
    """The cases of a folder, in order."""
    if (folder / "graph").is_dir():
        graph, manifest = Graph.load(folder / "graph"), folder / MANIFEST
        folded = make_pipeline(graph, json.loads(manifest.read_text())["folding"]) if manifest.is_file() else None
        return [Case(None, graph, None, np.load(folder / _IMAGES.format(0)), folded)]
    found = []
    while (path := folder / _BUILD.format(len(found))).is_dir():
        index, build = len(found), load_build(path)
        found.append(Case(build, build.graph, Graph.load(folder / _OTHER.format(index)), np.load(folder / _IMAGES.format(index))))
    return found
