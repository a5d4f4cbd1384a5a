"""ZOO against a scalar implementation that moves one coordinate of one image at a time, and its promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qlight.attacks.counter_random import random_order
from qlight.attacks.per_image import Report, State
from qlight.attacks.zoo import ZOO
from qlight.errors import InputError

SHAPE = (2, 3, 3)
VALUES = 18


def small_net(dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """A smooth network on images 2 x 3 x 3 with 4 classes."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(VALUES, 12), nn.Tanh(), nn.Linear(12, 4))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
    return net.to(dtype).eval()


class Exact(nn.Module):
    """Integer-valued logits of quantized activations: every sum is exact, in any order and batch."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randint(-2, 3, (4, VALUES), generator=generator).float())

    def forward(self, images: Tensor) -> Tensor:
        return ((images.flatten(1) * 8).round() @ self.weight.T) / 4


def problem(net: nn.Module, count: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Images and the classes that `net` gives them."""
    images = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    with torch.no_grad():
        return images, net(images).argmax(1)


def report(attack: ZOO) -> Report:
    assert attack.report is not None
    return attack.report


class Recorded(ZOO):
    """Keeps c and the modifier of a single image after every step."""

    def start(self, state: State) -> None:
        super().start(state)
        self.trace: list[tuple[float, list[float]]] = []

    def step(self, state: State) -> Tensor:
        finished = super().step(state)
        self.trace.append((float(state["c"][0]), state["modifier"][0].tolist()))
        return finished


def scalar_zoo(
    logits_of: Callable[[list[float]], list[float]], image: list[float], label: int, index: int, targeted: bool, **given: Any
) -> tuple[list[tuple[float, list[float]]], list[float] | None, int]:
    """The attack in plain Python: the trace of (c, modifier) after each iteration, the best example or None, the queries."""
    o: dict[str, Any] = {"c": 0.9, "kappa": 0.0, "steps": 100, "search_steps": 10, "learning_rate": 0.1, "coordinates": 4, "h": 1e-4}
    o |= {"solver": "adam", "space": "tanh", "abort_early": True, "loss": "log", "max_l2": 20.0, "seed": 0} | given
    queries = iterations = 0
    start = [math.atanh((2 * x - 1) * 0.999999) for x in image] if o["space"] == "tanh" else list(image)

    def pixel(w: float) -> float:
        return (math.tanh(w) + 1) / 2 if o["space"] == "tanh" else w

    def look(modifier: list[float], c: float) -> tuple[float, float, bool, list[float]]:
        nonlocal queries
        queries += 1
        pixels = [pixel(w + m) for w, m in zip(start, modifier, strict=True)]
        logits = logits_of(pixels)
        values = list(logits)
        if o["loss"] == "log":
            top = max(logits)
            total = sum(math.exp(z - top) for z in logits)
            values = [math.log(math.exp(z - top) / total + 1e-30) for z in logits]
        sign = -1 if targeted else 1
        gap = sign * (values[label] - max(v for j, v in enumerate(values) if j != label))
        plain = sign * (logits[label] - max(v for j, v in enumerate(logits) if j != label))
        square = math.fsum((p - pixel(w)) ** 2 for p, w in zip(pixels, start, strict=True))
        hit = plain < 0 and plain <= -o["kappa"]
        return c * max(gap + o["kappa"], 0.0) + square, square, hit, pixels

    c, lower, upper = o["c"], 0.0, 1e10
    best, best_square = None, math.inf
    trace: list[tuple[float, list[float]]] = []
    for search in range(o["search_steps"]):
        if o["search_steps"] >= 10 and search == o["search_steps"] - 1:
            c = upper
            trace[-1] = (c, trace[-1][1])
        modifier, mean, square, age = ([0.0] * len(image) for _ in range(4))
        earlier, found = 1e6, False
        for inner in range(o["steps"]):
            order = random_order(o["seed"], torch.tensor([index]), torch.tensor([iterations]), len(image), o["coordinates"])
            iterations += 1
            loss, distance, hit, pixels = look(modifier, c)
            changed = list(modifier)
            for i in order[0].tolist():
                moved = list(modifier)
                moved[i] = modifier[i] + o["h"]
                ahead = look(moved, c)[0]
                moved[i] = modifier[i] - o["h"]
                behind = look(moved, c)[0]
                slope = (ahead - behind) / (2 * o["h"])
                if o["solver"] == "adam":
                    age[i] += 1
                    mean[i] = 0.9 * mean[i] + 0.1 * slope
                    square[i] = 0.999 * square[i] + 0.001 * slope**2
                    rate = o["learning_rate"] * math.sqrt(1 - 0.999 ** age[i]) / (1 - 0.9 ** age[i])
                    changed[i] -= rate * mean[i] / (math.sqrt(square[i]) + 1e-8)
                else:
                    bend = (ahead - 2 * loss + behind) / o["h"] ** 2
                    changed[i] -= o["learning_rate"] * slope / (1.0 if bend < 0 else max(bend, 0.1))
                if o["space"] == "pixel":
                    changed[i] = min(max(changed[i], -image[i]), 1 - image[i])
            modifier = changed
            trace.append((c, list(modifier)))
            if o["abort_early"] and inner % 100 == 0:
                if loss > earlier * 0.9999:
                    break
                earlier = loss
            if hit:
                found = True
                if distance < best_square:
                    best, best_square = pixels, distance
        if found:
            upper = min(upper, c)
        else:
            lower = max(lower, c)
        if upper < 1e9:
            c = (lower + upper) / 2
        elif not found:
            c *= 10
        trace[-1] = (c, [0.0] * len(image))
    if best is not None and math.dist(best, image) > o["max_l2"]:
        best = None
    return trace, best, queries


CASES: list[dict[str, Any]] = [
    {"steps": 8},
    {"steps": 110, "search_steps": 1, "c": 0.05, "kappa": 3.0, "h": 1e-3},  # abort-early looks at iteration 100, and goes on
    {"steps": 110, "search_steps": 1, "learning_rate": 1e-7},  # there it stops
    {"steps": 12, "loss": "logits", "kappa": 0.5, "search_steps": 4},
    {"steps": 12, "kappa": 0.3, "search_steps": 3, "c": 20.0},
    {"steps": 12, "space": "pixel", "h": 1e-3, "search_steps": 4},
    {"steps": 12, "solver": "newton", "h": 1e-2, "search_steps": 4, "learning_rate": 0.5, "c": 5.0},
    {"steps": 12, "solver": "newton", "space": "pixel", "h": 1e-2, "search_steps": 4, "learning_rate": 0.5, "c": 5.0},
    {"steps": 2, "kappa": 50.0},  # never successful: c is multiplied by 10 up to 1e10, where abort-early ends a search step at once
    {"steps": 2, "kappa": 50.0, "abort_early": False},
    {"steps": 10, "search_steps": 3, "max_l2": 0.05, "c": 50.0},
]


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_scalar_implementation_step_by_step(case: dict[str, Any], targeted: bool) -> None:
    net = small_net()
    images, labels = problem(net, 2)
    goals = (labels + 1) % 4 if targeted else labels
    attack = Recorded(net, coordinates=4, seed=5, skip_misclassified=False, **case)
    if targeted:
        attack.set_mode_targeted_by_label(quiet=True)

    def logits_of(pixels: list[float]) -> list[float]:
        with torch.no_grad():
            return net(torch.tensor(pixels, dtype=torch.float64).view(1, *SHAPE))[0].tolist()

    for i in range(len(images) if case.get("steps", 0) < 100 else 1):
        trace, best, queries = scalar_zoo(logits_of, images[i].flatten().tolist(), int(goals[i]), 7 + i, targeted, seed=5, **case)
        result = attack(images[i : i + 1], goals[i : i + 1], index=torch.tensor([7 + i]))
        assert len(trace) == len(attack.trace) == int(report(attack).iterations)
        torch.testing.assert_close(torch.tensor([t[0] for t in attack.trace]), torch.tensor([t[0] for t in trace]), rtol=1e-12, atol=0)
        mine, theirs = (torch.tensor([t[1] for t in one], dtype=torch.float64) for one in (attack.trace, trace))
        # The plain differences of whole losses cancel, and Adam makes steps of what rounding leaves of a gradient near 0: hence 1e-5.
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
        assert bool(report(attack).success) == (best is not None)
        assert int(report(attack).queries) == queries
        expected = images[i].flatten() if best is None else torch.tensor(best, dtype=torch.float64)
        torch.testing.assert_close(result[0].flatten(), expected, rtol=0, atol=1e-5)


def test_the_cases_reach_what_they_are_there_for() -> None:
    net = small_net()
    images, labels = problem(net, 3)
    stopped = ZOO(net, coordinates=4, steps=2, kappa=50.0)
    stopped(images, labels)
    assert not report(stopped).success.any()
    assert (report(stopped).iterations < 20).all()  # c F > 1e6 ends search steps after one iteration
    normal = ZOO(net, coordinates=4, steps=8)
    normal(images, labels)
    assert report(normal).success.any()
    assert (report(normal).iterations[report(normal).success] == 80).all()
    for case, iterations in zip(CASES[1:3], (110, 101), strict=True):
        long = ZOO(net, coordinates=4, **case)
        long(images[:1], labels[:1], index=torch.tensor([7]))
        assert int(report(long).iterations) == iterations
    far = ZOO(net, coordinates=4, steps=10, search_steps=3, c=50.0, max_l2=0.05)
    near = ZOO(net, coordinates=4, steps=10, search_steps=3, c=50.0)
    far(images, labels)
    near(images, labels)
    assert int(report(far).success.sum()) < int(report(near).success.sum())


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("max_rows", [1, 9, 40, 1000])
def test_no_image_depends_on_its_neighbours(max_rows: int, targeted: bool) -> None:
    net = Exact()
    images, labels = problem(net, 6, torch.float32)
    labels[4] = (labels[4] + 1) % 4  # skipped where not targeted
    index = torch.arange(6) + 20

    def run(rows: Tensor, max_rows: int) -> tuple[Tensor, Report]:
        attack = ZOO(net, coordinates=4, steps=6, search_steps=4, h=0.05, max_rows=max_rows)
        if targeted:
            attack.set_mode_targeted_by_function(lambda inputs, labels: (labels + 2) % 4, quiet=True)
        return attack(images[rows], labels[rows], index=index[rows]), report(attack)

    order = torch.tensor([3, 5, 0, 4, 1, 2])
    result, seen = run(order, max_rows)
    for place, i in enumerate(order.tolist()):
        alone, own = run(torch.tensor([i]), 9)
        assert torch.equal(result[place], alone[0])
        for name in ("success", "queries", "iterations"):
            assert torch.equal(getattr(seen, name)[place], getattr(own, name)[0])
    assert seen.success.any()


def forwarded(net: nn.Module) -> list[int]:
    """A list that grows by the size of each batch that `net` is given."""
    sizes: list[int] = []
    net.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    return sizes


@pytest.mark.parametrize("skip", [False, True])
def test_queries_are_the_images_forwarded(skip: bool) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(300, 5)).double()
    images = torch.rand(3, 3, 10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = net(images).argmax(1)
    labels[1] = (labels[1] + 1) % 5
    attack = ZOO(net, steps=3, search_steps=2, skip_misclassified=skip, max_rows=300)
    sizes = forwarded(net)
    result = attack(images, labels)
    seen = report(attack)
    full = 257 * 6
    assert seen.queries.tolist() == ([full + 1, 1, full + 1] if skip else [full] * 3)
    assert seen.iterations.tolist() == ([6, 0, 6] if skip else [6] * 3)
    assert sum(sizes) == int(seen.queries.sum())
    assert max(sizes) <= 300
    assert bool(seen.success[1]) != skip
    assert torch.equal(result[1], images[1]) or not skip


def test_a_float_network_falls() -> None:
    net = small_net(torch.float32)
    images, labels = problem(net, 8, torch.float32)
    attack = ZOO(net, coordinates=9, steps=40, search_steps=5)
    result = attack(images, labels)
    assert result.dtype == torch.float32
    assert report(attack).success.all()
    with torch.no_grad():
        assert (net(result).argmax(1) != labels).all()
    assert ((result >= 0) & (result <= 1)).all()
    l2 = (result - images).flatten(1).norm(dim=1)
    short = ZOO(net, coordinates=9, steps=40, search_steps=1, c=100.0)
    assert (l2 < (short(images, labels) - images).flatten(1).norm(dim=1)).all()  # the search of c brings examples nearer


def test_a_target_and_its_margin_are_reached() -> None:
    net = small_net(torch.float32)
    images, labels = problem(net, 6, torch.float32)
    attack = ZOO(net, coordinates=18, steps=60, search_steps=4, kappa=0.4, c=2.0)
    attack.set_mode_targeted_by_function(lambda inputs, labels: (labels + 1) % 4, quiet=True)
    result, goals = attack(images, labels), (labels + 1) % 4
    success = report(attack).success
    assert success.sum() >= 3
    with torch.no_grad():
        logits = net(result)
    others = logits.scatter(1, goals[:, None], -torch.inf).amax(1)
    assert (logits.gather(1, goals[:, None])[:, 0] - others >= 0.4 - 1e-5)[success].all()
    assert torch.equal(result[~success], images[~success])


def test_the_log_loss_is_flat_where_probabilities_vanish() -> None:
    outputs, label = torch.tensor([[[200.0, 0.0, -1.0], [8.0, 0.0, 5.0]]], dtype=torch.float64), torch.tensor([0])
    net = small_net()
    log, logits = (ZOO(net, coordinates=4, kappa=2.0, loss=loss)._loss(outputs, label)[0].tolist() for loss in ("log", "logits"))
    assert log == pytest.approx([30 * math.log(10) + 2, 5])
    assert logits == pytest.approx([202, 5])


@pytest.mark.parametrize(("space", "gray"), [("pixel", 0.3), ("tanh", 0.5)])
def test_zero_differences_leave_coordinates_where_they_are(space: Any, gray: float) -> None:
    net = Exact()  # its steps are 1/8 wide: no probe of 1e-4 around these grays sees one; at 0.5 tanh is odd, so that the distances cancel
    images = torch.full((2, *SHAPE), gray)
    with torch.no_grad():
        labels = net(images).argmax(1)
    attack = Recorded(net, coordinates=4, steps=20, search_steps=2, space=space)
    result = attack(images, labels)
    assert len(attack.trace) == 40
    assert all(value == 0 for _, modifier in attack.trace for value in modifier)
    assert not report(attack).success.any()
    assert torch.equal(result, images)


def test_the_model_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(VALUES), nn.Linear(VALUES, 4))
    net[1].eval()
    net[2].weight.requires_grad_(False)
    net[2].bias.grad = grad = torch.ones(4)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    images = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    ZOO(net, coordinates=4, steps=2, search_steps=2)(images, torch.tensor([0, 1]))
    assert [module.training for module in net] == [True, False, True]
    assert net.training
    assert [parameter.requires_grad for parameter in net.parameters()] == [True, True, False, True]
    assert net[2].bias.grad is grad
    assert torch.equal(grad, torch.ones(4))
    assert net[2].weight.grad is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    net = small_net(dtype)
    images, labels = problem(net, 4, dtype)
    attack = ZOO(net, coordinates=9, steps=30, search_steps=2, h=0.1, c=5.0)
    result = attack(images, labels)
    assert result.dtype == dtype
    assert report(attack).success.any()


def test_query_budget_ends_with_the_best_so_far() -> None:
    net = small_net()
    images, labels = problem(net, 4)
    full = ZOO(net, coordinates=9, steps=40, search_steps=3)
    full(images, labels)
    cut = ZOO(net, coordinates=9, steps=40, search_steps=3, query_budget=50 * 19 + 18)
    result = cut(images, labels)
    assert report(cut).queries.tolist() == [49 * 19 + 1 + 19] * 4
    assert report(full).queries.tolist() == [120 * 19 + 1] * 4
    success = report(cut).success
    with torch.no_grad():
        assert torch.equal(net(result).argmax(1) != labels, success)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("c", 0.0, "above 0"),
        ("c", math.nan, "above 0"),
        ("h", -1e-4, "above 0"),
        ("learning_rate", 0, "above 0"),
        ("max_l2", 0, "above 0"),
        ("kappa", -1.0, "at least 0"),
        ("steps", 0, "at least 1"),
        ("search_steps", 0, "at least 1"),
        ("coordinates", 0, "at least 1"),
        ("solver", "adamw", "use adam"),
        ("space", "pixels", "use pixel"),
        ("loss", "logit", "use logits"),
        ("query_budget", 257, "at least 258"),
        ("max_rows", 0, "at least 1"),
    ],
)
def test_bad_arguments(name: str, value: Any, word: str) -> None:
    with pytest.raises(InputError, match=f"`{name}`.*{word}"):
        ZOO(small_net(), **{name: value})


def test_more_coordinates_than_values() -> None:
    net = small_net()
    images, labels = problem(net, 1)
    with pytest.raises(InputError, match="`coordinates` of ZOO to be at most the 18 values"):
        ZOO(net)(images, labels)


def test_an_empty_batch() -> None:
    attack = ZOO(small_net(), coordinates=4)
    result = attack(torch.rand(0, *SHAPE, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))
    assert result.shape == (0, *SHAPE)
    assert len(report(attack).queries) == 0
