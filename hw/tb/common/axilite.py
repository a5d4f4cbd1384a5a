"""An AXI4-Lite master of 32 bits that shares its clock with other streams: every cycle is one `tick` of whoever owns the clock."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["PORTS", "AxiLite"]

#: as the ports of the hardware, `name:bits` where there is more than one bit
PORTS = {
    "input": "s_axi_awaddr:8 s_axi_awvalid s_axi_wdata:32 s_axi_wstrb:4 s_axi_wvalid s_axi_bready "
    "s_axi_araddr:8 s_axi_arvalid s_axi_rready",
    "output": "s_axi_awready s_axi_wready s_axi_bresp:2 s_axi_bvalid s_axi_arready s_axi_rdata:32 s_axi_rresp:2 s_axi_rvalid",
}
_PATIENCE = 200  # cycles until a response
_CHANNELS = ("aw", "w", "b", "ar", "r")


class AxiLite:
    """Reads and writes registers, each channel at random times.

    Args:
        port: handle of a port by name.
        tick: one cycle; calls `sample` while the clock is low and inputs have settled.
        rng: of the random times.
    """

    def __init__(self, port: Callable[[str], Any], tick: Callable[[], Awaitable[None]], rng: random.Random) -> None:
        self._handles = {name: port(name) for text in PORTS.values() for name in (each.partition(":")[0] for each in text.split())}
        self._tick, self._rng = tick, rng
        self._busy = False
        self._moved: dict[str, bool] = {}
        self._data = 0

    def idle(self) -> None:
        """Drive all inputs to 0."""
        for text in PORTS["input"].split():
            self._handles[text.partition(":")[0]].value = 0
        self._busy = False

    def sample(self) -> None:
        """Note which channels move in this cycle."""
        if self._busy:
            self._moved = {name: self._get(f"{name}valid") == 1 and self._get(f"{name}ready") == 1 for name in _CHANNELS}
            self._data = self._get("rdata")
            for name in ("b", "r"):
                assert not self._moved[name] or self._get(f"{name}resp") == 0, f"{name}resp is an error"

    async def write(self, address: int, data: int, strobe: int = 15) -> None:
        """A register write; address, data and response in random order and at random times."""
        pending = {"aw", "w"}
        self._busy = True
        self._set(awaddr=address, wdata=data, wstrb=strobe, bready=0)
        for _ in range(_PATIENCE):
            for name in pending:
                if not self._get(f"{name}valid"):
                    self._set(**{f"{name}valid": self._rng.random() < 0.5})
            self._set(bready=self._rng.random() < 0.5)
            await self._tick()
            for name in ("aw", "w"):
                if self._moved[name]:
                    assert name in pending, f"{name} was taken twice"
                    pending.discard(name)
                    self._set(**{f"{name}valid": 0})
            if self._moved["b"]:
                assert not pending, "a response came before address and data"
                self._set(bready=0)
                self._busy = False
                return
        raise AssertionError("no write response")

    async def read(self, address: int) -> int:
        """A register read."""
        self._busy = True
        self._set(araddr=address, arvalid=1)
        for _ in range(_PATIENCE):
            self._set(rready=self._rng.random() < 0.5)
            await self._tick()
            if self._moved["ar"]:
                self._set(arvalid=0)
            if self._moved["r"]:
                self._set(rready=0)
                self._busy = False
                return self._data
        raise AssertionError("no read response")

    def _set(self, **values: int) -> None:
        for name, value in values.items():
            self._handles[f"s_axi_{name}"].value = value

    def _get(self, name: str) -> int:
        return int(self._handles[f"s_axi_{name}"].value)
