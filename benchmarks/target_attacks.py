"""SPSA and ZOO on the deployed networks, beside the same attacks on the trained ones: `docs/target_attacks.md`.

    python benchmarks/target_attacks.py --data data/cifar10.npz [--out runs/target_attacks] [--networks w1a1 w2a2] [--attacks SPSA ...]

Exports networks of the zoo to integer graphs, then attacks graph (`--target packed:`) and checkpoint with both presets. Takes
some hours on a CPU core, most of them ZOO's strong preset on the torch networks. Given again it goes on after the last finished image.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml
from paper_attacks import ROOT, qlight, share

PAGE = ROOT / "docs" / "target_attacks.md"
NETWORKS = ("w1a1", "w2a2")
#: how many images of the seeded subset each attack of each preset gets
IMAGES = {("paper", "SPSA"): 50, ("strong", "SPSA"): 50, ("paper", "ZOO"): 30, ("strong", "ZOO"): 10}


def row(network: str, target: str, preset: str, result: dict[str, Any]) -> str:
    images = result["images"]

    def mean(name: str) -> str:
        return "-" if result[name] is None else f"{result[name]:.3f}"

    cells = [
        network,
        target,
        f"{result['attack']}, {preset}",
        str(images),
        f"{result['clean_accuracy']:.3f}",
        share(*(result[f"adversarial_accuracy{end}"] for end in ("", "_low", "_high"))),
        share(*(result[f"adversarial_accuracy_of_correct{end}"] for end in ("", "_low", "_high"))),
        mean("mean_l2_flipped"),
        mean("mean_linf_flipped"),
        f"{result['queries'] / images:,.0f}",
        f"{result['forwards'] / images:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def page(out: Path) -> str:
    """The page, from what is finished."""
    lines = [
        "# Attacks on the deployed networks",
        "",
        "The same attacks on the trained network (*torch*: real-valued images and boundary layers) and on its integer graph on the packed "
        "engine (*packed*: 8-bit pixels, 8-bit first and last layer, as the hardware computes it). CIFAR-10, **a quarter of the paper's "
        "width**, seeded subsets of the test images, one CPU. On the packed target every image is rounded to 8 bits before it is asked "
        "about, and what is reported is the rounded one, so l-infinity may exceed eps = 0.03 (7.65 levels) by up to half a level (0.0314 "
        "is 8 levels). *acc* counts all images, *acc of right* those that were classified right before the attack, with 95 % Wilson "
        "intervals; l2 and l-infinity are means over the images turned from right to wrong. *Computed* are the queries whose answer ZOO's "
        "filter did not know without asking.",
        "",
        "```sh",
        "python benchmarks/target_attacks.py --data data/cifar10.npz",
        "```",
        "",
        "| network | target | attack, preset | images | clean | acc | acc of right | l2 | linf | queries an image | computed |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for network in NETWORKS:
        for preset, attack in IMAGES:
            for target in ("torch", "packed"):
                path = out / f"{network}-{target}-{preset}-{attack}" / "results.json"
                if path.is_file():
                    lines += [row(network, target, preset, result) for result in json.loads(path.read_text())]
    lines += ["", "## What changes on 8-bit pixels", ""]
    for network in NETWORKS:
        for preset, h in (("paper", "1e-4"), ("strong", "0.01")):
            path = out / f"{network}-packed-{preset}-ZOO" / "results.json"
            if path.is_file():
                (found,) = json.loads(path.read_text())
                alike = 1 - found["forwards"] / found["queries"]
                lines.append(
                    f"* {network}, ZOO's {preset} preset (h = {h} in tanh space): {alike:.1%} of the queries round to pixels whose answer "
                    "is known."
                )
    lines += [
        "",
        "SPSA, whose delta of 0.01 is 2.55 levels, does on pixels what it does on real numbers, at a distance larger by the rounding. A "
        "difference of ZOO's paper preset is far below a level: it sees a change only where a pixel happens to lie at the edge between two "
        "levels. That it still turns as many images, within the intervals, says that what it follows on these networks is no gradient.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/cifar10.npz", help=".npz as configs/data/arrays.yaml says")
    parser.add_argument("--out", type=Path, default=Path("runs/target_attacks"))
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--attacks", nargs="*", default=["SPSA", "ZOO"], choices=["SPSA", "ZOO"])
    parser.add_argument("--targets", nargs="*", default=["packed", "torch"], choices=["packed", "torch"])
    options = parser.parse_args()
    presets = {name: yaml.safe_load((ROOT / f"configs/attack/{name}.yaml").read_text())["attacks"] for name in ("paper", "strong")}
    for network in options.networks:
        checkpoint = f"zoo:cifar10-{network}-x0.25"
        graph = options.out / f"{network}-graph"
        data = ["--data.path", options.data]
        if not (graph / "graph.json").is_file():
            qlight("export", *data, "--ckpt_path", checkpoint, "--images", "0", "--out", str(graph))
        where = {"packed": ["--target", f"packed:{graph}"], "torch": ["--ckpt_path", checkpoint]}
        for target in options.targets:
            for (preset, attack), images in IMAGES.items():
                if attack in options.attacks:
                    suite = json.dumps({attack: presets[preset][attack]})
                    folder = str(options.out / f"{network}-{target}-{preset}-{attack}")
                    qlight("attack", *data, *where[target], "--data.limit", str(images), "--attacks", suite, "--out", folder)
                    PAGE.write_text(page(options.out))
    PAGE.write_text(page(options.out))


if __name__ == "__main__":
    main()
