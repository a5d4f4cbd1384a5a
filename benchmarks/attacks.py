"""Speed of the attacks against torchattacks, adv-lib, Foolbox and ART, and against what the network itself needs.

    pip install -e '.[bench]'
    python benchmarks/attacks.py [--networks float w1a1 w2a2] [--cases BIM CW ...] [--rounds 3] [--threads 1] [--data ARRAYS.npz]

Every round runs each library once on the same images, one after the other in this process, so that a change of the machine's speed meets
all of them; printed are medians of seconds an image (ZOO: milliseconds a query), and of the ratios within a round.

* `bound` is the network's own best time in the same round, times the evaluations that the attack needs: forward and input gradient (BIM,
  CW without abort), or forward (SPSA), of qlight's evaluation view at the best of several batch sizes.
* qlight attacks the evaluation view, as `python -m qlight attack` does. The peers get the bare network in evaluation mode and in torch's
  default layout, as their users have it, and, as `(our Classifier)`, the `Classifier`, which runs in channels_last by itself.
* BIM is torchattacks' class in both cases: qlight has none of its own.
* CW without abort runs `--cw-search` of its search steps, all of 100 iterations: every one takes the same time.
* SPSA: the paper's 128 evaluations a step; torchattacks spends 256 for its 128 samples. `SPSA strong` stops at success.
* ZOO: qlight computes only the probes that can change something, and where activations are real only the differences that they make, see
  `ZOO`; all count as queries. `qlight, no filter` is the same attack by whole forward passes.

A peer that is not installed is left out. adv-lib imports visdom and git; where these cannot be installed, empty modules of these names do.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torchattacks
from torch import Tensor, nn

from qlight import zoo as networks
from qlight.attacks import SPSA, ZOO, CarliniWagnerL2
from qlight.data import SyntheticDigits
from qlight.models.view import evaluation_view

#: runs a library once; seconds an image, or whatever the case counts
Timed = Callable[[], float]
BATCHES = (16, 32, 64, 128)


class Subject:
    """One network, the images it is attacked on, and what it needs for itself."""

    def __init__(self, name: str, images: Tensor, labels: Tensor) -> None:
        self.model = networks.load(f"cifar10-{name}-x0.25")
        self.view = evaluation_view(self.model)
        plain = networks.load(f"cifar10-{name}-x0.25").network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        #: what peers attack, by the suffix of their names
        self.for_peers: dict[str, nn.Module] = {"": plain.eval(), " (our Classifier)": self.model}
        with torch.no_grad():
            right = self.view(images).argmax(1) == labels
        self.images, self.labels = images[right], labels[right]
        self._best: dict[bool, int] = {}

    def bound(self, evaluations: int, gradient: bool) -> float:
        """Seconds of `evaluations` forward passes of an image (with its gradient) at the best batch size."""
        if gradient not in self._best:
            self._best[gradient] = min(BATCHES, key=lambda batch: min(self._pass(batch, gradient) for _ in range(4)))
        return evaluations * statistics.median(self._pass(self._best[gradient], gradient) for _ in range(7))

    def _pass(self, batch: int, gradient: bool) -> float:
        images = self.images[:batch].repeat(-(-batch // len(self.images[:batch])), 1, 1, 1)[:batch]
        start = time.perf_counter()
        if gradient:
            x = images.clone().requires_grad_()
            torch.autograd.grad(self.view(x).logsumexp(1).sum(), x)
        else:
            with torch.no_grad():
                self.view(images)
        return (time.perf_counter() - start) / batch


def attack_time(attack: Callable[[Tensor, Tensor], Any], images: Tensor, labels: Tensor) -> float:
    start = time.perf_counter()
    attack(images, labels)
    return (time.perf_counter() - start) / len(images)


def peer(name: str) -> Any:
    """A module, or None where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"{name} is left out: {error}")
        return None


def bim(subject: Subject, options: argparse.Namespace) -> dict[str, Timed]:
    images, labels = subject.images[: options.images], subject.labels[: options.images]
    settings: dict[str, Any] = {"eps": 0.03, "alpha": 0.0003, "steps": 100}
    runs: dict[str, Timed] = {
        "bound": partial(subject.bound, 100, True),
        "qlight": partial(attack_time, torchattacks.BIM(subject.view, **settings), images, labels),
    }
    adv_lib, foolbox = peer("adv_lib.attacks"), peer("foolbox")
    for suffix, network in subject.for_peers.items():
        runs[f"torchattacks{suffix}"] = partial(attack_time, torchattacks.BIM(network, **settings), images, labels)
        if adv_lib:
            pgd = partial(adv_lib.pgd_linf, network, ε=0.03, steps=100, random_init=False, absolute_step_size=0.0003)
            runs[f"adv-lib{suffix}"] = partial(attack_time, pgd, images, labels)
        if foolbox:
            attack = foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=0.0003, steps=100, random_start=False)
            model = foolbox.PyTorchModel(network, bounds=(0, 1))
            runs[f"Foolbox{suffix}"] = partial(attack_time, partial(attack, model, epsilons=0.03), images, labels)
    return runs


def carlini_wagner(subject: Subject, options: argparse.Namespace, abort: bool) -> dict[str, Timed]:
    images, labels = subject.images[: options.images], subject.labels[: options.images]
    search = 10 if abort else options.cw_search
    scale = 10 / search
    own = CarliniWagnerL2(subject.view, steps=100, search_steps=search, abort_early=abort)

    def scaled(attack: Callable[[Tensor, Tensor], Any]) -> float:
        return scale * attack_time(attack, images, labels)

    runs: dict[str, Timed] = {} if abort else {"bound": partial(subject.bound, 1000, True)}
    runs["qlight"] = partial(scaled, own)
    adv_lib, foolbox = peer("adv_lib.attacks"), peer("foolbox")
    for suffix, network in subject.for_peers.items():
        if adv_lib:
            settings = {"learning_rate": 0.1, "initial_const": 0.9, "binary_search_steps": search, "max_iterations": 100}
            runs[f"adv-lib{suffix}"] = partial(scaled, partial(adv_lib.carlini_wagner_l2, network, abort_early=abort, **settings))
        if foolbox:
            settings = {"binary_search_steps": search, "steps": 100, "stepsize": 0.1, "initial_const": 0.9, "abort_early": abort}
            attack = foolbox.attacks.L2CarliniWagnerAttack(**settings)
            runs[f"Foolbox{suffix}"] = partial(scaled, partial(attack, foolbox.PyTorchModel(network, bounds=(0, 1)), epsilons=None))
    return runs


def spsa(subject: Subject, options: argparse.Namespace, strong: bool) -> dict[str, Timed]:
    count = options.spsa_images * (4 if strong else 1)
    images, labels = subject.images[:count], subject.labels[:count]
    steps = 100 if strong else options.spsa_steps
    own = SPSA(subject.view, steps=steps, early_stop=strong)
    # torchattacks does not stop, so its time for an image does not depend on which: fewer will do
    few = slice(0, options.spsa_images)
    runs: dict[str, Timed] = {} if strong else {"bound": partial(subject.bound, 128 * steps, False)}
    runs["qlight"] = partial(attack_time, own, images, labels)
    for suffix, network in subject.for_peers.items():
        attack = torchattacks.SPSA(network, eps=0.03, delta=0.01, lr=0.01, nb_iter=steps, nb_sample=128, max_batch_size=64)
        runs[f"torchattacks{suffix}"] = partial(attack_time, attack, images[few], labels[few])
    return runs


def zoo(subject: Subject, options: argparse.Namespace) -> dict[str, Timed]:
    images, labels = subject.images[: options.images], subject.labels[: options.images]
    own = ZOO(subject.view, steps=options.zoo_steps, search_steps=1, skip_misclassified=False)
    # without the filter an image takes as long as any other
    unfiltered = ZOO(subject.view, steps=options.zoo_steps, search_steps=1, skip_misclassified=False, filter=False)

    def a_query(attack: ZOO, count: int) -> float:
        start = time.perf_counter()
        attack(images[:count], labels[:count])
        assert attack.report is not None
        return (time.perf_counter() - start) / int(attack.report.queries.sum())

    runs: dict[str, Timed] = {
        "bound": partial(subject.bound, 1, False),
        "qlight": partial(a_query, own, len(images)),
        "qlight, no filter": partial(a_query, unfiltered, 1),
    }
    art = peer("art.attacks.evasion")
    if art is not None:
        from art.estimators.classification import PyTorchClassifier  # pyright: ignore[reportMissingImports]

        counted = _Counted(subject.for_peers[""])
        classifier = PyTorchClassifier(
            model=counted, loss=nn.CrossEntropyLoss(), input_shape=(3, 32, 32), nb_classes=10, clip_values=(0, 1), device_type="cpu"
        )
        attack = art.ZooAttack(
            classifier,
            learning_rate=0.1,
            max_iter=options.zoo_steps,
            binary_search_steps=1,
            initial_const=0.9,
            abort_early=False,
            use_resize=False,
            use_importance=False,
            nb_parallel=128,
            batch_size=1,
            variable_h=1e-4,
            verbose=False,
        )

        def theirs() -> float:
            counted.images = 0
            start = time.perf_counter()
            attack.generate(images[:1].numpy(), np.eye(10)[labels[:1].numpy()])
            return (time.perf_counter() - start) / counted.images

        runs["ART"] = theirs
    return runs


class _Counted(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.images = model, 0

    def forward(self, images: Tensor) -> Tensor:
        self.images += len(images)
        return self.model(images)


CASES: dict[str, Callable[[Subject, argparse.Namespace], dict[str, Timed]]] = {
    "BIM": bim,
    "CW": partial(carlini_wagner, abort=False),
    "CW-abort": partial(carlini_wagner, abort=True),
    "SPSA": partial(spsa, strong=False),
    "SPSA-strong": partial(spsa, strong=True),
    "ZOO": zoo,
}


def test_images(path: str | None, count: int) -> tuple[Tensor, Tensor]:
    """Images and labels of the test split of an .npz with x_test and y_test; embedded digits where there is none."""
    if path is not None:
        with np.load(path) as data:
            images = torch.from_numpy(data["x_test"][:count]).permute(0, 3, 1, 2).contiguous()
            return images.float() / 255, torch.from_numpy(data["y_test"][:count]).long()
    print("without --data the images are embedded digits: times mean something, robustness does not")
    data = SyntheticDigits(test_size=count, batch_size=count)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    return batch[0], batch[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["float", "w1a1", "w2a2"])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=32, help="of BIM, CW and ZOO")
    parser.add_argument("--cw-search", type=int, default=1, help="search steps of CW without abort that are run, of 10")
    parser.add_argument("--spsa-images", type=int, default=2)
    parser.add_argument("--spsa-steps", type=int, default=20, help="of SPSA without stop, of 100")
    parser.add_argument("--zoo-steps", type=int, default=20)
    parser.add_argument("--data", help=".npz with x_test, y_test")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    images, labels = test_images(options.data, 4 * options.images)
    print(f"{options.threads} thread(s), medians of {options.rounds} interleaved rounds; ratio: to qlight")
    for network in options.networks:
        subject = Subject(network, images, labels)
        for name in options.cases:
            runs = CASES[name](subject, options)
            seconds: dict[str, list[float]] = {who: [] for who in runs}
            for _ in range(options.rounds):
                for who, run in runs.items():
                    seconds[who].append(run())
            unit, factor = ("ms a query", 1e3) if name == "ZOO" else ("s an image", 1.0)
            for who, values in seconds.items():
                ratio = statistics.median(a / b for a, b in zip(values, seconds["qlight"], strict=True))
                print(f"{network:<6} {name:<12} {who:<32} {factor * statistics.median(values):9.4f} {unit}  {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
