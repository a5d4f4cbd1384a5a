"""The registers of a whole accelerator: what it is, what it counted, resets and parameters that they command."""

from pathlib import Path

import cocotb

from hw.tb.network.accelerator import Accelerator, bursts, steady
from hw.tb.network.cases import read_cases
from qlight.hardware import registers
from qlight.hardware.packing import parameter_words
from qlight.hardware.pipeline import make_pipeline

CASES = read_cases(Path.cwd())
SELECTED = list(range(len(CASES)))


async def _hash(accelerator: Accelerator, addresses: tuple[int, ...]) -> str:
    return "".join([f"{await accelerator.lite.read(address):08x}" for address in addresses])


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def counters(dut, case):
    """What the accelerator says of itself, read while images pass at random rates; then its counters equal what happened."""
    accelerator = Accelerator(dut, case, CASES[case], seed=4)
    await accelerator.reset()
    lite, build, images = accelerator.lite, CASES[case].build, CASES[case].images
    accelerator.source, accelerator.sink = bursts(accelerator.rng, 40, 40), steady(accelerator.rng, 0.2)
    accelerator.send(images[:1])
    assert await lite.read(registers.ID) == registers.ID_VALUE
    assert await _hash(accelerator, registers.GRAPH_HASH) == CASES[case].graph.content_hash
    assert await _hash(accelerator, registers.GEOMETRY_HASH) == build.geometry_hash
    assert await lite.read(registers.IMAGE_BYTES) == images[0].size
    assert await lite.read(registers.CLASSES) == CASES[case].classes
    assert await lite.read(registers.PARAMETER_WORDS) == build.pipeline.words
    assert await lite.read(registers.CONTROL) == registers.RUN
    seen, deadline = [0] * 4, accelerator.cycle + CASES[case].patience
    while accelerator.in_flight or accelerator.to_send:
        assert accelerator.cycle < deadline, "the image is not answered"
        for _ in range(CASES[case].image_cycles // 8):
            await accelerator.tick()
        addresses = registers.IMAGES, registers.CYCLES_LOW, registers.STALL_IN, registers.STALL_OUT
        now = [await lite.read(address) for address in addresses]
        assert all(before <= after for before, after in zip(seen, now, strict=True)), f"a counter went back: {seen}, {now}"
        seen = now
    await accelerator.drain()
    accelerator.check()
    assert accelerator.images == 1
    assert accelerator.stall_out > 0
    await accelerator.check_counters()
    await lite.write(registers.CLEAR, 0)
    accelerator.clear_counts()
    await accelerator.check_counters()


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def loading(dut, case):
    """Another network's parameters, over the input stream: commanded while an image is under way, broken off once, and once for all.

    The image under way is the old network's, those after are the new one's, whose hash is written, and packets then end after two images. A
    soft reset before and one afterwards leave nothing of images in flight, and change no parameter.
    """
    accelerator = Accelerator(dut, case, CASES[case], seed=5)
    await accelerator.reset()
    accelerator.dram.slow()
    lite, images = accelerator.lite, CASES[case].images
    other = CASES[case].other if CASES[case].loaded is CASES[case].graph else CASES[case].graph
    words = parameter_words(make_pipeline(other, CASES[case].build.pipeline.folding)).tolist()
    accelerator.send(images[:2])
    await accelerator.until(lambda: accelerator.words_in > 3 * CASES[case].image_words // 2)
    await accelerator.soft_reset()
    accelerator.send(images[:1])
    await accelerator.until(lambda: accelerator.words_in > CASES[case].image_words // 2)
    await lite.write(registers.CONTROL, registers.LOAD_MODE)
    part = min(len(words) // 2, 999)
    accelerator.source = steady(accelerator.rng, 0.5)
    accelerator.send_words(words[:part])
    await accelerator.drain()
    accelerator.check()
    assert await lite.read(registers.LOADED) == part
    await lite.write(registers.CONTROL, registers.RUN)
    await lite.write(registers.CONTROL, registers.LOAD_MODE)
    accelerator.source = steady(accelerator.rng)
    accelerator.send_words(words)
    await accelerator.drain()  # and as many cycles longer as the chain has units
    assert await lite.read(registers.LOADED) == len(words) == await lite.read(registers.PARAMETER_WORDS)
    for address, digits in zip(registers.GRAPH_HASH, range(0, 64, 8), strict=True):
        await lite.write(address, int(other.content_hash[digits : digits + 8], 16))
    CASES[case].loaded = other  # in DRAM too, before the readers start again
    await lite.write(registers.CONTROL, registers.RUN)
    await accelerator.end_packets(2)
    accelerator.send(images)
    await accelerator.until(lambda: len(accelerator.logits) > 2 * CASES[case].classes)
    accelerator.check(whole=False)
    await accelerator.soft_reset()
    accelerator.send(images[-1:])
    await accelerator.drain()
    accelerator.check()
    assert await _hash(accelerator, registers.GRAPH_HASH) == other.content_hash
