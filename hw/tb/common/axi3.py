"""An AXI3 master with IDs at a port of registers (M_AXI_GP of Zynq-7000): one access at a time, each channel at random times."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

__all__ = ["INCREMENT", "PORTS", "Axi3"]

#: as the ports of the hardware, `name:bits` where there is more than one bit
PORTS = {
    "input": "s_axi_awid:12 s_axi_awaddr:32 s_axi_awlen:4 s_axi_awsize:2 s_axi_awburst:2 s_axi_awvalid s_axi_wdata:32 s_axi_wstrb:4 "
    "s_axi_wvalid s_axi_bready s_axi_arid:12 s_axi_araddr:32 s_axi_arlen:4 s_axi_arsize:2 s_axi_arburst:2 s_axi_arvalid s_axi_rready",
    "output": "s_axi_awready s_axi_wready s_axi_bid:12 s_axi_bresp:2 s_axi_bvalid s_axi_arready s_axi_rid:12 s_axi_rdata:32 s_axi_rresp:2 "
    "s_axi_rlast s_axi_rvalid",
}
INCREMENT = 1
_PATIENCE = 2000  # cycles until a response
_CHANNELS = ("aw", "w", "b", "ar", "r")


class Axi3:
    """As `hw.tb.common.axilite.AxiLite`, with bursts.

    Args:
        port: handle of a port by name.
        tick: one cycle; calls `sample` while the clock is low and inputs have settled.
        rng: of the random times, and of the IDs.
    """

    def __init__(self, port: Callable[[str], Any], tick: Callable[[], Awaitable[None]], rng: random.Random) -> None:
        self._handles = {name: port(name) for text in PORTS.values() for name in (each.partition(":")[0] for each in text.split())}
        self._tick, self._rng = tick, rng
        self._moved: dict[str, bool] = dict.fromkeys(_CHANNELS, False)
        self._answer: tuple[int, int, int, int] = (0, 0, 0, 0)

    def sample(self) -> None:
        """Note which channels move in this cycle."""
        self._moved = {name: self._get(f"{name}valid") == 1 and self._get(f"{name}ready") == 1 for name in _CHANNELS}
        if self._moved["r"]:
            self._answer = self._get("rid"), self._get("rdata"), self._get("rresp"), self._get("rlast")
        if self._moved["b"]:
            self._answer = self._get("bid"), 0, self._get("bresp"), 1

    async def write_burst(
        self, address: int, data: Sequence[int], strobes: Sequence[int] | None = None, size: int = 2, burst: int = INCREMENT
    ) -> int:
        """Write, and the response. Data may be offered before their address is."""
        identity, sent, pending = self._rng.getrandbits(12), 0, True
        self._set(awid=identity, awaddr=address, awlen=len(data) - 1, awsize=size, awburst=burst)
        for _ in range(_PATIENCE):
            if pending and not self._get("awvalid"):
                self._set(awvalid=self._rng.random() < 0.5)
            if sent < len(data) and not self._get("wvalid"):
                self._set(wdata=data[sent], wstrb=15 if strobes is None else strobes[sent], wvalid=self._rng.random() < 0.6)
            self._set(bready=self._rng.random() < 0.5)
            await self._tick()
            if self._moved["aw"]:
                assert pending, "an address was taken twice"
                pending = False
                self._set(awvalid=0)
            if self._moved["w"]:
                sent += 1
                self._set(wvalid=0)
            if self._moved["b"]:
                assert not pending and sent == len(data), "a response came before address and data"  # noqa: PT018
                assert self._answer[0] == identity, "another ID"
                self._set(bready=0)
                return self._answer[2]
        raise AssertionError("no write response")

    async def read_burst(self, address: int, count: int, size: int = 2, burst: int = INCREMENT) -> tuple[list[int], list[int]]:
        """Read: data and responses."""
        identity, found, responses = self._rng.getrandbits(12), [], []
        self._set(arid=identity, araddr=address, arlen=count - 1, arsize=size, arburst=burst, arvalid=1)
        for _ in range(_PATIENCE):
            self._set(rready=self._rng.random() < 0.5)
            await self._tick()
            if self._moved["ar"]:
                self._set(arvalid=0)
            if self._moved["r"]:
                found.append(self._answer[1])
                responses.append(self._answer[2])
                assert self._answer[0] == identity, "another ID"
                assert self._answer[3] == (len(found) == count), "RLAST is not at the last beat"
                if len(found) == count:
                    self._set(rready=0)
                    return found, responses
        raise AssertionError("no read response")

    async def write(self, address: int, data: int) -> None:
        """Write a register."""
        assert await self.write_burst(address, [data]) == 0, "the response is an error"

    async def read(self, address: int) -> int:
        """Read a register."""
        found, responses = await self.read_burst(address, 1)
        assert responses == [0], "the response is an error"
        return found[0]

    def _set(self, **values: int) -> None:
        for name, value in values.items():
            self._handles[f"s_axi_{name}"].value = value

    def _get(self, name: str) -> int:
        return int(self._handles[f"s_axi_{name}"].value)
