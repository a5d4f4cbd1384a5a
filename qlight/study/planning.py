"""From a configuration to the tasks of its study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qlight import zoo
from qlight.evaluation import file_sha256
from qlight.study.configuration import Configuration, images_of
from qlight.study.task import Plan, Task

#: CPU-seconds of a query or a gradient on one core, at a quarter of the CIFAR10 network's width: roughly
_SECONDS = 0.0015
_TRAINING_SECONDS = 900.0
_STEPS, _COMPARING = "qlight.study.steps", "qlight.study.comparing"
PAPER = "paper"


def make_plan(configuration: Configuration) -> Plan:
    """The tasks of a study: networks, graphs, attacks, transfer, ensemble, analyses; and the report, which needs all others."""
    tasks = [*_networks(configuration), *_attacks(configuration), *_comparisons(configuration), *_alone(configuration)]
    needs = tuple(task.name for task in tasks)
    report = {"name": configuration.name, "dataset": configuration.dataset, "data": configuration.data, "seed": configuration.seed}
    return Plan([*tasks, Task("report", "qlight.study.report.write", report, needs, "report", 20.0)])


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
            yield Task(task, f"{_STEPS}.train", options, (), "training", _TRAINING_SECONDS)
        else:
            sha256 = file_sha256(zoo.resolve(source))
            yield Task(task, f"{_STEPS}.take", {"checkpoint": source, "sha256": sha256, "data": of.data}, (), "networks", 30.0)
        if "packed" in of.targets:
            yield Task(f"graph/{name}", f"{_STEPS}.export", {"data": of.data, "calibration": 256}, (task,), "graphs", 10.0)


def _bits(name: str) -> dict[str, int]:
    """Of a network of the paper: w2a32 has weights of 2 bits and real activations."""
    if name == "float":
        return {}
    weights, _, activations = name.removeprefix("w").partition("a")
    return {"weight_bit_width": int(weights), "activation_bit_width": int(activations)}


def _attacks(of: Configuration) -> Iterator[Task]:
    for preset, attacks in of.presets.items():
        for target in of.targets:
            for label, attack in attacks.items():
                for name in of.networks:
                    images = images_of(attack, name)
                    options = {"attack": {label: _spec(attack)}, "data": of.data, "images": images, "seed": of.seed}
                    needs = (f"network/{name}", *((f"graph/{name}",) if target == "packed" else ()))
                    yield Task(
                        f"attack/{target}/{preset}/{label}/{name}", f"{_STEPS}.attack", options, needs, "attacks", _cost(attack, images)
                    )


def _spec(attack: Mapping[str, Any]) -> dict[str, Any]:
    return {"class_path": attack["class_path"], "init_args": dict(attack.get("init_args", {}))}


def _cost(attack: Mapping[str, Any], images: int) -> float:
    """About how long an attack takes: its steps, and a share of the queries that most images do not need."""
    of = attack.get("init_args", {})
    queries = of.get("steps", 1) * of.get("restarts", 1) * of.get("search_steps", 1) * of.get("evaluations", 1)
    kind = attack["class_path"].rpartition(".")[2]
    return images * queries * {"SPSA": 0.3, "ZOO": 50.0, "CarliniWagnerL2": 0.6}.get(kind, 1.0) * _SECONDS


def _comparisons(of: Configuration) -> Iterator[Task]:
    """Attacks of the paper's preset from every network to every other, and on the ensemble: a task an attack, which has its own images."""
    paper = of.presets.get(PAPER, {})
    for section, chosen, names in (
        ("transfer", of.transfer, list(of.networks)),
        ("ensemble", of.ensemble, list((of.ensemble or {}).get("members", ()))),
    ):
        if chosen is None:
            continue
        for label, images in chosen["attacks"].items():
            kappas = list(chosen.get("kappas", ())) if "kappa" in paper[label].get("init_args", {}) else []
            options = {
                "names": names,
                "data": of.data,
                "attacks": {label: _spec(paper[label])},
                "images": images,
                "kappas": kappas,
                "seed": of.seed,
            }
            same = [name for name in names if images_of(paper[label], name) == images]
            needs = (
                *(f"network/{name}" for name in names),
                *(f"attack/torch/{PAPER}/{label}/{name}" for name in same if "torch" in of.targets),
            )
            crafting = len(names) * _cost(paper[label], images) * max(1, len(kappas))
            if section == "ensemble":
                options["m"] = chosen["m"]
                if label in of_transfer(of) and of_transfer(of)[label] == images:
                    needs = (*needs, f"transfer/{label}")
            yield Task(f"{section}/{label}", f"{_COMPARING}.{section}", options, needs, "attacks", crafting)
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
        yield Task("ensemble/adaptive", f"{_COMPARING}.ensemble", options, needs, "attacks", adaptive["images"] * len(names) * 2.0)


def of_transfer(of: Configuration) -> Mapping[str, int]:
    """Images by attack that transfer is measured on."""
    return (of.transfer or {}).get("attacks", {})


def _alone(of: Configuration) -> Iterator[Task]:
    names = list(of.networks)
    needs = tuple(f"network/{name}" for name in names)
    if of.gradients is not None:
        options = {"names": names, "data": of.data, "images": of.gradients["images"]}
        yield Task("gradients", f"{_COMPARING}.gradients", options, needs, "analyses", 0.05 * len(names) * of.gradients["images"])
    if of.spread is not None:
        options = {"names": names, "data": of.data, **of.spread, "seed": of.seed}
        yield Task("spread", f"{_COMPARING}.spread", options, needs, "analyses", 0.05 * len(names) * of.spread["images"])
    if of.shift is not None:
        chosen = list(of.shift.get("networks", names))
        options = {"names": chosen, "data": of.data, "attacks": of.shift["attacks"], "images": of.shift["images"], "seed": of.seed}
        needs = tuple(f"network/{name}" for name in chosen)
        yield Task("shift", f"{_COMPARING}.shift", options, needs, "analyses", 0.1 * len(chosen) ** 2 * of.shift["images"])
    if of.diagnose is not None:
        for name in of.diagnose.get("networks", names):
            options = {"data": of.data, "images": of.diagnose["images"], "seed": of.seed}
            yield Task(
                f"diagnose/{name}", f"{_COMPARING}.diagnose", options, (f"network/{name}",), "analyses", 20.0 * of.diagnose["images"]
            )
