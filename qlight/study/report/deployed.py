"""The networks as deployed, on 8-bit pixels, beside those that were trained."""

from __future__ import annotations

import numpy as np

from qlight.evaluation.records import RecordFolder, Records
from qlight.study.estimate import Estimate
from qlight.study.report.markup import join, paragraphs
from qlight.study.report.material import Material, Section
from qlight.study.report.table import Column, Table, interval, measured, number
from qlight.study.results import Attacked

_TRAINED = "torch"


def section(of: Material) -> Section | None:
    """Every target besides torch."""
    tables = [*_accuracies(of), *_pixels(of)]
    if not tables:
        return None
    text = (
        "The integer graph of each network, run as a target of its own: it sees images rounded to 8 bits, and holds what a device holds. "
        "Where attacks need gradients, the trained network gives them. Clean and adversarial accuracies are of the same images; "
        "differences are deployed - trained, with 95 % intervals as of independent samples, so wider than they need be. Targets that the "
        f"study ran: {', '.join(_targets(of))}."
    )
    return Section("deployed", "Deployed", join([paragraphs(text), *(table.to_html() for table in tables)]), tuple(tables))


def _targets(of: Material) -> list[str]:
    return list(dict.fromkeys(each.target for each in of.results.attacked))


def _pairs(of: Material, target: str) -> list[tuple[Attacked, Attacked]]:
    """The same attack on the trained network and on the target."""
    found = []
    for each in of.results.attacked:
        if each.target == target:
            trained = of.results.find(_TRAINED, each.preset, each.attack, each.network)
            if trained is not None and trained.images == each.images:
                found.append((trained, each))
    return found


def _accuracies(of: Material) -> list[Table]:
    tables = []
    for target in _targets(of):
        if target == _TRAINED:
            continue
        columns = (
            *(Column(title, "head") for title in ("attack", "preset", "network")),
            Column("n"),
            *(Column(title, group="clean accuracy") for title in (_TRAINED, target)),
            *(Column(title, group=f"under attack, {_TRAINED}") for title in ("acc", "95 %")),
            *(Column(title, group=f"under attack, {target}") for title in ("acc", "95 %")),
            *(Column(title, group="difference") for title in ("acc", "95 %")),
        )
        rows = []
        for trained, deployed in _pairs(of, target):
            difference: Estimate = deployed.accuracy - trained.accuracy
            clean = [number(each.row["clean_accuracy"]) for each in (trained, deployed)]
            names = (deployed.attack, deployed.preset, deployed.network, str(deployed.images))
            rows.append(
                (*names, *clean, *measured(trained.accuracy), *measured(deployed.accuracy), number(difference.value), interval(difference))
            )
        if rows:
            tables.append(Table(f"deployed-{target}", f"{_TRAINED} beside {target}", columns, tuple(rows)))
    return tables


def _pixels(of: Material) -> list[Table]:
    """What rounding to 8 bits changes: of the images, and of the answers."""
    columns = (
        *(Column(title, "head") for title in ("attack", "preset", "network")),
        Column("n"),
        Column("same clean answers"),
        Column("l2 of rounding"),
        Column("l2 of the attack"),
        Column("same example"),
        Column("same answers", group="of these"),
    )
    tables = []
    for target in _targets(of):
        rows = []
        for trained, deployed in _pairs(of, target) if target != _TRAINED else ():
            one, other = (RecordFolder(each.folder).load(each.attack) for each in (trained, deployed))
            if one is not None and other is not None and np.array_equal(one.index, other.index):
                rows.append((deployed.attack, deployed.preset, deployed.network, str(deployed.images), *_rounding(one, other)))
        if rows:
            note = (
                f"Same clean answers: share of the clean images that {_TRAINED} and {target} classify alike. l2 of rounding: mean distance "
                "between the examples on the trained network and these rounded to multiples of 1/255. Same example: share of images whose "
                f"example on {target} is that of {_TRAINED}, rounded; of these, the share that both classify alike: what remains are 8-bit "
                "pixels, and the 8-bit weights of first and last layers."
            )
            tables.append(Table(f"pixels-{target}", f"What 8-bit pixels change: {target}", columns, tuple(rows), note))
    return tables


def _rounding(one: Records, other: Records) -> tuple[str, ...]:
    levels = np.rint(one.adversarial.astype(np.float64) * 255)
    same = (levels == np.rint(other.adversarial.astype(np.float64) * 255)).reshape(len(one), -1).all(1)
    moved = np.sqrt(((levels / 255 - one.adversarial) ** 2).reshape(len(one), -1).sum(1))
    alike = (one.adversarial_prediction == other.adversarial_prediction)[same]
    return (
        number(float((one.clean_prediction == other.clean_prediction).mean())),
        number(float(moved.mean())),
        number(float(one.l2.mean())),
        number(float(same.mean())),
        number(float(alike.mean()) if len(alike) else None),
    )
