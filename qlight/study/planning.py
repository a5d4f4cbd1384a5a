"""From a configuration to the tasks of its study."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from qlight import zoo
from qlight.attacks.spec import AttackSpec
from qlight.errors import InputError
from qlight.evaluation import file_sha256
from qlight.evaluation.analysis.kappa import own_kappa
from qlight.study.configuration import EPS, PACKED, TORCH, Configuration, images_of
from qlight.study.costs import attack_cost, query_cost, training_cost
from qlight.study.task import Plan, Task
from qlight.zoo.store import find

_STEPS, _COMPARING, _DEPLOYED = "qlight.study.steps", "qlight.study.comparing", "qlight.study.deployed"
PAPER = "paper"
_CHEAP = ("gradients", "spread")
_ADAPTIVE = "ensemble/adaptive"


def make_plan(configuration: Configuration) -> Plan:
    """The tasks of a study, and the report, which needs all others.

    The order is that in which results are worth most where time runs out: networks, what is cheap, then attack after attack in the order
    of the file, each on all networks, from each to each, on the ensemble and as deployed, before the next. What else takes gradients comes
    before the first attack without: those take the longest.
    """
    of = configuration
    _check_attacks(of)
    networks, graphs, analyses = [*_networks(of)], [*_graphs(of)], [*_analyses(of)]
    cheap = [task for task in analyses if task.name in _CHEAP]
    later = [*_other_eps(of), *(task for task in analyses if task not in cheap)]
    tasks = [*networks, *cheap, *_attacks(of, later), *_rtlsim(of)]
    needs = tuple(task.name for task in [*tasks, *graphs])
    report = {"name": of.name, "dataset": of.dataset, "data": of.data, "seed": of.seed}
    # a plan has each graph before the first task that needs it
    return Plan([*tasks, *graphs, Task("report", "qlight.study.report.write", report, needs, "report", 20.0)])


def _check_attacks(of: Configuration) -> None:
    """Refuse an attack that cannot be now: its task might be the last."""
    for section in (*of.presets.values(), (of.shift or {}).get("attacks", {}), (of.ensemble or {}).get("adaptive", {}).get("attacks", {})):
        for label, attack in section.items():
            _checked(attack, label)


def _networks(of: Configuration) -> Iterator[Task]:
    training = of.training
    for name, source in of.networks.items():
        task = f"network/{name}"
        if source == "train":
            own = training.get("networks", {}).get(name, {})
            options = {
                "data": {**of.data, "init_args": {**of.data.get("init_args", {}), **training.get("data", {})}},
                "model": {**training.get("model", {}), **_bits(name), **own.get("model", {})},
                "trainer": {**training.get("trainer", {}), **own.get("trainer", {})},
                "seed": of.seed,
            }
            yield Task(task, f"{_STEPS}.train", options, (), "training", training_cost(options))
        else:
            # not of the zoo's checkpoint, whose bytes depend on the version of torch that writes it
            sha256 = find(source).sha256 if source.startswith(zoo.PREFIX) else file_sha256(source)
            yield Task(task, f"{_STEPS}.take", {"checkpoint": source, "sha256": sha256, "data": of.data}, (), "networks", 30.0)


def _graphs(of: Configuration) -> Iterator[Task]:
    needed = of.networks if PACKED in of.targets else (of.rtlsim or {}).get("networks", of.networks) if of.rtlsim is not None else ()
    for name in needed:
        yield Task(f"graph/{name}", f"{_STEPS}.export", {"data": of.data, "calibration": 256}, (f"network/{name}",), "graphs", 10.0)


def _bits(name: str) -> dict[str, int]:
    """Of a network of the paper: w2a32 has weights of 2 bits and real activations."""
    if name == "float":
        return {}
    weights, _, activations = name.removeprefix("w").partition("a")
    return {"weight_bit_width": int(weights), "activation_bit_width": int(activations)}


def _attacks(of: Configuration, later: list[Task]) -> Iterator[Task]:
    """Attack after attack, with what is made across networks; ``later``: what comes before the first attack without gradients."""
    across = {task.name: task for task in _comparisons(of)}
    if _ADAPTIVE in across:
        later = [across.pop(_ADAPTIVE), *later]
    for preset, attacks in of.presets.items():
        for label, attack in attacks.items():
            spec = _checked(attack, label)
            if not spec.needs_gradients:
                yield from later
                later = []
            for target in of.targets:
                for name in of.networks:
                    yield _attack(of, target, preset, label, name, reuse=spec.needs_gradients is True)
                if target == TORCH and preset == PAPER:
                    yield from (across.pop(name) for name in (f"transfer/{label}", f"ensemble/{label}") if name in across)
            if {TORCH, PACKED} <= set(of.targets):
                names = list(of.networks)
                needs = tuple(f"attack/{target}/{preset}/{label}/{name}" for name in names for target in (TORCH, PACKED))
                yield Task(f"pixels/{preset}/{label}", f"{_DEPLOYED}.pixels", {"names": names, "attack": label}, needs, "deployed", 2.0)
    yield from (*across.values(), *later)


def _other_eps(of: Configuration) -> Iterator[Task]:
    """The paper's attacks with other eps, on the networks as trained."""
    other: Mapping[str, Any] = of.eps or {"attacks": (), "values": (), "images": 0}
    for label, value in itertools.product(other["attacks"], other["values"]):
        (attack, eps), images = _with_eps(of.presets[PAPER][label], label, value), other["images"]
        for name in of.networks:
            options = {"attack": {f"{label} {eps:g}": attack}, "data": of.data, "images": images, "seed": of.seed}
            task, cost = f"attack/{TORCH}/{EPS}/{label} {eps:g}/{name}", _cost(of, attack, images, name)
            yield Task(task, f"{_STEPS}.attack", options, (f"network/{name}",), "attacks", cost)


def _attack(of: Configuration, target: str, preset: str, label: str, name: str, reuse: bool) -> Task:
    """One attack on one network; ``reuse``: what was crafted on the network is judged on its graph."""
    attack = of.presets[preset][label]
    images = images_of(attack["images"], name)
    options = {"attack": {label: _spec(attack)}, "data": of.data, "images": images, "seed": of.seed}
    needs, cost = (f"network/{name}",), _cost(of, attack, images, name, target)
    if target == PACKED:
        needs = (*needs, f"graph/{name}")
        if reuse and TORCH in of.targets:
            needs, cost = (*needs, f"attack/{TORCH}/{preset}/{label}/{name}"), 5.0
    return Task(f"attack/{target}/{preset}/{label}/{name}", f"{_STEPS}.attack", options, needs, "attacks", cost)


def _with_eps(attack: Mapping[str, Any], label: str, value: float | str) -> tuple[dict[str, Any], float]:
    """An attack with another eps, and steps in proportion: BIM with the paper's would not reach a larger one; and that eps as a number."""
    spec, own = _spec(attack), _checked(attack, label).init_args
    eps = _checked({**spec, "init_args": {**spec["init_args"], "eps": value}}, label).init_args["eps"]
    steps = {name: own[name] for name in ("alpha", "step_size") if name in own}
    for name, number in {**steps, "eps": own["eps"], "values": eps}.items():
        if not isinstance(number, int | float):  # a class that does not say of what kind its arguments are
            raise InputError(
                f"Expected `{name}` of attack `{label}` to be a number where other eps are asked for, but got {number!r}; write one."
            )
    scaled = {name: step * eps / own["eps"] for name, step in steps.items()}
    return {**spec, "init_args": {**spec["init_args"], **scaled, "eps": eps}}, eps


def _rtlsim(of: Configuration) -> Iterator[Task]:
    """Graphs in simulation, on the images of the paper's attacks on them."""
    if of.rtlsim is None:
        return
    labels = list(of.presets.get(PAPER, {})) if PACKED in of.targets else []
    for name in of.rtlsim.get("networks", of.networks):
        options = {"data": of.data, "images": of.rtlsim["images"], "attacks": labels}
        needs = (f"graph/{name}", *(f"attack/{PACKED}/{PAPER}/{label}/{name}" for label in labels))
        yield Task(f"rtlsim/{name}", f"{_DEPLOYED}.rtlsim", options, needs, "deployed", 60.0)


def _spec(attack: Mapping[str, Any]) -> dict[str, Any]:
    return {"class_path": attack["class_path"], "init_args": dict(attack.get("init_args", {}))}


def _checked(attack: Mapping[str, Any], label: str = "attack") -> AttackSpec:
    """An attack with numbers where the file may have fractions such as 8/255."""
    return AttackSpec.create(label, attack["class_path"], attack.get("init_args"))


def _cost(of: Configuration, attack: Mapping[str, Any], images: int, network: str, target: str = TORCH) -> float:
    spec = _checked(attack)
    of_kind = {"class_path": spec.class_path, "init_args": spec.init_args}
    return attack_cost(of_kind, images, network, packed=target == PACKED, width=_width(of, network))


def _width(of: Configuration, network: str) -> float:
    return of.training.get("model", {}).get("width", 1.0) if of.networks[network] == "train" else 0.25  # of the zoo's


def _comparisons(of: Configuration) -> Iterator[Task]:
    """Attacks of the paper's preset from every network to every other, and on the ensemble: a task an attack, which has its own images."""
    paper = of.presets.get(PAPER, {})
    for section, chosen, names in (
        ("transfer", of.transfer, list(of.networks)),
        ("ensemble", of.ensemble, list((of.ensemble or {}).get("members", ()))),
    ):
        if chosen is None:
            continue
        for label, wanted in chosen["attacks"].items():
            spec, counts = _checked(paper[label], label), {name: images_of(wanted, name) for name in names}
            kappas = list(chosen.get("kappas", ())) if own_kappa(spec) is not None else []
            options = {
                "names": names,
                "data": of.data,
                "attacks": {label: _spec(paper[label])},
                "images": counts if len({*counts.values()}) > 1 else next(iter(counts.values())),
                "kappas": kappas,
                "seed": of.seed,
            }
            same = [name for name in names if images_of(paper[label]["images"], name) == counts[name] and TORCH in of.targets]
            needs = (*(f"network/{name}" for name in names), *(f"attack/{TORCH}/{PAPER}/{label}/{name}" for name in same))
            crafted = [*(name for name in names if name not in same), *(name for name in names for _ in kappas)]
            judging = sum(counts.values()) * (1 + len(kappas)) * sum(query_cost(name, width=_width(of, name)) for name in names)
            cost = 10.0 + judging + sum(_cost(of, paper[label], counts[name], name) for name in crafted)
            if section == "ensemble":
                options["m"] = chosen["m"]
                transferred = (of.transfer or {}).get("attacks", {}).get(label)
                if transferred is not None and all(images_of(transferred, name) == counts[name] for name in names):
                    needs, cost = (*needs, f"transfer/{label}"), 10.0
            yield Task(f"{section}/{label}", f"{_COMPARING}.{section}", options, needs, "attacks", cost)
    if of.ensemble is not None and "adaptive" in of.ensemble:
        adaptive = of.ensemble["adaptive"]
        names = list(of.ensemble["members"])
        label = next(iter(of.ensemble["attacks"]))
        options = {
            "names": names,
            "data": of.data,
            "attacks": {label: _spec(paper[label])},
            "adaptive": adaptive["attacks"],
            "images": adaptive["images"],
            "kappas": [],
            "m": of.ensemble["m"],
            "seed": of.seed,
        }
        needs = tuple(f"network/{name}" for name in names)
        yield Task(_ADAPTIVE, f"{_COMPARING}.ensemble", options, needs, "attacks", _adaptive_cost(of))


def _adaptive_cost(of: Configuration) -> float:
    """The attacks on all members at once."""
    assert of.ensemble is not None
    adaptive = of.ensemble["adaptive"]
    return sum(_cost(of, attack, adaptive["images"], name) for attack in adaptive["attacks"].values() for name in of.ensemble["members"])


def _analyses(of: Configuration) -> Iterator[Task]:
    names = list(of.networks)
    needs = tuple(f"network/{name}" for name in names)
    if of.gradients is not None:
        options = {"names": names, "data": of.data, "images": of.gradients["images"]}
        yield Task("gradients", f"{_COMPARING}.gradients", options, needs, "analyses", 0.005 * len(names) * of.gradients["images"])
    if of.spread is not None:
        options = {"names": names, "data": of.data, **of.spread, "seed": of.seed}
        yield Task("spread", f"{_COMPARING}.spread", options, needs, "analyses", 0.6 * len(names) * of.spread["difference_images"])
    if of.shift is not None:
        chosen = list(of.shift.get("networks", names))
        options = {"names": chosen, "data": of.data, "attacks": of.shift["attacks"], "images": of.shift["images"], "seed": of.seed}
        needs = tuple(f"network/{name}" for name in chosen)
        yield Task("shift", f"{_COMPARING}.shift", options, needs, "attacks", 0.07 * len(chosen) ** 2 * of.shift["images"])
    if of.diagnose is not None:
        for name in of.diagnose.get("networks", names):
            options = {"data": of.data, "images": of.diagnose["images"], "seed": of.seed}
            yield Task(f"diagnose/{name}", f"{_COMPARING}.diagnose", options, (f"network/{name}",), "attacks", 6.0 * of.diagnose["images"])
