"""Checkpoints as untrusted input: read as tensors and plain values only, never unpickled as code, and known by their hash."""

from __future__ import annotations

import hashlib
import pickle
import re
from pathlib import Path
from typing import Any

from qlight.errors import InputError

_KEYS = ("state_dict", "hyper_parameters")


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        InputError: there is no such file.
    """
    path = _file(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A Lightning checkpoint, its tensors on the CPU; it holds at least "state_dict" and "hyper_parameters".

    Read with ``torch.load(weights_only=True)``: a pickle that would run code, or that holds objects of other classes, is refused.

    Raises:
        InputError: no such file, a folder, not a checkpoint, truncated, code inside, or a checkpoint of something else.
    """
    import torch

    path = _file(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = _refused_global(str(error))
        if found is not None:
            raise InputError(
                f"Expected `checkpoint` to hold tensors and plain values only, but {str(path)!r} holds {found}, which could run code when "
                "read; use a checkpoint that `python -m qlight fit` wrote."
            ) from error
        raise _not_one(path) from error
    except Exception as error:  # torch raises whatever its readers meet in bytes that are not a checkpoint
        raise _not_one(path) from error
    if not isinstance(loaded, dict):
        raise InputError(
            f"Expected `checkpoint` to be a Lightning checkpoint, but {str(path)!r} holds a {type(loaded).__name__}; "
            "use one that `python -m qlight fit` wrote."
        )
    for key in _KEYS:
        if not isinstance(loaded.get(key), dict):
            raise InputError(
                f"Expected `checkpoint` to hold {key!r}, but {str(path)!r} has none; use a checkpoint that `python -m qlight fit` wrote."
            )
    return loaded


def _file(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if path.is_dir():
        raise InputError(f"Expected `checkpoint` to be a file, but {str(path)!r} is a folder; name the .ckpt file in it.")
    if not path.is_file():
        raise InputError(f"Expected `checkpoint` to be a file, but there is no {str(path)!r}; correct the path.")
    return path


def _not_one(path: Path) -> InputError:
    return InputError(
        f"Expected `checkpoint` to be a checkpoint, but {str(path)!r} is not one or is damaged ({path.stat().st_size} bytes); "
        "use a file that `python -m qlight fit` wrote."
    )


def _refused_global(message: str) -> str | None:
    """The function or class that torch refused to call, from its message of many lines; None where it refused something else."""
    found = re.search(r"GLOBAL ([\w.]+)", message)
    return found[1].rstrip(".") if found else None
