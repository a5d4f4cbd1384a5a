"""PYNQ.remote's own path, as its documentation goes; benchmarks/board.py runs this where the unmodified pynq is installed.

Lines in: ``images FILE`` (uint8 N x H x W x C), ``run`` (answered with seconds), ``answers`` (answered with the last image's accumulators).
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from qlight.board.overlay import find_overlay
from qlight.hardware.registers import CLASSES, PACKET

warnings.simplefilter("ignore")


class Peer:
    """An overlay of the accelerator on a remote device."""

    def __init__(self, folder: str, host: str) -> None:
        found = find_overlay(folder)
        os.environ["PYNQ_REMOTE_DEVICES"] = host  # pynq looks at it when it is imported
        import pynq  # pyright: ignore[reportMissingImports]

        self.pynq = pynq
        overlay = pynq.Overlay(str(found.bitstream))
        self.dma = getattr(overlay, found.dma)
        self.registers = getattr(overlay, found.accelerator).mmio
        self.classes = int(self.registers.read(CLASSES))
        self.source: Any = None
        self.target: Any = None

    def take(self, path: Path) -> None:
        """Images from now on, with buffers for them."""
        images = np.load(path)
        self.images = images.reshape(len(images), -1)
        if self.source is not None:
            self.source.freebuffer()
            self.target.freebuffer()
        self.source = self.pynq.allocate(self.images.shape, np.uint8)
        self.target = self.pynq.allocate((len(images), self.classes), np.int32)
        self.registers.write(PACKET, len(images))

    def run(self) -> float:
        """Seconds of a batch."""
        start = time.perf_counter()
        self.source[:] = self.images
        self.dma.recvchannel.transfer(self.target)
        self.dma.sendchannel.transfer(self.source)
        self.dma.sendchannel.wait()
        self.dma.recvchannel.wait()
        self.found = np.array(self.target)
        return time.perf_counter() - start


if __name__ == "__main__":
    peer = Peer(*sys.argv[1:])
    print("ready", flush=True)
    for line in sys.stdin:
        name, _, rest = line.strip().partition(" ")
        if name == "images":
            peer.take(Path(rest))
            print("ok", flush=True)
        elif name == "run":
            print(peer.run(), flush=True)
        else:
            print(" ".join(str(value) for value in peer.found[-1]), flush=True)
