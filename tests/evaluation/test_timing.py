"""How long queries took: added up attack by attack and run by run, and never a reason for an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlight.evaluation.timing import TIMING_FILE, Timing, kept, per_query

SUMS = {"images": 100.0, "batches": 4.0, "seconds": 0.4, "device_seconds": 0.3, "waited_seconds": 0.01, "reconnects": 1.0, "repeated": 25.0}


class Clock:
    """A target that counts ten images whenever it is looked at."""

    def __init__(self) -> None:
        self.images = 0

    def timing(self) -> dict[str, float]:
        self.images += 10
        return {"images": self.images, "seconds": self.images / 1000}


def test_each_attack_gets_what_was_counted_inside_it() -> None:
    timing = Timing(Clock())
    with timing.of("SPSA"):
        pass
    with pytest.raises(ZeroDivisionError), timing.of("SPSA"):
        raise ZeroDivisionError
    with timing.of("ZOO"):
        pass
    assert {name: sums["images"] for name, sums in timing.sums.items()} == {"SPSA": 20, "ZOO": 10}
    assert timing.sums["SPSA"]["seconds"] == pytest.approx(0.02)
    assert timing.sums["SPSA"]["attack_seconds"] > 0


def test_other_targets_are_not_timed() -> None:
    timing = Timing(object())
    with timing.of("SPSA"):
        pass
    assert timing.sums == {}


def test_what_a_row_shows() -> None:
    found = per_query(SUMS | {"attack_seconds": 0.5})
    assert found == {
        "images": 100,
        "batches": 4,
        "batch_ms": 100.0,
        "image_ms": 4.0,
        "device_ms": 3.0,
        "images_per_second": 200.0,
        "reconnects": 1,
        "repeated": 25,
    }
    assert per_query({}) is None
    assert per_query(SUMS | {"images": 0}) is None, "everything was known already"


def test_runs_that_go_on_add_up(tmp_path: Path) -> None:
    assert kept(tmp_path, {}) == {}
    assert not (tmp_path / TIMING_FILE).exists()
    kept(tmp_path, {"SPSA": SUMS})
    found = kept(tmp_path, {"SPSA": SUMS, "ZOO": SUMS})
    assert (found["SPSA"]["images"], found["ZOO"]["images"]) == (200, 100)
    assert kept(tmp_path, {}) == found


@pytest.mark.parametrize("text", ["", "[]", '{"SPSA": 1}', '{"SPSA": {"images": "x"}}', '{"SPSA": {"images": null}}'])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / TIMING_FILE).write_text(text)
    assert kept(tmp_path, {"SPSA": SUMS}) == {"SPSA": SUMS}
