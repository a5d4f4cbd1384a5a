"""The networks as deployed, on 8-bit pixels, beside those that were trained."""

from __future__ import annotations

from qlight.study.deployed import CLEAN, PIXELS, RTLSIM
from qlight.study.estimate import Estimate
from qlight.study.report.markup import join, paragraphs
from qlight.study.report.material import Material, Section
from qlight.study.report.table import INTERVAL, Column, Table, interval, measured, number
from qlight.study.results import Attacked

_TRAINED = "torch"


def section(of: Material) -> Section | None:
    """Every target besides torch."""
    tables = [*_accuracies(of), *_pixels(of), *_simulated(of)]
    if not tables:
        return None
    text = (
        "The integer graph of each network, run as a target of its own: it sees images rounded to 8 bits, and holds what a device holds. "
        "Where attacks need gradients, the trained network gives them. Clean and adversarial accuracies are of the same images; "
        "differences are deployed - trained, with 95 % intervals as of independent samples, so wider than they need be. Targets that the "
        f"study ran: {', '.join([*_targets(of), *(['rtlsim'] if _simulated(of) else [])])}."
    )
    return Section("deployed", "Deployed", join([paragraphs(text), *(table.to_html() for table in tables)]), tuple(tables), text)


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
            *(Column(title, group=f"under attack, {_TRAINED}") for title in ("acc", INTERVAL)),
            *(Column(title, group=f"under attack, {target}") for title in ("acc", INTERVAL)),
            *(Column(title, group="difference") for title in ("acc", INTERVAL)),
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
    rows = []
    for task in of.results.folders:
        if task.startswith("pixels/"):
            _, preset, attack = task.split("/")
            for row in of.results.json(task, PIXELS)["rows"]:
                numbers = (number(row[name]) for name in ("clean_alike", "rounding", "l2", "same", "alike"))
                rows.append((attack, preset, row["network"], str(row["images"]), *numbers))
    note = (
        "Same clean answers: share of the clean images that torch and packed classify alike. l2 of rounding: mean distance between the "
        "examples on the trained network and these rounded to multiples of 1/255. Same example: share of images whose example on packed "
        "is that of torch, rounded; of these, the share that both classify alike: what remains are 8-bit pixels, and the 8-bit weights of "
        "first and last layers."
    )
    return [Table("pixels", "What 8-bit pixels change", columns, tuple(rows), note)] if rows else []


def _simulated(of: Material) -> list[Table]:
    """The RTL beside the integer graph, accumulator by accumulator."""
    columns = (
        *(Column(title, "head") for title in ("network", "attack")),
        *map(Column, ("n", "right on packed", "right on rtlsim", "equal integers")),
        Column("graph", "words"),
        Column("geometry", "words"),
    )
    rows = []
    for task in of.results.folders:
        if task.startswith("rtlsim/"):
            content = of.results.json(task, RTLSIM)
            for row in content["rows"]:
                name = "clean images" if row["attack"] == CLEAN else row["attack"]
                numbers = (str(row["images"]), str(row["packed_correct"]), str(row["correct"]), f"{row['equal']} of {row['images']}")
                rows.append((task.partition("/")[2], name, *numbers, content["graph_hash"][:12], content["geometry_hash"][:12]))
    note = (
        "The accelerator's RTL, verilated, on clean images and on the examples of the paper's attacks on the graph. Equal integers: images "
        "of which every accumulator of the last layer is the packed engine's. Clean images are other ones than those attacked. No board "
        "has run."
    )
    return [Table("rtlsim", "The integer graph beside its RTL in simulation", columns, tuple(rows), note)] if rows else []
