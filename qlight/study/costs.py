"""About how many CPU-seconds a task takes: for the plan of a study, before anything has run.

Measured on one thread of a CPU of 2024 on the zoo's networks, a quarter of the paper's width: a gradient takes 1.8 ms (1.4 ms where
activations are quantized), a query 0.8 ms (0.4 ms), on the packed engine 0.3 ms (0.15 ms).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: by whether activations are quantized
_GRADIENT, _QUERY, _PACKED = {False: 1.8e-3, True: 1.4e-3}, {False: 0.8e-3, True: 0.4e-3}, {False: 0.3e-3, True: 0.15e-3}
_WIDTH = 0.25
#: queries of a step of ZOO: 128 coordinates, each from two sides, of images that are not finished
_ZOO_STEP = 206
#: of a whole pass: what ZOO's filter knows about quantized networks it does not compute, of others only what a probe reaches
_ZOO_SHARE = {True: 0.2, False: 0.3}
#: a probe moves a pixel by at most h / 2, which is seldom another of 8 bits; the answer is known otherwise
_ZOO_NEW = 255 / 2
#: CW's search and steps end early for most images, where they may
_CW_ABORTS = 0.12
#: an attack that leaves an image once it is fooled needs a small part of its steps
_STOPS = 0.02
_RESTARTS = 0.3
#: a step of a training on one image, as gradients
_STEP = 2 * 1.8e-3
#: of CIFAR10; other data modules say how many
_TRAIN_IMAGES = 50_000


def training_cost(options: Mapping[str, Any]) -> float:
    """Of a training with the options of `qlight.study.steps.train`.

    >>> training_cost({"data": {}, "model": {"width": 0.25}, "trainer": {"max_epochs": 10}})
    1800.0
    """
    images = options["data"].get("init_args", {}).get("train_size", _TRAIN_IMAGES)
    width = options["model"].get("width", 1.0)
    return round(options["trainer"].get("max_epochs", 1) * images * _STEP * (width / _WIDTH) ** 2, 3)


def query_cost(network: str, *, packed: bool = False, width: float = _WIDTH) -> float:
    """Of one image through one network.

    >>> query_cost("float"), query_cost("w2a2", width=0.5)
    (0.0008, 0.0016)
    """
    quantized = _quantized(network)
    return (_PACKED if packed else _QUERY)[quantized] * (width / _WIDTH) ** 2


def _quantized(network: str) -> bool:
    """Whether its activations are."""
    return network.startswith("w") and not network.endswith("a32")


def attack_cost(attack: Mapping[str, Any], images: int, network: str, *, packed: bool = False, width: float = _WIDTH) -> float:
    """Of one attack on one network.

    >>> bim = {"class_path": "torchattacks.BIM", "init_args": {"eps": 0.03, "alpha": 0.0003, "steps": 100}}
    >>> attack_cost(bim, 1000, "float"), attack_cost(bim, 1000, "w1a1", width=1.0)
    (180.0, 2240.0)
    """
    of, kind = attack.get("init_args", {}), attack["class_path"].rpartition(".")[2]
    quantized, each = _quantized(network), query_cost(network, packed=packed)
    asked = of.get("steps", 1) * of.get("search_steps", 1) * of.get("restarts", 1)
    if kind == "SPSA":
        price = each * of.get("evaluations", 1) * (_STOPS if of.get("early_stop") else 1.0)
    elif kind == "ZOO":
        share = min(1.0, _ZOO_NEW * of.get("h", 1e-4)) if packed else _ZOO_SHARE[quantized]
        price = each * _ZOO_STEP * share
    else:
        price = _GRADIENT[quantized]
        if kind == "CarliniWagnerL2" and of.get("abort_early", True):
            price *= _CW_ABORTS
        if of.get("restarts", 1) > 1:
            price *= _RESTARTS
    return round(images * asked * price * (width / _WIDTH) ** 2, 3)
