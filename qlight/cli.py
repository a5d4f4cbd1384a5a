"""The verbs of ``python -m qlight`` through LightningCLI: Lightning's and qlight's own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from jsonargparse.typing import register_type
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import qlight.data  # noqa: F401 - registers the data modules' short names
from qlight import zoo
from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import read_checkpoint
from qlight.models import Classifier
from qlight.models.checkpoint import check_same_network, check_weights
from qlight.noise import quiet
from qlight.parser import Parser
from qlight.targets import parse_target
from qlight.verbs import ROOT, Trainer

#: the verbs that name the checkpoints of several networks by options of their own
COMPARING = ("transfer", "ensemble", "gradients", "spread", "shift")
#: the verbs that may take gradients of images and keep their results in a folder of their own
ATTACKING = ("attack", "diagnose", "export", *COMPARING)

register_type(AttackSuite, serializer=lambda suite: suite.to_value(), deserializer=AttackSuite.from_value)


class CLI(LightningCLI):
    """LightningCLI with more verbs, checkpoints read without unpickling code, and one folder a run."""

    #: the checkpoint that the verb was given, and its content
    _checkpoint: tuple[Path, dict[str, Any]] | None = None
    #: whether a verb other than fit needs one: not where a target holds the network
    _needs_checkpoint: bool = True
    #: the folder that this run makes for itself
    _run_folder: Path | None = None

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        loaders = {"model", "dataloaders", "datamodule", "weights_only"}
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"},
            "validate": loaders | {"verbose"},
            "test": loaders | {"verbose"},
            "predict": loaders,
            "attack": loaders,
            "diagnose": loaders,
            "export": loaders,
            **dict.fromkeys(COMPARING, loaders),
        }

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        parser = super().init_parser(**kwargs)
        # `--help` is answered before anything heavy is imported (qlight.__main__); this is the long one
        parser.add_argument("--help-all", action="help", help="Show every option of the verb and exit.")
        return parser

    def _parse_ckpt_path(self) -> None:
        verb = self.config["subcommand"]
        self._resolve_zoo(self.config[verb])
        if verb == "attack":
            self._parse_target(self.config[verb])
        self._needs_checkpoint &= verb not in COMPARING
        path = self.config[verb].get("ckpt_path")
        if path is None or (verb == "fit" and path in ("last", "best")):
            return
        self._checkpoint = (Path(path), read_checkpoint(Path(path)))
        hyper_parameters = self._checkpoint[1]["hyper_parameters"]
        defaults = self._subcommand_parsers[verb].get_defaults()["model"]
        given = self.config[verb]["model"].as_dict()
        check_same_network(Path(path), given, defaults.as_dict(), hyper_parameters, training=verb == "fit")
        for name, value in hyper_parameters.items():
            if name in defaults and name != "compile":
                self.config[verb]["model"][name] = value

    def _resolve_zoo(self, config: Any) -> None:
        """Where an option names a network of the zoo, the checkpoint that is made of it."""
        for option in ("ckpt_path", "gradients_from", "target", "sources", "targets", "networks"):
            value = config.get(option)
            if value is not None:
                config[option] = re.sub(rf"{zoo.PREFIX}[^,=]+", lambda found: zoo.resolve(found[0]), str(value))

    def _parse_target(self, config: Any) -> None:
        """A checkpoint that `--target` names is the run's checkpoint; a graph needs none."""
        name, path = parse_target(config["target"]), config.get("ckpt_path")
        self._needs_checkpoint = name.kind == "torch"
        if name.place and path is not None and not (self._needs_checkpoint and Path(path) == Path(name.place)):
            instead = "the graph is the network (for gradients, give --gradients_from)" if name.kind != "torch" else "name one checkpoint"
            raise InputError(f"Expected no `--ckpt_path` with --target {config['target']}, but got {str(path)!r}; {instead}.")
        if self._needs_checkpoint and name.place:
            config["ckpt_path"] = name.place

    def before_instantiate_classes(self) -> None:
        self.save_config_kwargs["config_filename"] = f"{self.config['subcommand']}.yaml"

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except ValueError as error:  # jsonargparse wraps what a constructor raises
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, InputError):
                cause = cause.__cause__
            raise (cause or error) from error

    def after_instantiate_classes(self) -> None:
        if self._checkpoint is not None:
            check_weights(self.model, *self._checkpoint)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        trainer = self._get(self.config_init, "trainer")
        root = trainer.get("default_root_dir") or ROOT
        kwargs.setdefault("default_root_dir", root)
        attacking = self.subcommand in ATTACKING
        if attacking and trainer.get("logger") in (None, True):
            kwargs["logger"] = False  # the results have a folder of their own, which must be the same when the run goes on
        elif trainer.get("logger") in (None, True):
            tensorboard = TensorBoardLogger(root, name=self.subcommand, default_hp_metric=False)
            folder = Path(tensorboard.log_dir)
            self._run_folder = None if folder.exists() else folder
            # the same folder as TensorBoard's; the version itself is never pinned, so that no run writes over another's files
            kwargs["logger"] = [tensorboard, CSVLogger(root, name=self.subcommand, version=tensorboard.version)]
        if attacking:
            kwargs["inference_mode"] = False  # gradients of the input are needed
            self.save_config_callback = None
        try:
            return super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, ValueError) as error:
            raise InputError(f"Expected `--trainer` options that work here, but Lightning says: {error}") from error

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        arguments = super()._prepare_subcommand_kwargs(subcommand)
        if subcommand in ("fit", "validate", "test"):
            arguments["weights_only"] = True  # a checkpoint is data: never unpickle code from it
        return arguments

    def _run_subcommand(self, subcommand: str) -> None:
        if subcommand != "fit" and self._checkpoint is None and self._needs_checkpoint:
            raise InputError(f"Expected `--ckpt_path` to be the checkpoint to {subcommand}, but got none; `fit` writes one.")
        if subcommand in ATTACKING:
            assert isinstance(self.trainer, Trainer)
            self.trainer.configuration = self.parser.dump(self.config, skip_none=False)
        try:
            super()._run_subcommand(subcommand)
        except InputError:
            self._remove_run_folder()
            raise
        except MisconfigurationException as error:
            self._remove_run_folder()
            raise InputError(f"Expected settings that go together, but Lightning says: {error}") from error
        except OSError as error:
            if error.filename is None:
                raise
            self._remove_run_folder()
            reason = f"{error.filename!r} cannot be used ({error.strerror})"
            raise InputError(f"Expected folders and files that can be read and written, but {reason}; choose another one.") from error

    def after_fit(self) -> None:
        """Say where the checkpoints are, which the other verbs ask for."""
        for callback in self.trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.best_model_path and self.trainer.is_global_zero:
                score = f" ({callback.monitor} {float(callback.best_model_score):.3f})" if callback.best_model_score is not None else ""
                print(f"wrote {os.path.relpath(callback.best_model_path)}{score}", flush=True)

    def _remove_run_folder(self) -> None:
        """Remove the folder that this run made, where bad input ended it before it came to anything."""
        folder = self._run_folder
        if folder is None or not self.trainer.is_global_zero or any(folder.rglob("*.ckpt")):
            return
        for logger in self.trainer.loggers:
            logger.finalize("failed")
        shutil.rmtree(folder, ignore_errors=True)
        for parent in (folder.parent, folder.parent.parent):
            with contextlib.suppress(OSError):  # not empty: it holds other runs
                parent.rmdir()


def _callbacks() -> list[L.Callback]:
    last = ModelCheckpoint(filename="last", enable_version_counter=False)
    best = ModelCheckpoint(filename="best", monitor="val_acc", mode="max", enable_version_counter=False)
    return [last, best, LearningRateMonitor(logging_interval="epoch")]


def run(args: Sequence[str], cli: type[CLI] = CLI) -> CLI:
    """Run one verb; ``args`` begins with it.

    Raises:
        InputError: bad input, in one sentence.
    """
    # options are spelled with underscores, but many people's fingers spell them otherwise
    arguments = [f"--{arg[2:].replace('-', '_', 1)}" if arg.startswith("--gradients-from") else arg for arg in args]
    argv = sys.argv
    if len(argv) > 1 and argv[1:] != arguments:  # called from Python: LightningCLI compares with sys.argv
        sys.argv = [argv[0], *arguments]
    try:
        with quiet():
            return cli(
                Classifier,
                L.LightningDataModule,
                subclass_mode_data=True,
                trainer_class=Trainer,
                trainer_defaults={"callbacks": _callbacks(), "max_epochs": 100},
                seed_everything_default=0,
                auto_configure_optimizers=False,
                parser_class=Parser,
                args=arguments,
            )
    finally:
        sys.argv = argv
