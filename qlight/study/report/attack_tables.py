"""Every attack of every preset on every target: at a glance, and with all that was counted."""

from __future__ import annotations

from qlight.study.estimate import Estimate
from qlight.study.report.markup import element, join, paragraphs
from qlight.study.report.material import Material, Section, by_size
from qlight.study.report.table import INTERVAL, NONE, Column, Table, measured, number
from qlight.study.results import Attacked

_NOTE = (
    "acc of right: of the images that were right before the attack; l2 and linf: means over the examples that succeed, images that were "
    "wrong before included; l2 of turned: over images that the attack turned from right to wrong; queries: that it asked for, an image; "
    "computed: of these, forward passes that were run, as ZOO's filter knows the answers to the others."
)


def section(of: Material) -> Section | None:
    """The accuracies of all, then each preset on each target."""
    if not of.results.attacked:
        return None
    glances, tables = glances_of(of), tables_of(of)
    folded = (element("details", element("summary", table.title), table.to_html()) for table in tables)
    text = (
        "Adversarial accuracy over all images attacked. The preset paper has the paper's parameters, others are stronger; torch are the "
        "networks as trained, other targets what is deployed. Parameters stand under Provenance."
    )
    body = join([paragraphs(text), *(table.to_html() for table in glances), *folded])
    return Section("attacks-all", "Presets and targets", body, (*glances, *tables), text)


def glances_of(of: Material) -> list[Table]:
    """A table a target: networks in rows, attacks of each preset in columns."""
    return [_glance(of, target) for target in dict.fromkeys(each.target for each in of.results.attacked)]


def _glance(of: Material, target: str) -> Table:
    mine = [each for each in of.results.attacked if each.target == target]
    attacks = list(dict.fromkeys((each.preset, each.attack) for each in mine))
    clean = {each.network: each for each in sorted(mine, key=lambda each: each.images)}  # that of most images
    columns = (
        Column("network", "head"),
        Column("clean"),
        *(Column(attack, group=preset) for preset, attack in attacks),
    )
    rows = []
    for network in (name for name in of.results.networks if name in clean):
        found = [of.results.find(target, preset, attack, network) for preset, attack in attacks]
        cells = ["not run" if each is None else number(each.accuracy.value) for each in found]
        rows.append((network, number(clean[network].row["clean_accuracy"]), *cells))
    sizes = []
    for preset, attack in attacks:
        n = by_size({each.network: each.images for each in mine if (each.preset, each.attack) == (preset, attack)})
        sizes.append(f"{preset} {attack} {n}")
    of_clean = sorted({each.images for each in clean.values()})
    note = f"n: clean {', '.join(map(str, of_clean))}; {'; '.join(sizes)}."
    return Table(f"accuracy-{target}", f"Adversarial accuracy, {target}", columns, tuple(rows), note)


def tables_of(of: Material) -> list[Table]:
    """A table a preset and target: a row an attack and network."""
    groups: dict[tuple[str, str], list[Attacked]] = {}
    for each in of.results.attacked:
        groups.setdefault((each.preset, each.target), []).append(each)
    return [_table(preset, target, found) for (preset, target), found in sorted(groups.items())]


def _table(preset: str, target: str, found: list[Attacked]) -> Table:
    columns = (
        *(Column(title, "head") for title in ("attack", "network")),
        *map(
            Column, ("n", "clean", "acc", INTERVAL, "acc of right", INTERVAL, "l2", INTERVAL, "l2 of turned", "linf", "queries", "computed")
        ),
    )
    rows = []
    for each in found:
        row = each.row
        of_right = Estimate.rate(row["correct"] - row["flipped"], row["correct"]) if row["correct"] else None
        counted = (f"{row[name] / each.images:,.0f}" if row[name] is not None else NONE for name in ("queries", "forwards"))
        rows.append(
            (
                *(each.attack, each.network, str(each.images), number(row["clean_accuracy"])),
                *(*measured(each.accuracy), *measured(of_right), *measured(each.l2)),
                number(row["mean_l2_flipped"]),
                *(number(None if each.linf is None else each.linf.value), *counted),
            )
        )
    return Table(f"attacks-{preset}-{target}", f"Preset {preset}, target {target}", columns, tuple(rows), _NOTE)
