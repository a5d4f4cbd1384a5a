"""From a Trainer, a network and a suite to result rows, and a folder that an interrupted evaluation resumes from."""

from __future__ import annotations

import contextlib
import inspect
import tempfile
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, Trainer
from torch import nn

from qlight.attacks import AttackSuite
from qlight.attacks.arguments import plain
from qlight.errors import InputError
from qlight.evaluation.attacked import Attacked
from qlight.evaluation.checkpoint import file_sha256
from qlight.evaluation.crafting import require_gradients
from qlight.evaluation.figures import figures, save_images_csv
from qlight.evaluation.loop import AttackEvaluation
from qlight.evaluation.manifest import Manifest
from qlight.evaluation.records import RecordFolder
from qlight.evaluation.results import ResultRow, load_results, save_results, versions
from qlight.evaluation.timing import kept, per_query


def evaluate(
    trainer: Trainer,
    module: nn.Module,
    suite: AttackSuite,
    datamodule: LightningDataModule | None = None,
    dataloaders: Any = None,
    *,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    label: str | None = None,
    out: str | Path | None = None,
    picture: str | Path | None = None,
    keep: int = 8,
    compile: bool = False,  # noqa: A002 - the option is torch's name
    gradients_from: nn.Module | None = None,
) -> list[ResultRow]:
    """Attack the test data with every attack of the suite in one pass, under the Trainer's strategy, devices and progress bar.

    The network may be a target (`qlight.targets`): then its clean accuracy, its 8-bit images and its queries are what the results tell.

    With `out`, what is finished is kept there as soon as it is: after a kill, the same call goes on after the last finished image and ends
    with the files of an unbroken run: `results.json`, `results.csv` (a row an attack), `images.csv` (a line an attack and image) and
    `adversarial/<attack>.safetensors`. On a float network an image's result may differ in the last bits of its logits where it was
    attacked in another batch. Times are not the same in two runs; they are in `seconds/`. Attacks that the folder holds from earlier calls
    with the same network, data and seed stay in its results.

    Args:
        trainer: must have ``inference_mode=False``.
        module: the network with its weights, or a target: images in [0, 1] -> logits.
        suite: the attacks, or anything that `AttackSuite.from_value` takes.
        datamodule: gives the test data;
        dataloaders: or give the loaders here.
        checkpoint: the file that the weights came from; only its name and hash go into the rows. This function does not load it.
        seed: of the attacks' random numbers.
        label: what to call the network; default: its `label`, else w1a1 or float from its hyperparameters, else its class.
        out: a folder for the results, shared by all processes; None keeps nothing.
        picture: a PNG to write with the first `keep` images and their adversarial examples.
        compile: run the network through torch.compile.
        gradients_from: a torch network on which attacks that need gradients craft, where a target has none; their examples are judged on
            the target. Gradient-free attacks of the same suite query the target itself.

    Returns:
        one row an attack, in order; on processes other than the first an empty list.

    Raises:
        InputError: inference mode, no data, images outside [0, 1], an attack that fails or returns something wrong, an `out` that holds
            the results of another network, data, seed or version, an attack that needs gradients where there are none, or a target with a
            budget.
    """
    require_gradients(trainer.test_loop.inference_mode)
    suite = AttackSuite.from_value(suite)
    if (datamodule is None) == (dataloaders is None):
        raise InputError("Expected either `datamodule` or `dataloaders`, but got both or none; give the test data once.")
    attacked = Attacked.by(module)
    attacked.check(suite, gradients_from)
    if getattr(module, "queries_left", None) is not None:
        raise InputError(
            "Expected a target without `budget`, which would end an evaluation at an image that depends on batches and processes; "
            "give each attack a `query_budget`, which is an image's own."
        )
    manifest = evaluation_manifest(
        trainer, module, suite, datamodule, checkpoint=checkpoint, seed=seed, label=label, gradients_from=gradients_from
    )
    with contextlib.ExitStack() as stack:
        folder = None if out is None else Path(out)
        if folder is None and spawns(trainer):
            # A spawned process cannot return tensors through the Trainer: it leaves them in a folder.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        evaluation = AttackEvaluation(
            module,
            suite,
            seed=seed,
            keep=keep if picture is not None else 0,
            folder=folder,
            manifest=None if out is None else manifest,
            picture=picture,
            class_names=getattr(datamodule, "class_names", None),
            compile=compile,
            gradients_from=gradients_from,
        )
        stack.callback(evaluation.release)
        with warnings.catch_warnings():
            # The images that such a sampler repeats are left out, see AttackEvaluation.
            warnings.filterwarnings("ignore", message="Using `DistributedSampler` with the dataloaders")
            trainer.test(evaluation, dataloaders=dataloaders, datamodule=datamodule, verbose=False)
        if not trainer.is_global_zero:
            return []
        found = evaluation.records
        if not found and folder is not None:
            store = RecordFolder(folder)
            found = {spec.name: records for spec in suite if (records := store.load(spec.name)) is not None}
        if not found:
            raise InputError("Expected test data with at least one image, but got none; check the data module.")
        common = {
            "label": manifest.label,
            "checkpoint": None if checkpoint is None else Path(checkpoint).name,
            "checkpoint_sha256": manifest.checkpoint_sha256 or attacked.checkpoint_sha256,
            "model": {**manifest.model, **({"metadata": attacked.metadata} if attacked.metadata else {})},
            "data": manifest.data,
            "seed": seed,
            "target": manifest.target,
            "graph_hash": manifest.graph_hash,
        }
        times = evaluation.timing.sums if out is None else kept(Path(out), evaluation.timing.sums)
        crafted_on = {name: attack.get("gradients_from") for name, attack in manifest.attacks.items()}
        rows = [
            ResultRow(
                **common,
                attack=spec.name,
                class_path=spec.class_path,
                parameters=spec.parameters,
                gradients_from=crafted_on[spec.name],
                timing=per_query(times.get(spec.name, {})),
                **figures(found[spec.name]),
            )
            for spec in evaluation.suite
        ]
        if out is not None:
            _save(Path(out), rows)
    return rows


def _save(out: Path, rows: list[ResultRow]) -> None:
    """Write the results of a folder: these rows, after those of other attacks that it holds already."""
    store, new = RecordFolder(out), {row.attack for row in rows}
    earlier = load_results(out) if (out / "results.json").is_file() else []
    kept = [row for row in earlier if row.attack not in new and store.path(row.attack).is_file()]
    every = [*kept, *rows]
    save_results(every, out)
    records = {row.attack: store.load(row.attack) for row in every}
    save_images_csv(out / "images.csv", {name: found for name, found in records.items() if found is not None})


def evaluation_manifest(
    trainer: Trainer,
    module: nn.Module,
    suite: AttackSuite,
    datamodule: LightningDataModule | None = None,
    *,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    label: str | None = None,
    gradients_from: nn.Module | None = None,
) -> Manifest:
    """What identifies the results of `evaluate` with these arguments."""
    attacked = Attacked.by(module)
    elsewhere = None if gradients_from is None else Attacked.by(gradients_from).weights_sha256
    attacks: dict[str, dict[str, Any]] = {}
    for spec in suite:
        attacks[spec.name] = {"class_path": spec.class_path, "parameters": spec.parameters}
        if attacked.crafts_elsewhere(spec):
            attacks[spec.name]["gradients_from"] = elsewhere
    return Manifest(
        label=label or model_label(attacked.network),
        checkpoint_sha256=None if checkpoint is None else file_sha256(checkpoint),
        weights_sha256=attacked.weights_sha256,
        model=describe(attacked.network),
        data=describe(datamodule),
        batches=plain(trainer.limit_test_batches),
        seed=seed,
        versions=versions(),
        attacks=attacks,
        target=attacked.kind,
        graph_hash=attacked.graph_hash,
    )


def spawns(trainer: Trainer) -> bool:
    """Whether the Trainer's strategy runs in processes that it starts by spawn or fork (ddp_spawn), so that this one only waits."""
    return hasattr(trainer.strategy.launcher, "_start_method")


def model_label(module: nn.Module) -> str:
    """What the paper calls a network: its own `label`, else w1a1 or float from its bit widths, else its class."""
    own = getattr(module, "label", None)
    if isinstance(own, str):
        return own
    settings = describe(module)["init_args"]
    weight, activation = settings.get("weight_bit_width"), settings.get("activation_bit_width")
    if weight is None or activation is None:
        return type(module).__name__
    return "float" if weight == activation == 32 else f"w{weight}a{activation}"


def describe(thing: object) -> dict[str, Any]:
    """{class_path, init_args} of a LightningModule or data module, as JSON can hold it.

    The arguments come from its saved hyperparameters, else from the attributes that bear the names of its constructor's parameters.
    """
    if thing is None:
        return {}
    saved = dict(getattr(thing, "hparams", None) or {})
    arguments: dict[str, Any] = {}
    for owner in type(thing).__mro__:
        if "__init__" not in vars(owner) or owner.__module__.startswith(("lightning.", "torch.")) or owner is object:
            continue
        for name in inspect.signature(owner.__init__).parameters:
            if name in saved:
                arguments.setdefault(name, saved[name])
            elif name in vars(thing) and isinstance(vars(thing)[name], bool | int | float | str | Path | list | tuple | dict | None):
                arguments.setdefault(name, vars(thing)[name])
    return {"class_path": f"{type(thing).__module__}.{type(thing).__qualname__}", "init_args": plain({**saved, **arguments})}
