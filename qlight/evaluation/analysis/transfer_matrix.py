"""Transfer of adversarial examples between networks: section 5.2, Figures 1 and 2, Tables 17 to 34."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, Trainer

from qlight.attacks import AttackSuite
from qlight.attacks.spec import AttackSpec
from qlight.evaluation.analysis import tables
from qlight.evaluation.analysis.crossing import Progress, cross
from qlight.evaluation.analysis.examples import Examples
from qlight.evaluation.analysis.judging import Judge
from qlight.evaluation.analysis.kappa import KAPPAS, best, candidates, check_kappas, own_kappa, variants
from qlight.evaluation.analysis.networks import Network
from qlight.evaluation.analysis.tables import HeatMap, cell
from qlight.evaluation.figures import figures
from qlight.evaluation.records import Records
from qlight.evaluation.results import versions
from qlight.evaluation.runner import describe
from qlight.files import whole_file


@dataclass(frozen=True)
class Transferred:
    """What the examples of one attack, crafted on one network, do to another.

    Attributes:
        source, target: names of the networks.
        attack: label.
        kappa: of a Carlini-Wagner attack; None of others.
        reported: whether the tables show this one: of several kappas the best of the source, on the source itself the attack's own.
        images: number of images.
        clean_accuracy: of the target, 0 to 1, with its 95 % Wilson interval (_low, _high), as all shares here.
        adversarial_accuracy: of the target on the examples (acc, section 4.3).
        correct: images that the target has right before the attack; adversarial_accuracy_of_correct: the share of these that stays right.
        successes: examples that the target has wrong; mean_l2, mean_linf: mean norms of their perturbations (section 4.3), None ("-") where
            there is none.
        flipped: images right before and wrong after; mean_l2_flipped, mean_linf_flipped: of these.
        source_sha256, target_sha256: what identifies the networks.
        examples_sha256: of the file of the examples.
    """

    source: str
    target: str
    attack: str
    kappa: float | None
    reported: bool
    images: int
    clean_accuracy: float
    clean_accuracy_low: float
    clean_accuracy_high: float
    adversarial_accuracy: float
    adversarial_accuracy_low: float
    adversarial_accuracy_high: float
    correct: int
    adversarial_accuracy_of_correct: float | None
    adversarial_accuracy_of_correct_low: float | None
    adversarial_accuracy_of_correct_high: float | None
    successes: int
    mean_l2: float | None
    mean_linf: float | None
    flipped: int
    mean_l2_flipped: float | None
    mean_linf_flipped: float | None
    source_sha256: str
    target_sha256: str
    examples_sha256: str


_FIGURES = {field.name for field in fields(Transferred)}


@dataclass(frozen=True)
class TransferMatrix:
    """Every attack from every source to every target.

    Attributes:
        sources, targets, attacks: names, in order.
        cells: one for every combination, and for every kappa that was searched.
        settings: what it was made with.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    attacks: tuple[str, ...]
    cells: tuple[Transferred, ...]
    settings: dict[str, Any]

    @staticmethod
    def joined(parts: Sequence[TransferMatrix]) -> TransferMatrix:
        """One matrix of matrices with the same targets and attacks but other sources, whose test sets may differ in size."""
        first, *others = parts
        if not others:
            return first
        return TransferMatrix(
            sources=tuple(source for part in parts for source in part.sources),
            targets=first.targets,
            attacks=first.attacks,
            cells=tuple(cell for part in parts for cell in part.cells),
            settings=first.settings | {"data": [part.settings["data"] for part in parts]},
        )

    def __getitem__(self, key: tuple[str, str, str]) -> Transferred:
        """The reported cell of (source, target, attack); KeyError where there is none."""
        for found in self.cells:
            if found.reported and (found.source, found.target, found.attack) == key:
                return found
        raise KeyError(key)

    def heat_map(self, attack: str) -> HeatMap:
        """Adversarial accuracies of one attack: rows are sources, columns targets (Figures 1 and 2)."""
        values = [[self[source, target, attack].adversarial_accuracy for target in self.targets] for source in self.sources]
        return HeatMap(attack, self.sources, self.targets, values)

    def to_markdown(self) -> str:
        """Tables in the form of the paper's Tables 17 to 34: a table for each source, with acc, l2 and l-infinity for each target."""
        lines: list[str] = []
        for source in self.sources:
            lines += [f"## From {source}", "", "| attack | kappa | target | acc (95 %) | l2 | linf |", "|---|---|---|---|---|---|"]
            for attack in self.attacks:
                for target in self.targets:
                    one = self[source, target, attack]
                    acc = f"{one.adversarial_accuracy:.2f} ({one.adversarial_accuracy_low:.2f}-{one.adversarial_accuracy_high:.2f})"
                    kappa = "-" if one.kappa is None else f"{one.kappa:g}"
                    lines.append(f"| {attack} | {kappa} | {target} | {acc} | {cell(one.mean_l2)} | {cell(one.mean_linf)} |")
            lines.append("")
        return "\n".join(lines)

    def save(self, folder: str | Path) -> None:
        """Write transfer.csv (all cells), transfer.json, transfer.md and transfer.png, each whole or not at all.

        Raises:
            InputError: `folder` is a file or cannot be written.
        """
        folder = tables.check_folder(folder)
        tables.save_rows(folder / "transfer.csv", self.cells)
        tables.save_json(folder / "transfer.json", self.settings, cells=self.cells)
        with whole_file(folder / "transfer.md") as part:
            part.write_text(self.to_markdown(), encoding="utf-8")
        maps = [self.heat_map(attack) for attack in self.attacks]
        tables.draw(
            folder / "transfer.png", maps, "crafted on", "judged on", "Adversarial accuracy: the lower, the more an attack transfers"
        )

    def print(self, console: Any = None) -> None:
        """Print a matrix of adversarial accuracies for each attack."""
        for attack in self.attacks:
            found = {source: self[source, target, attack].kappa for source in self.sources for target in self.targets if target != source}
            chosen = ", ".join(f"{source} {kappa:g}" for source, kappa in found.items() if kappa is not None)
            one = self.heat_map(attack)
            title = f"{attack}: adversarial accuracy of the columns on examples of the rows" + (f"\nkappa: {chosen}" if chosen else "")
            tables.print_matrix(HeatMap(title, one.rows, one.columns, one.values), "from", console)


def transfer(
    trainer: Trainer,
    sources: Sequence[Network],
    targets: Sequence[Network],
    suite: AttackSuite,
    datamodule: LightningDataModule,
    *,
    out: str | Path,
    seed: int = 0,
    kappas: Iterable[float] = KAPPAS,
    known: Iterable[str | Path] = (),
    on_progress: Progress | None = None,
) -> TransferMatrix | None:
    """Craft on every source, judge on every target (section 5.2).

    Carlini-Wagner attacks are crafted with every kappa of `kappas`. "For each source model, we report the best transferability results":
    here the kappa whose mean adversarial accuracy over the targets other than the source is lowest. On the source itself the attack is
    reported with its own kappa, as the paper's diagonals (0.03 in Table 17) are the direct attacks of Table 3. All kappas are in the cells.

    Examples and predictions are kept in `out` under hashes of what they depend on: an interrupted call goes on where it was, a second one
    computes nothing, and both end with the same files.

    Args:
        trainer: see `qlight.evaluation.evaluate`.
        sources: networks to craft on.
        targets: networks or targets to judge on; one that is a source as well has the same name in both.
        suite: the attacks.
        datamodule: gives the test data.
        out: folder for everything.
        seed: of the attacks' random numbers.
        kappas: candidates; empty keeps the kappas of the suite.
        known: folders of earlier evaluations whose examples are used where they are the same; see `crafted_on`.
        on_progress: called with (parts done, parts, what comes next).

    Returns:
        the matrix; None on processes other than the first.

    Raises:
        InputError: bad input, or an attack that cannot run on a source.
    """
    suite, kappas = AttackSuite.from_value(suite), check_kappas(kappas)
    report = on_progress or (lambda done, total, what: None)
    crossing = cross(trainer, sources, targets, suite, datamodule, out=out, seed=seed, kappas=kappas, known=known, report=report)
    if crossing is None:
        return None
    cells: list[Transferred] = []
    for number, source in enumerate(sources):
        for spec in suite:
            report(len(sources) + number, 2 * len(sources), f"judging {spec.name} of {source.name}")
            cells += _cells_of(crossing.judge, source, targets, spec, kappas, crossing.examples[source.name])
    report(1, 1, "done")
    settings = {
        "data": describe(datamodule),
        "seed": seed,
        "attacks": {spec.name: {"class_path": spec.class_path, "parameters": spec.parameters} for spec in suite},
        "kappas": list(kappas),
        "networks": {network.name: network.identity for network in (*sources, *targets)},
        "versions": versions(),
    }
    return TransferMatrix(
        sources=tuple(source.name for source in sources),
        targets=tuple(target.name for target in targets),
        attacks=tuple(suite.names),
        cells=tuple(cells),
        settings=settings,
    )


def _cells_of(
    judge: Judge, source: Network, targets: Sequence[Network], spec: AttackSpec, kappas: tuple[float, ...], crafted: dict[str, Examples]
) -> list[Transferred]:
    """The cells of one source and attack, with all its kappas."""
    found: dict[float | None, list[tuple[Network, Examples, Records]]] = {}
    for kappa, variant in variants(spec, kappas).items():
        if variant.name in crafted:
            examples = crafted[variant.name]
            records = examples.load()
            found[kappa] = [(target, examples, judge.on(target, examples, records)) for target in targets]
    others = [row for row, target in enumerate(targets) if target.name != source.name]
    # with no other target, the one there is decides
    counted = others or range(len(targets))
    resisting = {kappa: sum(_resisting(found[kappa][row][2]) for row in counted) for kappa in candidates(spec, kappas)}
    chosen, own = best(resisting), own_kappa(spec)
    cells = []
    for kappa, row in found.items():
        for target, examples, records in row:
            computed = {name: value for name, value in figures(records).items() if name in _FIGURES}
            cells.append(
                Transferred(
                    source=source.name,
                    target=target.name,
                    attack=spec.name,
                    kappa=kappa,
                    reported=kappa == (own if target.name == source.name else chosen),
                    source_sha256=source.identity,
                    target_sha256=target.identity,
                    examples_sha256=examples.sha256,
                    **computed,
                )
            )
    return cells


def _resisting(records: Records) -> int:
    return int((records.adversarial_prediction == records.label).sum())
