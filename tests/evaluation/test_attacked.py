"""The evaluation of a target: judged on what it sees, refused where it cannot, resumed like any other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qlight.attacks import AttackSuite
from qlight.errors import InputError
from qlight.evaluation import AttackEvaluation, RecordFolder, evaluate, evaluation_manifest, load_results, print_table
from qlight.evaluation.manifest import Manifest, weights_sha256
from qlight.targets import PackedTarget, TorchTarget
from tests.engines.networks import network_graph
from tests.evaluation.helpers import QUIET, ExactNetwork, interrupted, loader, mostly_right_labels, random_images, trainer
from tests.evaluation.test_resume import contents, size

pytestmark = [pytest.mark.filterwarnings(text) for text in QUIET]
GRAPH = network_graph(2, 2, side=8)
QUERYING: dict[str, Any] = {
    "SPSA": {"class_path": "SPSA", "init_args": {"steps": 6, "evaluations": 8, "early_stop": True}},
    "ZOO": {"class_path": "ZOO", "init_args": {"steps": 6, "search_steps": 2, "coordinates": 16, "h": 0.05}},
    "Square": {"class_path": "Square", "init_args": {"eps": 0.1, "n_queries": 12}},
}
GRADIENTS: dict[str, Any] = {
    "FGSM": {"class_path": "FGSM", "init_args": {"eps": 0.1}},
    "CW": {"class_path": "CarliniWagnerL2", "init_args": {"steps": 8, "search_steps": 2}},
}


def target(**settings: Any) -> PackedTarget:
    return PackedTarget(GRAPH, backend="numpy", threads=1, **settings)


def case(count: int = 12) -> tuple[Tensor, Tensor]:
    images = random_images(count)
    return images, mostly_right_labels(target(), images)


def run(out: Path | None = None, suite: Any = None, module: nn.Module | None = None, batch_size: int = 5, **settings: Any) -> list[Any]:
    images, labels = case()
    chosen = AttackSuite.from_value(suite or QUERYING)
    return evaluate(trainer(), module or target(), chosen, dataloaders=loader(images, labels, batch_size), out=out, **settings)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "out"
    run(out)
    return out


def levels_of(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float64) * 255


@pytest.mark.parametrize("name", [*QUERYING, *GRADIENTS])
def test_what_is_recorded_is_what_the_target_saw(name: str, tmp_path: Path) -> None:
    elsewhere = ExactNetwork() if name in GRADIENTS else None
    (row,) = run(tmp_path, {name: {**QUERYING, **GRADIENTS}[name]}, gradients_from=elsewhere)
    records = RecordFolder(tmp_path).load(name)
    assert records is not None
    images, labels = case()
    adversarial = torch.from_numpy(records.adversarial)
    assert np.abs(levels_of(records.adversarial) - levels_of(records.adversarial).round()).max() < 1e-4, "8-bit images"
    assert torch.equal(target().rounded(adversarial), adversarial)
    judged = target()(adversarial).argmax(1).numpy()
    assert (judged == records.adversarial_prediction).all()
    change = (records.adversarial.astype(np.float64) - images.numpy().astype(np.float64)).reshape(12, -1)
    assert np.allclose(records.l2, np.sqrt((change**2).sum(1)), atol=1e-12)
    assert np.allclose(records.linf, np.abs(change).max(1), atol=1e-12)
    assert row.clean_accuracy == float((target()(images).argmax(1) == labels).double().mean())
    assert row.adversarial_accuracy == (judged == labels.numpy()).mean()
    assert (judged[records.success] != labels.numpy()[records.success]).all()
    if name not in ("SPSA", "ZOO"):  # which may call an image a failure that was misclassified before
        assert (records.success == (judged != labels.numpy())).all()
    assert (row.target, row.graph_hash) == ("packed", GRAPH.content_hash)
    assert row.gradients_from == (None if elsewhere is None else weights_sha256(elsewhere))
    assert (row.gradients > 0) == (elsewhere is not None)


def test_an_eps_ball_is_left_by_half_a_level_at_most_and_told(tmp_path: Path) -> None:
    """0.03 is 7.65 levels: 8 are closest to the edge, and the row says 8."""
    suite = {"SPSA": {"class_path": "SPSA", "init_args": {"steps": 6, "evaluations": 8, "eps": 0.03}}}
    run(tmp_path, suite)
    records = RecordFolder(tmp_path).load("SPSA")
    assert records is not None
    assert 0.03 < records.linf.max() <= 8 / 255 + 1e-6 < 0.03 + 0.5 / 255
    suite["SPSA"]["init_args"]["eps"] = 8 / 255
    run(tmp_path / "exact", suite)
    records = RecordFolder(tmp_path / "exact").load("SPSA")
    assert records is not None
    assert records.linf.max() <= 8 / 255 + 1e-6


def test_query_counts_are_exact(tmp_path: Path) -> None:
    asked = target()
    (row,) = run(tmp_path, {"SPSA": {"class_path": "SPSA", "init_args": {"steps": 3, "evaluations": 8}}}, asked)
    records = RecordFolder(tmp_path).load("SPSA")
    assert records is not None
    assert records.queries.tolist() == [3 * 8 + 1] * 12
    assert row.queries == 12 * 25
    # besides, one for each clean and each adversarial image, and two looks at the first five, whether they repeat
    assert asked.queries == row.queries + 12 + 12 + 2 * 5


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        ("FGSM,PGD", "FGSM, PGD need one; none of these can run"),
        ({**QUERYING, "CWl2": "CarliniWagnerL2"}, "CWl2 needs one; of these, SPSA, ZOO, Square can run"),
        ("AutoAttack,PGDRestarts,DeepFool", "AutoAttack, PGDRestarts, DeepFool need one"),
    ],
)
def test_gradient_attacks_are_refused_before_anything_is_computed(suite: Any, words: str, tmp_path: Path) -> None:
    asked = target()
    with pytest.raises(InputError, match="only query, because a packed target has no gradient") as error:
        run(tmp_path / "out", suite, asked)
    assert words in str(error.value)
    assert "of all: GN, OnePixel, Pixle, SPSA, Square, VANILA, ZOO" in str(error.value)
    assert "--gradients_from CKPT" in str(error.value)
    assert asked.queries == 0
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="has no gradient"):
        AttackEvaluation(asked, AttackSuite.from_value(suite))


@pytest.mark.filterwarnings("ignore:.*requires_grad")
def test_an_attack_from_elsewhere_that_asks_a_gradient_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a packed target has no gradient, but this one asked for it"):
        run(tmp_path / "new" / "out", "tests.targets.test_gradients.Own")
    assert not (tmp_path / "new").exists(), "nothing is left behind"
    (row,) = run(None, "tests.targets.test_gradients.Says", gradients_from=ExactNetwork())
    assert row.gradients == 12


def test_both_kinds_of_attacks_in_one_suite(tmp_path: Path) -> None:
    network = ExactNetwork()
    rows = run(tmp_path, {**GRADIENTS, **QUERYING}, gradients_from=network)
    assert [row.gradients_from is None for row in rows] == [False, False, True, True, True]
    alone = run(None)
    for row, other in zip(rows[2:], alone, strict=True):
        assert (row.adversarial_accuracy, row.queries, row.mean_l2) == (other.adversarial_accuracy, other.queries, other.mean_l2)
    # what gradient attacks found is what they find on the network itself, rounded
    images, labels = case()
    direct = evaluate(trainer(), network, AttackSuite.from_value(GRADIENTS), dataloaders=loader(images, labels, 5), out=tmp_path / "direct")
    assert [row.gradients for row in direct] == [row.gradients for row in rows[:2]]
    for name in GRADIENTS:
        crafted, seen = RecordFolder(tmp_path / "direct").load(name), RecordFolder(tmp_path).load(name)
        assert crafted is not None
        assert seen is not None
        assert torch.equal(target().rounded(torch.from_numpy(crafted.adversarial)), torch.from_numpy(seen.adversarial))
        assert (seen.success == (seen.adversarial_prediction != labels.numpy())).all()
    assert load_results(tmp_path) == [type(row)(**{**asdict(row), "seconds": None}) for row in rows]


def test_gradients_from_where_it_is_of_no_use() -> None:
    with pytest.raises(InputError, match="`gradients_from` only with a target without gradients, but a torch target has its own"):
        run(None, "FGSM", ExactNetwork(), gradients_from=ExactNetwork())
    with pytest.raises(InputError, match="`gradients_from` to be a torch network"):
        run(None, "FGSM", gradients_from=target())


def test_a_budget_is_refused() -> None:
    with pytest.raises(InputError, match=r"a target without `budget`.*`query_budget`"):
        run(None, None, target(budget=1000))


def test_query_budget_of_an_attack_ends_with_the_best_so_far() -> None:
    zoo = {"ZOO": {"class_path": "ZOO", "init_args": {**QUERYING["ZOO"]["init_args"], "query_budget": 100}}}
    (row,) = run(None, zoo)
    assert 0 < row.queries <= 12 * 100


def test_images_that_are_no_8_bit_images_are_rounded_and_told(tmp_path: Path) -> None:
    images, labels = case()
    suite = AttackSuite.from_value({"Square": QUERYING["Square"]})
    with pytest.warns(UserWarning, match=r"no 8-bit images: they are rounded, by up to 0\.\d+ levels"):
        (row,) = evaluate(trainer(), target(), suite, dataloaders=loader((images + 0.3 / 255).clamp(0, 1), labels, 5))
    (expected,) = evaluate(trainer(), target(), suite, dataloaders=loader(images, labels, 5))
    assert asdict(row) | {"seconds": 0} == asdict(expected) | {"seconds": 0}


@pytest.mark.parametrize("records", [1, 6, 13, 20, 31])
def test_an_interrupted_run_on_a_target_ends_with_the_same_bytes(unbroken: Path, tmp_path: Path, records: int) -> None:
    with interrupted(records):
        run(tmp_path / "out")
    run(tmp_path / "out")
    assert contents(tmp_path / "out") == contents(unbroken)


def test_the_cache_and_the_batch_leave_no_trace(unbroken: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", None, target(cache_bytes=0))
    assert contents(tmp_path / "out") == contents(unbroken)
    own = {name: QUERYING[name] for name in ("SPSA", "ZOO")}
    run(tmp_path / "other", own, batch_size=12)
    for name in own:
        file = f"adversarial/{name}.safetensors"
        assert (tmp_path / "other" / file).read_bytes() == (unbroken / file).read_bytes()


SCRIPT = """
import sys
from pathlib import Path
from tests.evaluation.test_attacked import run

if __name__ == "__main__":
    run(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_kill_9(unbroken: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    out, root = tmp_path / "out", Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    kills = 0
    for patience in (0.0, 60.0):
        command = [sys.executable, str(tmp_path / "script.py"), str(out)]
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL)
        limit, before = time.monotonic() + 120, size(out)
        while process.poll() is None and size(out) == before and time.monotonic() < limit:
            time.sleep(0.002)
        end = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 1
    assert process.returncode == 0
    assert contents(out) == contents(unbroken)


def test_a_folder_holds_one_graph(unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(unbroken, out)
    other = PackedTarget(network_graph(2, 2, side=8, seed=1), backend="numpy")
    with pytest.raises(InputError, match="was made with"):
        run(out, None, other)
    with pytest.raises(InputError, match="was made with"):
        run(out, {"Square": QUERYING["Square"]}, ExactNetwork())
    rows = run(out, GRADIENTS, gradients_from=ExactNetwork())
    assert [row.attack for row in load_results(out)] == [*QUERYING, *(row.attack for row in rows)]
    with pytest.raises(InputError, match="FGSM with other parameters"):
        run(out, {"FGSM": GRADIENTS["FGSM"]}, gradients_from=ExactNetwork(seed=1))


def test_what_identifies_results(unbroken: Path) -> None:
    suite = AttackSuite.from_value(QUERYING)
    manifest = evaluation_manifest(trainer(), target(), suite)
    assert (manifest.target, manifest.graph_hash, manifest.weights_sha256) == ("packed", GRAPH.content_hash, GRAPH.content_hash)
    assert manifest.folder("runs").name == f"graph-packed-{GRAPH.content_hash[:8]}-{manifest.sha256[:8]}"
    assert Manifest(**json.loads((unbroken / "evaluation.json").read_text())).graph_hash == GRAPH.content_hash


def test_torch_targets_are_their_networks(tmp_path: Path) -> None:
    network = ExactNetwork()
    suite = AttackSuite.from_value({**GRADIENTS, **QUERYING})
    plain, wrapped = (evaluation_manifest(trainer(), module, suite) for module in (network, TorchTarget(network)))
    assert plain == wrapped
    # of before there were targets: results of that time are found again
    before = {name: value for name, value in asdict(plain).items() if name not in ("target", "graph_hash")}
    assert Manifest(**before).sha256 == plain.sha256
    asked = TorchTarget(network)
    run(tmp_path / "plain", suite, network)
    run(tmp_path / "wrapped", suite, asked)
    assert contents(tmp_path / "plain") == contents(tmp_path / "wrapped")
    assert asked.queries > 0


def test_the_table_says_which_target(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(run(None, {"Square": QUERYING["Square"]}))
    assert "graph packed" in capsys.readouterr().out
