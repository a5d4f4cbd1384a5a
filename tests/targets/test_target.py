"""Targets: logits, counts, budgets, copies, and what they refuse."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchattacks
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qlight.attacks import SPSA, ZOO, CarliniWagnerL2
from qlight.errors import InputError
from qlight.intgraph import Graph, GraphBuilder, execute, logits
from qlight.models.view import evaluation_view
from qlight.targets import BudgetError, PackedTarget, PixelTarget, Target, TorchTarget, parse_target
from qlight.targets.pixels import from_pixels
from tests.engines.networks import network_graph
from tests.intgraph.strategies import graphs, image_batches
from tests.models.networks import classifier
from tests.test_imports import BLOCK_TORCH

GRAPH = network_graph(1, 1, side=8)


def packed(graph: Graph = GRAPH, **settings: Any) -> PackedTarget:
    return PackedTarget(graph, threads=1, backend="numpy", **settings)


def pictures(count: int, seed: int = 0) -> Tensor:
    """N x 3 x 8 x 8, 8-bit."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)).float() / 255


def linear_graph(scale: list[float], bias: list[float]) -> Graph:
    builder = GraphBuilder((1, 1, 1))
    builder.flatten("flat")
    builder.linear("output", np.ones((len(scale), 1), np.int8), bits=2, encoding="signed")
    return builder.build(np.array(scale), np.array(bias))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_logits_are_the_specification_s(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    pixels = data.draw(image_batches(graph))
    expected = logits(graph, execute(graph, pixels))
    for dtype in (torch.float32, torch.float64):
        found = packed(graph)(from_pixels(torch.from_numpy(pixels), dtype)).numpy()
        assert found.dtype == np.float32
        short = expected.astype(np.float32)
        assert ((found == short) | (found == np.nextafter(short, np.float32(np.inf)))).all()
        assert (found.argmax(1) == expected.argmax(1)).all()
        assert (found != short).sum() <= len(found), "only a predicted class is ever moved"


def test_the_prediction_survives_float32() -> None:
    graph = linear_graph([1.0, 1.0, 1.0], [1e6, 1e6 + 1e-6, 0.0])
    pixels = np.full((1, 1, 1, 1), 7, np.uint8)
    expected = logits(graph, execute(graph, pixels))
    assert expected.argmax() == 1
    assert expected.astype(np.float32).argmax() == 0
    assert packed(graph)(torch.full((1, 1, 1, 1), 7 / 255)).argmax() == 1


@pytest.mark.parametrize("cache_bytes", [0, 100, 1 << 20])
def test_counts_with_and_without_a_cache(cache_bytes: int) -> None:
    images = pictures(6)
    plain, target = packed(cache_bytes=0), packed(cache_bytes=cache_bytes)
    for chosen in ([0, 1, 2], [2, 2, 3], [], [0, 1, 2, 3, 4, 5]):
        assert torch.equal(target(images[chosen]), plain(images[chosen]))
    assert (plain.queries, plain.computed) == (12, 12)
    # where an entry has no room, images of one batch are still compared with each other
    assert (target.queries, target.computed) == (12, {0: 12, 100: 11, 1 << 20: 6}[cache_bytes])


def test_images_that_round_to_the_same_are_the_same_query() -> None:
    target, images = packed(), pictures(2)
    assert torch.equal(target(images), target((images + 0.4 / 255).clamp(0, 1)))
    assert (target.queries, target.computed) == (4, 2)


def test_logits_may_be_written_to() -> None:
    """torchattacks' Square does."""
    target, images = packed(), pictures(1)
    first = target(images).clone()
    target(images).fill_(-torch.inf)
    assert torch.equal(target(images), first)


def test_threads_count_exactly() -> None:
    target, images, together = packed(), pictures(12), threading.Barrier(4)
    expected = packed()(images)

    def ask(seed: int) -> bool:
        order = np.random.default_rng(seed).integers(0, 12, 7)
        together.wait()
        return all(torch.equal(target(images[order]), expected[order]) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))
    assert target.queries == 4 * 20 * 7
    assert 1 <= target.computed <= 4 * 12


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda target: pickle.loads(pickle.dumps(target))], ids=["deepcopy", "pickle"])
def test_copies_count_on_their_own(duplicate: Any) -> None:
    images = pictures(3)
    for target in (packed(budget=10), TorchTarget(nn.Flatten(), budget=10)):
        expected = target(images)
        again = duplicate(target)
        assert type(again) is type(target)
        assert torch.equal(again(images), expected)
        assert (again.queries, again.queries_left, again.computed) == (6, 4, 6)
        assert (target.queries, target.computed) == (3, 3)
        assert again.graph_hash == target.graph_hash


def test_a_deep_copy_shares_what_does_not_change() -> None:
    target = packed()
    again = copy.deepcopy(target)
    assert again.query is target.query
    assert again.graph is target.graph
    assert again.cache is not target.cache


def test_what_targets_state() -> None:
    target = packed()
    assert (target.kind, target.differentiable, target.input_levels, target.graph_hash) == ("packed", False, 256, GRAPH.content_hash)
    assert GRAPH.content_hash[:12] in repr(target)
    assert not list(target.state_dict())
    assert packed().label == "graph"
    graph = Graph(GRAPH.tensors, GRAPH.nodes, GRAPH.logit_scale, GRAPH.logit_bias, {"precision": "w1a1"})
    assert packed(graph).label == "w1a1"
    other = TorchTarget(nn.Flatten())
    assert (other.kind, other.differentiable, other.input_levels, other.graph_hash) == ("torch", True, None, None)


def test_a_new_target_is_a_few_lines() -> None:
    class Executor(PixelTarget):
        kind = "executor"

        def __init__(self, graph: Graph, **settings: Any) -> None:
            super().__init__(graph, lambda pixels: execute(graph, pixels), **settings)

    images = pictures(3)
    target = Executor(GRAPH, budget=3)
    assert torch.equal(target(images), packed()(images))
    assert target.queries_left == 0


def test_gradients_of_torch_and_of_its_view() -> None:
    network = classifier(1, 1)
    target = TorchTarget(network)
    view = evaluation_view(target)
    assert isinstance(view, TorchTarget)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    (slope,) = torch.autograd.grad(view(images).sum(), images)
    assert slope.abs().sum() > 0
    assert (target.queries, view.queries) == (2, 2), "view and target count together"
    assert view.unaffected is not None
    assert target.unaffected is None
    assert evaluation_view(TorchTarget(nn.Flatten())).queries == 0


def test_no_gradient_of_a_packed_target() -> None:
    target, images = packed(), pictures(2).requires_grad_()
    found = target(images)
    with pytest.raises(InputError, match=r"a packed target has no gradient.*SPSA, ZOO, Square.*`gradients_from`"):
        torch.autograd.grad(found.sum(), images)
    with torch.no_grad():
        assert not target(images).requires_grad
    assert not target(images.detach()).requires_grad
    assert target.evaluation_view() is target
    with pytest.raises(InputError, match="`compile` to be false on a packed target"):
        target.evaluation_view(compile=True)


def test_budget() -> None:
    images = pictures(4)
    for target in (packed(budget=6), TorchTarget(nn.Flatten(), budget=6)):
        target(images)
        assert target.queries_left == 2
        with pytest.raises(BudgetError, match="at most `budget` = 6 queries of this target, but 4 were asked and 4 more came"):
            target(images)
        assert target.queries == 4, "what was refused is not counted"
        target(images[:2])
        with pytest.raises(BudgetError):
            target(images[:1])
        target.budget = None
        target(images)
        assert (target.queries, target.queries_left) == (10, None)
    with pytest.raises(InputError, match="`budget` to be a whole number"):
        packed(budget=1.5)
    with pytest.raises(InputError, match="`budget` to be a whole number"):
        packed().budget = -1


class Linear(nn.Module):
    """8-bit logits that every attack brings down, in many steps."""

    def forward(self, images: Tensor) -> Tensor:
        total = images.flatten(1).sum(1) - 96.0
        return torch.stack([torch.zeros_like(total), total], 1)


@pytest.mark.parametrize("budget", [0, 1, 20, 21, 22, 23, 100, 137, 500, 5000])
@pytest.mark.parametrize("kind", ["spsa", "spsa stops", "zoo", "cw"])
def test_own_attacks_end_with_the_best_example_so_far(kind: str, budget: int) -> None:
    images, labels = torch.full((5, 3, 8, 8), 0.53), torch.ones(5, dtype=torch.int64)
    target = TorchTarget(Linear(), budget=budget)
    make = {
        "spsa": lambda model: SPSA(model, steps=6, evaluations=20, max_rows=40),
        "spsa stops": lambda model: SPSA(model, steps=6, evaluations=20, max_rows=40, early_stop=True),
        "zoo": lambda model: ZOO(model, steps=8, search_steps=2, coordinates=10, h=0.05, max_rows=60),
        "cw": lambda model: CarliniWagnerL2(model, steps=10, search_steps=3, max_rows=3),
    }[kind]
    free, attack = make(TorchTarget(Linear())), make(target)
    whole = free(images, labels)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        adversarial = attack(images, labels)
    enough = bool((attack.report.iterations == free.report.iterations).all())
    assert [("`budget` of queries ended" in str(warning.message)) for warning in caught] == [True] * (not enough)
    assert enough or budget < 5000
    assert not enough or budget >= int(free.report.queries.sum())
    assert target.queries <= budget
    assert int(attack.report.queries.sum()) == target.queries
    assert torch.equal(Linear()(adversarial).argmax(1) != labels, attack.report.success)
    assert torch.equal(adversarial[~attack.report.success], images[~attack.report.success])
    ended = attack.report.iterations == free.report.iterations
    assert torch.equal(adversarial[ended], whole[ended]), "an image that came to its end in time is what it would have been"


def test_other_attacks_get_one_error_that_names_the_budget() -> None:
    images = pictures(4)
    target = packed(budget=30)
    labels = packed()(images).argmax(1)
    attack = torchattacks.Square(target, eps=1 / 255, n_queries=100, seed=0)
    attack.set_device("cpu")
    with pytest.raises(InputError, match="`budget` = 30"):
        attack(images, labels)
    assert target.queries <= 30


def values(count: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, count)).float()


def test_unaffected_probes_are_those_of_the_same_pixel() -> None:
    target, images = packed(), values(2 * 192, 0).reshape(2, 3, 8, 8)
    rng = np.random.default_rng(1)
    coordinates = torch.from_numpy(np.stack([rng.permutation(192)[:50] for _ in range(2)]))
    change = torch.from_numpy(rng.normal(0, 1.0 / 255, (2, 3, 50))).float()
    probes = images.flatten(1).gather(1, coordinates)[:, None] + change
    told = target.unaffected(images, coordinates, probes)
    assert told.shape == (2, 3, 50)
    assert 0.2 < told.float().mean() < 0.8
    for n, s, k in np.ndindex(2, 3, 50):
        moved = images[n].flatten().clone()
        moved[coordinates[n, k]] = probes[n, s, k]
        same = torch.equal(target.rounded(moved.reshape(1, 3, 8, 8)), target.rounded(images[n : n + 1]))
        assert told[n, s, k] == same
    assert torch.equal(target.unaffected(images, coordinates, probes[:, 0]), told[:, 0])
    assert not target.unaffected(images, coordinates, probes[:, 0] * torch.nan).any()


@pytest.mark.parametrize("h", [1e-4, 0.02, 0.3])
def test_zoo_s_course_is_the_same_with_and_without_what_is_unaffected(h: float) -> None:
    images = pictures(4, seed=3)
    labels = packed()(images).argmax(1)
    course = {}
    for filtered in (True, False):
        target = packed()
        attack = ZOO(target, steps=6, search_steps=2, coordinates=20, h=h, filter=filtered)
        adversarial = attack(images, labels)
        assert attack.report is not None
        course[filtered] = adversarial, attack.report.queries, attack.report.success, attack.report.iterations
        asked = int(attack.report.forwards.sum())
        assert target.queries == asked
    for one, other in zip(course[True], course[False], strict=True):
        assert torch.equal(one, other)
    assert asked == int(attack.report.queries.sum()), "without the filter everything is asked"
    if h == 0.3:
        assert not torch.equal(adversarial, images), "the attack must get somewhere for this to say anything"


@pytest.mark.parametrize(
    ("images", "words"),
    [(torch.zeros(2, 8, 8), "N x C x H x W"), (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "torch.uint8"), ([1], "a list")],
)
def test_what_a_torch_target_refuses(images: Any, words: str) -> None:
    target = TorchTarget(nn.Flatten())
    with pytest.raises(InputError, match=words):
        target(images)
    assert target.queries == 0


def test_what_a_packed_target_refuses() -> None:
    target = packed()
    for images, words in (
        (torch.zeros(1, 3, 32, 32), r"N x 3 x 8 x 8 in \[0, 1\], as the target's graph takes them"),
        (torch.full((1, 3, 8, 8), torch.nan), "nan"),
        (torch.full((1, 3, 8, 8), 255.0), "divide pixels by 255"),
    ):
        with pytest.raises(InputError, match=words):
            target(images)
    assert target.queries == 0
    assert target(torch.zeros(0, 3, 8, 8)).shape == (0, 10)
    with pytest.raises(InputError, match="`module` to be a torch module"):
        TorchTarget(lambda images: images)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`graph` to be a Graph"):
        PackedTarget(None)  # type: ignore[arg-type]


def test_folders(tmp_path: Path) -> None:
    GRAPH.save(tmp_path / "graph")
    images = pictures(2)
    assert torch.equal(PackedTarget(tmp_path / "graph", backend="numpy")(images), packed()(images))
    (tmp_path / "empty").mkdir()
    for name, words in (("nowhere", "'.*nowhere' is not there"), ("empty", "holds no graph.json"), ("graph/graph.json", "is a file")):
        with pytest.raises(InputError, match=words):
            PackedTarget(str(tmp_path / name))
    text = (tmp_path / "graph/graph.json").read_text()
    (tmp_path / "graph/graph.json").write_text(text.replace('"bits": 8', '"bits": 7', 1))
    with pytest.raises(InputError, match=r"the one in '.*graph' is damaged: Expected"):
        PackedTarget(tmp_path / "graph")


def test_names() -> None:
    assert parse_target("torch") == ("torch", "")
    assert parse_target("torch:a/b:c.ckpt") == ("torch", "a/b:c.ckpt")
    for text, words in (
        ("paked:x", "'paked:x'; did you mean packed:FOLDER"),
        ("", "choose one"),
        ("packed", "packed:FOLDER"),
        ("torch:", "leave the colon out"),
    ):
        with pytest.raises(InputError, match=words):
            parse_target(text)


def test_without_torch() -> None:
    script = BLOCK_TORCH + "from qlight.targets import PackedEngine, QueryCache, parse_target; print(parse_target('torch').kind)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert found.stdout == "torch\n", found.stderr


def test_a_target_says_how_it_forwards() -> None:
    class Nothing(Target):
        pass

    with pytest.raises(NotImplementedError):
        Nothing()(torch.zeros(1, 3, 8, 8))
