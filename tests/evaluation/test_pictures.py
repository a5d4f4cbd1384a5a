"""The picture of clean and adversarial images, read back as pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from qlight.errors import InputError
from qlight.evaluation import save_examples
from qlight.evaluation.pictures import RIGHT, WRONG
from tests.evaluation.helpers import random_images


def example(count: int = 3) -> dict[str, Any]:
    clean = torch.full((count, 3, 32, 32), 0.5)
    return {
        "clean": clean,
        "adversarial": {"FGSM": clean + 0.125, "BIM": clean.clone()},
        "labels": torch.arange(count),
        "predictions": torch.arange(count),
        "adversarial_predictions": {"FGSM": torch.full((count,), 9), "BIM": torch.arange(count)},
    }


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def count(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels.astype(int) - colour) <= 2).all(axis=2).sum())


def hexadecimal(colour: str) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in to_rgb(colour))
    return red, green, blue


def test_images_and_amplified_differences_are_drawn(tmp_path: Path) -> None:
    path = save_examples(tmp_path / "new" / "examples.png", **example())
    pixels = read(path)
    grey = count(pixels, (128, 128, 128))
    assert count(pixels, (159, 159, 159)) > 3 * 100**2, "three FGSM images of 0.625"
    # clean, BIM and its empty difference are mid-grey; FGSM's uniform change is full scale: white
    assert grey > 9 * 100**2
    without = read(save_examples(tmp_path / "without.png", **example(), differences=False))
    assert without.shape[0] < pixels.shape[0]
    assert 5 * 100**2 < count(without, (128, 128, 128)) < grey
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["examples.png"]


def test_success_is_red_and_failure_green(tmp_path: Path) -> None:
    values = example()
    values["adversarial"] = {"FGSM": values["adversarial"]["FGSM"]}
    fooled = read(save_examples(tmp_path / "fooled.png", **values))
    values["adversarial_predictions"] = {"FGSM": values["labels"]}
    kept = read(save_examples(tmp_path / "kept.png", **values))
    assert count(fooled, hexadecimal(WRONG)) > 5
    assert count(kept, hexadecimal(WRONG)) == 0
    assert count(kept, hexadecimal(RIGHT)) > count(fooled, hexadecimal(RIGHT)) > 5


def test_class_names_are_shown(tmp_path: Path) -> None:
    numbers = read(save_examples(tmp_path / "numbers.png", **example()))
    names = read(save_examples(tmp_path / "names.png", **example(), class_names=["aeroplane"] * 9))
    assert numbers.shape == names.shape
    assert (numbers != names).any()


def test_one_image_of_one_channel_and_no_attack(tmp_path: Path) -> None:
    path = save_examples(tmp_path / "a.png", random_images(1)[:, :1], {}, torch.zeros(1).long(), torch.ones(1).long(), {})
    assert count(read(path), hexadecimal(WRONG)) > 0


def test_no_global_state_of_pyplot(tmp_path: Path) -> None:
    import sys

    save_examples(tmp_path / "a.png", **example(1))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clean": torch.zeros(0, 3, 8, 8)}, "`clean` to be at least one image"),
        ({"clean": torch.zeros(2, 4, 8, 8)}, "`clean` to be at least one image"),
        ({"clean": torch.zeros(3, 8, 8)}, "`clean` to be at least one image"),
        ({"adversarial": {"FGSM": torch.zeros(3, 3, 8, 8)}}, "`adversarial` of `FGSM`"),
        ({"adversarial_predictions": {}}, "`adversarial_predictions` to have attack `FGSM`"),
        ({"labels": torch.zeros(2)}, "`labels` to be 3 class indices"),
        ({"predictions": torch.zeros(3, 1)}, "`predictions` to be 3 class indices"),
        ({"adversarial_predictions": {"FGSM": torch.zeros(2), "BIM": torch.zeros(3)}}, "`FGSM` to be 3 class indices"),
    ],
)
def test_bad_input(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        save_examples(tmp_path / "a.png", **{**example(), **changes})
    assert words in str(error.value)
    assert not list(tmp_path.iterdir())


def test_only_png(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end in \.png"):
        save_examples(tmp_path / "a.pdf", **example())
