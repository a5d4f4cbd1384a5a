"""Are the integers of a deployed network the same everywhere? Four executors on the same images, and the graph that comes back from QONNX.

    pip install -e '.[interop]'
    python benchmarks/exchange.py --data data/cifar10.npz [--images 1000] [--networks w1a1 w2a2] [--batch 50]

The zoo's networks are lowered and run by the reference executor (numpy, SPEC.md to the letter), the packed engine, onnxruntime
(the plain ONNX file) and the qonnx package's own executor (the QONNX file). Printed is, for each, how many of the logits' int32
accumulators equal those of the reference. `--seconds` stops an executor after that time; the count says how far it came. `--graphs` adds
exported folders. Exits with 1 where an integer differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from rich.console import Console
from rich.progress import Progress

from qlight import zoo
from qlight.interop import export_onnx_integer, export_qonnx, import_qonnx
from qlight.intgraph import Graph, execute
from qlight.lowering import lower
from qlight.targets import PackedEngine

#: training images on which real activations are calibrated
CALIBRATION = 256
#: uint8 N x H x W x C -> int32 N x classes
Run = Callable[[np.ndarray], np.ndarray]


def channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def graphs(options: argparse.Namespace) -> Iterator[tuple[str, Graph]]:
    """The networks by name."""
    for name in options.networks:
        model = zoo.load(f"cifar10-{name}-x0.25")
        with np.load(options.data) as arrays:
            calibration = torch.from_numpy(arrays["x_train"][:CALIBRATION]) if name.endswith("a32") or name == "float" else None
        yield name, lower(model, calibration).graph
    for folder in options.graphs:
        yield folder, Graph.load(folder)


def executors(graph: Graph, folder: Path, options: argparse.Namespace) -> dict[str, tuple[Run, int]]:
    """Each executor and how many images it takes at a time."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(
        str(export_onnx_integer(graph, folder / "graph.onnx")), settings, providers=["CPUExecutionProvider"]
    )
    batch = options.batch
    model = ModelWrapper(str(export_qonnx(graph, folder / "qonnx.onnx", batch)))
    engine = PackedEngine(graph, threads=options.threads)

    def qonnx(images: np.ndarray) -> np.ndarray:
        filled = np.zeros((batch, *graph.input.shape), np.uint8)  # the file's batch is fixed
        filled[: len(images)] = images
        found = execute_onnx(model, {"pixels": channels_first(filled).astype(np.float32)})["accumulators"]
        return found[: len(images)]

    return {
        "packed engine": (engine, 100),
        "onnxruntime": (lambda images: np.asarray(session.run(["accumulators"], {"pixels": channels_first(images)})[0]), 100),
        "qonnx": (qonnx, batch),
    }


def timed(run: Run, images: np.ndarray, block: int, seconds: float, advance: Callable[[int], None]) -> tuple[np.ndarray, float]:
    """What ``run`` gives for as many images as it manages, and the seconds that it took."""
    start, found = time.perf_counter(), []
    for first in range(0, len(images), block):
        found.append(run(images[first : first + block]))
        advance(len(found[-1]))
        if time.perf_counter() - start > seconds:
            break
    return np.concatenate(found), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help=".npz with x_test, and x_train for networks with real activations")
    parser.add_argument("--networks", nargs="*", default=["w1a1", "w2a2"])
    parser.add_argument("--graphs", nargs="*", default=[])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=50, help="images at a time in the qonnx package")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each executor")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with np.load(options.data) as arrays:
        images = arrays["x_test"][: options.images]
    same = True
    for name, graph in graphs(options):
        with tempfile.TemporaryDirectory() as place, Progress(console=Console(stderr=True), transient=True) as progress:
            runs = {"reference": (lambda images, graph=graph: execute(graph, images), 8)} | executors(graph, Path(place), options)
            returned = import_qonnx(Path(place) / "qonnx.onnx").content_hash == graph.content_hash
            expected = None
            for executor, (run, block) in runs.items():
                task = progress.add_task(f"{name} {executor}", total=len(images))
                found, seconds = timed(run, images, block, options.seconds, lambda count, task=task: progress.advance(task, count))
                expected = found if expected is None else expected
                count = min(len(found), len(expected))
                equal = int((found[:count] == expected[:count]).sum())
                same &= equal == expected[:count].size
                rate = 1000 * seconds / len(found)
                said = f"{found.size} integers" if found is expected else f"{equal} of {expected[:count].size} integers equal"
                print(f"{name:<6} {executor:<14} {said}, {len(found)} images, {rate:.2f} ms each", flush=True)
            same &= returned
            print(
                f"{name:<6} import of the QONNX file: {'the same graph' if returned else 'another graph'} {graph.content_hash[:16]}",
                flush=True,
            )
    sys.exit(not same)


if __name__ == "__main__":
    main()
