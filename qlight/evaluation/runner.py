"""From a Trainer, a network and a suite to result rows."""

from __future__ import annotations

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
from qlight.evaluation.checkpoint import file_sha256
from qlight.evaluation.crafting import require_gradients
from qlight.evaluation.loop import AttackEvaluation, Examples
from qlight.evaluation.pictures import save_examples
from qlight.evaluation.results import ResultRow


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
    picture: str | Path | None = None,
    keep: int = 8,
) -> list[ResultRow]:
    """Attack the test data with every attack of the suite in one pass, under the Trainer's strategy, devices and progress bar.

    Args:
        trainer: must have ``inference_mode=False``.
        module: the network with its weights: images in [0, 1] -> logits.
        suite: the attacks, or anything that `AttackSuite.from_value` takes.
        datamodule: gives the test data;
        dataloaders: or give the loaders here.
        checkpoint: the file that the weights came from; only its name and hash go into the rows. This function does not load it.
        seed: of the attacks' random numbers.
        label: what to call the network; default: its `label`, else w1a1 or float from its hyperparameters, else its class.
        picture: a PNG to write with the first `keep` images and their adversarial examples.

    Returns:
        one row an attack, in order; on processes other than the first an empty list.

    Raises:
        InputError: inference mode, no data, images outside [0, 1], or an attack that fails or returns something wrong.
    """
    require_gradients(trainer.test_loop.inference_mode)
    suite = AttackSuite.from_value(suite)
    if (datamodule is None) == (dataloaders is None):
        raise InputError("Expected either `datamodule` or `dataloaders`, but got both or none; give the test data once.")
    digest = None if checkpoint is None else file_sha256(checkpoint)
    evaluation = AttackEvaluation(module, suite, seed=seed, keep=keep if picture is not None else 0)
    with tempfile.TemporaryDirectory() as folder:
        # A spawned process cannot return tensors through the Trainer: it leaves them in a file. Elsewhere the file is not written.
        evaluation.handover = str(Path(folder) / "figures.pt") if spawns(trainer) else None
        with warnings.catch_warnings():
            # The images that such a sampler repeats are left out, see AttackEvaluation.
            warnings.filterwarnings("ignore", message="Using `DistributedSampler` with the dataloaders")
            trainer.test(evaluation, dataloaders=dataloaders, datamodule=datamodule, verbose=False)
        if evaluation.handover is not None and evaluation.figures is None:
            evaluation.load_handover()
    if not trainer.is_global_zero:
        return []
    if evaluation.figures is None:
        raise InputError("Expected test data with at least one image, but got none; check the data module.")
    if picture is not None and evaluation.examples is not None:
        _draw(picture, evaluation.examples, datamodule)
    common = {
        "label": label or model_label(module),
        "checkpoint": None if checkpoint is None else Path(checkpoint).name,
        "checkpoint_sha256": digest,
        "model": describe(module),
        "data": describe(datamodule),
        "seed": seed,
    }
    return [
        ResultRow(**common, attack=spec.name, class_path=spec.class_path, parameters=spec.parameters, **figures)
        for spec, figures in zip(evaluation.suite, evaluation.figures, strict=True)
    ]


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


def _draw(path: str | Path, examples: Examples, datamodule: LightningDataModule | None) -> None:
    save_examples(
        path,
        examples.images,
        examples.adversarial,
        examples.labels,
        examples.predictions,
        examples.adversarial_predictions,
        class_names=getattr(datamodule, "class_names", None),
    )
