"""What a data loader hands to a model: images, labels and the position of each image in its split."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """N images. Lightning moves and pins it like any named tuple.

    `images`: float32, N x 3 x 32 x 32, the pixel u of 8 bits as u/255 in [0, 1].
    `labels`: int64, N, 0 to 9.
    `index`: int64, N, the position of each image in the array its split was read from. It does not depend on the batch size,
    the number of processes, `limit` or `validation`, so it may key random numbers and result rows.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
