"""The memory behind an accelerator's ports `m_axi_w<k>`: the loaded network's streamed weights, and the readers' registers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from hw.tb.common.axilite import AxiLite
from hw.tb.common.memory import Memory
from hw.tb.network.bench import memory_ports
from hw.tb.network.cases import Case
from qlight.hardware.dram import DEPTH
from qlight.hardware.registers import STREAM_BASE_HIGH, STREAM_BASE_LOW, STREAM_GO, STREAM_SELECT
from qlight.intgraph import Graph

__all__ = ["Dram"]


class Dram:
    """Of one case; without streamed layers it does nothing."""

    def __init__(self, dut: Any, prefix: str, case: Case, seed: int) -> None:
        self._case, self._of = case, None
        self._weights: list[bytes] = []
        self._memories: list[Memory] = []
        for port, unit in enumerate(case.streamed):
            start = f"m_axi_w{port}_"
            names = [name.removeprefix(start) for _, name, _ in memory_ports(case.streamed) if name.startswith(start)]
            ports = {name: getattr(dut, f"{prefix}{start}{name}") for name in names}
            self._memories.append(Memory(ports, unit.port_bits, partial(self._word, port, unit.port_bits // 8), seed + port))

    def slow(self) -> None:
        """Latency and gaps at random."""
        for memory in self._memories:
            memory.p_ask, memory.p_answer, memory.latency = 0.4, 0.6, (0, 40)

    def forget(self) -> None:
        """After a reset."""
        for memory in self._memories:
            memory.forget()

    def drive(self) -> None:
        """Set the memories' side of a cycle."""
        for memory in self._memories:
            memory.drive()

    def observe(self) -> None:
        """See what moves in it."""
        for memory in self._memories:
            memory.observe()

    async def start(self, lite: AxiLite, tick: Callable[[], Awaitable[None]]) -> None:
        """Write the bases, start the readers, and let them fetch ahead what fits."""
        for port in range(len(self._memories)):
            await lite.write(STREAM_SELECT, port)
            await lite.write(STREAM_BASE_LOW, self._base(port) & 0xFFFFFFFF)
            await lite.write(STREAM_BASE_HIGH, self._base(port) >> 32)
        if self._memories:
            await lite.write(STREAM_GO, 1)
            for _ in range(DEPTH + max((2 * unit.synapse_folds + 3) * -(-unit.row_bits // unit.port_bits) for unit in self._case.streamed)):
                await tick()

    def _base(self, port: int) -> int:
        return (port + 3 << 32) + 4096 * port

    def _word(self, port: int, size: int, address: int) -> int:
        loaded: Graph = self._case.loaded
        if self._of is not loaded:
            self._of, self._weights = loaded, self._case.weights()
        place = address - self._base(port)
        assert 0 <= place < len(self._weights[port]), f"memory port {port} reads {address:#x}, where no weights are"
        return int.from_bytes(self._weights[port][place : place + size], "little")
