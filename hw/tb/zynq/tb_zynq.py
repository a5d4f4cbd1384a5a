"""qlight_zynq.sv: images from memory through the processing system's ports, the DMA and the network, logits back into memory.

Where layers are streamed, their weights lie in memory behind the other ports.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from hw.tb.common.memory import Memory
from hw.tb.dma.host import LENGTH, RECEIVE, SEND
from hw.tb.shell.processor import CONTROL_REGISTER, IMAGES, INPUTS, LOADED, PACKET, Processor
from hw.tb.shell.shapes import PORTS
from qlight.hardware import registers
from qlight.intgraph import Graph, execute
from qlight.intgraph.nodes import Array

_SOURCE, _PARAMETERS, _WEIGHTS, _TARGET = 0x1000_0F04, 0x1800_0000, 0x1C00_0000, 0x2000_0FEC


def _ports(dut: Any) -> dict[str, Any]:
    """Pins of the processing system by the names that the shell's ports have."""
    found = {}
    for _, name, _ in PORTS:
        if name in ("clk", "arst_n", "rst_n"):
            continue
        pin = name.replace("s_axi_", "MAXIGP0").replace("m_hp_", "SAXIHP0").upper()
        found[name] = getattr(dut.u_system, f"drive_{pin}" if name in INPUTS else f"see_{pin}")
    return found | {"clk": dut.u_system.drive_FCLKCLK, "arst_n": dut.u_system.drive_FCLKRESETN}


class Host(Processor):
    """A processor with images and parameters in memory."""

    def __init__(self, dut: Any) -> None:
        super().__init__(_ports(dut), 1)
        self.held: dict[int, int] = {}
        self.files = [Path(each["file"]) for each in json.loads(Path("manifest.json").read_text())["dram"]]
        for index in range(len(self.files)):
            pins = {name: f"see_SAXIHP{index + 1}{name.upper()}" for name in ("araddr", "arlen", "arsize", "arburst", "arvalid", "rready")}
            pins |= {name: f"drive_SAXIHP{index + 1}{name.upper()}" for name in ("arready", "rdata", "rresp", "rlast", "rvalid")}
            memory = Memory({name: getattr(dut.u_system, pin) for name, pin in pins.items()}, 64, self.beat, index)
            memory.p_ask, memory.p_answer, memory.latency = 0.8, 0.9, (2, 20)
            self.memories.append(memory)

    async def load_weights(self) -> None:
        """Put weights into memory and start their readers, as `qlight.board.weight_buffers` does."""
        for index, file in enumerate(self.files):
            self.put(_WEIGHTS + index * 0x10_0000, np.fromfile(file, "<u4"))
            for offset, value in (
                (registers.STREAM_SELECT, index),
                (registers.STREAM_BASE_LOW, _WEIGHTS + index * 0x10_0000),
                (registers.STREAM_BASE_HIGH, 0),
            ):
                await self.write(self.accelerator + offset, value)
        if self.files:
            await self.write(self.accelerator + registers.STREAM_GO, 1)

    def put(self, address: int, words: Array) -> None:
        """Words of 32 bits from an address on."""
        self.held |= {address + 4 * index: int(word) for index, word in enumerate(words)}

    def beat(self, address: int) -> int:
        return self.held.get(address + 4, 0xDEAD_BEEF) << 32 | self.held.get(address, 0xDEAD_BEEF)

    async def run(self, images: Array, classes: int) -> Array:
        """What `Session.run` does."""
        words = images.reshape(len(images), -1).view("<u4")
        self.put(_SOURCE, words.ravel())
        await self.write(self.accelerator + PACKET, len(images))
        await self.transfer(RECEIVE, _TARGET, 4 * classes * len(images))
        await self.transfer(SEND, _SOURCE, 4 * words.size)
        await self.finished(RECEIVE)
        await self.finished(SEND)
        assert await self.read(self.dma + RECEIVE + LENGTH) == 4 * classes * len(images)
        found = np.array([self.target.word(_TARGET + 4 * i) for i in range(classes * len(images))], np.uint32)
        assert len(self.target.content) == 4 * found.size, "something was written beside the logits"
        self.target.content.clear()
        return found.view(np.int32).reshape(len(images), classes)


@cocotb.test()
async def the_network_behind_the_processing_system(dut):
    """Logits are the reference executor's, before and after its parameters are loaded again through the DMA."""
    graph = Graph.load("graph")
    host = Host(dut)
    await host.power_up()
    await host.rest()
    assert await host.read(host.accelerator + registers.ID) == registers.ID_VALUE
    found = [f"{await host.read(host.accelerator + offset):08x}" for offset in registers.GRAPH_HASH]
    assert "".join(found) == graph.content_hash
    await host.load_weights()
    images = np.random.default_rng(0).integers(0, 256, (5, *graph.input.shape), dtype=np.uint8)
    due = execute(graph, images)
    np.testing.assert_array_equal(await host.run(images, due.shape[1]), due)
    words = np.fromfile("parameters.bin", "<u4")
    host.put(_PARAMETERS, words)
    await host.write(host.accelerator + CONTROL_REGISTER, registers.LOAD_MODE)
    await host.transfer(SEND, _PARAMETERS, 4 * len(words))
    await host.finished(SEND)
    assert await host.read(host.accelerator + LOADED) == len(words)
    await host.write(host.accelerator + CONTROL_REGISTER, registers.RUN)
    np.testing.assert_array_equal(await host.run(images[::-1], due.shape[1]), due[::-1])
    assert await host.read(host.accelerator + IMAGES) == 2 * len(images)
