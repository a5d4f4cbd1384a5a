"""Adversarial images beside clean ones, with amplified differences, pixel by pixel as the networks see them."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Iterator, Sequence

import numpy as np

from qlight.evaluation.records import RecordFolder, Records
from qlight.study.report.markup import Markup, element, join, paragraphs
from qlight.study.report.material import Material, Section
from qlight.study.results import Attacked

#: images of an attack that are shown
SHOWN = 5


def section(of: Material) -> Section | None:
    """The first images of every attack, on networks as trained where the study has them."""
    targets = [each.target for each in of.results.attacked]
    if not targets:
        return None
    target = "torch" if "torch" in targets else targets[0]
    groups: dict[tuple[str, str], list[Attacked]] = {}
    for each in of.results.attacked:
        if each.target == target:
            groups.setdefault((each.preset, each.attack), []).append(each)
    text = (
        f"The first {SHOWN} images of each attack ({target}). Under a clean image stands its class; under an adversarial one what the "
        "network says, with a tick where that is right and a cross where it is not. Below it the difference around mid-grey, amplified so "
        "that the largest change of the row is full scale."
    )
    parts = [_group(of, f"gallery-{preset}-{attack}", f"{attack}, {preset}", found) for (preset, attack), found in groups.items()]
    without = sum(_records(each) is None for found in groups.values() for each in found)
    if without:
        text += f" Of {without} attacks there are no images, as they were imported as numbers."
    return Section("gallery", "Adversarial images", join([paragraphs(text), element("div", *parts, class_="maps")]))


def _group(of: Material, name: str, title: str, found: Sequence[Attacked]) -> Markup:
    records = _shared({each.network: records for each in found if (records := _records(each)) is not None})
    if not records:
        return Markup()
    classes = of.class_names
    shown = next(iter(records.values()))
    numbers = shown.index.tolist()
    clean = of.pictures(max(each.images for each in found), shown.index)
    first = [
        element("td", _image(image, f"image {number}"), element("span", _name(classes, label)))
        for image, number, label in zip(clean, numbers, shown.label.tolist(), strict=True)
    ]
    rows = [element("tr", element("th", "clean", scope="row", class_="head"), *first)]
    for network, own in records.items():
        rows.append(element("tr", *_row(network, own, clean, classes)))
    heads = (element("th", "network", scope="col", class_="head"), *(element("th", str(number), scope="col") for number in numbers))
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows), class_="gallery")
    box = element("div", table, class_="scroll", role="region", tabindex=0, aria_labelledby=f"{name}-title")
    return element("figure", element("figcaption", title, id=f"{name}-title"), box, id=name)


def _shared(records: dict[str, Records]) -> dict[str, Records]:
    """The first images that were attacked on every network; numbers of images may differ."""
    if not records:
        return {}
    common = functools.reduce(np.intersect1d, (own.index for own in records.values()))[:SHOWN]
    return {network: own[np.flatnonzero(np.isin(own.index, common))] for network, own in records.items()}


def _row(network: str, records: Records, clean: np.ndarray, classes: Sequence[str]) -> Iterator[Markup]:
    change = records.adversarial.astype(np.float64) - clean.astype(np.float64)
    largest = np.abs(change).max()
    factor = 0.5 / largest if largest > 0 else 1.0
    said = f"difference × {factor:.3g}" if largest > 0 else "no difference"
    yield element("th", network, element("small", said), scope="row", class_="head")
    for row in range(len(records)):
        right = records.adversarial_prediction[row] == records.label[row]
        answer = _name(classes, int(records.adversarial_prediction[row]))
        pair = np.concatenate([records.adversarial[row], 0.5 + factor * change[row]], axis=1)
        text = f"image {records.index[row]} attacked on {network}, and the difference"
        mark = element("span", f"{'✓' if right else '✗'} {answer}", class_="right" if right else "wrong")
        yield element("td", _image(pair, text), mark)


def _image(pixels: np.ndarray, text: str) -> Markup:
    """C x H x W in [0, 1] as an image that is shown twice as large, its pixels sharp."""
    from PIL import Image

    array = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(stream, format="PNG")
    content = base64.b64encode(stream.getvalue()).decode("ascii")
    height, width = array.shape[:2]
    return element("img", src=f"data:image/png;base64,{content}", alt=text, width=2 * width, height=2 * height)


def _records(of: Attacked) -> Records | None:
    return RecordFolder(of.folder).load(of.attack)


def _name(classes: Sequence[str], number: int) -> str:
    return classes[number] if 0 <= number < len(classes) else str(number)
