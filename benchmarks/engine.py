"""The packed CPU engine against torch's float network: images a second of the same geometry, same threads, interleaved.

    python benchmarks/engine.py [--networks w1a1 w2a2 w4a4] [--widths 0.25 1] [--batch 64] [--rounds 9] [--threads 1] [--dataset cifar10]

Every round runs the float network (eager, channels_last, evaluation mode) and each engine once on as many images, so that a change of the
machine's speed meets all of them; printed are medians over the rounds, and of the ratios within a round. Weights are random, thresholds
those of random batch norms; first and last layer have 8-bit weights. `--layers` adds, for every layer, GMAC/s of the engine in one thread.

`--peers onnxruntime` adds the float network in onnxruntime, where that is installed with torch's exporter (`pip install onnx onnxruntime`).
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from qlight.intgraph import Graph, GraphBuilder
from qlight.models import build_network
from qlight.targets import PackedEngine
from qlight.targets.native import Layer, library

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


def layer_seconds(engine: PackedEngine, images: np.ndarray, rounds: int) -> list[tuple[str, int, float]]:
    """(name, multiply-accumulates, seconds) an image, of each step of a native engine in one thread."""
    plan, kernels = engine.plan, library()
    images = images[: plan.block]
    scratch, result = plan.new_scratch(), np.empty((len(images), 10), np.int32)
    times: list[list[float]] = [[] for _ in plan.steps]
    for _ in range(rounds):
        for index in range(len(plan.steps)):
            layer = (Layer * 1)(plan.layers[index])
            arguments = (layer, 1, images.ctypes.data, len(images), scratch.ctypes.data, result.ctypes.data)
            times[index].append(seconds(lambda arguments=arguments: kernels.run(*arguments)) / len(images))
    return [(step.name, step.macs, statistics.median(found)) for step, found in zip(plan.steps, times, strict=True)]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["w1a1", "w2a2", "w4a4"])
    parser.add_argument("--widths", nargs="+", type=float, default=[0.25, 1.0])
    parser.add_argument("--dataset", choices=sorted(CHANNELS), default="cifar10")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", nargs="*", default=[], choices=["onnxruntime"])
    parser.add_argument("--layers", action="store_true", help="also GMAC/s of every layer")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore")
    images = np.random.default_rng(1).integers(0, 256, (options.batch, 32, 32, 3), np.uint8)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255)  # channels_last as it is
    for width in options.widths:
        runs = float_peers(options.dataset, width, batch, options.peers, options.threads)
        engines = {}
        for name in options.networks:
            engine = PackedEngine(random_graph(options.dataset, width, *bits_of(name)), options.threads, "native")
            engines[name] = engine
            runs[name] = lambda engine=engine: engine(images)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():
            run()
        for _ in range(options.rounds):
            for name, run in runs.items():
                times[name].append(seconds(run))
        print(f"{options.dataset} width {width:g}, batch {options.batch}, threads {options.threads}, {options.rounds} rounds")
        for name, found in times.items():
            ratio = statistics.median(base / own for base, own in zip(times["torch float"], found, strict=True))
            speed = options.batch / statistics.median(found)
            built = f", built in {engines[name].build_seconds:.2f} s" if name in engines else ""
            print(f"  {name:<18} {speed:9.0f} images/s, {ratio:5.2f} x torch float{built}", flush=True)
        if options.layers:
            for name, engine in engines.items():
                print(f"  {name}: GMAC/s of one thread")
                for layer, macs, needed in layer_seconds(engine, images, options.rounds):
                    rate = f"{macs / needed / 1e9:8.0f} GMAC/s" if macs else ""
                    print(f"    {layer:<10} {macs / 1e6:8.2f} MMAC {needed * 1e6:9.1f} us {rate}", flush=True)


if __name__ == "__main__":
    main()
