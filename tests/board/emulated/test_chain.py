"""The whole chain: client, board server, unmodified pynq, PYNQ.remote's services, emulated DMA, accelerator; also when it fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from qlight.attacks import SPSA
from qlight.board.client import BoardClient
from qlight.board.emulated.campaign import ALL_KINDS, CORRUPT, FOLDING, Chain, network
from qlight.board.emulated.rtl import prepared
from qlight.board.emulated.running import start_daemon, start_server
from qlight.board.environment import pynq_command
from qlight.errors import HardwareError
from qlight.hardware.build import Build, write_build
from qlight.intgraph import execute
from qlight.intgraph.nodes import Array
from qlight.targets.board import BoardTarget

pytestmark = pytest.mark.slow


@pytest.mark.thorough  # docs/walkthrough.md does so too, and is executed
def test_spsa_through_the_wire_to_the_rtl(pynq: Path, build: Build, tmp_path: Path) -> None:
    """Every query of the attack gets the accumulators of the reference executor."""
    prepared(build)
    with (
        start_daemon([build.folder], tmp_path / "daemon.log", "rtl") as daemon,
        start_server(build.folder, daemon.says, tmp_path / "server.log") as server,
    ):
        target = BoardTarget(f"board://{server.says}", cache_bytes=0)
        assert target.client.welcome.description.startswith("pynq 4.0.0")
        assert target.graph_hash == build.graph.content_hash
        through, asked = target.query, []

        def compared(pixels: Array) -> Array:
            found = through(pixels)
            np.testing.assert_array_equal(found, execute(build.graph, pixels))
            asked.append(len(pixels))
            return found

        target.query = compared
        images = torch.rand(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        labels = target(images).argmax(1)
        attack = SPSA(target, eps=0.1, steps=4, evaluations=32)
        adversarial = attack(images, labels)
        assert sum(asked) == target.queries == target.computed >= 4 + 4 * 4 * 32
        assert (adversarial - images).abs().max() <= 0.1 + 1e-6
        target.client.close()


@pytest.fixture(scope="module")
def chain(pynq: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("chain")
    made = Chain(write_build(network(), folder / "build", FOLDING), folder, seed=1)
    yield made
    made.close()


@pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if kind != CORRUPT])
def test_a_fault_of_every_kind_in_a_run(chain: Chain, kind: str) -> None:
    run = chain.run(kind, images=400, batch=50)
    assert run.good, run


def test_a_fault_that_outlasts_the_client_is_an_error_by_its_deadline(chain: Chain) -> None:
    run = chain.run("crash", images=400, batch=50, long=True)
    assert run.outcome == "refused", run
    assert "board" in run.message


def test_finn_names_and_status(chain: Chain) -> None:
    with BoardClient(chain.server.says) as client:
        pixels = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint8)
        np.testing.assert_array_equal(client.execute(pixels), execute(chain.build.graph, pixels.reshape(3, 8, 8, 4)))
        assert client.throughput_test(100)["batch_size"] == 100
        assert client.status()["resets"] + client.status()["reopened"] >= 1


def test_a_process_that_does_not_start_says_why(pynq: Path, tmp_path: Path) -> None:
    with pytest.raises(HardwareError, match=r"daemon.*build folder"):
        start_daemon([tmp_path / "nothing"], tmp_path / "log")


def test_pynq_needs_nothing_of_this_environment(pynq: Path) -> None:
    """What runs beside pynq imports neither torch nor anything that is not installed there."""
    script = "import sys, qlight.board.emulated.daemon, qlight.board.commands; print('torch' in sys.modules)"
    command, variables = pynq_command("timeit", environment={})
    found = subprocess.run([command[0], "-c", script], env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert (found.returncode, found.stdout.strip()) == (0, "False"), found.stderr
    assert str(pynq) == command[0] != sys.executable
