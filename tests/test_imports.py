"""Imports point one way: each room imports only the rooms below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "qlight"
ALLOWED = {
    "quantization": {"errors"},
    "models": {"errors", "quantization"},
    "data": {"errors"},
    "attacks": {"errors"},
    "evaluation": {"errors", "attacks"},
}


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
        above = imported_rooms(path) - ALLOWED[room] - {room}
        assert not above, f"{path.relative_to(PACKAGE)} imports {above}"
