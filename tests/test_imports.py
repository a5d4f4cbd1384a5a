"""Imports point one way: each room imports only the rooms below it."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "qlight"
#: modules that every room may import; they import nothing of qlight but each other
COMMON = {"console", "errors", "files", "options"}
ALLOWED = {
    "board": {"engines", "hardware", "intgraph"},
    "bitstream": {"board", "hardware"},
    "quantization": set(),
    "models": {"quantization"},
    "data": set(),
    "attacks": set(),
    "engines": {"hardware", "intgraph"},
    "evaluation": {"attacks"},
    "intgraph": set(),
    "hardware": {"intgraph"},
    "interop": {"intgraph"},
    "lowering": {"intgraph", "models", "quantization"},
    "study": {"attacks", "evaluation", "hardware", "intgraph", "lowering", "models", "noise", "targets", "zoo"},
    "targets": {"board", "engines", "hardware", "intgraph"},
    "verbs": {"attacks", "evaluation", "hardware", "interop", "lowering", "models", "targets"},
    "zoo": {"evaluation", "models", "quantization"},
}
#: rooms that a board without torch imports
WITHOUT_TORCH = ("bitstream", "board", "engines", "hardware", "interop", "intgraph")
BLOCK_TORCH = """
import importlib, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "lightning", "torchmetrics", "torchattacks"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
"""


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [node.module or ""]
        rooms |= {name.split(".")[1] for name in names if name.startswith("qlight.")}
    return rooms


@pytest.mark.parametrize("room", sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()))
def test_a_room_imports_only_what_is_below_it(room: str) -> None:
    assert room in ALLOWED, f"add the room {room} to the rule"
    for path in (PACKAGE / room).rglob("*.py"):
        above = imported_rooms(path) - COMMON - ALLOWED[room] - {room}
        assert not above, f"{path.relative_to(PACKAGE)} imports {above}"


def test_no_two_rooms_import_each_other() -> None:
    graphlib.TopologicalSorter(ALLOWED).prepare()  # raises CycleError


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_a_room_works_without_torch(room: str) -> None:
    everything = [f"qlight.{'.'.join(path.relative_to(PACKAGE).with_suffix('').parts)}" for path in (PACKAGE / room).rglob("*.py")]
    script = BLOCK_TORCH + f"for name in {everything!r}: importlib.import_module(name.removesuffix('.__init__'))\n"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False, cwd=PACKAGE.parent)
    assert found.returncode == 0, found.stderr


def test_the_block_of_torch_blocks() -> None:
    script = BLOCK_TORCH + "importlib.import_module('qlight.models')"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False, cwd=PACKAGE.parent)
    assert found.returncode != 0
    assert "is blocked" in found.stderr
