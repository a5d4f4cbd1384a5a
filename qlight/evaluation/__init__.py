"""Evaluation: the loop that attacks a test set, its metrics, result rows, pictures, and checkpoints read safely.

Names are imported when they are first used: reading a checkpoint must not wait for Lightning, nor ``--help`` for any of this.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qlight.evaluation.checkpoint import file_sha256, read_checkpoint
    from qlight.evaluation.crafting import craft
    from qlight.evaluation.loop import AttackEvaluation
    from qlight.evaluation.metrics import AdversarialAccuracy, MeanDistortion
    from qlight.evaluation.pictures import save_examples
    from qlight.evaluation.predictions import save_predictions
    from qlight.evaluation.records import RecordFolder, Records
    from qlight.evaluation.results import ResultRow, load_results, print_table, save_results
    from qlight.evaluation.runner import evaluate, evaluation_manifest

_HOME = {
    "AdversarialAccuracy": "metrics",
    "AttackEvaluation": "loop",
    "MeanDistortion": "metrics",
    "RecordFolder": "records",
    "Records": "records",
    "ResultRow": "results",
    "craft": "crafting",
    "evaluate": "runner",
    "evaluation_manifest": "runner",
    "file_sha256": "checkpoint",
    "load_results": "results",
    "print_table": "results",
    "read_checkpoint": "checkpoint",
    "save_examples": "pictures",
    "save_predictions": "predictions",
    "save_results": "results",
}

__all__ = [
    "AdversarialAccuracy",
    "AttackEvaluation",
    "MeanDistortion",
    "RecordFolder",
    "Records",
    "ResultRow",
    "craft",
    "evaluate",
    "evaluation_manifest",
    "file_sha256",
    "load_results",
    "print_table",
    "read_checkpoint",
    "save_examples",
    "save_predictions",
    "save_results",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
