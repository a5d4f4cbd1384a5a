"""An AXI4 read slave of a memory whose content is a function of the address: random latency and gaps, and the rules a master must keep."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["Memory"]


class Memory:
    """The ports `m_axi_*` of a read master, as handles by name without that prefix: araddr, arlen, ..., rready.

    `drive` sets the slave's side for a cycle, `observe` sees what moves in it. Bursts are answered in order.

    Args:
        ports: handles.
        data_bits: width of a word.
        content: the word at an address.
    """

    def __init__(self, ports: dict[str, Any], data_bits: int, content: Callable[[int], int], seed: int = 0) -> None:
        self.ports, self.bytes, self.content = ports, data_bits // 8, content
        self.rng = random.Random(seed)
        self.p_ask = self.p_answer = 1.0
        self.latency: tuple[int, int] = (0, 0)  # least and most cycles between a burst and its first word, beyond the one that it takes
        self.wrong = False  # whether words come with an error response
        self.asked: list[tuple[int, int]] = []  # address and words of every burst
        self.given = 0  # words
        self.forget()

    def forget(self) -> None:
        """As after a reset of both sides."""
        self._bursts: deque[list[int]] = deque()  # address, words left, cycles to wait
        self._held: tuple[int, ...] | None = None
        self._answering = False

    @property
    def outstanding(self) -> int:
        """Words that were asked for and have not come."""
        return sum(words for _, words, _ in self._bursts)

    def get(self, name: str) -> int:
        """A port's value."""
        return int(self.ports[name].value)

    def drive(self) -> None:
        """Choose this cycle's answers; a word that was offered stays until it is taken."""
        self.ports["arready"].value = self.rng.random() < self.p_ask
        if not self._answering:
            self._answering = bool(self._bursts) and self._bursts[0][2] <= 0 and self.rng.random() < self.p_answer
        self.ports["rvalid"].value = self._answering
        if self._answering:
            address, words, _ = self._bursts[0]
            self.ports["rdata"].value = self.content(address)
            self.ports["rlast"].value = words == 1
            self.ports["rresp"].value = self.response(address)

    def response(self, address: int) -> int:
        """What the word at an address comes with."""
        return 2 if self.wrong else 0

    def observe(self) -> bool:
        """Check the master's side and note what moves; whether a word came."""
        for burst in self._bursts:
            burst[2] -= 1
        came = self._answering and bool(self.get("rready"))
        if came:
            self._answering = False
            self.given += 1
            burst = self._bursts[0]
            burst[0] += self.bytes
            burst[1] -= 1
            if not burst[1]:
                self._bursts.popleft()
        asks = bool(self.get("arvalid"))
        now = tuple(self.get(name) for name in ("araddr", "arlen", "arsize", "arburst")) if asks else None
        assert self._held is None or now == self._held, "a burst changed or vanished before it was taken"
        self._held = None
        if now is not None:
            address, length, size, kind = now
            assert (1 << size, kind) == (self.bytes, 1), "not a burst of whole words at rising addresses"
            assert address % self.bytes == 0, "not an address of a word"
            assert address // 4096 == (address + (length + 1) * self.bytes - 1) // 4096, "a burst crosses 4 KiB"
            if self.get("arready"):
                self.asked.append((address, length + 1))
                self._bursts.append([address, length + 1, self.rng.randint(*self.latency)])
            else:
                self._held = now
        return came
