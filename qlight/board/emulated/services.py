"""The gRPC services of PYNQ.remote on an emulated board: what the unmodified pynq package asks. They need an environment that has pynq.

Told from the client of pynq 4.0.0, and as the real daemon does: identities count from 1 in every run of the daemon; a write of registers
keeps the first 4 bytes; an allocation that fails gives an empty identity and no message; a written file gives no message either.
"""

from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from qlight.board.emulated.board import Board, BusError, DiskFullError
from qlight.board.emulated.memory import Buffer

_CHUNK = 1 << 21


class Gate:
    """What every call passes: it waits while the daemon hangs, and calls that were given up meanwhile are not carried out."""

    def __init__(self, codes: Any) -> None:
        self.until, self.codes = 0.0, codes

    def __call__(self, context: Any) -> None:
        """Wait."""
        while (left := self.until - time.monotonic()) > 0:
            time.sleep(min(left, 0.01))
        if not context.is_active():
            context.abort(self.codes.CANCELLED, "given up")


class Service:
    """A service of the daemon, its messages those that come with pynq.

    Attributes:
        messages: module of pynq.remote that has them.
        register: function of the module beside it that adds the service to a server.
        said: that module.
    """

    messages = register = ""

    def __init__(self, board: Board, gate: Gate) -> None:
        self.board, self.gate = board, gate
        self.said: Any = importlib.import_module(f"pynq.remote.{self.messages}")

    def add_to(self, server: Any) -> None:
        """Let a gRPC server offer it."""
        getattr(importlib.import_module(f"pynq.remote.{self.messages}_grpc"), self.register)(self, server)

    def absent(self, request: Any, context: Any) -> None:
        """What pynq's client never asks."""
        context.abort(self.gate.codes.UNIMPLEMENTED, "not on an emulated board")


class RemoteDevice(Service):
    """Files."""

    messages, register = "remote_device_pb2", "add_RemoteDeviceServicer_to_server"
    download = set_pl_clk = shutdown = Service.absent

    def existsfile(self, request: Any, context: Any) -> Any:
        self.gate(context)
        return self.said.ExistsFileResponse(exists=self.board.exists(request.file_path))

    def readfile(self, request: Any, context: Any) -> Iterator[Any]:
        self.gate(context)
        content = self.board.read_file(request.file_path)
        for start in range(0, len(content), _CHUNK):
            yield self.said.ReadFileResponse(data=content[start : start + _CHUNK])

    def writefile(self, requests: Iterator[Any], context: Any) -> Any:
        parts: dict[str, list[bytes]] = {}
        for request in requests:
            parts.setdefault(request.file_path, []).append(request.data)
        self.gate(context)
        for path, pieces in parts.items():
            try:
                self.board.write_file(path, b"".join(pieces))
            except DiskFullError as error:
                context.abort(self.gate.codes.RESOURCE_EXHAUSTED, str(error))
        return self.said.WriteFileResponse()

    def set_bitstream_attrs(self, request: Any, context: Any) -> Any:
        self.gate(context)
        return self.said.SetBitstreamAttrsResponse(status=True)


class Mmio(Service):
    """Registers by physical address."""

    messages, register = "mmio_pb2", "add_MmioServicer_to_server"

    def __init__(self, board: Board, gate: Gate) -> None:
        super().__init__(board, gate)
        self._regions: dict[str, tuple[int, int]] = {}
        self._next = itertools.count(1)

    def get_mmio(self, request: Any, context: Any) -> Any:
        self.gate(context)
        identity = str(next(self._next))
        self._regions[identity] = request.base_addr, request.length
        return self.said.GetMmioResponse(status=True, mmio_id=identity)

    def read(self, request: Any, context: Any) -> Any:
        self.gate(context)
        try:
            value = self.board.read(self._address(request, 4))
        except BusError as error:
            return self.said.ReadResponse(status=False, msg=str(error))
        return self.said.ReadResponse(status=True, data=value & (1 << 8 * min(request.length, 4)) - 1)

    def write(self, request: Any, context: Any) -> Any:
        self.gate(context)
        try:
            self.board.write(self._address(request, len(request.data)), int.from_bytes(request.data[:4], "little"))
        except BusError as error:
            return self.said.WriteResponse(status=False, msg=str(error))
        return self.said.WriteResponse(status=True)

    def _address(self, request: Any, size: int) -> int:
        base, length = self._regions.get(request.mmio_id, (0, 0))
        if request.offset + size > length:
            raise BusError(f"there is no register {request.offset:#x} in the region {request.mmio_id!r}")
        return base + request.offset


class RemoteBuffer(Service):
    """Memory for DMA."""

    messages, register = "buffer_pb2", "add_RemoteBufferServicer_to_server"
    virtual_address = cacheable = Service.absent

    def __init__(self, board: Board, gate: Gate) -> None:
        super().__init__(board, gate)
        self._buffers: dict[str, Buffer] = {}
        self._next = itertools.count(1)

    def allocate(self, request: Any, context: Any) -> Any:
        self.gate(context)
        buffer = self.board.memory.allocate(request.size) if self.board.allocates else None
        if buffer is None:
            return self.said.AllocateResponse()
        identity = str(next(self._next))
        self._buffers[identity] = buffer
        return self.said.AllocateResponse(buffer_id=identity)

    def write(self, requests: Iterator[Any], context: Any) -> Any:
        pieces = [(request.buffer_id, request.data) for request in requests]
        self.gate(context)
        at = 0
        for identity, data in pieces:
            buffer = self._buffers.get(identity)
            if buffer is None or at + len(data) > buffer.size:
                return self.said.BufferWriteResponse(msg=f"there is no buffer {identity!r} of {at + len(data)} bytes")
            buffer.cached[at : at + len(data)] = data
            at += len(data)
        return self.said.BufferWriteResponse()

    def read(self, request: Any, context: Any) -> Iterator[Any]:
        self.gate(context)
        buffer = self._buffers.get(request.buffer_id)
        content = b"" if buffer is None else bytes(buffer.cached)
        for start in range(0, len(content), _CHUNK):
            yield self.said.BufferReadResponse(data=content[start : start + _CHUNK])

    def freebuffer(self, request: Any, context: Any) -> Any:
        self.gate(context)
        buffer = self._buffers.pop(request.buffer_id, None)
        if buffer is None:
            return self.said.FreeBufferResponse(msg=f"there is no buffer {request.buffer_id!r}")
        self.board.memory.free(buffer)
        return self.said.FreeBufferResponse()

    def flush(self, request: Any, context: Any) -> Any:
        return self._on_buffer(request, context, self.said.FlushResponse, Buffer.flush)

    def invalidate(self, request: Any, context: Any) -> Any:
        return self._on_buffer(request, context, self.said.InvalidateResponse, Buffer.invalidate)

    def physical_address(self, request: Any, context: Any) -> Any:
        self.gate(context)
        buffer = self._buffers.get(request.buffer_id)
        if buffer is None:
            return self.said.AddressResponse(msg=f"there is no buffer {request.buffer_id!r}")
        return self.said.AddressResponse(address=buffer.address)

    def _on_buffer(self, request: Any, context: Any, response: Callable[..., Any], work: Callable[[Buffer], None]) -> Any:
        self.gate(context)
        buffer = self._buffers.get(request.buffer_id)
        if buffer is None:
            return response(msg=f"there is no buffer {request.buffer_id!r}")
        work(buffer)
        return response()
