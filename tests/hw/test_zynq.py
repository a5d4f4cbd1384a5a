"""The design that the open flow would make a bitstream of, simulated from the pins of the processing system on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hw.tb.zynq.run import run_zynq
from qlight.hardware.build import write_build
from tests.hardware.strategies import random_graph

#: the first with its weights on chip, the others read theirs over memory ports of their own
_STREAMED = {
    "conv0": {"pe": 8, "simd": 4},
    "conv1": {"pe": 8, "simd": 8, "weights": "streamed"},
    "output": {"pe": 5, "simd": 8, "weights": "streamed"},
}


@pytest.mark.slow
@pytest.mark.parametrize("folding", [None, _STREAMED], ids=["resident", "streamed"])
@pytest.mark.usefixtures("simulator_tools")
def test_images_through_the_whole_design(folding: dict[str, dict[str, int | str]] | None, tmp_path: Path) -> None:
    write_build(random_graph(0, bits=1), tmp_path / "build", folding, board="pynq_z2")
    try:
        outcomes = run_zynq(tmp_path / "build")
    except subprocess.CalledProcessError as error:
        pytest.fail(f"the design does not build:\n{error.stderr[-3000:]}")
    assert [outcome.error for outcome in outcomes] == [""]
