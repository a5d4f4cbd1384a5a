"""The report as a person meets it: on a phone, by keyboard, in print; where a browser is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlight.study.report import PAGE, write
from tests.study.browser import Page, browser, find
from tests.study.synthetic import OPTIONS, Study

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("report")
    write(OPTIONS, Study(folder / "study").needs, folder)
    with browser() as page:
        page.path = folder / PAGE  # type: ignore[attr-defined]
        yield page


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_does_not_scroll_sideways_but_its_tables_do(page: Page, width: int) -> None:
    page.asked.clear()
    page.open(page.path, width)  # type: ignore[attr-defined]
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value("[...document.querySelectorAll('.scroll')].every(box => box.getBoundingClientRect().right <= innerWidth + 1)")
    wide = page.value("[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth).length")
    assert (wide > 20) == (width < 600)
    assert {address.partition(":")[0] for address in page.asked} <= {"file", "data"}
    assert sum(address.startswith("file") for address in page.asked) == 1


def test_what_was_studied_and_the_verdicts_are_on_the_first_screen_of_a_phone(page: Page) -> None:
    page.open(page.path, 390, 844)  # type: ignore[attr-defined]
    assert page.value("document.querySelector('.tiles').getBoundingClientRect().bottom") < 844


def test_the_keyboard_skips_to_the_results_and_reaches_the_tables(page: Page) -> None:
    page.open(page.path, 1280)  # type: ignore[attr-defined]
    page.press("Tab", 9)
    assert page.value("document.activeElement.className") == "skip"
    assert page.value("document.activeElement.getBoundingClientRect().left") >= 0
    page.value("document.activeElement.click()")
    assert page.value("document.activeElement.id") == "results"
    assert page.value("[...document.querySelectorAll('.scroll')].every(box => box.tabIndex === 0)")
    assert page.value("(box => {box.focus(); return document.activeElement === box})(document.querySelector('#tables .scroll'))")


def test_pictures_are_there(page: Page) -> None:
    page.open(page.path, 1280)  # type: ignore[attr-defined]
    assert page.value("[...document.images].length") > 100
    assert page.value("[...document.images].every(image => image.complete && image.naturalWidth === 32)")


def test_numbers_behind_a_fold_are_printed(page: Page, tmp_path: Path) -> None:
    page.open(page.path, 1280)  # type: ignore[attr-defined]
    seen = "document.querySelector('.claims details table').checkVisibility()"
    # what a change of media means is known after a frame
    drawn = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
    assert not page.value(seen)
    page.call("Emulation.setEmulatedMedia", media="print")
    page.value(drawn)
    assert page.value(seen)
    page.call("Emulation.setEmulatedMedia", media="")
    page.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
