"""The packed CPU engine against torch's float network: images a second of the same geometry, same threads, interleaved.

    python benchmarks/engine.py [--networks w1a1 w2a2 w4a4] [--widths 0.25 1] [--batch 64] [--rounds 9] [--threads 1] [--dataset cifar10]

Every round runs the float network (eager, channels_last, evaluation mode) and each engine once on as many images, so that a change of the
machine's speed meets all of them; printed are medians over the rounds, and of the ratios within a round. Weights are random, thresholds
those of random batch norms; first and last layer have 8-bit weights.

* `--graphs FOLDER ...` adds exported networks.
* `--layers` adds, for every layer, GMAC/s of the engine in one thread beside the machine's bound: the layer's own steps (XNOR and popcount
  of 32 places, or products of 4 bytes, in all lanes of a vector) at the speed that `peak.cpp` reaches with such steps in registers only.
* `--peers onnxruntime` adds the float network in onnxruntime, where it is installed (`pip install onnx onnxruntime`).
* `--larq PYTHON` adds the w1a1 network in larq-compute-engine (made for ARM), run by that interpreter; see `larq_network.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qlight.engines import compiling, native
from qlight.engines.native import Layer, library
from qlight.engines.packed import PackedEngine
from qlight.engines.plan import Step
from qlight.intgraph import Graph, GraphBuilder
from qlight.models import build_network

POOLED = (1, 3, 5)
CHANNELS = {"cifar10": ((128, 128, 256, 256, 512, 512), (1024, 1024)), "svhn": ((64, 64, 128, 128, 256, 256), (1024,))}


def random_graph(dataset: str, width: float, weight_bits: int, activation_bits: int, seed: int = 0) -> Graph:
    """The paper's network with random weights and the thresholds of random batch norms, one in four of a negative scale."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((32, 32, 3))
    convolutions, dense = CHANNELS[dataset]
    binary = weight_bits == activation_bits == 1

    def threshold(name: str, fan_in: int, weight_scale: float) -> None:
        operand = builder.operand
        outputs, count = operand.type.channels, 2**activation_bits - 1
        spread = fan_in**0.5 * weight_scale
        step = rng.uniform(0.5, 2, (outputs, 1)) * spread / count
        first = rng.normal(0, spread / 2, (outputs, 1))
        direction = np.where(rng.integers(0, 4, outputs) == 0, -1, 1)
        levels = np.ceil(first + step * np.arange(count)).clip(operand.low, operand.high + 1).astype(np.int32)
        levels = np.where(direction[:, None] < 0, levels[:, ::-1] - 1, levels)
        encoding = "bipolar" if binary else "unsigned"
        builder.threshold(name, levels, direction.astype(np.int8), bits=activation_bits, encoding=encoding)

    for index, wanted in enumerate(convolutions):
        inputs, outputs = builder.operand.type.channels, int(wanted * width)
        first = index == 0
        shape = (outputs, 3, 3, inputs)
        codes = rng.integers(-128, 128, shape).astype(np.int8) if first else rng.integers(0, 2**weight_bits, shape).astype(np.uint8)
        bits, encoding = (8, "signed") if first else (weight_bits, "odd")
        largest = builder.operand.high
        builder.conv2d(f"conv{index}", codes, bits=bits, encoding=encoding, padding=(1, 1, 1, 1))
        if index in POOLED:
            builder.max_pool(f"pool{index}")
        threshold(f"act{index}", 9 * inputs, 2.0 ** (bits - 1) * largest)
    builder.flatten("flat")
    for index, wanted in enumerate(dense):
        shape = (int(wanted * width), builder.operand.type.channels)
        largest = builder.operand.high
        builder.linear(f"dense{index}", rng.integers(0, 2**weight_bits, shape).astype(np.uint8), bits=weight_bits, encoding="odd")
        threshold(f"denseact{index}", shape[1], 2.0 ** (weight_bits - 1) * largest)
    shape = (10, builder.operand.type.channels)
    builder.linear("output", rng.integers(-128, 128, shape).astype(np.int8), bits=8, encoding="signed")
    return builder.build(np.full(10, 2.0**-10), np.zeros(10))


def bits_of(name: str) -> tuple[int, int]:
    """(weight bits, activation bits) of "w2a8"."""
    weights, activations = name.removeprefix("w").split("a")
    return int(weights), int(activations)


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak() -> list[float]:
    """Steps a second of one thread in registers, for each operation of the engine."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        source, headers = Path(__file__).with_name("peak.cpp"), Path(native.__file__).parent
        flags = [flag for flag in native.FLAGS if flag not in ("-fPIC", "-shared")]
        subprocess.run([*compiling.cxx(), *flags, "-march=native", f"-I{headers}", str(source), "-o", str(program)], check=True)
        return [float(line) for line in subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()]


def bound_seconds(fields: dict[str, Any], peaks: list[float]) -> float:
    """What the steps of a layer take an image at that speed."""
    return len(fields["step_offset"]) * fields["pixels"] * fields["vectors"] / peaks[fields["operation"]]


def layer_seconds(engine: PackedEngine, images: np.ndarray, rounds: int) -> list[tuple[Step, float]]:
    """(step, seconds an image) of each step of a native engine in one thread."""
    plan, kernels = engine.plan, library()
    images = images[: plan.block]
    scratch, result = plan.new_scratch(), np.empty((len(images), 10), np.int32)
    times: list[list[float]] = [[] for _ in plan.steps]
    for _ in range(rounds):
        for index in range(len(plan.steps)):
            layer = (Layer * 1)(plan.layers[index])
            arguments = (layer, 1, images.ctypes.data, len(images), scratch.ctypes.data, result.ctypes.data)
            times[index].append(seconds(lambda arguments=arguments: kernels.run(*arguments)) / len(images))
    return [(step, statistics.median(found)) for step, found in zip(plan.steps, times, strict=True)]


def float_peers(dataset: str, width: float, batch: torch.Tensor, wanted: list[str], threads: int) -> dict[str, Callable[[], Any]]:
    network = build_network(dataset, width).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def torch_float() -> None:
        with torch.inference_mode():
            network(batch)

    peers: dict[str, Callable[[], Any]] = {"torch float": torch_float}
    if "onnxruntime" in wanted:
        import io

        import onnxruntime  # type: ignore[import-not-found]

        file = io.BytesIO()
        torch.onnx.export(network, (batch,), file, dynamo=False, input_names=["x"])  # type: ignore[arg-type]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
        given = {"x": batch.contiguous().numpy()}
        peers["onnxruntime float"] = lambda: session.run(None, given)
    return peers


@contextlib.contextmanager
def larq(interpreter: str | None) -> Iterator[Callable[[float, int, int], float] | None]:
    """Seconds of a batch, given width, batch and threads, in another process."""
    if interpreter is None:
        yield None
        return
    script = str(Path(__file__).with_name("larq_network.py"))
    pipe = subprocess.PIPE
    with subprocess.Popen([interpreter, script], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:

        def run(width: float, batch: int, threads: int) -> float:
            assert process.stdin is not None
            assert process.stdout is not None
            print(width, batch, threads, file=process.stdin, flush=True)
            return float(process.stdout.readline())

        yield run
        process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=["w1a1", "w2a2", "w4a4"])
    parser.add_argument("--widths", nargs="+", type=float, default=[0.25, 1.0])
    parser.add_argument("--dataset", choices=sorted(CHANNELS), default="cifar10")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--graphs", nargs="*", default=[], help="folders that `qlight export` wrote, of networks of the same width")
    parser.add_argument("--peers", nargs="*", default=[], choices=["onnxruntime"])
    parser.add_argument("--larq", metavar="PYTHON", help="the interpreter of an environment with larq-compute-engine")
    parser.add_argument("--layers", action="store_true", help="also GMAC/s of every layer")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore")
    peaks = peak() if options.layers else []
    if peaks:
        bits, small = peaks[0] * native.library().lanes * 32 / 1e9, max(peaks[1:]) * native.library().lanes * 4 / 1e9
        print(f"bound of one thread: {bits:.0f} GMAC/s of bits, {small:.0f} of bytes")
    images = np.random.default_rng(1).integers(0, 256, (options.batch, 32, 32, 3), np.uint8)
    with larq(options.larq) as run_larq:
        for width in options.widths:
            compare(options, width, images, run_larq, peaks)


def compare(
    options: argparse.Namespace, width: float, images: np.ndarray, run_larq: Callable[..., float] | None, peaks: list[float]
) -> None:
    """Print the table of a width."""
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255)  # channels_last as it is
    peers = float_peers(options.dataset, width, batch, options.peers, options.threads)
    runs: dict[str, Callable[[], float]] = {name: partial(seconds, run) for name, run in peers.items()}
    engines = {}
    graphs = {name: random_graph(options.dataset, width, *bits_of(name)) for name in options.networks}
    graphs |= {f"{Path(folder).name} (exported)": Graph.load(folder) for folder in options.graphs}
    for name, graph in graphs.items():
        engine = PackedEngine(graph, options.threads, "native")
        engines[name] = engine
        runs[name] = partial(seconds, partial(engine, images))
    if run_larq is not None and options.dataset == "cifar10":
        runs["larq w1a1"] = partial(run_larq, width, options.batch, options.threads)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(options.rounds):
        for name, run in runs.items():
            times[name].append(run())
    print(f"{options.dataset} width {width:g}, batch {options.batch}, threads {options.threads}, {options.rounds} rounds")
    for name, found in times.items():
        ratio = statistics.median(base / own for base, own in zip(times["torch float"], found, strict=True))
        speed = options.batch / statistics.median(found)
        built = f", built in {engines[name].build_seconds:.2f} s" if name in engines else ""
        print(f"  {name:<22} {speed:9.0f} images/s, {ratio:5.2f} x torch float{built}", flush=True)
    if options.layers:
        for name, engine in engines.items():
            print(f"  {name}: GMAC/s of one thread")
            for step, needed in layer_seconds(engine, images, options.rounds):
                line = f"    {step.name:<10} {step.macs / 1e6:8.2f} MMAC {needed * 1e6:9.1f} us"
                if step.macs:
                    bound = bound_seconds(step.fields, peaks)
                    rates = (f"{step.macs / each / 1e9:6.0f} GMAC/s" for each in (needed, bound))
                    line += "{}, bound {}".format(*rates) + f" ({bound / needed:.0%})"
                print(line, flush=True)


if __name__ == "__main__":
    main()
