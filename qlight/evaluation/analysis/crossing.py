"""Examples of every source, and a judge for every target: what transfer and ensemble have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import LightningDataModule, Trainer

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation.analysis.examples import CRAFTED, Examples, crafted_on
from qlight.evaluation.analysis.judging import JUDGED, Judge, judged_in
from qlight.evaluation.analysis.kappa import expanded, searched
from qlight.evaluation.analysis.networks import Network, check_networks
from qlight.evaluation.analysis.tables import check_folder
from qlight.evaluation.batches import Images, first_images
from qlight.evaluation.crafting import require_gradients

#: (parts done, parts, what comes next)
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Crossing:
    """Examples, and who judges them.

    Attributes:
        examples: name of a source -> label of an attack (of a variant, where kappa is searched) -> its examples.
        judge: of the test set that they are of.
    """

    examples: dict[str, dict[str, Examples]]
    judge: Judge


def cross(
    trainer: Trainer,
    sources: Sequence[Network],
    targets: Sequence[Network],
    suite: AttackSuite,
    datamodule: LightningDataModule,
    *,
    out: str | Path,
    seed: int,
    kappas: Sequence[float],
    known: Iterable[str | Path],
    report: Progress,
) -> Crossing | None:
    """Find or craft the examples of all sources; arguments as of `qlight.evaluation.analysis.transfer`.

    A source that is a target too is also attacked with the attacks' own kappas.

    Returns:
        what the first process goes on with; None on others.

    Raises:
        InputError: bad input, or an attack that cannot run on a source.
    """
    require_gradients(trainer.test_loop.inference_mode)
    check_networks(sources, "sources")
    check_networks(targets, "targets")
    _check_same(sources, targets)
    for source in sources:
        source.attacked.check(suite, None)
    folders, out = _folders(known), check_folder(out)
    names = {target.name for target in targets}
    crafted: dict[str, dict[str, Examples]] = {}
    for number, source in enumerate(sources):
        report(number, 2 * len(sources), f"crafting on {source.name}")
        wanted = expanded(suite, kappas) if source.name in names else searched(suite, kappas)
        crafted[source.name] = crafted_on(trainer, source, wanted, datamodule, out=out / CRAFTED, seed=seed, known=folders)
    if not trainer.is_global_zero:
        return None
    return Crossing(crafted, Judge(_all_images(datamodule), out / JUDGED, trainer.strategy.root_device, judged_in(folders)))


def _all_images(datamodule: LightningDataModule) -> Images:
    """The whole test set, where a data module would give each of several processes a share: it does so for its Trainer."""
    attached, datamodule.trainer = datamodule.trainer, None
    try:
        return first_images(datamodule, sys.maxsize)
    finally:
        datamodule.trainer = attached


def _check_same(sources: Sequence[Network], targets: Sequence[Network]) -> None:
    by_name = {source.name: source for source in sources}
    for target in targets:
        source = by_name.get(target.name, target)
        if source.module is not target.module and source.identity != target.identity:
            raise InputError(
                f"Expected a name to mean one network, but {target.name!r} is another one among `targets` than among `sources`; "
                "write name=path."
            )


def _folders(known: Iterable[str | Path]) -> list[Path]:
    folders = [Path(folder).expanduser() for folder in known]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"Expected `known` to be folders of evaluations, but there is no folder {str(folder)!r}; correct the path.")
    return folders
