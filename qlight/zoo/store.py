"""The networks of the zoo by name: files of this package, and checkpoints made of them where a file is needed."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy
import torch

from qlight.errors import InputError, nearest
from qlight.files import cache_folder, whole_file
from qlight.models import Classifier
from qlight.zoo.packed import pack, unpack

#: what a checkpoint's name begins with where it is one of the zoo: `--ckpt_path zoo:cifar10-w2a2-x0.25`
PREFIX = "zoo:"
NETWORKS = Path(__file__).parent / "networks"
#: file format; a reader refuses others
FORMAT = "qlight-zoo-1"
_SUFFIX = ".safetensors"
#: Lightning asks a checkpoint which version wrote it; always the same, so that its hash does not depend on what is installed
_LIGHTNING = "2.5.0"


@dataclass(frozen=True)
class Entry:
    """What the zoo says about a network.

    Attributes:
        name: such as cifar10-w2a2-x0.25: network, precision, width.
        hyper_parameters: of `qlight.models.Classifier`.
        accuracy: share of the ``test_images`` that the stored network classifies correctly, in float32.
        test_images: of the data set's test split.
        dataset: that it was trained and tested on.
        configuration: the YAML text that `python -m qlight fit --config` took.
        license: of the stored network.
        provenance: who made it, with what, from which data.
        sha256: of the file.
        bytes: of the file.
    """

    name: str
    hyper_parameters: Mapping[str, Any]
    accuracy: float
    test_images: int
    dataset: str
    configuration: str
    license: str
    provenance: str
    sha256: str
    bytes: int


@functools.cache
def entries() -> Mapping[str, Entry]:
    """All networks of the zoo by name: what `python -m qlight zoo` lists.

    >>> entries()["cifar10-w1a1-x0.25"].hyper_parameters["weight_bit_width"]
    1
    """
    return {path.stem: _entry(path) for path in sorted(NETWORKS.glob(f"*{_SUFFIX}"))}


def load(name: str) -> Classifier:
    """A network of the zoo, in evaluation mode.

    Its quantized weights are those of the network that was trained, bit for bit; its latent weights are not (see `qlight.zoo.pack`).

    Args:
        name: such as "cifar10-w2a2-x0.25"; with or without "zoo:".

    Raises:
        InputError: there is none of this name.

    >>> load("cifar10-w1a1-x0.25").label
    'w1a1'
    """
    entry = find(name)
    path = _path(entry.name)
    with torch.random.fork_rng(devices=[]):  # initial weights are overwritten: leave the caller's random numbers alone
        model = Classifier(**entry.hyper_parameters)
    unpack(model, safetensors.numpy.load_file(path), _header(path)["layout"])
    return model.eval()


def checkpoint(name: str) -> Path:
    """A checkpoint file of a network of the zoo, as `fit` writes them (without optimizer); made once, in `qlight.files.cache_folder`.

    Raises:
        InputError: there is none of this name, or the folder zoo of the cache cannot be written.
    """
    entry = find(name)
    path = cache_folder() / "zoo" / f"{entry.name}-{entry.sha256[:12]}.ckpt"
    if path.is_file():
        return path
    write_checkpoint(load(entry.name), path)
    return path


def write_checkpoint(model: Classifier, path: Path) -> None:
    """Write a network as a checkpoint that `fit` might have written, without optimizer: always the same bytes for the same network."""
    held = {name: value for name, value in model.hparams.items() if not name.startswith("_")}
    content = {"state_dict": model.state_dict(), "hyper_parameters": held}
    with whole_file(path) as part, part.open("wb") as file:  # given a path, torch writes its name, here a random one, into the file
        torch.save({"epoch": 0, "global_step": 0, "pytorch-lightning_version": _LIGHTNING, **content}, file)


def resolve(path: str) -> str:
    """``path``, or the path of the zoo's checkpoint that "zoo:NAME" names.

    >>> resolve("runs/last.ckpt")
    'runs/last.ckpt'
    """
    return str(checkpoint(path)) if path.startswith(PREFIX) else path


def save(model: Classifier, folder: Path, **facts: Any) -> Path:
    """Write a network as a file of the zoo; its path.

    Args:
        folder: is there.
        facts: of `Entry`: accuracy, test_images, dataset, configuration, license, provenance.

    Raises:
        InputError: the network cannot be packed.
    """
    arrays, layout = pack(model)
    held = {name: value for name, value in model.hparams.items() if not name.startswith("_")}
    header = {"hyper_parameters": held, "layout": layout, **facts}
    path = folder / f"{held['network']}-{model.label}-x{held['width']}{_SUFFIX}"
    with whole_file(path) as part:
        part.write_bytes(safetensors.numpy.save(arrays, {"format": FORMAT, "header": json.dumps(header, sort_keys=True)}))
    return path


def find(name: str) -> Entry:
    """What the zoo says about ``name``, with or without "zoo:".

    Raises:
        InputError: there is none of this name.
    """
    name = name.removeprefix(PREFIX)
    if name not in entries():
        close = nearest(name, entries(), 1)
        raise InputError(
            f"Expected a network of the zoo ({', '.join(entries())}), but got {name!r}; "
            + (f"did you mean {close}?" if close else "choose one.")
        )
    return entries()[name]


def _path(name: str) -> Path:
    return NETWORKS / f"{name}{_SUFFIX}"


def _header(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(path, "numpy") as file:
        metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise InputError(f"Expected {str(path)!r} to be a {FORMAT} file, but it is {metadata.get('format')}; install qlight again.")
    return json.loads(metadata["header"])


def _entry(path: Path) -> Entry:
    header = _header(path)
    header.pop("layout")
    content = path.read_bytes()
    return Entry(path.stem, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), **header)
