"""qlight_control: registers, counters, routing of images and parameters."""

import random

import cocotb

from hw.tb.common.cases import selected
from hw.tb.control.host import CLEAR, CONTROL, CYCLES, GEOMETRY, HASH, IMAGES, LOADED, PACKET, STALL_IN, STALL_OUT, Host
from hw.tb.control.shapes import CASES, GEOMETRY_HASH, GRAPH_HASH

SELECTED = list(enumerate(selected(CASES)))


def _hash_words(digits: str) -> list[int]:
    return [int(digits[i : i + 8], 16) for i in range(0, 64, 8)]


def _beats(host: Host, images: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.getrandbits(32) for _ in range(images * host.shape["INPUT_BYTES"] // 4)]


async def _check_counters(host: Host) -> None:
    """Counters as counted here; nothing is in flight and nothing offered, so they rest."""
    assert not host.to_send
    assert await host.read(IMAGES) == host.images
    assert await host.read(CYCLES) + (await host.read(CYCLES + 4) << 32) == host.cycles
    assert await host.read(STALL_IN) == host.stall_in
    assert await host.read(STALL_OUT) == host.stall_out


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def registers(dut, case):
    """Constants, the writable hash with byte strobes, what reset changes and what it does not."""
    index, shape = case
    host = Host(dut, index, shape, 1)
    await host.reset()
    assert await host.read(0x00) == 0x514C4754
    assert await host.read(0x04) == shape["VERSION"]
    assert [await host.read(0x50 + 4 * i) for i in range(3)] == [shape["INPUT_BYTES"], shape["CLASSES"], shape["PARAMETER_WORDS"]]
    assert [await host.read(GEOMETRY + 4 * i) for i in range(8)] == _hash_words(GEOMETRY_HASH)
    due = _hash_words(GRAPH_HASH)
    assert [await host.read(HASH + 4 * i) for i in range(8)] == due
    for address in (0x00, 0x04, GEOMETRY, 0x50, 0x5C, 0x78, 0x7C):
        before = await host.read(address)
        await host.write(address, 0xFFFFFFFF)
        assert await host.read(address) == before
    for i in range(8):
        strobe = host.rng.randrange(16)
        mask = sum(0xFF << (8 * lane) for lane in range(4) if strobe >> lane & 1)
        value = host.rng.getrandbits(32)
        await host.write(HASH + 4 * i, value, strobe)
        due[i] = due[i] & ~mask | value & mask
    assert [await host.read(HASH + 4 * i) for i in range(8)] == due
    await host.write(CONTROL, 1)
    assert await host.read(CONTROL) == 1
    await host.reset()
    assert await host.read(CONTROL) == 0
    assert [await host.read(HASH + 4 * i) for i in range(8)] == due
    for i, word in enumerate(_hash_words(GRAPH_HASH)):
        await host.write(HASH + 4 * i, word)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def images_and_counters(dut, case):
    """Every beat reaches the pipeline in order; the counters equal those of the testbench, before and after CLEAR."""
    index, shape = case
    host = Host(dut, index, shape, 2)
    await host.reset()
    for seed, (source, ready, out) in enumerate(((0.7, 0.7, 0.7), (1.0, 0.3, 1.0), (0.3, 1.0, 0.2), (1.0, 1.0, 1.0))):
        host.p_source, host.p_ready, host.p_out = source, ready, out
        beats = _beats(host, 9, seed)
        host.image.clear()
        host.to_send.extend(beats)
        await host.drain()
        assert host.image == beats
        await _check_counters(host)
        if seed == 1:
            await host.write(CLEAR, 0)
            host.forget()
            await _check_counters(host)
    assert not host.words
    assert not host.starts


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def other_cells(dut, case):
    """Registers from 80 on are read and written outside, once an access, whole words only; weights stop in a load and a soft reset."""
    index, shape = case
    host = Host(dut, index, shape, 7)
    await host.reset()
    host.set(ext_read_data=0xCAFE_F00D)
    assert [await host.read(address) for address in (0x80, 0xA4, 0xFC)] == [0xCAFE_F00D] * 3
    assert await host.read(0x7C) == 0
    await host.write(0x84, 17)
    await host.write(0x88, 99, strobe=7)
    await host.write(0x7C, 5)
    await host.write(0xFC, 0xFFFFFFFF)
    assert host.ext_reads == [0x20, 0x29, 0x3F]
    assert host.ext_writes == [(0x21, 17), (0x3F, 0xFFFFFFFF)]
    assert host.get("weights_allowed") == 1
    host.to_send.extend(_beats(host, 1, 0))
    while not host.image:
        await host.tick()
    await host.write(CONTROL, 2)
    while host.in_flight:
        assert host.get("weights_allowed") == 1, "an image is under way"
        await host.tick()
    for _ in range(3):
        await host.tick()
    assert host.get("weights_allowed") == 0
    await host.write(CONTROL, 0)
    await host.tick()
    await host.tick()
    assert host.get("weights_allowed") == 1
    await host.write(CONTROL, 1)
    assert host.get("weights_allowed") == 0
    await host.write(CONTROL, 0)
    assert host.get("weights_allowed") == 1
    await host.write(CLEAR, 0)
    host.set(ext_read_data=0)


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def packets(dut, case):
    """Every PACKET images end a packet (the host checks each), from the write on, after a soft reset, and one image after reset."""
    index, shape = case
    host = Host(dut, index, shape, 6)
    await host.reset()
    assert await host.read(PACKET) == 1
    for host.packet, images in ((1, 3), (4, 10), (3, 7)):  # 10 and 7 leave packets that are not full
        if host.packet > 1:
            await host.write(PACKET, host.packet)
            await host.write(PACKET, 9, strobe=7)  # not a whole word
            assert await host.read(PACKET) == host.packet
            host.in_packet = 0
        host.to_send.extend(_beats(host, images, host.packet))
        await host.drain()
    await host.write(CONTROL, 1)
    await host.write(CONTROL, 0)
    host.in_packet = 0
    host.to_send.extend(_beats(host, 3, 9))
    await host.drain()
    await host.reset()
    host.packet = 1
    assert await host.read(PACKET) == 1


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def loading(dut, case):
    """Load mode in the middle of an image: the image goes on, the words wait for it, all of them reach the chain after one start."""
    index, shape = case
    host = Host(dut, index, shape, 3)
    await host.reset()
    rng = random.Random(4)
    for rounds in range(3):
        beats = _beats(host, 2, rounds)
        words = [rng.getrandbits(32) for _ in range(40)]
        host.image.clear()
        host.words.clear()
        host.starts = 0
        host.to_send.extend(beats)
        while len(host.image) <= len(beats) // 2:  # the second image has begun, or with one beat an image, is in flight
            await host.tick()
        host.p_source, kept = 0.0, host.p_source  # so that the switch falls into the image, not behind it
        await host.write(CONTROL, 2)
        host.p_source = kept
        host.to_send.extend(words)
        await host.drain()
        for _ in range(3):
            await host.tick()
        assert host.image == beats
        assert host.words == words
        assert host.starts == 1
        assert await host.read(LOADED) == len(words)
        await host.write(CONTROL, 0)
        assert await host.read(LOADED) == len(words)
        host.image.clear()
        beats = _beats(host, 1, 9)
        host.to_send.extend(beats)
        await host.drain()
        assert host.image == beats


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def soft_reset(dut, case):
    """A soft reset holds the input, resets the pipeline and forgets an image that has begun; one while loading begins the load anew."""
    index, shape = case
    host = Host(dut, index, shape, 5)
    await host.reset()
    host.to_send.extend(_beats(host, 1, 0))
    while not host.image:
        await host.tick()
    host.to_send.clear()
    host.offered = False
    host.set(s_axis_tvalid=0)
    await host.write(CONTROL, 1)
    assert host.get("pipeline_rst_n") == 0
    host.logits = host.taken = host.in_flight = 0
    host.out_offered = False
    host.image.clear()
    beats = _beats(host, 2, 1)
    host.to_send.extend(beats)
    for _ in range(20):
        await host.tick()
    assert not host.image
    await host.write(CONTROL, 0)
    await host.drain()
    assert host.image == beats

    await host.write(CONTROL, 2)
    host.to_send.extend([1, 2, 3])
    await host.drain()
    await host.write(CONTROL, 3)
    await host.write(CONTROL, 2)
    host.words.clear()
    host.starts = 0
    for _ in range(2):
        await host.tick()
    host.starts = 1
    host.to_send.extend([4, 5])
    await host.drain()
    for _ in range(3):
        await host.tick()
    assert host.words == [4, 5]
    assert await host.read(LOADED) == 2
    await host.write(CONTROL, 0)
