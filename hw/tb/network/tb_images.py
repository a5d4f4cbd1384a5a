"""Images through a whole accelerator: every integer of every layer, at any rate of both ends, and after resets in the middle."""

from pathlib import Path

import cocotb

from hw.tb.network.accelerator import Accelerator, bursts, steady
from hw.tb.network.cases import read_cases
from qlight.hardware.cycles import image_ends

CASES = read_cases(Path.cwd())
SELECTED = list(range(len(CASES)))


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def back_to_back(dut, case):
    """Images without a gap, and in the very cycles of the cycle model."""
    accelerator = Accelerator(dut, case, CASES[case], seed=1)
    await accelerator.reset()
    images = CASES[case].images
    accelerator.send(images)
    await accelerator.drain()
    accelerator.check()
    if CASES[case].build:
        assert accelerator.ends == image_ends(CASES[case].pipeline, len(images))


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def random_handshakes(dut, case):
    """Words that come, and logits that are taken, now and then: every cycle anew, and in bursts that stop the whole pipeline."""
    accelerator = Accelerator(dut, case, CASES[case], seed=2)
    await accelerator.reset()
    accelerator.dram.slow()
    rng, images, stop = accelerator.rng, CASES[case].images, CASES[case].image_cycles
    words = CASES[case].image_words
    for sent, source, sink in (
        (images, steady(rng, 0.4), bursts(rng, stop, 2 * stop)),
        (images[:1], bursts(rng, words // 2, words // 2), steady(rng, 0.3)),
    ):
        accelerator.source, accelerator.sink = source, sink
        accelerator.send(sent)
        await accelerator.drain()
        accelerator.check()


@cocotb.test()
@cocotb.parametrize(case=SELECTED)
async def resets(dut, case):
    """A reset while the first image comes in, one in the middle of logits: nothing of what was under way comes out afterwards."""
    accelerator = Accelerator(dut, case, CASES[case], seed=3)
    await accelerator.reset()
    images, words, classes = CASES[case].images, CASES[case].image_words, CASES[case].classes
    accelerator.send(images[:1])
    await accelerator.until(lambda: accelerator.words_in > words // 3)
    accelerator.check(whole=False)
    await accelerator.reset(1)
    accelerator.send(images[::-1])
    await accelerator.until(lambda: len(accelerator.logits) > classes // 2)
    accelerator.check(whole=False)
    await accelerator.reset(1)
    accelerator.send(images[:1])
    await accelerator.drain()
    accelerator.check()
