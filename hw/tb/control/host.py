"""What surrounds qlight_control: an AXI4-Lite master, a pipeline that it feeds, and a count of what it should count."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from cocotb.triggers import Timer

from hw.tb.common.axilite import AxiLite
from hw.tb.common.cases import Case
from hw.tb.control.shapes import PORTS

_HALF = Timer(1, "ns")
CONTROL, LOADED, HASH, GEOMETRY = 0x08, 0x0C, 0x10, 0x30
IMAGES, CYCLES, STALL_IN, STALL_OUT, CLEAR, PACKET = 0x5C, 0x60, 0x68, 0x6C, 0x70, 0x74


class Host:
    """Instance `index`. Every `tick` is a cycle of all streams; register accesses take as many as they need.

    The pipeline model takes beats at random and answers each image with CLASSES beats, taken at random.
    """

    def __init__(self, dut: Any, index: int, shape: Case, seed: int) -> None:
        self.ports = {name: getattr(dut, f"c{index}_{name}") for _, name, _ in PORTS}
        self.shape = shape
        self.rng = random.Random(seed)
        self.p_source = self.p_ready = self.p_out = 0.7
        self.packet = 1  # images of one
        self.ext_writes: list[tuple[int, int]] = []  # register number and data, of registers of other cells
        self.ext_reads: list[int] = []
        self.to_send: deque[int] = deque()
        self.image: list[int] = []  # beats that the pipeline took
        self.words: list[int] = []  # of the parameter chain
        self.starts = 0
        self.logits = 0  # beats that are due at the output
        self._lite = AxiLite(self.ports.__getitem__, self.tick, self.rng)
        self.write, self.read = self._lite.write, self._lite.read
        self.forget()

    def forget(self) -> None:
        """Counters as after CLEAR."""
        self.images = self.cycles = self.stall_in = self.stall_out = 0

    def set(self, **values: int) -> None:
        """Drive inputs."""
        for name, value in values.items():
            self.ports[name].value = value

    def get(self, name: str) -> int:
        """Read a port."""
        return int(self.ports[name].value)

    async def reset(self) -> None:
        """Everything idle, reset for two cycles."""
        for kind, name, _ in PORTS:
            if kind == "input":
                self.ports[name].value = 0
        self.to_send.clear()
        self.image.clear()
        self.words.clear()
        self.taken = self.in_flight = self.logits = self.starts = self.in_packet = 0
        self.offered = self.out_offered = False
        for _ in range(2):
            await _HALF
            self.set(clk=1)
            await _HALF
            self.set(clk=0)
        self.set(rst_n=1)
        self.forget()

    async def tick(self) -> None:
        """One cycle."""
        rng = self.rng
        if not self.offered and self.to_send and rng.random() < self.p_source:
            self.offered = True
            self.set(s_axis_tdata=self.to_send[0])
        if not self.out_offered and self.logits and rng.random() < 0.8:
            self.out_offered = True
        last = self.logits % self.shape["CLASSES"] == 1 % self.shape["CLASSES"]
        out_ready = rng.random() < self.p_out
        self.set(s_axis_tvalid=self.offered, m_axis_tready=rng.random() < self.p_ready)
        self.set(out_tvalid=self.out_offered, out_tlast=self.out_offered and last, out_tready=out_ready)
        await _HALF
        taken = self.offered and bool(self.get("s_axis_tready"))
        to_pipeline = bool(self.get("m_axis_tvalid")) and bool(self.get("m_axis_tready"))
        began = to_pipeline and self.taken == 0
        if self.get("pipeline_rst_n"):
            assert bool(self.get("idle")) == (self.in_flight == 0), "idle is wrong"
        if self.get("ext_write"):
            self.ext_writes.append((self.get("ext_write_word"), self.get("ext_write_data")))
        if self.get("ext_read"):
            self.ext_reads.append(self.get("ext_read_word"))
        if to_pipeline:
            assert taken, "a beat reached the pipeline and was not taken"
            self.image.append(self.get("m_axis_tdata"))
        if self.get("cfg_valid_o"):
            assert self.starts, "a parameter word before cfg_start"
            self.words.append(self.get("cfg_data_o"))
        self.starts += self.get("cfg_start_o")
        self.stall_in += self.offered and not taken
        self.stall_out += self.out_offered and not out_ready
        self.cycles += began or self.in_flight > 0
        if taken:
            self.to_send.popleft()
            self.offered = False
        if to_pipeline:
            self.taken = (self.taken + 1) % (self.shape["INPUT_BYTES"] // 4)
            self.in_flight += began
            if self.taken == 0:
                self.logits += self.shape["CLASSES"]
        if self.out_offered and out_ready:
            self.out_offered = False
            self.logits -= 1
            if last:
                self.in_packet += 1
                assert bool(self.get("out_packet_last")) == (self.in_packet == self.packet), "the wrong image ends a packet"
                self.in_packet %= self.packet
                self.images += 1
                self.in_flight -= 1
        self._lite.sample()
        self.set(clk=1)
        await _HALF
        self.set(clk=0)

    async def drain(self) -> None:
        """Until everything offered was taken and every image answered."""
        for _ in range(2000 + 20 * len(self.to_send)):
            if not (self.to_send or self.in_flight):
                return
            await self.tick()
        raise AssertionError("the streams do not drain")
