"""The smoke study as it is shipped: its command runs it whole and leaves its report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qlight.study import Store
from qlight.study.configuration import Configuration
from qlight.study.planning import make_plan
from qlight.study.report import PAGE

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "configs/study/smoke.yaml"


@pytest.mark.slow
def test_the_smoke_study_runs_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "qlight", "study", "run", str(STUDY), "--out", str(tmp_path), "--workers", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    plan, store = make_plan(Configuration.load(STUDY)), Store(tmp_path)
    assert all(store.is_done(plan.digest(task.name)) for task in plan)
    page = (store.result(plan.digest("report")) / PAGE).read_text()
    assert "This study is not finished" not in page
    assert "not run" not in page
