"""What every engine must do, as checks that its tests call."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from qlight.intgraph import Graph, execute
from tests.hardware.strategies import random_images

Engine = Callable[[np.ndarray], np.ndarray]


def check_batch(engine: Engine, graph: Graph, count: int) -> None:
    """The integers of the reference executor for so many images."""
    images = random_images(2, graph, count)
    found = engine(images)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, execute(graph, images))


def check_callers(engine: Engine, graph: Graph) -> None:
    """Four threads that ask at the same time get each their own answer."""
    images = [random_images(seed, graph, 5) for seed in range(4)]
    found: dict[int, np.ndarray] = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: engine(images[i])})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, batch in enumerate(images):
        np.testing.assert_array_equal(found[index], execute(graph, batch))
