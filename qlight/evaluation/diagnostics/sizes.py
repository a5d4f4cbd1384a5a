"""How much a diagnosis measures. The defaults take about a minute for 32 images of a quarter-width network on one CPU core."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from qlight.errors import InputError

ZOO_H = 1e-4
"""The difference step at which finite differences are judged: the ZOO tool's, and the paper's (Table 15)."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements; every one is stated in the results.

    Attributes:
        steps: iterations of BIM, PGD and the re-attacks, of 2.5 eps / steps each.
        eps_factors: radii of the success curve, in multiples of `eps`, rising; 1.0 (all of pixel space) always follows.
        iterations: iteration counts of the other success curve, rising, with steps of eps / 10.
        cw_steps, cw_search_steps: iterations and values of c (1, 10, 100, ...) of the Carlini-Wagner attack.
        spsa_steps, spsa_evaluations: iterations of SPSA, which stops at success, and evaluations in each.
        square_queries: queries an image of the Square attack.
        noise_draws: draws of uniform noise an image.
        scales: factors of the logits in the temperature re-attack.
        h: difference steps, in pixel units, rising; 1e-4, ZOO's, must be one.
        coordinates: random pixels an image of which differences are taken.
        difference_images, batch_images, active_images: images at most for differences, for the batch check and for the active test.
        active_samples: random points an image in the active test.
        batch_size: images that are differentiated at once.
        max_rows: images that are only forwarded at once.

    Raises:
        InputError: a size out of range.
    """

    steps: int = 20
    eps_factors: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    iterations: tuple[int, ...] = (1, 2, 5, 10, 20, 40)
    cw_steps: int = 60
    cw_search_steps: int = 4
    spsa_steps: int = 20
    spsa_evaluations: int = 64
    square_queries: int = 500
    noise_draws: int = 16
    scales: tuple[float, ...] = (0.01, 0.1, 10.0)
    h: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    coordinates: int = 32
    difference_images: int = 32
    batch_images: int = 32
    active_images: int = 16
    active_samples: int = 64
    batch_size: int = 64
    max_rows: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            value, default = getattr(self, field.name), getattr(Sizes, field.name)
            many = isinstance(default, tuple)
            kind = (int,) if isinstance(default[0] if many else default, int) else (int, float)
            items = value if many and isinstance(value, tuple | list) else (value,)
            good = all(isinstance(item, kind) and not isinstance(item, bool) and math.isfinite(item) and item > 0 for item in items)
            if not items or not good or many != isinstance(value, tuple | list):
                words = ("positive whole numbers" if many else "a positive whole number") if kind == (int,) else "positive numbers"
                raise InputError(f"Expected `{field.name}` of the sizes to be {words}, but got {value!r}; the default is {default!r}.")
            if many:
                object.__setattr__(self, field.name, tuple(items))  # a list from YAML
        for name in ("eps_factors", "iterations", "h"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)):
                raise InputError(f"Expected `{name}` of the sizes to rise, but got {values!r}; sort them and drop repetitions.")
        if ZOO_H not in self.h:
            raise InputError(
                f"Expected `h` of the sizes to contain {ZOO_H:g}, at which differences are judged, but got {self.h!r}; add it."
            )
        if self.spsa_evaluations % 2:
            raise InputError(f"Expected `spsa_evaluations` of the sizes to be even, but got {self.spsa_evaluations}: pairs are mirrored.")
