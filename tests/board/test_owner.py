"""The owner of the accelerator: failures are mended or told, and a mended accelerator is the one that it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from qlight.board.accelerator import Accelerator, DeviceError, DeviceTimeout, Parameters
from qlight.board.fair_queue import Request
from qlight.board.owner import Care, Owner
from qlight.errors import InputError
from tests.board.fakes import FakeAccelerator, answers, failing, images, until

Asked = Callable[..., tuple[Any, Exception | None]]


class Asking:
    """An owner and a way to ask it for one batch."""

    def __init__(self, *accelerators: Any, **settings: Any) -> None:
        self.accelerators = list(accelerators)
        self.done: list[tuple[Request, Exception | None]] = []
        parameters = settings.pop("parameters", None)
        self.owner = Owner(self._next, lambda request, error: self.done.append((request, error)), parameters, Care(**settings), 4)

    def _next(self) -> Accelerator:
        found = self.accelerators.pop(0) if len(self.accelerators) > 1 else self.accelerators[0]
        if isinstance(found, Exception):
            raise found
        return found

    def __call__(self, count: int = 3, seconds: float = 20.0) -> tuple[Any, Exception | None]:
        before = len(self.done)
        self.owner.queue.put(Request("a", 0, images(count, 5), time.monotonic() + seconds))
        until(lambda: len(self.done) > before)
        request, error = self.done[-1]
        assert len(self.done) == before + 1
        return request.found, error


@pytest.fixture
def start() -> Iterator[Callable[..., Asking]]:
    made: list[Asking] = []

    def make(*accelerators: Any, **settings: Any) -> Asking:
        made.append(Asking(*accelerators, **settings))
        made[-1].owner.start()
        return made[-1]

    yield make
    for each in made:
        assert each.owner.stop(20)


def test_the_fake_is_an_accelerator() -> None:
    assert isinstance(FakeAccelerator(), Accelerator)


def test_pieces_make_a_whole(start: Callable[..., Asking]) -> None:
    fake = FakeAccelerator()
    ask = start(fake)
    fake.most_images = ask.owner.queue.most_images = 10
    found, error = ask(37)
    assert error is None
    assert np.array_equal(found, answers(images(37, 5)))
    assert fake.runs == [1, 10, 10, 10, 7], "the canary first"
    assert ask.owner.counts.images == 37
    assert ask.owner.stop(20)
    assert fake.closed == 1


@pytest.mark.parametrize(
    "fault",
    [
        DeviceError("DMA error"),
        DeviceTimeout("late"),
        RuntimeError("whatever pynq says"),
        MemoryError(),
        lambda pixels: answers(pixels)[:-1],
        lambda pixels: answers(pixels).astype(np.int64),
        lambda pixels: None,
    ],
)
def test_a_failure_is_mended_by_a_reset(start: Callable[..., Asking], fault: Any) -> None:
    fake = FakeAccelerator([None, fault], parameter_words=2)
    ask = start(fake, parameters=Parameters(np.arange(2, dtype=np.uint32), "12" * 32))
    found, error = ask()
    assert error is None
    assert np.array_equal(found, answers(images(3, 5)))
    assert (fake.loads, fake.resets, fake.closed) == (2, 1, 0), "the parameters are loaded again"
    assert fake.runs == [1, 3, 1, 3], "and the canary is asked"
    assert (ask.owner.counts.failures, ask.owner.counts.resets, ask.owner.trouble) == (1, 1, "")


def test_counters_are_read_when_nobody_waits_and_a_failure_there_is_mended(start: Callable[..., Asking]) -> None:
    fake = FakeAccelerator()
    ask = start(fake)
    time.sleep(0.3)
    assert (fake.counted, ask.owner.counters) == (0, {}), "nothing has run"
    ask()
    until(lambda: ask.owner.counters)
    assert ask.owner.counters == {"cycles": 100 * sum(fake.runs)}
    time.sleep(0.3)
    assert fake.counted == 1, "nothing has run since"
    fake.broken_counters = True
    ask()
    until(lambda: ask.owner.trouble == "it does not come back")
    fake.broken_counters = False
    assert ask()[1] is None
    assert fake.resets == 1


def test_what_no_reset_mends_is_told(start: Callable[..., Asking]) -> None:
    """Each run fails, and each canary in between works."""
    fake = FakeAccelerator([None, *[step for _ in range(3) for step in (DeviceError("DMA  error\n5"), None)]])
    ask = start(fake)
    found, error = ask()
    assert isinstance(error, DeviceError)
    assert str(error) == "the accelerator failed 3 times, resets in between: DMA error 5"
    assert fake.resets == 2
    found, error = ask()
    assert error is None
    assert np.array_equal(found, answers(images(3, 5))), "the next request gets an accelerator that was reset"
    assert fake.resets == 3


def test_where_a_reset_fails_the_accelerator_is_opened_again(start: Callable[..., Asking]) -> None:
    broken, fresh = FakeAccelerator([None, DeviceError("lost")], on_reset=failing), FakeAccelerator()
    ask = start(broken, OSError("not yet"), DeviceError("not yet"), fresh)
    found, error = ask()
    assert error is None
    assert np.array_equal(found, answers(images(3, 5)))
    assert (broken.closed, fresh.resets) == (1, 0)
    assert ask.owner.counts.reopened == 1


def test_an_accelerator_that_never_comes_back_is_waited_for_until_the_deadline(start: Callable[..., Asking]) -> None:
    ask = start(FakeAccelerator([None, DeviceError("lost")], on_reset=failing), DeviceError("the cable is out"))
    found, error = ask(seconds=0.4)
    assert found is None
    assert "did not come back in time: the cable is out" in str(error)
    assert ask.owner.trouble == "the cable is out"


def shifted(pixels: np.ndarray) -> np.ndarray:
    """What a stream that lost a word gives: somebody else's answer."""
    return answers(pixels) + 1


def test_a_stream_that_lost_its_place_is_not_believed(start: Callable[..., Asking]) -> None:
    """After a reset the canary has another answer: only a new start helps."""
    lost = FakeAccelerator([None, DeviceTimeout("late"), shifted, shifted])
    ask = start(lost, FakeAccelerator())
    found, error = ask()
    assert error is None
    assert np.array_equal(found, answers(images(3, 5)))
    assert lost.closed == 1


def test_another_accelerator_is_not_taken_for_the_first(start: Callable[..., Asking]) -> None:
    other = FakeAccelerator()
    other.bitstream_hash = "ee" * 32
    ask = start(FakeAccelerator([None, DeviceError("lost")], on_reset=failing), other)
    found, error = ask(seconds=0.4)
    assert found is None
    assert "came back as another one" in str(error)


def test_verify_finds_an_answer_that_comes_once(start: Callable[..., Asking]) -> None:
    fake = FakeAccelerator([None, shifted])
    ask = start(fake, verify=True)
    found, error = ask()
    assert error is None
    assert np.array_equal(found, answers(images(3, 5)))
    assert fake.runs == [1, 3, 3, 1, 3, 3]
    assert ask.owner.counts.last_failure == "two runs of the same images gave different answers"


def test_an_accelerator_that_does_not_start() -> None:
    for error, kind in ((InputError("no overlay"), InputError), (ValueError("pynq"), DeviceError)):
        with pytest.raises(kind, match=str(error)):
            Asking(error).owner.start()


def test_a_call_that_does_not_return_is_seen(start: Callable[..., Asking], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qlight.board.owner.GRACE_SECONDS", 0.0)
    fake = FakeAccelerator()
    ask = start(fake, device_seconds=0.01)
    assert ask.owner.stuck == 0
    fake.gate.clear()
    ask.owner.queue.put(Request("a", 0, images(1), time.monotonic() + 20))
    until(lambda: ask.owner.stuck > 0)
    fake.gate.set()
    until(lambda: ask.done)
    assert ask.owner.stuck == 0
