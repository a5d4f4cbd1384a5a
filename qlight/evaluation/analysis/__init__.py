"""Analyses of several networks, as the paper's sections 5 and 6 make them: transfer, ensemble, gradients, shift and spread.

Names are imported when they are first used, so that ``--help`` does not wait for them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qlight.evaluation.analysis.ensemble_defence import ensemble
    from qlight.evaluation.analysis.ensemble_report import Defence, EnsembleReport
    from qlight.evaluation.analysis.gradient_similarity import GradientSimilarity, Similarity, gradients
    from qlight.evaluation.analysis.layers import Unchanged, unchanged_values
    from qlight.evaluation.analysis.logit_spread import LogitSpread, Quotients, Spread, spread
    from qlight.evaluation.analysis.networks import Network
    from qlight.evaluation.analysis.quantization_shift import LayerShift, QuantizationShift, shift
    from qlight.evaluation.analysis.transfer_matrix import TransferMatrix, Transferred, transfer
    from qlight.evaluation.analysis.votes import Agreement, decide

_HOME = {
    "Agreement": "votes",
    "Defence": "ensemble_report",
    "EnsembleReport": "ensemble_report",
    "GradientSimilarity": "gradient_similarity",
    "LayerShift": "quantization_shift",
    "LogitSpread": "logit_spread",
    "Network": "networks",
    "QuantizationShift": "quantization_shift",
    "Quotients": "logit_spread",
    "Similarity": "gradient_similarity",
    "Spread": "logit_spread",
    "TransferMatrix": "transfer_matrix",
    "Transferred": "transfer_matrix",
    "Unchanged": "layers",
    "decide": "votes",
    "ensemble": "ensemble_defence",
    "gradients": "gradient_similarity",
    "shift": "quantization_shift",
    "spread": "logit_spread",
    "transfer": "transfer_matrix",
    "unchanged_values": "layers",
}

__all__ = [
    "Agreement",
    "Defence",
    "EnsembleReport",
    "GradientSimilarity",
    "LayerShift",
    "LogitSpread",
    "Network",
    "QuantizationShift",
    "Quotients",
    "Similarity",
    "Spread",
    "TransferMatrix",
    "Transferred",
    "Unchanged",
    "decide",
    "ensemble",
    "gradients",
    "shift",
    "spread",
    "transfer",
    "unchanged_values",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
