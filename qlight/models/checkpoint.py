"""From a checkpoint back to its network."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from qlight.errors import InputError
from qlight.models.classifier import Classifier

#: the hyperparameters that say which network a checkpoint holds
NETWORK_KEYS = ("network", "width", "weight_bit_width", "activation_bit_width", "weight_quantizer", "activation_quantizer")


def describe(hyper_parameters: Mapping[str, Any]) -> str:
    """A network in a few words, from the hyperparameters of a checkpoint or a configuration.

    >>> describe({"network": "svhn", "width": 0.25, "weight_bit_width": 1, "activation_bit_width": 32})
    'svhn w1a32 at width 0.25'
    """
    weights, activations = hyper_parameters.get("weight_bit_width", 32), hyper_parameters.get("activation_bit_width", 32)
    name = "float" if weights == activations == 32 else f"w{weights}a{activations}"
    return f"{hyper_parameters.get('network')} {name} at width {hyper_parameters.get('width')}"


def check_same_network(
    path: Path, given: Mapping[str, Any], defaults: Mapping[str, Any], held: Mapping[str, Any], *, training: bool = False
) -> None:
    """Raise InputError if a configuration asks for another network than the checkpoint at ``path`` holds.

    Args:
        given: the configuration's hyperparameters; one that equals its default was not asked for.
        defaults: the hyperparameters' defaults.
        held: the checkpoint's hyperparameters.
        training: compare the training's hyperparameters too, since a resumed run goes on with those of the checkpoint.
    """
    missing = [key for key in NETWORK_KEYS if key not in held]
    if missing:
        raise InputError(
            f"Expected `ckpt_path` to be a checkpoint of a qlight network, but {path} does not say its {', '.join(missing)}; "
            "use one that `fit` wrote."
        )
    keys = [key for key in held if key != "compile"] if training else NETWORK_KEYS
    different = [key for key in keys if key in given and given[key] not in (defaults.get(key), held[key])]
    if different:
        names = ", ".join(f"{key}={given[key]!r}" for key in different)
        raise InputError(
            f"Expected `ckpt_path` to hold a network with {names}, but {path} holds {describe(held)}; "
            "leave these options out (the checkpoint says its network) or give another checkpoint."
        )


def check_weights(model: Classifier, path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Raise InputError if names or shapes of ``checkpoint`` (read from ``path``) are not those of ``model``."""
    own, held = model.state_dict(), checkpoint["state_dict"]
    wrong = sorted(set(own) ^ set(held)) or [name for name in own if own[name].shape != held[name].shape]
    if wrong:
        raise InputError(
            f"Expected `ckpt_path` to hold the weights of {describe(model.hparams)}, but {path} differs in {wrong[0]}"
            + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
            + "; it is a checkpoint of another network."
        )


def load_weights(model: Classifier, path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Load the weights of ``checkpoint`` (read from ``path``) into ``model``, which is left unchanged on failure.

    Raises:
        InputError: if names or shapes differ: a checkpoint of another network.
    """
    check_weights(model, path, checkpoint)
    model.load_state_dict(checkpoint["state_dict"])


def load_classifier(path: Path, checkpoint: Mapping[str, Any]) -> Classifier:
    """The network that ``checkpoint`` (read from ``path``) holds, in evaluation mode.

    Raises:
        InputError: if it is not a checkpoint of a qlight network.
    """
    held = dict(checkpoint["hyper_parameters"])
    check_same_network(path, {}, {}, held)
    known = {name: value for name, value in held.items() if name in signature(Classifier).parameters}
    with torch.random.fork_rng(devices=[]):  # initial weights are overwritten: leave the caller's random numbers alone
        model = Classifier(**known)
    load_weights(model, path, checkpoint)
    return model.eval()
