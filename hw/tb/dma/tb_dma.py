"""qlight_dma: words in order, bursts by the rules, nothing written beside; registers as pynq's driver uses them; errors, stops, resets."""

from __future__ import annotations

import random

import cocotb

from hw.tb.common.cases import selected
from hw.tb.dma.host import (
    ADDRESS,
    COMPLETE,
    CONTROL,
    DECODE,
    ERROR_EVENT,
    HALTED,
    IDLE,
    INTERNAL,
    LENGTH,
    RECEIVE,
    RESET,
    RUN,
    SEND,
    SLAVE,
    STATUS,
    Host,
)
from hw.tb.dma.shapes import CASES

SELECTED = list(enumerate(selected(CASES)))


def _address(rng: random.Random, words: int) -> int:
    """Of a word; often so that the words cross 4 KiB."""
    page = rng.randrange(1, 1 << 19) * 4096
    return page - 4 * rng.randrange(1, words + 1) if rng.random() < 0.5 else page + 4 * rng.randrange(1024)


async def _both_ways(host: Host, sent: int, got: int, room: int) -> None:
    """A transfer in each direction at once, and everything that must be so afterwards."""
    source, target = _address(host.rng, sent), _address(host.rng, got)
    words = host.send_packet(got)
    asked, begun = len(host.memory.asked), len(host.target.bursts)
    await host.transfer(RECEIVE, target, 4 * room)
    await host.transfer(SEND, source, 4 * sent)
    assert await host.finished(SEND) == IDLE | COMPLETE
    assert await host.finished(RECEIVE) == IDLE | COMPLETE
    assert host.received == host.due(source, sent)
    host.received.clear()
    assert await host.read(RECEIVE + LENGTH) == 4 * got
    assert await host.read(SEND + LENGTH) == 4 * sent
    assert host.written(target, got) == words
    assert not host.target.content, "something was written beside the words"
    for bursts, address, count in ((host.memory.asked[asked:], source, sent), (host.target.bursts[begun:], target, got)):
        place = address // 8 * 8
        for start, beats in bursts:
            assert start == place, "a beat is missing, or comes twice"
            place += 8 * beats
        assert place == -(-(address + 4 * count) // 8) * 8
    for channel in (SEND, RECEIVE):
        await host.write(channel + STATUS, COMPLETE)
        assert await host.read(channel + STATUS) == IDLE


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def transfers(dut, case):
    """Any word's address, lengths from one word on, rooms that are larger than the packet; memory and streams at random times."""
    index, shape = case
    host = Host(dut, index, shape, 1)
    await host.reset()
    for channel in (SEND, RECEIVE):
        assert await host.read(channel + STATUS) == HALTED
        await host.start(channel)
    for turn in range(30):
        host.calm(turn % 3 > 0)
        got = host.rng.choice((1, 2, 10, 33, host.rng.randrange(1, 150)))
        await _both_ways(host, host.rng.choice((1, 2, 3, 64, host.rng.randrange(1, 250))), got, got + host.rng.choice((0, 0, 1, 7)))


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def full_rate(dut, case):
    """A memory that answers at once: a word a cycle out, if the FIFO holds two bursts; and in, a burst goes while the next comes."""
    index, shape = case
    host = Host(dut, index, shape, 2)
    await host.reset()
    await host.start(SEND)
    await host.start(RECEIVE)
    host.calm(False)
    await host.transfer(RECEIVE, 0x10000, 4 * 640)
    host.send_packet(640)
    begin = host.cycle
    while host.to_send and host.cycle < begin + 2000:
        await host.tick()
    assert shape["WRITE_DEPTH"] < 32 or host.cycle - begin <= 650
    assert await host.finished(RECEIVE) == IDLE | COMPLETE
    await host.write(SEND + ADDRESS, 0x20000)
    await host.write(SEND + LENGTH, 4 * 640)
    begin, cycles = host.cycle, []
    while len(host.received) < 640 and host.cycle < begin + 4000:
        await host.tick()
        if host.received:
            cycles.append(host.cycle)
    assert host.received == host.due(0x20000, 640)
    assert shape["READ_DEPTH"] < 35 or len(cycles) == 640


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def packets(dut, case):
    """A transfer ends with its packet, the next one has the next packet; a packet that is too long is an internal error."""
    index, shape = case
    host = Host(dut, index, shape, 3)
    await host.reset()
    await host.start(RECEIVE)
    host.calm(True)
    lengths = [host.rng.randrange(1, 40) for _ in range(5)]
    packets = [host.send_packet(count) for count in lengths]
    for count, words in zip(lengths, packets, strict=True):
        address = _address(host.rng, count)
        await host.transfer(RECEIVE, address, 4 * 40)
        assert await host.finished(RECEIVE) == IDLE | COMPLETE
        await host.write(RECEIVE + STATUS, COMPLETE)
        assert await host.read(RECEIVE + LENGTH) == 4 * count
        assert host.written(address, count) == words
    host.send_packet(21)
    await host.transfer(RECEIVE, 0x4004, 4 * 20)
    assert await host.finished(RECEIVE) == HALTED | INTERNAL | ERROR_EVENT
    assert len(host.to_send) == 1, "a word for which there is no room was taken"
    assert max(host.target.content, default=0) < 0x4004 + 4 * 20
    host.target.content.clear()
    host.drop_stream()
    # room for exactly what came, and its end is late
    host.ports["s_axis_tvalid"].value = 0
    await host.reset_engine(RECEIVE)
    await host.start(RECEIVE)
    host.to_send.extend((word, False) for word in range(5))
    await host.transfer(RECEIVE, 0x5000, 4 * 5)
    for _ in range(150):
        await host.tick()
    assert not host.to_send
    assert await host.read(RECEIVE + STATUS) == 0, "a packet ended without TLAST"
    host.send_packet(1)
    assert await host.finished(RECEIVE) == HALTED | INTERNAL | ERROR_EVENT


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def errors_of_memory(dut, case):
    """An error response halts its channel with the right bit, once nothing is outstanding; the other one goes on; a reset repairs it."""
    index, shape = case
    host = Host(dut, index, shape, 4)
    await host.reset()
    for turn, (response, bit) in enumerate(((2, SLAVE), (3, DECODE)) * 2):
        await host.start(SEND)
        await host.start(RECEIVE)
        host.calm(turn < 2)
        host.memory.responses = {0x3000 + 8 * host.rng.randrange(100): response}
        words = host.send_packet(60)
        host.vanishing = True
        await host.transfer(RECEIVE, 0x7000, 4 * 60)
        await host.transfer(SEND, 0x3000, 800)
        assert await host.finished(SEND) == HALTED | bit | ERROR_EVENT
        assert host.memory.outstanding == 0
        assert host.received == host.due(0x3000, 200)[: len(host.received)]
        assert len(host.received) <= 2 * ((min(host.memory.responses) - 0x3000) // 8)
        host.received.clear()
        await host.write(SEND + CONTROL, RUN)
        assert await host.read(SEND + STATUS) == HALTED | bit | ERROR_EVENT, "it runs again without a reset"
        await host.write(SEND + STATUS, ERROR_EVENT | COMPLETE | bit)
        assert await host.read(SEND + STATUS) == HALTED | bit
        assert await host.finished(RECEIVE) == IDLE | COMPLETE
        assert host.written(0x7000, 60) == words
        host.target.wrong = {0x9000 // 128 + host.rng.randrange(3): response}
        host.send_packet(100)
        await host.transfer(RECEIVE, 0x9000, 4 * 100)
        assert await host.finished(RECEIVE) == HALTED | bit | COMPLETE | ERROR_EVENT
        assert host.target.outstanding == 0
        host.drop_stream()
        host.target.content.clear()
        host.target.wrong, host.memory.responses = {}, {}
        await host.reset_engine(host.rng.choice((SEND, RECEIVE)))
        for channel in (SEND, RECEIVE):
            assert await host.read(channel + STATUS) == HALTED
            await host.start(channel)
        await _both_ways(host, 37, 21, 21)
        await host.reset_engine(SEND)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def stops_in_the_middle(dut, case):
    """A reset, or RS cleared, at any moment: afterwards nothing is outstanding, and the next transfers are right."""
    index, shape = case
    host = Host(dut, index, shape, 5)
    await host.reset()
    for turn in range(20):
        await host.start(SEND)
        await host.start(RECEIVE)
        host.calm(turn % 4 > 0)
        host.send_packet(130)
        await host.transfer(RECEIVE, _address(host.rng, 130), 4 * 130)
        await host.transfer(SEND, _address(host.rng, 200), 4 * 200)
        for _ in range(host.rng.randrange(120)):
            await host.tick()
        if turn % 2:
            await host.reset_engine(host.rng.choice((SEND, RECEIVE)))
            assert await host.read(SEND + STATUS) == await host.read(RECEIVE + STATUS) == HALTED
        else:
            host.vanishing = True
            for channel in (SEND, RECEIVE):
                await host.write(channel + CONTROL, 0)
                status = await host.finished(channel, HALTED)
                assert status & ~COMPLETE == HALTED | IDLE
            host.vanishing = False
        assert host.memory.outstanding == 0
        assert host.target.outstanding == 0
        assert host.ports["m_axi_arvalid"].value == 0
        assert host.ports["m_axi_awvalid"].value == 0
        host.drop_stream()
        host.target.content.clear()
        host.received.clear()
        for channel in (SEND, RECEIVE):
            await host.start(channel)
            await host.write(channel + STATUS, COMPLETE)
        await _both_ways(host, host.rng.randrange(1, 60), 12, 12)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def registers(dut, case):
    """What PG021 says of the registers in direct register mode, and what of it is not here reads 0."""
    index, shape = case
    host = Host(dut, index, shape, 6)
    await host.reset()
    for channel in (SEND, RECEIVE):
        await host.transfer(channel, 0x1000, 16)
        assert await host.read(channel + STATUS) == HALTED, "a transfer of a channel that does not run"
        assert await host.read(channel + LENGTH) == 0
        assert await host.read(channel + ADDRESS) == 0x1000
        assert [await host.read(channel + place) for place in (0x08, 0x1C, 0x20, 0x2C)] == [0] * 4
        await host.write(channel + CONTROL, RUN, strobe=7)
        assert await host.read(channel + CONTROL) == 0, "a write that is no whole word"
        for address, size in ((0x1000, 0), (0x1000, 18), (0x1002, 16), (0x1000, 1 << 26)):
            await host.start(channel)
            assert await host.read(channel + CONTROL) == RUN
            await host.transfer(channel, address, size)
            assert await host.read(channel + STATUS) == HALTED | INTERNAL | ERROR_EVENT
            assert await host.read(channel + CONTROL) == 0
            await host.reset_engine(channel)
    await host.start(SEND)
    await host.start(RECEIVE)
    assert not host.memory.asked
    # a length while the channel is busy changes nothing
    host.p_ready = 0.0
    await host.transfer(SEND, 0x2000, 40)
    await host.write(SEND + LENGTH, 80)
    host.p_ready = 1.0
    assert await host.finished(SEND) == IDLE | COMPLETE
    assert host.received == host.due(0x2000, 10)
    assert await host.read(SEND + LENGTH) == 40
    await host.write(SEND + STATUS, 0)
    await host.write(SEND + STATUS, COMPLETE, strobe=3)
    assert await host.read(SEND + STATUS) == IDLE | COMPLETE, "cleared by a 0, or by half a word"
    # the longest length there is
    host.p_ready = 0.0
    await host.transfer(SEND, 0x2000, (1 << 26) - 4)
    assert await host.read(SEND + LENGTH) == (1 << 26) - 4
    for _ in range(50):
        await host.tick()
    assert await host.read(SEND + STATUS) & ~COMPLETE == 0
    host.vanishing = True
    await host.write(SEND + CONTROL, RESET | RUN)
    for _ in range(100):
        await host.tick()
    assert await host.read(SEND + STATUS) == await host.read(RECEIVE + STATUS) == HALTED
    assert host.memory.outstanding == 0
