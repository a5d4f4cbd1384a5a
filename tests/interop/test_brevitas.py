"""Files that Brevitas itself writes, where it is installed (the extra ``bench`` has it)."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("onnx")
pytest.importorskip("qonnx")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    brevitas = pytest.importorskip("brevitas")
    pytest.importorskip("onnxoptimizer")

from qlight.interop import import_qonnx
from qlight.intgraph import execute, logits

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


def network() -> nn.Module:
    import brevitas.nn as qnn
    from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Uint8ActPerTensorFloat

    return nn.Sequential(
        qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=8),
        qnn.QuantConv2d(3, 8, 3, padding=1, weight_bit_width=8, weight_quant=Int8WeightPerChannelFloat),
        nn.BatchNorm2d(8),
        qnn.QuantReLU(bit_width=4),
        nn.MaxPool2d(2),
        qnn.QuantConv2d(8, 12, 3, stride=2, bias=False, weight_bit_width=3),
        nn.BatchNorm2d(12),
        qnn.QuantIdentity(bit_width=3),
        nn.Flatten(),
        qnn.QuantLinear(108, 20, bias=False, weight_bit_width=4),
        nn.BatchNorm1d(20),
        qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=4),
        qnn.QuantLinear(20, 10, bias=True, weight_bit_width=8, weight_quant=Int8WeightPerChannelFloat),
    )


@pytest.mark.parametrize("dynamo", [False, True])
def test_a_network_of_brevitas(tmp_path: Path, dynamo: bool) -> None:
    from brevitas.export import export_qonnx

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network()
        for _ in range(3):
            model(torch.rand(16, 3, 16, 16))
        model.eval()
        path = tmp_path / "model.onnx"
        with contextlib.redirect_stdout(io.StringIO()):
            export_qonnx(model, args=torch.rand(1, 3, 16, 16), export_path=str(path), dynamo=dynamo)
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = model(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255).numpy()
    graph = import_qonnx(path)
    np.testing.assert_allclose(logits(graph, execute(graph, images)), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
