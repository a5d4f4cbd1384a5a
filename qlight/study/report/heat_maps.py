"""Heat maps of what goes from network to network: Figures 1, 2 and 4 of the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qlight.study.claim import Key
from qlight.study.paper import printed
from qlight.study.report.markup import element, join, paragraphs
from qlight.study.report.material import OF_RIGHT, Count, Material, Section, by_size, sizes
from qlight.study.report.matrix import Matrix
from qlight.study.report.table import INTERVAL, NONE, Column, Table, measured, number

#: figures of the paper that show transfer, by data set
_TRANSFER_FIGURE = {"CIFAR10": 1, "SVHN": 2}
_COSINE_FIGURE = 4
_OF_RIGHT_NOTE = "Numbers and n are of the images that the target had right before, as the paper's numbers seem to be"


def transfer_section(of: Material) -> Section | None:
    """Figure 1 or 2."""
    found = transfer_maps(of)
    if not found:
        return None
    text = (
        f"As Figure {_TRANSFER_FIGURE[of.dataset]} of the paper: networks in rows, on which examples were crafted; in columns those that "
        "judge them. The numbers are adversarial accuracies, in small print the paper's: the lower, the darker, the more an attack "
        "transfers. Carlini-Wagner attacks have the kappa that transfers best from each source; on the diagonal stand the attacks on the "
        "networks themselves."
    )
    tables = tuple(_transfer_table(of, attack) for attack in found)
    where = paragraphs("Intervals and distortions stand in Tables 17 to 34.")
    body = join([paragraphs(text), where, element("div", *(one.to_html() for one in found.values()), class_="maps")])
    return Section("transfer", "Transfer", body, tables, text)


def transfer_maps(of: Material) -> dict[str, Matrix]:
    """By attack, those of which examples were judged by other networks."""
    names = of.results.networks
    attacks = dict.fromkeys(
        key.attack for key in of.measured if key.metric == "acc" and key.source != key.target and {key.source, key.target} <= {*names}
    )
    return {attack: _transfer(of, attack) for attack in attacks}


def _transfer(of: Material, attack: str) -> Matrix:
    names = of.results.networks
    estimates = [[of.compared(Key(attack, source, target, "acc")) for target in names] for source in names]
    papers = [[printed(of.dataset, attack, source, target, "acc") for target in names] for source in names]
    pairs = [(source, target) for source in names for target in names if (attack, source, target) in of.counts]
    apart = {pair: of.counts[attack, *pair] for pair in pairs if pair[0] != pair[1]}
    itself = {source: of.counts[attack, source, source] for source, target in pairs if source == target}
    return Matrix(
        f"figure-{_TRANSFER_FIGURE[of.dataset]}-{attack}",
        f"{attack}, n = {sizes(count.n(attack) for count in apart.values())}",
        names,
        names,
        "from \\ on",
        [[None if estimate is None else estimate.value for estimate in row] for row in estimates],
        [[number(value, 2) for value in row] for row in papers],
        note=" ".join(_notes(attack, apart, itself)),
    )


def _notes(attack: str, apart: Mapping[tuple[str, str], Count], itself: Mapping[str, Count]) -> Iterator[str]:
    """Of a map: what its numbers are of, where that is not the same everywhere."""
    by_source = {source: count for (source, _), count in apart.items()}  # one number of images and one kappa for all targets
    images = {source: count.images for source, count in by_source.items()}
    if attack in OF_RIGHT:
        yield f"{_OF_RIGHT_NOTE}; attacked were {by_size(images)}."
    elif len({*images.values()}) > 1:
        yield f"n by source: {by_size(images)}."
    if any(count.images != images[source] for source, count in itself.items() if source in images):
        yield f"On the diagonal n = {sizes(count.n(attack) for count in itself.values())}."
    chosen = ", ".join(f"{source} {count.kappa:g}" for source, count in by_source.items() if count.kappa is not None)
    if chosen:
        yield f"Kappa by source: {chosen}."


def _transfer_table(of: Material, attack: str) -> Table:
    figure, names = _TRANSFER_FIGURE[of.dataset], of.results.networks
    tuned = any(of.counts[key].kappa is not None for key in of.counts if key[0] == attack and key[1] != key[2])
    heads = [Column("source", "head"), Column("target", "head"), Column("n"), *([Column("kappa")] if tuned else [])]
    columns = (*heads, Column("acc"), Column(INTERVAL), Column("paper", "paper"))
    rows = []
    for source in names:
        for target in names:
            key = Key(attack, source, target, "acc")
            if key in of.measured:
                count = of.counts[attack, source, target]
                kappa = [NONE if count.kappa is None else f"{count.kappa:g}"] if tuned else []
                paper = number(printed(of.dataset, attack, source, target, "acc"), 2)
                rows.append((source, target, str(count.n(attack)), *kappa, *measured(of.compared(key)), paper))
    title, note = f"Figure {figure}, {attack}: adversarial accuracy", f"{_OF_RIGHT_NOTE}." if attack in OF_RIGHT else ""
    return Table(f"figure-{figure}-{attack}-values", title, columns, tuple(rows), note)


def cosine_section(of: Material) -> Section | None:
    """Figure 4, of both losses."""
    maps = cosine_maps(of)
    if not maps:
        return None
    text = (
        f"As Figure {_COSINE_FIGURE} of the paper, which prints it as a picture without numbers, of CIFAR10 alone: the mean cosine, over "
        "images, between the gradients of two networks' losses in the input, with its 95 % interval; 0: orthogonal."
    )
    body = join([paragraphs(text), element("div", *(one.to_html() for one in maps.values()), class_="maps")])
    return Section("gradients", "Input gradients", body, tuple(_cosine_table(of, loss) for loss in maps), text)


def _pairs(of: Material) -> list[Mapping[str, Any]]:
    """Rows of a loss and two networks."""
    return (of.results.json("gradients", "gradients.json") or {"pairs": []})["pairs"]


def cosine_maps(of: Material) -> dict[str, Matrix]:
    """By loss."""
    maps = {}
    for loss in dict.fromkeys(pair["loss"] for pair in _pairs(of)):
        pairs = {frozenset((pair["first"], pair["second"])): pair for pair in _pairs(of) if pair["loss"] == loss}
        names = list(dict.fromkeys(pair["first"] for pair in pairs.values()))
        square = [[pairs[frozenset((one, other))] for other in names] for one in names]
        values = [[pair["cosine"] for pair in row] for row in square]
        below = [
            ["" if pair["cosine_low"] is None else f"{number(pair['cosine_low'], 2)} to {number(pair['cosine_high'], 2)}" for pair in row]
            for row in square
        ]
        lowest = min((value for row in values for value in row if value is not None), default=0.0)
        n = ", ".join(map(str, sorted({pair["images"] for pair in pairs.values()})))
        title, ends = f"Gradients of the {loss} loss, n = {n}", (min(0.0, lowest), 1.0)
        maps[loss] = Matrix(f"figure-{_COSINE_FIGURE}-{loss}", title, names, names, "", values, below, ends)
    return maps


def _cosine_table(of: Material, loss: str) -> Table:
    columns = (
        *(Column(title, "head") for title in ("network", "other")),
        *(Column(title) for title in ("n", "cosine", INTERVAL, "without direction")),
    )
    rows = tuple(
        (
            pair["first"],
            pair["second"],
            str(pair["images"]),
            number(pair["cosine"]),
            NONE if pair["cosine_low"] is None else f"{number(pair['cosine_low'])} to {number(pair['cosine_high'])}",
            str(pair["without_direction"]),
        )
        for pair in _pairs(of)
        if pair["loss"] == loss
    )
    title = f"Figure {_COSINE_FIGURE}: mean cosine of gradients of the {loss} loss"
    return Table(f"figure-{_COSINE_FIGURE}-{loss}-values", title, columns, rows)
