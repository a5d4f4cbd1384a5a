"""The steps of a study: each fills its folder, goes on where an interrupted run of it was, and ends with the same bytes."""

from __future__ import annotations

import importlib
import json
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from qlight import zoo
from qlight.attacks import AttackSuite
from qlight.attacks.spec import AttackSpec
from qlight.evaluation import evaluate, file_sha256, read_checkpoint
from qlight.evaluation.batches import first_images
from qlight.evaluation.metrics import distortion
from qlight.evaluation.records import RecordFolder
from qlight.files import whole_file
from qlight.lowering import lower
from qlight.models import Classifier
from qlight.models.checkpoint import load_classifier
from qlight.noise import quiet
from qlight.study.summary import FILE as SUMMARY
from qlight.study.summary import summary
from qlight.targets import PackedTarget
from qlight.zoo.store import write_checkpoint

#: raised when a step computes something else than before; results of earlier revisions are then not used
REVISION = 5
NETWORK, ACCURACY, GRAPH = "network.ckpt", "accuracy.json", "graph"
_LAST = "last.ckpt"


def data_module(spec: Mapping[str, Any], **more: Any) -> L.LightningDataModule:
    """The data module of a specification, with further arguments."""
    return data_class(spec["class_path"])(**{**spec.get("init_args", {}), **more})


def data_class(path: str) -> type[L.LightningDataModule]:
    """The class of data modules that a class_path names."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def make_trainer(folder: Path, **options: Any) -> L.Trainer:
    """A Trainer that writes nothing by itself."""
    quietly = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return L.Trainer(**{**quietly, "accelerator": "auto", "devices": 1, "default_root_dir": str(folder), **options})


def load(folder: Path) -> Classifier:
    """The network that `train` or `take` left."""
    path = folder / NETWORK
    return load_classifier(path, read_checkpoint(path))


def train(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """Train a network, and test it: network.ckpt and accuracy.json."""
    L.seed_everything(options["seed"], verbose=False)
    data, last = data_module(options["data"]), folder / _LAST
    model = Classifier(**options["model"])
    saver = ModelCheckpoint(dirpath=folder, filename="last", enable_version_counter=False)
    with quiet():
        trainer = make_trainer(folder, **{**options["trainer"], "enable_checkpointing": True, "callbacks": [saver]})
        trainer.fit(model, datamodule=data, ckpt_path=str(last) if _is_whole(last) else None, weights_only=True)
    write_checkpoint(model, folder / NETWORK)
    _test(options, folder)
    last.unlink(missing_ok=True)  # not before: a test that is interrupted asks for no second training


def _is_whole(checkpoint: Path) -> bool:
    """Whether there is a checkpoint to go on from; one that cannot be read is removed.

    Lightning writes it elsewhere and moves it, which a kill leaves half done where that is another file system.
    """
    if not checkpoint.exists():
        return False
    try:
        with zipfile.ZipFile(checkpoint) as archive:  # which torch's files are, with checksums
            whole = archive.testzip() is None
    except zipfile.BadZipFile:
        whole = False
    if not whole:
        warnings.warn(f"{str(checkpoint)!r} cannot be read, as a kill left it half written; the training begins anew.", stacklevel=2)
        checkpoint.unlink()
    return whole


def take(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """Take a network of the zoo, or of a checkpoint, and test it: network.ckpt and accuracy.json."""
    place = Path(zoo.resolve(options["checkpoint"]))
    write_checkpoint(load_classifier(place, read_checkpoint(place)), folder / NETWORK)
    _test(options, folder)


def _test(options: Mapping[str, Any], folder: Path) -> None:
    model = load(folder)
    data = data_module(options["data"])
    data.prepare_data()
    data.setup("test")
    right = total = 0
    with torch.no_grad():
        for batch in data.test_dataloader():
            right += int((model(batch[0]).argmax(1) == batch[1]).sum())
            total += len(batch[1])
    write_json(folder / ACCURACY, {"correct": right, "images": total, "sha256": file_sha256(folder / NETWORK), "label": model.label})


def export(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """The integer graph of a network, calibrated on validation images where its activations are real."""
    (place,) = needs.values()
    model = load(place)
    data = data_module(options["data"])
    images = first_images(data, options["calibration"], "val").images if model.precision.activation_bit_width == 32 else None
    lower(model, images, metadata={"checkpoint_sha256": file_sha256(place / NETWORK)}).graph.save(folder / GRAPH)


def attack(options: Mapping[str, Any], needs: Mapping[str, Path], folder: Path) -> None:
    """One attack on one network; with a graph among its needs on the packed engine, where gradients come from the network.

    What the same attack crafted on the network, the third need, is not crafted again, but judged.
    """
    network, *deployed = needs.values()
    model = load(network)
    suite = AttackSuite.from_value(options["attack"])
    (spec,) = suite
    data = data_module(options["data"], limit=options["images"])
    trainer = make_trainer(folder, inference_mode=False)
    with quiet():
        if deployed:
            target = PackedTarget(deployed[0] / GRAPH, threads=1)
            if len(deployed) > 1:
                _take_crafted(spec, target, data, deployed[1], folder)
            source = model if spec.needs_gradients else None
            evaluate(trainer, target, suite, data, seed=options["seed"], out=folder, gradients_from=source)
        else:
            evaluate(trainer, model, suite, data, checkpoint=network / NETWORK, seed=options["seed"], out=folder)
    records = RecordFolder(folder).load(spec.name)
    assert records is not None
    write_json(folder / SUMMARY, summary(records))
    forget_times(folder)


def _take_crafted(spec: AttackSpec, target: PackedTarget, data: L.LightningDataModule, crafted: Path, folder: Path) -> None:
    """Give an evaluation on the target the examples that it would craft on the network, as it would have judged them."""
    records = RecordFolder(crafted).load(spec.name)
    if records is None or RecordFolder(folder).path(spec.name).is_file():
        return
    clean = first_images(data, len(records))
    assert clean.index.tolist() == records.index.tolist(), crafted
    images, adversarial = (target.rounded(each) for each in (clean.images, torch.from_numpy(records.adversarial)))
    if not torch.equal(images, clean.images):
        return  # the network was attacked on other images than the target sees
    judged = target(adversarial).argmax(1).numpy()
    own = RecordFolder(folder)
    own.append(
        spec.name,
        replace(
            records,
            clean_prediction=target(images).argmax(1).numpy(),
            adversarial_prediction=judged,
            success=judged != records.label,
            l2=distortion(images, adversarial, 2).numpy(),
            linf=distortion(images, adversarial, float("inf")).numpy(),
            adversarial=adversarial.numpy(),
        ),
    )
    own.close()


def forget_times(folder: Path) -> None:
    """Remove what is not the same in two runs."""
    shutil.rmtree(folder / "seconds", ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """As text that is the same for the same content."""
    with whole_file(path) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
