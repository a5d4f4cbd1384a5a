"""qlight_shell as the processor sees it."""

from __future__ import annotations

import cocotb
from cocotb.triggers import Timer

from hw.tb.common.cases import selected
from hw.tb.dma.host import ADDRESS, LENGTH, RECEIVE, SEND, STATUS
from hw.tb.shell.processor import CONTROL_REGISTER, IMAGES, LOADED, PACKET, PARAMETER_WORDS, Processor
from hw.tb.shell.shapes import CASES, IMAGE_WORDS, PORTS

BASE = selected(CASES)[0]["BASE"]
_HALF = Timer(1, "ns")


def _processor(dut, seed: int) -> Processor:
    return Processor({name: getattr(dut, f"c0_{name}") for _, name, _ in PORTS}, seed, BASE)


@cocotb.test()
async def images(dut):
    """What `Session.run` does: images in packets of any size, answers at any word's address, and their number afterwards."""
    processor = _processor(dut, 1)
    await processor.power_up()
    assert await processor.read(processor.accelerator) == 0x514C4754
    assert (await processor.master.read_burst(processor.accelerator + 0x50, 3))[0] == [4 * IMAGE_WORDS, IMAGE_WORDS, 7]
    await processor.rest()
    sent = 0
    for count in (1, 4, 9, 30):
        await processor.write(processor.accelerator + PACKET, count)
        source, target = 0x1000_0000 + 4 * processor.rng.randrange(3000), 0x2000_0FF0 + 4 * processor.rng.randrange(16)
        size = 4 * IMAGE_WORDS * count
        await processor.transfer(RECEIVE, target, size)
        await processor.transfer(SEND, source, size)
        await processor.finished(RECEIVE)
        await processor.finished(SEND)
        assert await processor.read(processor.dma + RECEIVE + LENGTH) == size
        words = range(0, size, 4)
        assert [processor.target.word(target + i) for i in words] == [processor.word(source + i) for i in words]
        assert len(processor.target.content) == size
        processor.target.content.clear()
        sent += count
        assert await processor.read(processor.accelerator + IMAGES) == sent


@cocotb.test()
async def a_load_and_a_reset(dut):
    """Parameters go to the accelerator, not to memory; a transfer that the accelerator does not take is ended by `rest`."""
    processor = _processor(dut, 2)
    await processor.power_up()
    await processor.rest()
    await processor.write(processor.accelerator + CONTROL_REGISTER, 2)
    await processor.transfer(SEND, 0x1000_0004, 28)
    await processor.finished(SEND)
    assert await processor.read(processor.accelerator + LOADED) == await processor.read(processor.accelerator + PARAMETER_WORDS) == 7
    await processor.write(processor.accelerator + CONTROL_REGISTER, 1)  # held in reset: it takes nothing
    await processor.transfer(SEND, 0x1000_0000, 4 * IMAGE_WORDS * 20)
    for _ in range(100):
        await processor.tick()
    await processor.rest()
    assert processor.memory.outstanding == 0
    await processor.transfer(RECEIVE, 0x3000_0000, 4 * IMAGE_WORDS)
    await processor.transfer(SEND, 0x1000_0000, 4 * IMAGE_WORDS)
    await processor.finished(RECEIVE)
    found = [processor.target.word(0x3000_0000 + 4 * i) for i in range(IMAGE_WORDS)]
    assert found == [processor.word(0x1000_0000 + 4 * i) for i in range(IMAGE_WORDS)]


@cocotb.test()
async def the_address_map(dut):
    """64 KiB each, in which the registers repeat every 256 bytes; what is behind is a decode error."""
    processor = _processor(dut, 3)
    await processor.power_up()
    for offset in (0, 0x100, 0xFF00):
        await processor.write(processor.dma + offset + ADDRESS, offset + 4)
        assert await processor.read(processor.dma + ADDRESS) == offset + 4
        assert await processor.read(processor.accelerator + offset) == 0x514C4754
    for address in (processor.dma - 4, processor.accelerator + 0x1_0000, BASE ^ 1 << 30):
        assert (await processor.master.read_burst(address, 1))[1] == [3]
        assert await processor.master.write_burst(address, [1]) == 3


@cocotb.test()
async def the_reset_of_another_clock(dut):
    """It begins without an edge of the clock, and ends three edges after it went."""
    processor = _processor(dut, 4)
    await processor.power_up()
    assert processor.ports["rst_n"].value == 1
    await processor.rest()
    for _ in range(3):
        processor.ports["arst_n"].value = 0
        await _HALF
        assert processor.ports["rst_n"].value == 0
        await processor.cycle()
        processor.ports["arst_n"].value = 1
        edges = 0
        while not processor.ports["rst_n"].value:
            await processor.cycle()
            edges += 1
        assert edges == 3
    assert await processor.read(processor.dma + STATUS) == await processor.read(processor.dma + RECEIVE + STATUS) == 1
