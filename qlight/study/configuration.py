"""What a study measures, read from YAML: networks, attacks with their presets and numbers of images, targets, analyses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from qlight.errors import InputError
from qlight.study.paper import values
from qlight.study.sections import check_sections, choose

#: what runs the networks: as trained, or the integer graph on the packed engine
TARGETS = TORCH, PACKED = "torch", "packed"
#: what the names of tasks that attack with several eps have in place of a preset
EPS = "eps"
#: keys of suites of attacks, which can be no labels in them
_RESERVED = "attacks", "class_path"


@dataclass(frozen=True)
class Configuration:
    """A study.

    Attributes:
        name: of the study and its folder.
        dataset: which column of the paper stands beside the results: "CIFAR10" or "SVHN".
        data: class_path and init_args of the data module.
        networks: by the paper's names: "zoo:NAME", the path of a checkpoint, or "train".
        training: of those that are trained: "model", "trainer" and "data" options for all, and "networks": {name: {"model": ...,
            "trainer": ...}}.
        presets: by name, such as paper and strong: {label: {class_path, init_args, images}}. Labels that the paper has too, FGSM, BIM, CW,
            SPSA and ZOO, are compared with it where the preset is called paper. ``images``: a number, or numbers by network with "default".
        targets: of `TARGETS`.
        transfer: {attacks: {label: images}, kappas: [...]}: attacks of the preset paper, crafted on every network, judged on every one;
            ``images`` as in the presets, by the network that is crafted on.
        ensemble: {members: [...], m: 4, attacks: {label: images}, kappas: [...], adaptive: {attacks: {label: {class_path, init_args}},
            images: N}}.
        eps: {attacks: [labels], values: [...], images: N}: attacks of the preset paper with other eps, numbers or fractions such as 8/255,
            and step sizes in proportion, on the networks as trained: accuracy against eps.
        gradients: {images: N}: cosine similarity of input gradients.
        spread: {images: N, difference_images: N}: variance of logits, difference quotients.
        shift: {attacks: {label: {class_path, init_args}}, images: N, networks: [...]}: how much of a perturbation quantization levels out.
        diagnose: {images: N, networks: [...]}: is a failure robustness?
        rtlsim: {images: N, networks: [...]}: the accelerators in simulation, on so many of the images that were attacked; needs verilator.
        seed: of all random numbers.
    """

    name: str
    dataset: str
    data: Mapping[str, Any]
    networks: Mapping[str, str]
    presets: Mapping[str, Mapping[str, Mapping[str, Any]]]
    training: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[str, ...] = ("torch",)
    transfer: Mapping[str, Any] | None = None
    ensemble: Mapping[str, Any] | None = None
    eps: Mapping[str, Any] | None = None
    gradients: Mapping[str, Any] | None = None
    spread: Mapping[str, Any] | None = None
    shift: Mapping[str, Any] | None = None
    diagnose: Mapping[str, Any] | None = None
    rtlsim: Mapping[str, Any] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_sections({each.name: getattr(self, each.name) for each in fields(self)})
        known = sorted({cell.dataset for cell in values()})
        if self.dataset not in known:
            raise InputError(f"Expected `dataset` to be one of {', '.join(known)}, the paper's, but got {self.dataset!r}.")
        choose("targets", self.targets, TARGETS)
        names = {cell.target for cell in values() if cell.table == 2}
        choose("networks", self.networks, names)
        choose("training.networks", self.training.get("networks", ()), self.networks)
        for section, key in (("ensemble", "members"), ("shift", "networks"), ("diagnose", "networks"), ("rtlsim", "networks")):
            choose(f"{section}.{key}", (getattr(self, section) or {}).get(key, ()), self.networks)
        for section in ("transfer", "ensemble", "eps"):
            choose(f"{section}.attacks", (getattr(self, section) or {}).get("attacks", ()), self.presets.get("paper", {}))
        for label in (self.eps or {}).get("attacks", ()):
            if "eps" not in self.presets["paper"][label].get("init_args", {}):
                raise InputError(f"Expected `eps.attacks` to hold attacks of the preset paper that have an eps, but {label} has none.")
        if self.ensemble is not None and self.ensemble["m"] > len(self.ensemble["members"]):
            raise InputError(
                f"Expected `ensemble.m` to be a number of its members, of which there are {len(self.ensemble['members'])}, but got "
                f"{self.ensemble['m']}; give a smaller one."
            )
        self._check_presets(names)

    def _check_presets(self, names: set[str]) -> None:
        if EPS in self.presets:
            raise InputError(f"Expected `presets` with other names than {EPS!r}, which is the section for other eps; rename it.")
        for preset, attacks in self.presets.items():
            for where, name in (("presets", preset), *((f"presets.{preset}", label) for label in attacks)):
                if any(sign in name for sign in "/,") or name in _RESERVED:
                    raise InputError(
                        f"Expected names in `{where}` without / and comma, which separate names of tasks, and other ones than "
                        f"{' and '.join(_RESERVED)}, but got {name!r}; rename it."
                    )
            for label, attack in attacks.items():
                self._check_images(attack["images"], f"presets.{preset}.{label}.images", names)
        for label, images in (self.transfer or {}).get("attacks", {}).items():
            self._check_images(images, f"transfer.attacks.{label}", names)

    def _check_images(self, images: int | Mapping[str, int], where: str, names: set[str]) -> None:
        if isinstance(images, Mapping):
            choose(where, images, {*names, "default"})
        for name in self.networks:
            images_of(images, name, where)

    @staticmethod
    def load(path: str | Path) -> Configuration:
        """Read a YAML file.

        Raises:
            InputError: there is no such file, it is not YAML, or something in it is unknown, missing or wrong.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"Expected `study` to be a YAML file, but there is no {str(path)!r}; configs/study/smoke.yaml is one.")
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"Expected `study` to be a YAML file, but {str(path)!r} is none: {' '.join(str(error).split())}") from error
        if not isinstance(content, dict):
            raise InputError(f"Expected `study` to be a mapping, but {str(path)!r} holds a {type(content).__name__}.")
        names = {each.name for each in fields(Configuration)}
        choose("study", content, names)
        missing = [name for name in ("name", "dataset", "data", "networks", "presets") if name not in content]
        if missing:
            raise InputError(f"Expected `study` to have {missing[0]!r}, but {str(path)!r} has none; configs/study/smoke.yaml shows it.")
        if isinstance(content.get("targets"), list):
            content["targets"] = tuple(content["targets"])
        return Configuration(**content)


def images_of(images: int | Mapping[str, int], network: str, where: str = "images") -> int:
    """How many images an attack is run on: a number, or one of the numbers by network.

    Raises:
        InputError: it does not say, or no positive whole number.
    """
    count = images.get(network, images.get("default")) if isinstance(images, Mapping) else images
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"Expected `{where}` to be a number of images, or numbers by network with `default`, but got {count!r}.")
    return count
