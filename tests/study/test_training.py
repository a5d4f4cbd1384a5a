"""A training that is interrupted: in its test, and while its checkpoint is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from qlight.study import steps

OPTIONS: dict[str, Any] = {
    "data": {
        "class_path": "qlight.data.SyntheticDigits",
        "init_args": {"train_size": 24, "test_size": 10, "validation": 10, "batch_size": 7},
    },
    "model": {"network": "svhn", "width": 0.0625, "weight_bit_width": 1, "activation_bit_width": 1},
    "trainer": {"max_epochs": 1, "accelerator": "cpu"},
    "seed": 0,
}


def stop(*args: Any, **kwargs: Any) -> None:
    raise InterruptedError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_trained_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in its test it goes on from the last checkpoint; where that is torn it begins anew; both end with the same files."""
    for name in ("whole", "torn"):
        (tmp_path / name).mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(steps, "_test", stop)
        with pytest.raises(InterruptedError):
            steps.train(OPTIONS, {}, tmp_path / "whole")
    last = tmp_path / "whole" / "last.ckpt"
    (tmp_path / "torn" / "last.ckpt").write_bytes(last.read_bytes()[:-1000])
    with monkeypatch.context() as patched:
        patched.setattr(steps.Classifier, "training_step", stop)
        steps.train(OPTIONS, {}, tmp_path / "whole")
    with pytest.warns(UserWarning, match="cannot be read, as a kill left it half written; the training begins anew"):
        steps.train(OPTIONS, {}, tmp_path / "torn")
    found = contents(tmp_path / "whole")
    assert found.keys() == {"network.ckpt", "accuracy.json"}
    assert contents(tmp_path / "torn") == found


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("filled", [True, False])
def test_a_torn_checkpoint_goes(tmp_path: Path, kept: float, filled: bool) -> None:
    """The end is missing, or there but not written."""
    path = tmp_path / "last.ckpt"
    assert not steps._is_whole(path)
    torch.save({"state_dict": {"weight": torch.arange(1000.0)}, "epoch": 3}, path)
    assert steps._is_whole(path)
    content = path.read_bytes()
    part = content[: int(kept * len(content))]
    path.write_bytes(part.ljust(len(content), b"\0") if filled else part)
    with pytest.warns(UserWarning, match="begins anew"):
        assert not steps._is_whole(path)
    assert not path.exists()
