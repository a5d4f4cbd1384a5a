"""The onnx package, which comes with the extra ``interop``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qlight.errors import InputError


def onnx_module(name: str = "onnx") -> Any:
    """Import onnx, or a module of it, when it is needed: everything else of this package works without.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"Expected the package onnx to exchange graphs, but it cannot be imported ({error}); "
            "`pip install -e '.[interop]'` in the checkout."
        ) from error
