"""The verbs of ``python -m qlight`` through LightningCLI: fit, validate, test, predict, attack, diagnose."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import lightning as L
from jsonargparse.typing import register_type
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

import qlight.data  # noqa: F401 - registers the data modules' short names
from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import evaluate, evaluation_manifest, file_sha256, print_table, read_checkpoint, save_predictions
from qlight.evaluation.diagnostics import Sizes, diagnose, progress_bar
from qlight.evaluation.files import whole_file
from qlight.evaluation.loop import first_images
from qlight.evaluation.runner import describe
from qlight.models import Classifier
from qlight.models.checkpoint import check_same_network, check_weights, load_classifier, load_weights
from qlight.noise import quiet
from qlight.parser import Parser

ROOT = "runs"
#: the verbs that take gradients of images and keep their results in a folder of their own
ATTACKING = ("attack", "diagnose")

register_type(AttackSuite, serializer=lambda suite: suite.to_value(), deserializer=AttackSuite.from_value)


class Trainer(L.Trainer):
    """Lightning's Trainer with the verbs ``attack`` and ``diagnose``; ``predict`` also writes a file."""

    def predict(  # type: ignore[override]
        self, model: Any = None, dataloaders: Any = None, datamodule: Any = None, ckpt_path: str | None = None, out: str | None = None
    ) -> Any:
        """Write logits and predicted classes of the test split.

        Args:
            ckpt_path: the checkpoint to predict with.
            out: folder of predictions.npz; null is the run's folder.
        """
        batches = super().predict(model, dataloaders, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
        save_predictions(self, cast(list[dict[str, Tensor]], batches or []), Path(out or self.log_dir or ROOT))
        return batches

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
    ) -> Any:
        """Craft adversarial examples from the test split; report adversarial accuracy and distortion.

        An interrupted run goes on where it was when the same command is given again.

        Args:
            attacks: names separated by commas, a YAML file, or a mapping of labels to class_path and init_args (without the model).
            ckpt_path: the checkpoint of the network to attack.
            out: folder of the results; null is one below runs/attack that is named by the network and a hash of all that they depend on.
            examples: how many images examples.png shows; 0 writes none.
            seed: of the attacks' random numbers.
            compile: run the network through torch.compile (needs a C++ compiler on CPU).
        """
        if attacks is None:
            raise InputError("Expected `--attacks` to name the attacks, but got none; for example --attacks FGSM,BIM.")
        path = _loaded(model, ckpt_path)
        manifest = evaluation_manifest(self, model, attacks, datamodule, checkpoint=path, seed=seed)
        folder = manifest.folder(self.default_root_dir) if out is None else Path(out)
        picture = folder / "examples.png" if examples else None
        self._say(f"results in {folder}")
        rows = evaluate(
            self, model, attacks, datamodule, checkpoint=path, seed=seed, out=folder, picture=picture, keep=examples, compile=compile
        )
        if rows:  # the first process only
            self._save_configuration(folder)
            print_table(rows)
            print(
                f"wrote {folder}: results.csv, results.json, images.csv, adversarial/*.safetensors" + (", examples.png" if picture else "")
            )
        return rows

    def diagnose(
        self,
        model: Classifier,
        datamodule: L.LightningDataModule | None = None,
        ckpt_path: str | None = None,
        images: int = 32,
        sources: str | None = None,
        eps: float = 0.03,
        sizes: Sizes | None = None,
        out: str | None = None,
        seed: int = 0,
    ) -> Any:
        """Look for gradient masking: does the failure of an attack mean robustness?

        Args:
            ckpt_path: the checkpoint of the network to diagnose.
            images: how many images of the test split are used, the first ones.
            sources: checkpoints of other networks, separated by commas (name=path where two have the same name), to see whether attacks on
                them transfer better than direct ones.
            eps: radius of the l-infinity attacks, in pixel units.
            sizes: how much is measured.
            out: folder of diagnostics.json, .csv and .png; null is one below runs/diagnose named by the network and a hash.
            seed: of all random numbers.
        """
        path = _loaded(model, ckpt_path)
        if images < 1:
            raise InputError(f"Expected `images` to be at least 1, but got {images}; 32 are enough to see masking.")
        if datamodule is None:
            raise InputError("Expected `--data` to name the data module, but got none; for example --data SyntheticDigits.")
        others = {name: load_classifier(other, read_checkpoint(other)) for name, other in _named(sources or "").items()}
        batch = first_images(datamodule, images)
        device = self.strategy.root_device
        model.eval().to(device)
        digest = hashlib.sha256(f"{file_sha256(path)} {describe(datamodule)} {images} {sources} {eps} {sizes} {seed}".encode()).hexdigest()
        folder = Path(self.default_root_dir) / "diagnose" / f"{model.label}-{digest[:8]}" if out is None else Path(out)
        with progress_bar() if self.progress_bar_callback else contextlib.nullcontext() as advance:
            diagnosis = diagnose(
                model,
                batch.images.to(device),
                batch.labels.to(device),
                index=batch.index,
                class_names=getattr(datamodule, "class_names", None),
                sources={name: source.to(device) for name, source in others.items()},
                eps=eps,
                seed=seed,
                sizes=sizes,
                label=model.label,
                on_progress=advance,
            )
        diagnosis.print()
        diagnosis.save(folder)
        self._save_configuration(folder)
        print(f"wrote {folder}: diagnostics.json, diagnostics.csv, diagnostics.png")
        return diagnosis

    #: the configuration of this run as YAML; the CLI sets it
    configuration: str | None = None

    def _save_configuration(self, folder: Path) -> None:
        if self.configuration is not None:
            with whole_file(folder / "configuration.yaml") as part:
                part.write_text(self.configuration, encoding="utf-8")

    def _say(self, text: str) -> None:
        if self.is_global_zero:
            print(text, flush=True)


def _loaded(model: Classifier, ckpt_path: str | None) -> Path:
    """Load the checkpoint's weights into `model`; its path."""
    if ckpt_path is None:
        raise InputError("Expected `ckpt_path` to be the checkpoint to attack, but got none; `fit` writes one.")
    path = Path(ckpt_path)
    load_weights(model, path, read_checkpoint(path))
    return path


def _named(sources: str) -> dict[str, Path]:
    """Paths separated by commas, each as `name=path` or alone, where its stem is its name."""
    named: dict[str, Path] = {}
    for source in filter(None, sources.split(",")):
        name, _, path = source.rpartition("=")
        name = name or Path(path).stem
        if name in named:
            raise InputError(f"Expected `sources` with different names, but {name!r} comes twice; write name=path.")
        named[name] = Path(path)
    return named


class CLI(LightningCLI):
    """LightningCLI with the verbs ``attack`` and ``diagnose``, checkpoints read without unpickling code, and one folder a run."""

    #: the checkpoint that the verb was given, and its content
    _checkpoint: tuple[Path, dict[str, Any]] | None = None
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
        }

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        parser = super().init_parser(**kwargs)
        # `--help` is answered before anything heavy is imported (qlight.__main__); this is the long one
        parser.add_argument("--help-all", action="help", help="Show every option of the verb and exit.")
        return parser

    def _parse_ckpt_path(self) -> None:
        verb = self.config["subcommand"]
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
        if subcommand != "fit" and self._checkpoint is None:
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
    arguments = list(args)
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
