"""An ensemble of networks as a defence: section 6, Tables 5 to 7, and an attacker who knows of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule, Trainer
from torch import nn

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation.analysis.crossing import Crossing, Progress, cross
from qlight.evaluation.analysis.ensemble_report import Defence, EnsembleReport
from qlight.evaluation.analysis.examples import CRAFTED, Examples, crafted_on
from qlight.evaluation.analysis.kappa import KAPPAS, best, candidates, check_kappas, variants
from qlight.evaluation.analysis.networks import Network, check_networks
from qlight.evaluation.analysis.votes import agreements, decide
from qlight.evaluation.results import versions
from qlight.evaluation.runner import describe

#: what tables call an attack on the ensemble itself
EVERY_MEMBER = "all members"


def ensemble(
    trainer: Trainer,
    members: Sequence[Network],
    suite: AttackSuite,
    datamodule: LightningDataModule,
    *,
    out: str | Path,
    m: int | None = None,
    seed: int = 0,
    kappas: Iterable[float] = KAPPAS,
    known: Iterable[str | Path] = (),
    target: nn.Module | None = None,
    adaptive: AttackSuite | None = None,
    on_progress: Progress | None = None,
) -> EnsembleReport | None:
    """Measure a defence that answers only where m members or more agree (section 6).

    Examples are crafted on every member as the source, as `transfer` does, and with the same files; Carlini-Wagner attacks are reported
    with the kappa of each source that leaves the defence the least accuracy at this m. The paper's limit, "the defense is useless with an
    attacker aware of the implementation details" (section 7), is measured by attacks of `adaptive` on the ensemble itself.

    Args:
        trainer, suite, datamodule, out, seed, kappas, known, on_progress: see `transfer`.
        members: two networks or more; the paper's are float, w1a1, w2a2, w3a3 and w4a4.
        m: members that must agree; None: all but one, as the paper's 4 of 5 for CIFAR10. Figures for every other m are computed too.
        target: the ensemble as a target (`qlight.targets.EnsembleTarget` of these members and this m), for `adaptive`.
        adaptive: attacks on `target`, such as AdaptivePGD.

    Returns:
        the report; None on processes other than the first.

    Raises:
        InputError: bad input, or an attack that cannot run.
    """
    suite, kappas = AttackSuite.from_value(suite), check_kappas(kappas)
    check_networks(members, "members", least=2)
    m = len(members) - 1 if m is None else m
    decide(np.zeros((1, len(members)), np.int64), m)  # refuses an m that cannot be before anything is crafted
    if (target is None) != (adaptive is None) or getattr(target, "m", m) != m:
        raise InputError(f"Expected `target` and `adaptive` together, and the target with m = {m}, but got others; give both or none.")
    report = on_progress or (lambda done, total, what: None)
    against = None
    if target is not None and adaptive is not None:
        adaptive, itself = AttackSuite.from_value(adaptive), Network(f"{m} of {len(members)}", target)
        itself.attacked.check(adaptive, None)
    crossing = cross(trainer, members, members, suite, datamodule, out=out, seed=seed, kappas=kappas, known=known, report=report)
    if target is not None and adaptive is not None:
        report(len(members), 2 * len(members), "attacking the ensemble")
        against = crafted_on(trainer, itself, adaptive, datamodule, out=Path(out) / CRAFTED, seed=seed)
    if crossing is None:
        return None
    names = [member.name for member in members]
    labels = crossing.judge.images.labels.numpy()
    clean = np.stack([crossing.judge.clean(member) for member in members], 1)
    tables5 = [row for name in names for row in agreements(names, name, clean, labels, None)]
    rows = [Defence.of(None, None, None, size, size == m, decide(clean, size), labels) for size in range(1, len(members) + 1)]
    for number, source in enumerate(members):
        for spec in suite:
            report(len(members) + number, 2 * len(members), f"judging {spec.name} of {source.name}")
            votes = {
                kappa: _votes(crossing, members, crossing.examples[source.name][variant.name])
                for kappa, variant in variants(spec, kappas).items()
            }
            chosen = best({kappa: _left(*votes[kappa], m) for kappa in candidates(spec, kappas)})
            rows += _rows(source.name, spec.name, votes, chosen, m)
            tables5 += agreements(names, source.name, *votes[chosen], spec.name)
    for name, examples in (against or {}).items():
        # only with the m that it was adapted to: against another one it is not what its name says
        predictions, truth = _votes(crossing, members, examples)
        rows.append(Defence.of(EVERY_MEMBER, name, None, m, True, decide(predictions, m), truth))
    report(1, 1, "done")
    settings: dict[str, Any] = {
        "members": {member.name: member.identity for member in members},
        "m": m,
        "data": describe(datamodule),
        "seed": seed,
        "attacks": _described(suite),
        "adaptive": {} if adaptive is None else _described(adaptive),
        "kappas": list(kappas),
        "versions": versions(),
    }
    return EnsembleReport(tuple(names), m, tuple(suite.names), tuple(tables5), tuple(rows), settings)


def _votes(crossing: Crossing, members: Sequence[Network], examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """What every member predicts for the examples: int64, N x members; and the labels, N."""
    crafted = examples.load()
    predictions = [crossing.judge.on(member, examples, crafted).adversarial_prediction for member in members]
    return np.stack(predictions, 1), crafted.label


def _left(predictions: np.ndarray, labels: np.ndarray, m: int) -> int:
    """Examples that the ensemble withstands."""
    return decide(predictions, m).defence_accuracy(labels).count


def _rows(
    source: str, attack: str, votes: dict[float | None, tuple[np.ndarray, np.ndarray]], chosen: float | None, m: int
) -> list[Defence]:
    return [
        Defence.of(source, attack, kappa, size, size == m and kappa == chosen, decide(predictions, size), labels)
        for kappa, (predictions, labels) in votes.items()
        for size in range(1, predictions.shape[1] + 1)
    ]


def _described(suite: AttackSuite) -> dict[str, Any]:
    return {spec.name: {"class_path": spec.class_path, "parameters": spec.parameters} for spec in suite}
