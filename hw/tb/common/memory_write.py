"""An AXI3 write slave: random times and orders, the rules that a master must keep, and what it wrote."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from typing import Any

__all__ = ["WriteMemory"]

_BYTES = 8
_MOST_BEATS = 16


class WriteMemory:
    """The ports `m_axi_*` of a write master of 64 bits, as handles by name without that prefix: awaddr, ..., bready.

    `drive` sets the slave's side for a cycle, `observe` sees what moves in it.

    Args:
        ports: handles.
    """

    def __init__(self, ports: Mapping[str, Any], seed: int = 0) -> None:
        self.ports, self.rng = ports, random.Random(seed)
        self.p_ask = self.p_data = self.p_answer = 1.0
        self.latency: tuple[int, int] = (0, 0)  # least and most cycles between a burst's last word and its response
        self.wrong: dict[int, int] = {}  # response by the address of a burst's 128 bytes
        self.content: dict[int, int] = {}  # bytes that were written
        self.bursts: list[tuple[int, int]] = []  # address and beats of every burst
        self.forget()

    def forget(self) -> None:
        """As after a reset of both sides."""
        self._asked: deque[tuple[int, int]] = deque()  # bursts whose data have not all come
        self._place = 0  # beats of the first of them that have
        self._answers: deque[list[int]] = deque()  # response, cycles to wait
        self._answering = False
        self._held: tuple[int, ...] | None = None
        self._held_data: tuple[int, ...] | None = None

    @property
    def outstanding(self) -> int:
        """Bursts that were asked for and not answered."""
        return len(self._asked) + len(self._answers)

    def word(self, address: int) -> int | None:
        """32 bits that were written, or None where a byte of them was not."""
        found = [self.content.get(address + i) for i in range(4)]
        return None if None in found else int.from_bytes(bytes(each or 0 for each in found), "little")

    def get(self, name: str) -> int:
        """A port's value."""
        return int(self.ports[name].value)

    def drive(self) -> None:
        """Choose this cycle's answers; a response that was offered stays until it is taken."""
        self.ports["awready"].value = self.rng.random() < self.p_ask
        self.ports["wready"].value = bool(self._asked) and self.rng.random() < self.p_data
        if not self._answering:
            self._answering = bool(self._answers) and self._answers[0][1] <= 0 and self.rng.random() < self.p_answer
        self.ports["bvalid"].value = self._answering
        if self._answering:
            self.ports["bresp"].value = self._answers[0][0]

    def observe(self) -> None:
        """Check the master's side and note what moves."""
        for answer in self._answers:
            answer[1] -= 1
        if self._answering and self.get("bready"):
            self._answering = False
            self._answers.popleft()
        self._observe_data()
        now = tuple(self.get(name) for name in ("awaddr", "awlen", "awsize", "awburst")) if self.get("awvalid") else None
        assert self._held is None or now == self._held, "a burst changed or vanished before it was taken"
        self._held = None
        if now is None:
            return
        address, length, size, kind = now
        assert (1 << size, kind) == (_BYTES, 1), "not a burst of whole words at rising addresses"
        assert address % _BYTES == 0, "not an address of a word"
        assert length < _MOST_BEATS, "more beats than AXI3 has"
        assert address // 4096 == (address + (length + 1) * _BYTES - 1) // 4096, "a burst crosses 4 KiB"
        if self.get("awready"):
            self.bursts.append((address, length + 1))
            self._asked.append((address, length + 1))
        else:
            self._held = now

    def _observe_data(self) -> None:
        now = tuple(self.get(name) for name in ("wdata", "wstrb", "wlast")) if self.get("wvalid") else None
        assert self._held_data is None or now == self._held_data, "data changed or vanished before they were taken"
        self._held_data = None
        if now is None:
            return
        assert self._asked, "data without a burst"
        if not self.get("wready"):
            self._held_data = now
            return
        data, strobes, last = now
        address, beats = self._asked[0]
        assert strobes in (0x0F, 0xF0, 0xFF), "strobes that are not those of words"
        for byte in range(_BYTES):
            if strobes >> byte & 1:
                place = address + self._place * _BYTES + byte
                assert place not in self.content, "a byte was written twice"
                self.content[place] = data >> 8 * byte & 0xFF
        self._place += 1
        assert last == (self._place == beats), "WLAST is not at the last word"
        if last:
            self._asked.popleft()
            self._place = 0
            self._answers.append([self.wrong.get(address // 128, 0), self.rng.randint(*self.latency)])
