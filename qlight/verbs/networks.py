"""The networks that a command line names: checkpoints, and folders of deployed graphs."""

from __future__ import annotations

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


def load_networks(text: str | None, name: str, known: dict[str, Network] | None = None) -> list[Network]:
    """The networks that a command line names: `place` or `name=place`, separated by commas.

    Args:
        text: places are checkpoints, or targets as `parse_target` takes them; without a name a network is called what the paper calls it.
        name: of the option, for errors.
        known: networks by name that are loaded already; one of the same place is not loaded again.

    Raises:
        InputError: none, a name twice, or no network at a place.
    """
    places = [place.strip() for place in (text or "").split(",") if place.strip()]
    if not places:
        raise InputError(f"Expected `--{name}` to name networks, but got none; for example --{name} float.ckpt,w1a1=other.ckpt.")
    found: list[Network] = []
    for place in places:
        name_and_place, mark, options = place.partition("?")  # those of a board's address have = too
        label, _, where = name_and_place.rpartition("=")
        network = _load(label, where + mark + options)
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
