"""Running exported files with the executors of other projects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model


def channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def run_onnx(path: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accumulators and logits of uint8 images N x H x W x C by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    accumulators, logits = session.run(["accumulators", "logits"], {"pixels": channels_first(images)})
    return np.asarray(accumulators), np.asarray(logits)


def run_qonnx(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor by name, by the qonnx package; the file's batch is that of ``images``."""
    pixels = channels_first(images).astype(np.float32)
    return execute_onnx(ModelWrapper(str(path)), {"pixels": pixels}, return_full_exec_context=True)


def cleaned(path: Path) -> Path:
    """The file after ``qonnx.util.cleanup``, which infers shapes, folds constants and gives new names."""
    after = path.with_name(f"cleaned_{path.name}")
    cleanup_model(ModelWrapper(str(path))).save(str(after))
    return after


def run_any(path: Path, inputs: np.ndarray) -> np.ndarray:
    """The output of any cleaned QONNX file with batch 1, for inputs N x ..., by the qonnx package."""
    model = ModelWrapper(str(path))
    name, output = model.graph.input[0].name, model.graph.output[0].name
    return np.concatenate([execute_onnx(model, {name: one[None].astype(np.float32)})[output] for one in inputs])
