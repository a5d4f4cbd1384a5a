"""What DESIGN section 4 promises of qlight's own attacks, each promise for each attack."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qlight.attacks.per_image import PerImageAttack
from tests.attacks.networks import COUNTS, FULL, MAKERS, ExactNet, Maker, problem, report, same, smooth_net

COUNT = 9

every_attack = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
every_course = pytest.mark.parametrize(
    ("make", "given"),
    [(make, given) for name, make in MAKERS.items() for given in ({}, FULL[name])],
    ids=[f"{name}-{course}" for name in MAKERS for course in ("stops", "full")],
)


def aim(attack: PerImageAttack, targeted: bool) -> PerImageAttack:
    if targeted:
        attack.set_mode_targeted_by_function(lambda images, labels: (labels + 1) % 4, quiet=True)
    return attack


# Results do not depend on the batch


@every_course
@pytest.mark.parametrize("targeted", [False, True])
def test_on_an_exact_model_no_bit_depends_on_batch_order_or_rows(make: Maker, given: dict[str, Any], targeted: bool) -> None:
    net = ExactNet()
    images, labels = problem(net, COUNT, torch.float32)
    labels[4] = (labels[4] + 1) % 4  # misclassified already
    index = torch.arange(COUNT) + 20
    whole = aim(make(net, max_rows=1000, **given), targeted)
    expected = whole(images, labels, index=index)
    assert report(whole).success.any()
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    for rows in (5, 40):
        attack = aim(make(net, max_rows=rows, **given), targeted)
        assert torch.equal(attack(images[order], labels[order], index=index[order]), expected[order])
        same(report(attack), report(whole), order)
    alone = aim(make(net, **given), targeted)
    for row in (0, 4, 8):
        one = slice(row, row + 1)
        assert torch.equal(alone(images[one], labels[one], index=index[one]), expected[one])
        same(report(alone), report(whole), one)


@every_course
def test_on_a_float_model_results_depend_on_the_batch_by_rounding_only(make: Maker, given: dict[str, Any]) -> None:
    net = smooth_net()
    images, labels = problem(net, COUNT, torch.float64)
    whole, parts = make(net, max_rows=1000, **given), make(net, max_rows=20, **given)
    expected = whole(images, labels)
    for first in (0, 2, 7):
        rows = slice(first, min(first + 5, COUNT))
        torch.testing.assert_close(parts(images[rows], labels[rows], index=torch.arange(COUNT)[rows]), expected[rows], rtol=0, atol=1e-9)
        assert torch.equal(report(parts).success, report(whole).success[rows])
    assert report(whole).success.any()


@every_attack
def test_a_second_call_gives_the_same(make: Maker) -> None:
    net = ExactNet()
    images, labels = problem(net, COUNT, torch.float32)
    attack = make(net)
    first, said = attack(images, labels), report(attack)
    torch.manual_seed(5)
    assert torch.equal(attack(images, labels), first)
    same(report(attack), said)


# Finished images leave, waiting ones enter, queries are counted, budgets kept


@every_course
def test_finished_images_leave_and_waiting_ones_enter(make: Maker, given: dict[str, Any]) -> None:
    net = smooth_net()
    images, labels = problem(net, COUNT, torch.float64)
    labels[::2] = (labels[::2] + 1) % 4  # misclassified already: most attacks are done with these sooner
    attack = make(net, **given)
    attack.max_rows = 3 * attack.rows_per_image
    inner, in_work, over, entered = attack.step, [], set[int](), set[int]()

    def step(state: dict[str, Tensor]) -> Tensor:
        rows = state["row"].tolist()
        entered.update(rows)
        assert not over & set(rows), "an image is in work after it was finished"
        assert len(rows) == 3 or len(entered) == COUNT, "there is room while images wait"
        assert len(attack.ages) == len(rows)
        finished = inner(state)
        over.update(row for row, gone in zip(rows, finished.tolist(), strict=True) if gone)
        in_work.append(len(rows))
        return finished

    attack.step = step
    attack(images, labels)
    assert over == set(range(COUNT))
    assert sum(in_work) == int(report(attack).iterations.sum()) + (int((report(attack).iterations == 0).sum()))  # a skipped image: 0


@every_course
@pytest.mark.parametrize("mode", ["untargeted", "targeted", "random target"])
def test_queries_are_exactly_the_images_that_the_model_saw(make: Maker, given: dict[str, Any], mode: str) -> None:
    net = smooth_net()
    images, labels = problem(net, COUNT, torch.float64)
    sizes: list[int] = []
    net.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    attack = aim(make(net, max_rows=40, **given), mode == "targeted")
    if mode == "random target":
        attack.set_mode_targeted_random(quiet=True)
    attack(images, labels)
    assert int(report(attack).queries.sum()) == sum(sizes)
    assert max(sizes) <= 40
    assert torch.equal(report(attack).forwards, report(attack).queries)


@every_course
def test_a_budget_is_kept_and_ends_with_the_best_so_far(make: Maker, given: dict[str, Any]) -> None:
    net = smooth_net()
    images, labels = problem(net, COUNT, torch.float64)
    free = make(net, **given)
    free(images, labels)
    most = int(report(free).queries.max())
    step = free.rows_per_image
    found = []
    for budget in sorted({step + 1, 2 * step + 1, most // 2 + 1, most - 1, most, most + 100}):
        attack = make(net, query_budget=budget, **given)
        examples = attack(images, labels)
        said = report(attack)
        assert int(said.queries.max()) <= budget
        assert (said.queries > budget - step - 2)[~said.success].all() or budget > most - step - 2, "it ended too soon"
        with torch.no_grad():
            assert torch.equal(net(examples).argmax(1) != labels, said.success)
        assert torch.equal(examples[~said.success], images[~said.success])
        found.append(int(said.success.sum()))
        if budget >= most:
            same(said, report(free))
    assert found[-1] == max(found) > 0


@every_course
def test_a_step_finishes_images_only_where_it_may(make: Maker, given: dict[str, Any]) -> None:
    net = smooth_net()
    images, labels = problem(net, COUNT, torch.float64)
    labels[::3] = (labels[::3] + 1) % 4
    attack = make(net, max_rows=45, **given)
    inner, ages, said = attack.step, dict.fromkeys(range(COUNT), 0), []

    def step(state: dict[str, Tensor]) -> Tensor:
        finished = inner(state)
        for row, gone in zip(state["row"].tolist(), finished.tolist(), strict=True):
            ages[row] += 1
            said.append(attack.may_finish(ages[row]))
            assert said[-1] or not gone
        return finished

    attack.step = step
    attack(images, labels)
    assert True in said


@every_course
@pytest.mark.parametrize("max_rows", [20, 1000])
def test_on_finished_is_told_each_image_once_with_what_the_call_returns(make: Maker, given: dict[str, Any], max_rows: int) -> None:
    net = ExactNet()
    images, labels = problem(net, COUNT, torch.float32)
    attack, told = make(net, max_rows=max_rows, **given), []
    attack.on_finished = told.append
    result = attack(images, labels)
    rows = torch.cat([one.row for one in told])
    assert sorted(rows.tolist()) == list(range(COUNT))
    assert torch.equal(torch.cat([one.examples for one in told]), result[rows])
    for name in (*COUNTS, "seconds"):
        values = torch.cat([getattr(one.report, name) for one in told])
        torch.testing.assert_close(values, getattr(report(attack), name)[rows], rtol=0, atol=0, equal_nan=True)


def test_images_are_told_as_they_finish() -> None:
    net = smooth_net()
    images, labels = problem(net, COUNT, torch.float64)
    attack = MAKERS["pgd"](net)
    at: list[int] = []
    attack.on_finished = lambda finished: at.append(len(finished.row))
    attack(images, labels)
    assert len(at) == len(report(attack).queries.unique())  # all began together


# The model is left as it was


class Normed(nn.Module):
    """Batch norm, dropout, a frozen layer, a kept gradient; `fail_at` is the forward that raises."""

    def __init__(self, fail_at: float = math.inf) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3, stride=2)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.1)
        self.last = nn.Linear(36, 4)
        self.fail_at, self.calls = fail_at, 0
        self.drop.eval()
        self.first.weight.requires_grad_(False)
        self.last.weight.grad = torch.full_like(self.last.weight, 2.0)
        self.norm.weight.grad = None

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        if self.calls >= self.fail_at:
            raise KeyError("broken")
        return self.last(self.drop(self.norm(self.first(images))).flatten(1))


def everything(model: nn.Module) -> tuple[Any, ...]:
    parameters = list(model.parameters())
    return (
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in parameters],
        [None if parameter.grad is None else (id(parameter.grad), parameter.grad.tolist()) for parameter in parameters],
        {name: (id(value), value.tolist()) for name, value in [*model.named_buffers(), *model.named_parameters()]},
        len(model._forward_hooks),
    )


@every_attack
@pytest.mark.parametrize("train", [False, True], ids=["evaluated", "training"])
@pytest.mark.parametrize("fail_at", [1, 3, math.inf])
@pytest.mark.parametrize("gradients", [False, True])
def test_the_model_is_exactly_as_it_was(make: Maker, train: bool, fail_at: float, gradients: bool) -> None:
    net = Normed()
    images, labels = problem(net, 4, torch.float32)  # in training mode: its running statistics are others than at first
    net.calls, net.fail_at = 0, fail_at
    before = everything(net)
    attack = make(net)
    if train:
        attack.set_model_training_mode(model_training=True, batchnorm_training=True, dropout_training=True)
    running = net.norm.running_mean
    assert running is not None
    seen: list[Tensor] = []
    net.norm.register_forward_hook(lambda module, inputs, output: seen.append(running.clone()))
    kept = images.clone()
    with torch.set_grad_enabled(gradients):
        if math.isinf(fail_at):
            attack(images, labels)
        else:
            with pytest.raises(KeyError, match="broken"):
                attack(images, labels)
    assert everything(net) == before
    assert torch.equal(images, kept)
    if train and len(seen) > 1:
        assert not torch.equal(seen[-1], running), "the attack moved the statistics, so that there was something to restore"


@every_attack
def test_a_graph_outside_can_be_differentiated_after_an_attack(make: Maker) -> None:
    net = Normed().eval()
    images, labels = problem(net, 3, torch.float32)
    loss = net(images).square().sum()  # keeps the running statistics
    make(net)(images, labels)
    loss.backward()
    assert net.last.bias.grad is not None


# Floating-point types


@every_attack
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_models_of_any_floating_point_type_are_attacked(make: Maker, dtype: torch.dtype) -> None:
    net = smooth_net(dtype)
    images, labels = problem(net, COUNT, dtype)
    attack = make(net)
    examples = attack(images, labels)
    assert examples.dtype == dtype
    assert bool(((examples >= 0) & (examples <= 1)).all())
    assert report(attack).success.sum() >= 3
    with torch.no_grad():
        assert torch.equal(net(examples).argmax(1) != labels, report(attack).success)
    eps = getattr(attack, "eps", 1.0)
    assert float((examples.double() - images.double()).abs().max()) <= eps, "exactly: rounding to a short type must not leave the ball"
