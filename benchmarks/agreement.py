"""Carlini-Wagner without abort against adv-lib's and Foolbox's: success and mean l2 on the same images.

    pip install -e '.[bench]'
    python benchmarks/agreement.py --data data/cifar10.npz [--networks float w1a1 w2a2] [--images 100] [--steps 100] [--search-steps 10]

All three run the published algorithm with initial c 0.9 and step size 0.1. A quantized network's gradient is that of its straight-through
estimators, which leads Adam through a chaos of codes: two runs that differ in a last bit end at different examples, at distances that agree
only on average. So beside each mean stands the mean of the paired differences to qlight with its standard error.

adv-lib measures the distance from the image itself, while its first point is the image shrunken by 1e-6 into the range of tanh, as
everybody's is. The difference has a gradient of some 1e-6, which Adam turns into a full step of 0.1 wherever the margin has none: in a
quantized network at all pixels behind closed windows of its straight-through estimators. qlight measures from the shrunken image, as the
original does, where that gradient is 0. `qlight'` is qlight with adv-lib's distance, to see whether that is all.
"""

from __future__ import annotations

import argparse
import time
import warnings
from functools import partial
from typing import Any

import torch
from attacks import Subject, peer, test_images

from qlight.attacks import CarliniWagnerL2


class FromTheImage(CarliniWagnerL2):
    """With the distance that adv-lib takes the gradient of."""

    def start(self, state: Any) -> None:
        super().start(state)
        state["reference"] = (2 * state["image"] - 1).to(state["reference"].dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["float", "w1a1", "w2a2"])
    parser.add_argument("--images", type=int, default=100, help="correctly classified ones")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--search-steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data", help=".npz with x_test, y_test")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    steps, search = options.steps, options.search_steps
    images, labels = test_images(options.data, 2 * options.images)
    for network in options.networks:
        subject = Subject(network, images, labels)
        images_, labels_ = subject.images[: options.images], subject.labels[: options.images]
        own_settings: dict[str, Any] = {"steps": steps, "search_steps": search, "abort_early": False}
        runs: dict[str, Any] = {
            "qlight": CarliniWagnerL2(subject.view, **own_settings),
            "qlight'": FromTheImage(subject.view, **own_settings),
        }
        if adv_lib := peer("adv_lib.attacks"):
            settings = {"learning_rate": 0.1, "initial_const": 0.9, "binary_search_steps": search, "max_iterations": steps}
            runs["adv-lib"] = partial(adv_lib.carlini_wagner_l2, subject.view, abort_early=False, **settings)
        if foolbox := peer("foolbox"):
            settings = {"stepsize": 0.1, "initial_const": 0.9, "binary_search_steps": search, "steps": steps, "abort_early": False}
            attack = foolbox.attacks.L2CarliniWagnerAttack(**settings)
            model = foolbox.PyTorchModel(subject.view, bounds=(0, 1))
            runs["Foolbox"] = lambda x, y, attack=attack, model=model: attack(model, x, y, epsilons=None)[1]
        own: torch.Tensor | None = None
        for name, run in runs.items():
            start = time.perf_counter()
            adversarial = run(images_, labels_)
            seconds = time.perf_counter() - start
            with torch.no_grad():
                fooled = subject.view(adversarial).argmax(1) != labels_
            l2 = (adversarial - images_).flatten(1).double().norm(dim=1)
            own = l2 if own is None else own
            difference = (l2 - own)[fooled]
            error = difference.std() / len(difference) ** 0.5
            share = 100 * float(difference.mean() / l2.mean())
            print(
                f"{network:<6} {name:<8} {len(l2)} images, success {fooled.double().mean():.3f}, mean l2 {l2[fooled].mean():.4f}, "
                f"minus qlight {difference.mean():+.4f} +- {error:.4f} ({share:+.1f} %), {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
