"""The page for a class (docs/walkthrough.md): its commands, as they stand there, in order, in an empty folder."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from qlight.engines.native_rtlsim import find_verilator
from qlight.errors import HardwareError

PAGE = Path(__file__).parents[3] / "docs" / "walkthrough.md"
#: by the variables of its first block: a network that is hardly trained, and few queries
SMALLER = {"TRAINING": "1000", "EPOCHS": "1", "FLOAT_EPOCHS": "1", "IMAGES": "6", "STEPS": "2", "QUERIES": "20"}
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def engine() -> str:
    """The RTL where it can be simulated here."""
    try:
        find_verilator()
    except HardwareError:
        return "packed"
    return "rtl"


def run_page(folder: Path, log: Path, variables: dict[str, str]) -> int:
    """Run all commands of the page in one shell; its exit status."""
    script = "set -euo pipefail\n" + "\n".join(_BLOCK.findall(PAGE.read_text("utf-8")))
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=variables, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait(550)
        finally:
            with contextlib.suppress(ProcessLookupError):  # boards of a page that failed
                os.killpg(process.pid, signal.SIGTERM)


def colours(picture: Path) -> int:
    with Image.open(picture) as image:
        return len(image.convert("RGB").resize((200, 200)).getcolors(40_000) or [])


@pytest.mark.slow
def test_the_page_does_what_it_says(pynq: Path, tmp_path: Path) -> None:
    folder, chosen = tmp_path / "empty", engine()
    folder.mkdir()
    variables = {**os.environ, **SMALLER, "PORT": str(free_port()), "ENGINE": chosen, "OMP_NUM_THREADS": "1"}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    status = run_page(folder, tmp_path / "log", variables)
    said = (tmp_path / "log").read_text(errors="replace")
    assert status == 0, said[-3000:]
    assert "Traceback" not in said
    assert "wrote binary/fit/version_0/checkpoints/best.ckpt (val_acc 0." in said

    # both boards ran under pynq, gave the reference executor's logits for every query, and stopped when they were told to
    compared = re.findall(r"^(\d+) queries of pynq 4\.0\.0.*: (\d+) answers unlike", said, re.MULTILINE)
    assert [unlike for _, unlike in compared] == ["0", "0"]
    assert all(int(asked) >= 4 * 4 * 16 for asked, _ in compared)
    assert f"({chosen})" in (folder / "rtl.log").read_text()
    assert "(packed)" in (folder / "board.log").read_text()
    assert said.count("the board is switched off") == 2
    assert "refused with status 2" in said

    graph = json.loads((folder / "build" / "manifest.json").read_text())["graph_hash"]
    for name, attacks in {
        "queries": ["SPSA-4", "Square-4"],
        "sweep": ["SPSA-1", "Square-1", "SPSA-2", "Square-2", "SPSA-8", "Square-8"],
        "from_binary": ["FGSM", "PGD"],
        "from_float": ["FGSM", "PGD"],
        "small": ["on-grid", "off-grid"],
    }.items():
        where = folder / "attacks" / name
        rows = json.loads((where / "results.json").read_text())
        assert [row["attack"] for row in rows] == attacks
        assert {(row["target"], row["graph_hash"], row["images"]) for row in rows} == {("board", graph, 6)}
        assert all((row["gradients_from"] is not None) == name.startswith("from_") for row in rows)
        with (where / "images.csv").open(newline="") as stream:
            assert len(list(csv.DictReader(stream))) == 6 * len(attacks)
        timed = json.loads((where / "timing.json").read_text())
        assert {attack for attack, sums in timed.items() if sums["images"] > 0} == {*attacks} - {"on-grid"}  # all its queries are one image
    for picture in ("build/pipeline.png", "attacks/queries/examples.png", "attacks/from_float/examples.png", "attacks/curves.png"):
        assert colours(folder / picture) > 50, picture
