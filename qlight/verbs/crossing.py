"""The verbs that craft examples on some networks and see what they do to others: ``transfer``, ``ensemble`` and ``shift``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L

from qlight.attacks import AttackSuite
from qlight.evaluation.analysis import ensemble, shift, transfer
from qlight.evaluation.analysis.kappa import KAPPAS
from qlight.models import Classifier
from qlight.targets import EnsembleTarget
from qlight.verbs.base import VerbTrainer, named_attacks
from qlight.verbs.networks import identities, load_networks, sources_and_targets

#: attacks on an ensemble itself, with the paper's eps, by whether it has a gradient
ADAPTIVE = {
    True: {"AdaptivePGD": {"class_path": "AdaptivePGD",
                           "init_args": {"eps": 0.03, "step_size": 0.003, "steps": 50, "restarts": 2, "loss": "margin"}}},
    False: {"AdaptiveSPSA": {"class_path": "AdaptiveSPSA", "init_args": {"eps": 0.03, "early_stop": True}}},
}  # fmt: skip


class CrossingTrainer(VerbTrainer):
    """Lightning's Trainer with the verbs that craft on networks and judge on networks."""

    def transfer(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        sources: str | None = None,
        targets: str | None = None,
        attacks: AttackSuite | None = None,
        kappas: list[float] | None = None,
        reuse: str | None = None,
        out: str | None = None,
        seed: int = 0,
    ) -> Any:
        """Craft adversarial examples on some networks and judge them on others.

        An interrupted run goes on where it was when the same command is given again.

        Args:
            sources: networks to craft on, separated by commas: CKPT or name=CKPT; packed:FOLDER where all attacks only query.
            targets: networks to judge on: CKPT, packed:FOLDER or rtlsim:FOLDER, each also as name=...; null is the sources.
            attacks: names separated by commas, a YAML file, or a mapping of labels to class_path and init_args (without the model).
            kappas: of Carlini-Wagner attacks; the best of each source is reported. Null is 5, 10, 15, 20, 25; [] keeps the attacks' own.
            reuse: more folders of `attack`, separated by commas, whose examples are used where they are the same.
            out: folder of the results; null is one below runs/transfer that is named by a hash of all that they depend on.
            seed: of the attacks' random numbers.
        """
        suite, of, to = named_attacks(attacks), *sources_and_targets(sources, targets)
        assert datamodule is not None  # the parser asks for it
        searched = list(KAPPAS if kappas is None else kappas)
        folder = self._folder("transfer", out, of, datamodule, identities(to), suite.to_value(), searched, seed)
        with self._progress() as advance:
            matrix = transfer(
                self,
                of,
                to,
                suite,
                datamodule,
                out=folder,
                seed=seed,
                kappas=searched,
                known=self._known(reuse),
                on_progress=advance,
            )
        if matrix is not None:
            self._finish(matrix, folder, "transfer.csv, transfer.json, transfer.md, transfer.png, crafted/, judged/")
        return matrix

    def ensemble(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        networks: str | None = None,
        attacks: AttackSuite | None = None,
        m: int | None = None,
        adaptive: AttackSuite | None = None,
        kappas: list[float] | None = None,
        reuse: str | None = None,
        out: str | None = None,
        seed: int = 0,
    ) -> Any:
        """Measure a defence that answers only where several networks agree, also against an attacker who knows it.

        An interrupted run goes on where it was when the same command is given again.

        Args:
            networks: the members, separated by commas: CKPT, packed:FOLDER or rtlsim:FOLDER, each also as name=...
            attacks: on each member alone: names separated by commas, a YAML file, or a mapping of labels to class_path and init_args.
            m: members that must agree; null is all but one.
            adaptive: attacks on the ensemble itself; null is AdaptivePGD, or AdaptiveSPSA where a member has no gradient.
            kappas: of Carlini-Wagner attacks; the best of each source is reported. Null is 5, 10, 15, 20, 25; [] keeps the attacks' own.
            reuse: more folders of `attack`, separated by commas, whose examples are used where they are the same.
            out: folder of the results; null is one below runs/ensemble that is named by a hash of all that they depend on.
            seed: of the attacks' random numbers.
        """
        suite = named_attacks(attacks)
        assert datamodule is not None  # the parser asks for it
        members = load_networks(networks, "networks")
        m = len(members) - 1 if m is None else m
        target = EnsembleTarget({member.name: member.module for member in members}, m)
        if adaptive is None:
            adaptive = AttackSuite.from_value(ADAPTIVE[target.differentiable])
        searched = list(KAPPAS if kappas is None else kappas)
        suites = (suite.to_value(), adaptive.to_value())
        folder = self._folder("ensemble", out, members, datamodule, m, suites, searched, seed)
        with self._progress() as advance:
            found = ensemble(
                self,
                members,
                suite,
                datamodule,
                out=folder,
                m=m,
                seed=seed,
                kappas=searched,
                known=self._known(reuse),
                target=target,
                adaptive=adaptive,
                on_progress=advance,
            )
        if found is not None:
            self._finish(found, folder, "agreement.csv, ensemble.csv, ensemble.json, ensemble.png, crafted/, judged/")
        return found

    def shift(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        sources: str | None = None,
        targets: str | None = None,
        attacks: AttackSuite | None = None,
        reuse: str | None = None,
        out: str | None = None,
        seed: int = 0,
    ) -> Any:
        """Measure how much of a perturbation quantization levels out, layer by layer.

        Args:
            sources: checkpoints to craft on, separated by commas, each also as name=CKPT.
            targets: checkpoints to look at as well; null is the sources.
            attacks: names separated by commas, a YAML file, or a mapping of labels to class_path and init_args (without the model).
            reuse: more folders of `attack`, separated by commas, whose examples are used where they are the same.
            out: folder of the results; null is one below runs/shift that is named by a hash of all that they depend on.
            seed: of the attacks' random numbers.
        """
        suite, of, to = named_attacks(attacks), *sources_and_targets(sources, targets)
        assert datamodule is not None  # the parser asks for it
        folder = self._folder("shift", out, of, datamodule, identities(to), suite.to_value(), seed)
        with self._progress() as advance:
            found = shift(self, of, to, suite, datamodule, out=folder, seed=seed, known=self._known(reuse), on_progress=advance)
        if found is not None:
            self._finish(found, folder, "shift.csv, shift.json, shift.png, crafted/, judged/")
        return found

    def _known(self, reuse: str | None) -> list[Path]:
        """Where examples may be found: below the root, where `attack` puts them, and in the folders that were named."""
        default = Path(self.default_root_dir) / "attack"
        return [*([default] if default.is_dir() else []), *(Path(place) for place in (reuse or "").split(",") if place.strip())]
