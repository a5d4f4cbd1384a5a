"""The paper's w1a1 network in larq-compute-engine, for engine.py, which starts this with the interpreter that has it.

larq-compute-engine 0.16 needs TensorFlow 2.15 and NumPy 1, so an environment of its own:

    python -m venv larq && larq/bin/pip install larq larq-compute-engine "tensorflow-cpu<2.16" "numpy<2"

Every line read is "width batch threads"; the answer is the seconds that the batch took. The network of a width is made when it is first
asked for, with random weights; its first and last layers are float.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import larq
import larq_compute_engine
import numpy as np
import tensorflow as tf
from larq_compute_engine.tflite.python.interpreter import Interpreter


@functools.cache
def network(width: float, threads: int) -> Any:
    binary = {"use_bias": False, "input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    layers: list[Any] = [tf.keras.Input((32, 32, 3))]
    for index, channels in enumerate((128, 128, 256, 256, 512, 512)):
        settings = {**binary, "pad_values": 1.0} if index else {"use_bias": False}
        layers.append(larq.layers.QuantConv2D(int(channels * width), 3, padding="same", **settings))
        if index % 2:
            layers.append(tf.keras.layers.MaxPool2D(2))
        layers.append(tf.keras.layers.BatchNormalization())
    layers.append(tf.keras.layers.Flatten())
    for _ in range(2):
        layers += [larq.layers.QuantDense(int(1024 * width), **binary), tf.keras.layers.BatchNormalization()]
    layers.append(tf.keras.layers.Dense(10))
    return Interpreter(larq_compute_engine.convert_keras_model(tf.keras.Sequential(layers)), num_threads=threads)


def main() -> None:
    # what TensorFlow prints must not come between the answers
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        width, batch, threads = (float(part) for part in line.split())
        interpreter, images = network(width, int(threads)), np.random.default_rng(0).random((int(batch), 32, 32, 3), np.float32)
        start = time.perf_counter()
        interpreter.predict(images)
        print(time.perf_counter() - start, file=answers, flush=True)


if __name__ == "__main__":
    main()
