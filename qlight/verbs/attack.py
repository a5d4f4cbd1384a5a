"""The verb ``attack``: adversarial examples against a network or a deployed target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from torch import nn

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import evaluate, evaluation_manifest, print_table, read_checkpoint
from qlight.evaluation.attacked import Attacked
from qlight.models import Classifier
from qlight.models.checkpoint import load_classifier
from qlight.targets import PackedTarget, RtlSimEngine, Sample, Target, open_target, parse_target
from qlight.targets import certify as replay
from qlight.verbs.base import VerbTrainer, loaded, named_attacks


class AttackTrainer(VerbTrainer):
    """Lightning's Trainer with the verb ``attack``."""

    def attack(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        attacks: AttackSuite | None = None,
        ckpt_path: str | None = None,
        out: str | None = None,
        examples: int = 8,
        seed: int = 0,
        compile: bool = False,  # noqa: A002 - the option is torch's name
        target: str = "torch",
        gradients_from: str | None = None,
        certify: int = 0,
    ) -> Any:
        """Craft adversarial examples from the test split; report adversarial accuracy and distortion.

        An interrupted run goes on where it was when the same command is given again.

        Args:
            attacks: names separated by commas, a YAML file, or a mapping of labels to class_path and init_args (without the model).
            ckpt_path: the checkpoint of the network to attack; not with packed:FOLDER.
            out: folder of the results; null is one below runs/attack that is named by the network and a hash of all that they depend on.
            examples: how many images examples.png shows; 0 writes none.
            seed: of the attacks' random numbers.
            compile: run the network through torch.compile (needs a C++ compiler on CPU).
            target: what is attacked: torch (the network of ckpt_path), torch:CKPT (the same in one word), packed:FOLDER (the integer graph
                that `export` wrote, on the packed CPU engine: 8-bit pixels, no gradients; the model options are not used), rtlsim:FOLDER
                (what `export --format rtl` wrote, the RTL in simulation), csim:FOLDER (what `export --format hls` wrote, the HLS C++), or
                board://HOST:PORT (a board, by its server; ?graph=FOLDER after it insists on that graph, ?deadline=SECONDS waits so long for
                a batch instead of 60).
            gradients_from: a checkpoint; attacks that need gradients craft on it, and are rounded and judged on a target without gradients.
            certify: how many random queries of this run are replayed on the RTL in simulation, which must give the same integers; with
                packed:FOLDER of a build (`export --format rtl`).
        """
        attacks, name = named_attacks(attacks), parse_target(target)
        module: Classifier | Target = model
        path: Path | None = None
        if name.kind == "torch":
            path = loaded(model, ckpt_path or name.place or None)
        else:
            module = open_target(name)
        certified = _certified(module, certify, name.place, seed)
        elsewhere = None if gradients_from is None else load_classifier(Path(gradients_from), read_checkpoint(gradients_from))
        Attacked.by(module).check(attacks, elsewhere)
        manifest = evaluation_manifest(self, module, attacks, datamodule, checkpoint=path, seed=seed, gradients_from=elsewhere)
        folder = manifest.folder(self.default_root_dir) if out is None else Path(out)
        picture = folder / "examples.png" if examples else None
        self._say(f"results in {folder}")
        rows = evaluate(
            self,
            module,
            attacks,
            datamodule,
            checkpoint=path,
            seed=seed,
            out=folder,
            picture=picture,
            keep=examples,
            compile=compile,
            gradients_from=elsewhere,
        )
        if rows:  # the first process only
            self._save_configuration(folder)
            print_table(rows)
            if certified is not None:
                certified()
            if isinstance(module, Target) and module.queries:
                print(f"{target} was asked about {module.queries:,} images in this run, and computed {module.computed:,}; the rest it knew")
            for row in rows:
                if row.timing is not None:
                    print(f"{row.attack}: " + ", ".join(f"{name} {value:,.6g}" for name, value in row.timing.items()))
            print(
                f"wrote {folder}: results.csv, results.json, images.csv, adversarial/*.safetensors" + (", examples.png" if picture else "")
            )
        return rows


def _certified(module: nn.Module, count: int, folder: str, seed: int) -> Callable[[], None] | None:
    """Keep `count` random queries of a packed target of a build folder; what replays them on its RTL, or None for a count of 0.

    Raises:
        InputError: the target is no such one.
        HardwareError: the RTL cannot be simulated here; the message says what to install.
    """
    if count == 0:
        return None
    if count < 0 or not isinstance(module, PackedTarget) or not (Path(folder) / "manifest.json").is_file():
        raise InputError(
            "Expected `certify` to be a number of queries with --target packed:FOLDER, a folder of `export --format rtl`, but got "
            f"{count} with {folder!r}; export one."
        )
    engine, sample = RtlSimEngine(folder), Sample(module.query, count, seed)
    module.query = sample

    def run() -> None:
        equal = replay(sample.query, engine, sample.images)
        print(f"certified: {equal} random queries of {sample.seen:,} give the same integers in the simulated RTL")

    return run
