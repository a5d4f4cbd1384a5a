"""What identifies the results of an evaluation, and a folder that holds the results of one alone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from qlight.errors import InputError
from qlight.files import whole_file

NAME = "evaluation.json"


@dataclass(frozen=True)
class Manifest:
    """Everything that the results of an evaluation depend on.

    Attributes:
        label: what the network is called.
        checkpoint_sha256: of the file that its weights came from; None where there is none.
        weights_sha256: of its parameters and buffers; of an integer graph its content hash, which covers them.
        model, data: class and hyperparameters of network and data module.
        batches: the Trainer's `limit_test_batches`.
        seed: of the random numbers.
        versions: of qlight, torch and torchattacks.
        attacks: label -> class_path and parameters; where one crafted on another network, also its `weights_sha256` as `gradients_from`.
        target: what ran the network: torch, packed, ...
        graph_hash: content hash of the integer graph that it ran; None where there is none.
    """

    label: str
    checkpoint_sha256: str | None
    weights_sha256: str
    model: dict[str, Any]
    data: dict[str, Any]
    batches: int | float
    seed: int
    versions: dict[str, str]
    attacks: dict[str, dict[str, Any]]
    target: str = "torch"
    graph_hash: str | None = None

    @property
    def sha256(self) -> str:
        """The hash of all of it: 64 hexadecimal digits."""
        # what a torch network leaves at its default stays out, so that results of earlier versions are found again
        defaults = {field.name: field.default for field in fields(self) if field.default is not MISSING}
        known = {name: value for name, value in asdict(self).items() if name not in defaults or value != defaults[name]}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def folder(self, root: str | Path) -> Path:
        """Where results of this go below `root` if nobody says otherwise: the same call finds them again."""
        graph = "" if self.graph_hash is None else f"{self.target}-{self.graph_hash[:8]}-"
        return Path(root) / "attack" / f"{self.label}-{graph}{self.sha256[:8]}"


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 of names, types, shapes and contents of a module's state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def claimed(folder: Path, manifest: Manifest) -> Iterator[None]:
    """Hold `folder` (made if missing) for results of `manifest`, to which its attacks are added; it ends with the process at the latest.

    A folder that is made here and to which nothing is written is removed again, with those above it that were made for it.

    Raises:
        InputError: another process holds it, it holds results of something else, or it cannot be written.
    """
    new = not folder.exists()
    made = [parent for parent in folder.parents if not parent.exists()]
    held = _lock(folder)
    try:
        _enter(folder, manifest)
        yield
    finally:
        if new and {path.name for path in folder.iterdir()} <= {NAME, ".lock"}:
            shutil.rmtree(folder, ignore_errors=True)
            for parent in made:
                with contextlib.suppress(OSError):  # not empty: something else came there meanwhile
                    parent.rmdir()
        (folder / ".lock").unlink(missing_ok=True)
        held.close()


def _enter(folder: Path, manifest: Manifest) -> None:
    path = folder / NAME
    if path.is_file():
        try:
            before = Manifest(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"Expected {str(path)!r} to say what the folder holds, but it cannot be read ({error}); choose another `out`."
            ) from error
        wanted: dict[str, Any] = json.loads(json.dumps(asdict(manifest)))
        held = asdict(before)
        for name, value in wanted.items():
            if name != "attacks" and held[name] != value:
                where, old, new = _difference(name, held[name], value)
                raise InputError(
                    f"Expected `out` to be a new folder or one with results of the same evaluation, but {str(folder)!r} was made with "
                    f"{where} {_short(old)}, not {_short(new)}; choose another folder."
                )
        for name, attack in wanted["attacks"].items():
            if held["attacks"].get(name, attack) != attack:
                raise InputError(
                    f"Expected `out` to be a new folder or one with results of the same attacks, but {str(folder)!r} holds {name} with "
                    "other parameters; choose another folder, or give the attack another label."
                )
        manifest = replace(manifest, attacks={**before.attacks, **manifest.attacks})
        if manifest == before:
            return
    elif folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir()) and (folder / "adversarial").exists():
        raise InputError(f"Expected `out` to be a new folder, but {str(folder)!r} holds something else; choose another.")
    with whole_file(path) as part:
        part.write_text(json.dumps(asdict(manifest), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _difference(name: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """Where two unequal values begin to differ: the dotted name, and both values there."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *new]:
            if old.get(key) != new.get(key):
                return _difference(f"{name}.{key}", old.get(key), new.get(key))
    return name, old, new


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 90 else f"{text[:87]}..."


def _lock(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / ".lock").open("wb")
    except OSError as error:
        raise InputError(
            f"Expected `out` to be a folder that can be written, but {str(folder)!r} is not ({error.strerror}); choose another."
        ) from error
    try:
        import fcntl
    except ImportError:  # pragma: no cover - not on Windows
        return held
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise InputError(
            f"Expected `out` to be free, but another process is evaluating into {str(folder)!r}; wait for it or choose another folder."
        ) from error
    return held
