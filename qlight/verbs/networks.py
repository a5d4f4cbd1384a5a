"""The networks that a command line names: checkpoints, and folders of deployed graphs."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from pathlib import Path

from qlight.errors import InputError
from qlight.evaluation import read_checkpoint
from qlight.evaluation.analysis import Network
from qlight.models.checkpoint import load_classifier
from qlight.targets import open_target, parse_target
from qlight.targets.naming import KINDS


def sources_and_targets(sources: str | None, targets: str | None) -> tuple[list[Network], list[Network]]:
    """The networks to craft on and to judge on, as two options of a command line name them; without targets the sources are both.

    Raises:
        InputError: see `load_networks`.
    """
    of = load_networks(sources, "sources")
    return of, of if targets is None else load_networks(targets, "targets", {source.name: source for source in of})


def identities(networks: Sequence[Network]) -> list[tuple[str, str]]:
    """Names, and what makes each network the one it is: of what results depend on."""
    return [(network.name, network.identity) for network in networks]


def named_places(text: str | None) -> list[tuple[str, str]]:
    """(name, place) of each `place` or `name=place`, separated by commas; "" for a name that is not given.

    What begins with a kind of target and a colon, and what is there as it stands, is a place with its "="; else a name ends at the first.

    >>> named_places("a.ckpt, w1a1=runs/epoch=9.ckpt,packed:graph,board://host:7000?deadline=9")
    [('', 'a.ckpt'), ('w1a1', 'runs/epoch=9.ckpt'), ('', 'packed:graph'), ('', 'board://host:7000?deadline=9')]
    """
    return [_named(place.strip()) for place in (text or "").split(",") if place.strip()]


def _named(text: str) -> tuple[str, str]:
    kind, colon, _ = text.partition(":")
    name, mark, place = text.partition("=")
    if not mark or (colon and kind in KINDS) or os.path.exists(os.path.expanduser(text)):  # Path's raise where there is no home folder
        return "", text
    return name, place


def load_networks(text: str | None, name: str, known: dict[str, Network] | None = None) -> list[Network]:
    """The networks that a command line names: `place` or `name=place`, separated by commas.

    Args:
        text: places are checkpoints, or targets as `parse_target` takes them; without a name a network is called what the paper calls it.
        name: of the option, for errors.
        known: networks by name that are loaded already; one of the same place is not loaded again.

    Raises:
        InputError: none, a name twice, or no network at a place.
    """
    places = named_places(text)
    if not places:
        raise InputError(f"Expected `--{name}` to name networks, but got none; for example --{name} float.ckpt,w1a1=other.ckpt.")
    found: list[Network] = []
    for label, place in places:
        network = _load(label, place)
        if any(other.name == network.name for other in found):
            raise InputError(f"Expected `--{name}` with different names, but {network.name!r} comes twice; write name=path.")
        same = (known or {}).get(network.name)
        found.append(same if same is not None and same.identity == network.identity else network)
    return found


def _load(label: str, where: str) -> Network:
    if where.partition(":")[0] in KINDS:
        named = parse_target(where)
        if named.kind != "torch":
            target = open_target(named)
            return Network(label or f"{target.label} {named.kind}", target)
        where = named.place
    path = Path(where).expanduser()
    model = load_classifier(path, read_checkpoint(path))
    return Network(label or model.label, model, path)
