"""What the open flow's handoff file is to the unmodified pynq: its own parser, and its own driver of the DMA."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from qlight.bitstream.handoff import address_map
from qlight.bitstream.zynq_handoff import zynq_handoff
from qlight.board.client import BoardClient
from qlight.board.emulated.design import write_overlay
from qlight.board.emulated.running import start_daemon, start_server
from qlight.board.environment import pynq_command
from qlight.board.overlay import DMA_TYPE, OPEN_DMA_TYPE, find_overlay
from qlight.hardware.boards import load_board
from qlight.hardware.build import write_build
from qlight.intgraph import execute
from tests.hardware.strategies import random_graph

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("pynq")]
#: pynq's parser on a .hwh, as its bitstream handler calls it, and pynq's class for Zynq-7000 on the same file
PARSE = """
import json, sys
from pynqmetadata.frontends import Metadata
from pynqmetadata.views.runtime import RuntimeMetadataParser
found = RuntimeMetadataParser(Metadata(input=sys.argv[1]))
from pynq.pl_server.hwh_parser import _HWHZynq
older = _HWHZynq(hwh_name=sys.argv[1])
blocks = lambda ip: {name: [each["type"], each.get("phys_addr"), each.get("addr_range")] for name, each in ip.items()}
parameters = found.ip_dict["axi_dma_0"]["parameters"]
print(json.dumps({"family": found.family_ps, "ip": blocks(found.ip_dict), "older": blocks(older.ip_dict),
    "clock": {name: found.clock_dict[0][name] for name in ("enable", "divisor0", "divisor1")},
    "older_clock": older.clock_dict[0], "enabled": [found.clock_dict[i]["enable"] for i in range(4)],
    "parameters": {name: value for name, value in parameters.items() if name.islower()}}))
"""


def test_pynqs_own_parser_reads_the_handoff_file(tmp_path: Path) -> None:
    path = tmp_path / "qlight.hwh"
    path.write_bytes(zynq_handoff(load_board("pynq_z2")))
    command, variables = pynq_command("timeit", environment={"PYNQ_REMOTE": "1"})
    done = subprocess.run([command[0], "-c", PARSE, str(path)], env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    bases = address_map("xc7")
    assert found["family"] == "processing_system7"
    for kind in ("ip", "older"):
        assert found[kind]["axi_dma_0"] == ["qlight:user:qlight_dma:1.0", bases["dma"], 0x1_0000]
        assert found[kind]["qlight_top_0"] == ["qlight:user:qlight_top:1.0", bases["accelerator"], 0x1_0000]
    assert found["clock"] == found["older_clock"] == {"enable": 1, "divisor0": 10, "divisor1": 1}
    assert found["enabled"] == [1, 0, 0, 0]
    assert found["parameters"]["c_sg_length_width"] == "26"
    assert found["parameters"]["c_include_sg"] == "0"


def test_pynqs_driver_of_the_dma_takes_ours_and_the_vendors_after_it(tmp_path: Path) -> None:
    """The emulated board, with the open flow's DMA in its handoff file: images through client, server, pynq and DMA.

    Then the vendor's, beside the same bitstream: pynq keeps the metadata of the last bitstream, and looks at its content only.
    """
    build = write_build(random_graph(0, bits=1), tmp_path / "build")
    handoff = write_overlay(build).handoff
    vendors = handoff.read_text()
    pixels = np.random.default_rng(0).integers(0, 256, (20, *build.graph.input.shape)).astype(np.uint8)
    for kind in (f"{OPEN_DMA_TYPE}:1.0", f"{DMA_TYPE}:7.1"):
        handoff.write_text(vendors.replace(f"{DMA_TYPE}:7.1", kind))
        assert find_overlay(build.folder).dma_type == kind
        with (
            start_daemon([build.folder], tmp_path / "daemon.log") as daemon,
            start_server(build.folder, daemon.says, tmp_path / "server.log") as server,
            BoardClient(server.says) as client,
        ):
            np.testing.assert_array_equal(client.execute(pixels.reshape(20, -1)), execute(build.graph, pixels))
