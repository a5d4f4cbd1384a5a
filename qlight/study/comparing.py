"""The steps of a study that compare networks: transfer, ensemble, gradients, spread, shift; and the diagnostics of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qlight.attacks import AttackSuite
from qlight.evaluation.analysis import Network, TransferMatrix
from qlight.evaluation.analysis import ensemble as measure_ensemble
from qlight.evaluation.analysis import gradients as measure_gradients
from qlight.evaluation.analysis import shift as measure_shift
from qlight.evaluation.analysis import spread as measure_spread
from qlight.evaluation.analysis import transfer as measure_transfer
from qlight.evaluation.analysis.judging import JUDGED, Judge
from qlight.evaluation.batches import Images, first_images
from qlight.evaluation.diagnostics import diagnose as run_diagnostics
from qlight.noise import quiet
from qlight.study.steps import NETWORK, data_module, forget_times, load, make_trainer, write_json
from qlight.study.summary import distortions
from qlight.targets import EnsembleTarget

REVISION = 4
DISTORTIONS = "distortions.json"


def networks(names: list[str], needs: Mapping[str, Path]) -> list[Network]:
    """Those of the first needs, in the order of ``names``; further needs hold examples."""
    return [Network(name, load(place), place / NETWORK) for name, place in zip(names, needs.values(), strict=False)]


def transfer(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """Examples of attacks crafted on every network, judged on every one."""
    of, known = networks(options["names"], needs), list(needs.values())[len(options["names"]) :]
    suite, trainer = AttackSuite.from_value(options["attacks"]), make_trainer(folder, inference_mode=False)
    how = {"out": folder, "seed": options["seed"], "kappas": options["kappas"], "known": known}
    parts, rows = [], []
    for count, names in _sources(options).items():
        sources, data = [each for each in of if each.name in names], data_module(options["data"], limit=count)
        with quiet():
            part = measure_transfer(trainer, sources, of, suite, data, **how)
        assert part is not None
        parts.append(part)
        rows += _distortions(part, of, first_images(data, count), folder)
    TransferMatrix.joined(parts).save(folder)
    write_json(folder / DISTORTIONS, {"rows": rows})
    _forget(folder)


def _sources(options: Mapping[str, Any]) -> dict[int, list[str]]:
    """The networks to craft on, by numbers of images: one number for all of them, or numbers by name."""
    names, images = options["names"], options["images"]
    if not isinstance(images, Mapping):
        return {images: names}
    found: dict[int, list[str]] = {}
    for name in names:
        found.setdefault(images[name], []).append(name)
    return found


def _distortions(matrix: TransferMatrix, of: list[Network], clean: Images, folder: Path) -> Iterator[dict[str, Any]]:
    """Mean norms over the examples that fool a network, with their intervals over images: what the tables of transfer lack."""
    order = np.argsort(clean.index.numpy(), kind="stable")
    labels, judge = clean.labels.numpy()[order], Judge(clean, folder / JUDGED)
    before = {network.name: judge.clean(network)[order] for network in of}  # kept: nothing is computed
    for cell in matrix.cells:
        if cell.reported:
            judged = folder / JUDGED / f"{cell.target_sha256[:16]}-{cell.examples_sha256[:16]}.safetensors"
            names = {name: getattr(cell, name) for name in ("attack", "source", "target")}
            yield names | distortions(judged, labels, before[cell.target], cell.successes)


def ensemble(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """The defence by agreement; with "adaptive" among the options also attacks on the ensemble itself."""
    names, m = options["names"], options["m"]
    members, known = networks(names, needs), list(needs.values())[len(names) :]
    data, suite = data_module(options["data"], limit=options["images"]), AttackSuite.from_value(options["attacks"])
    adaptive = None if "adaptive" not in options else AttackSuite.from_value(options["adaptive"])
    target = None if adaptive is None else EnsembleTarget({member.name: member.module for member in members}, m)
    trainer = make_trainer(folder, inference_mode=False)
    with quiet():
        found = measure_ensemble(
            trainer,
            members,
            suite,
            data,
            out=folder,
            m=m,
            seed=options["seed"],
            kappas=options["kappas"],
            known=known,
            target=target,
            adaptive=adaptive,
        )
    assert found is not None
    found.save(folder)
    _forget(folder)


def gradients(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """Cosine similarity of input gradients (Figure 4)."""
    batch = first_images(data_module(options["data"]), options["images"])
    measure_gradients(networks(options["names"], needs), batch.images, batch.labels).save(folder)


def spread(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """Variance of logits and difference quotients (section 5.1.2)."""
    batch = first_images(data_module(options["data"]), options["images"])
    of = networks(options["names"], needs)
    found = measure_spread(
        of, batch.images, batch.labels, index=batch.index, difference_images=options["difference_images"], seed=options["seed"]
    )
    found.save(folder)


def shift(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """How much of a perturbation quantization levels out (section 5.2.2)."""
    of = networks(options["names"], needs)
    data, suite = data_module(options["data"], limit=options["images"]), AttackSuite.from_value(options["attacks"])
    with quiet():
        found = measure_shift(make_trainer(folder, inference_mode=False), of, of, suite, data, out=folder, seed=options["seed"])
    assert found is not None
    found.save(folder)
    _forget(folder)


def diagnose(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """Whether the failure of attacks means robustness."""
    (place,) = needs.values()
    model, batch = load(place), first_images(data_module(options["data"]), options["images"])
    found = run_diagnostics(model, batch.images, batch.labels, index=batch.index, seed=options["seed"], label=model.label)
    found.save(folder)


def _forget(folder: Path) -> None:
    for seconds in [*folder.rglob("seconds")]:
        forget_times(seconds.parent)
