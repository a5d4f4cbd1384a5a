"""Clean images, adversarial ones and their differences side by side, as one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qlight.errors import InputError
from qlight.files import whole_file

RIGHT, WRONG = "#1a7f37", "#cf222e"


def save_examples(
    path: str | Path,
    clean: Tensor,
    adversarial: Mapping[str, Tensor],
    labels: Tensor,
    predictions: Tensor,
    adversarial_predictions: Mapping[str, Tensor],
    class_names: Sequence[str] | None = None,
    differences: bool = True,
) -> Path:
    """Draw a row of clean images, and for each attack a row of adversarial images and a row of amplified differences.

    Above each image stands the predicted class: green where it is the label, red where it is not. A difference is shown around mid-grey,
    amplified so that the largest change of the row is full scale; the factor stands at the left.

    Args:
        path: the PNG to write, whole or not at all.
        clean: N x 1 or 3 x H x W, in [0, 1].
        adversarial: attack label -> images of the same shape.
        labels: class indices, N.
        predictions: predicted classes of the clean images, N.
        adversarial_predictions: attack label -> predicted classes, N.
        class_names: names to show instead of numbers.
        differences: whether to draw the difference rows.

    Returns:
        `path`.

    Raises:
        InputError: shapes or attack labels do not match, no images, or the path cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"Expected `path` to end in .png, but got {str(path)!r}; rename it.")
    _check(clean, adversarial, labels, predictions, adversarial_predictions)
    # The object API: pyplot would keep global state and choose a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(clean)
    rows = 1 + len(adversarial) * (2 if differences else 1)
    figure = Figure(figsize=(1.3 + 1.05 * count, 0.35 + 1.2 * rows), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, count, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle("Predicted class, green where it is the label, red where it is not", fontsize=8)

    def name(index: int) -> str:
        return class_names[index] if class_names is not None and 0 <= index < len(class_names) else str(index)

    def draw(row: int, heading: str, images: Tensor, predicted: Tensor | None) -> None:
        axes[row, 0].set_ylabel(heading, fontsize=8)
        for column in range(count):
            axis = axes[row, column]
            # Nearest neighbours: 32 x 32 pixels are shown as they are.
            axis.imshow(_pixels(images[column]), interpolation="nearest")
            if predicted is not None:
                seen, truth = int(predicted[column]), int(labels[column])
                axis.set_title(name(seen), fontsize=8, pad=2, color=RIGHT if seen == truth else WRONG)

    draw(0, "clean", clean, predictions)
    row = 1
    for attack, images in adversarial.items():
        draw(row, attack, images, adversarial_predictions[attack])
        row += 1
        if differences:
            change = images.double().cpu() - clean.double().cpu()
            largest = change.abs().max().item()
            factor = 0.5 / largest if largest > 0 else 1.0
            draw(row, f"difference\nx {factor:.3g}", 0.5 + factor * change, None)
            row += 1
    with whole_file(path) as part:
        figure.savefig(part, format="png")
    return path


def _pixels(image: Tensor) -> np.ndarray:
    """H x W x 3 floats in [0, 1] of a C x H x W image."""
    pixels = image.detach().to("cpu", torch.float64).clamp(0, 1).permute(1, 2, 0).numpy()
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _check(
    clean: Tensor, adversarial: Mapping[str, Tensor], labels: Tensor, predictions: Tensor, adversarial_predictions: Mapping[str, Tensor]
) -> None:
    if clean.ndim != 4 or clean.shape[0] == 0 or clean.shape[1] not in (1, 3):
        raise InputError(f"Expected `clean` to be at least one image, N x 1 or 3 x H x W, but got shape {tuple(clean.shape)}; select some.")
    for attack, images in adversarial.items():
        if images.shape != clean.shape:
            raise InputError(
                f"Expected `adversarial` of `{attack}` of shape {tuple(clean.shape)}, but got {tuple(images.shape)}; pass pairs."
            )
        if attack not in adversarial_predictions:
            raise InputError(f"Expected `adversarial_predictions` to have attack `{attack}`, but it has not; pass one entry an attack.")
    for what, classes in (("labels", labels), ("predictions", predictions), *adversarial_predictions.items()):
        if classes.shape != (len(clean),):
            raise InputError(
                f"Expected `{what}` to be {len(clean)} class indices, but got shape {tuple(classes.shape)}; pass one an image."
            )
