"""The paper's five attacks with its parameters on networks of the zoo, and the masking diagnostics: `docs/paper_attacks.md`.

    python benchmarks/paper_attacks.py --data data/cifar10.npz [--out runs/paper_attacks] [--networks float w1a1 w2a2] [--attacks FGSM ...]

Takes hours on a CPU core, most of them ZOO on the float network. It can be interrupted at any time: given again it goes on after the last
finished image. What is finished is in the page; the numbers of images are below. Paper: Table 3, CIFAR10, full width, 1000 images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "paper_attacks.md"
#: how many images of the seeded subset each attack gets; ZOO on the float network computes all of its queries
IMAGES = {"FGSM": 10_000, "BIM": 1_000, "CWl2": 300, "SPSA": 50, "ZOO": 30}
FLOAT_ZOO = 10
#: the paper's adversarial accuracy and mean l2 (Table 3)
PAPER = {
    "float": {"FGSM": (0.12, 1.65), "BIM": (0.07, 1.17), "CWl2": (0.03, 0.58), "SPSA": (0.0, 1.37), "ZOO": (0.0, 0.72)},
    "w1a1": {"FGSM": (0.66, 1.65), "BIM": (0.66, 1.01), "CWl2": (0.11, 0.78), "SPSA": (0.16, 1.31), "ZOO": (0.56, 0.10)},
    "w2a2": {"FGSM": (0.19, 1.65), "BIM": (0.06, 1.14), "CWl2": (0.06, 0.60), "SPSA": (0.0, 1.34), "ZOO": (0.83, 0.13)},
}


def qlight(verb: str, *options: str) -> None:
    """Run a verb on the test split; its table goes to standard output."""
    command = [sys.executable, "-m", "qlight", verb, "--config", str(ROOT / "configs/data/arrays.yaml"), *options]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path})


def share(value: float | None, low: float | None, high: float | None) -> str:
    return "-" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def row(network: str, result: dict[str, Any]) -> str:
    attack, images = result["attack"], result["images"]
    accuracy, l2 = PAPER[network][attack]
    cells = [
        network,
        attack,
        str(images),
        f"{result['clean_accuracy']:.3f}",
        share(*(result[f"adversarial_accuracy{end}"] for end in ("", "_low", "_high"))),
        f"{accuracy:.2f}",
        share(*(result[f"adversarial_accuracy_of_correct{end}"] for end in ("", "_low", "_high"))),
        "-" if result["mean_l2_flipped"] is None else f"{result['mean_l2_flipped']:.3f}",
        "-" if result["mean_linf_flipped"] is None else f"{result['mean_linf_flipped']:.3f}",
        f"{l2:.2f}",
        f"{result['queries'] / images:,.0f}",
        f"{result['forwards'] / images:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def page(out: Path) -> str:
    """The page, from what is finished."""
    lines = [
        "# The paper's attacks on the networks of this repository",
        "",
        "CIFAR-10, **a quarter of the paper's width**, 12 epochs; `configs/attack/paper.yaml` (Tables 11 to 15) on seeded subsets of the "
        "test images, one CPU. In brackets 95 % Wilson intervals. *Paper* is its Table 3: full width, 1000 images. *acc* counts all "
        "images, *acc of right* those that were classified right before the attack; l2 and l-infinity are means over the images that the "
        "attack turned from right to wrong. *Computed* are the forward passes that were run: ZOO's filter knows the answers to the other "
        "queries, see `qlight.attacks.ZOO`. ZOO leaves misclassified images alone, as in the paper.",
        "",
        "```sh",
        "python benchmarks/paper_attacks.py --data data/cifar10.npz",
        "```",
        "",
        "| network | attack | images | clean | acc | paper | acc of right | l2 | linf | paper's l2 | queries an image | computed |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for network in PAPER:
        for attack in IMAGES:
            path = out / f"{network}-{attack}" / "results.json"
            if path.is_file():
                lines += [row(network, result) for result in json.loads(path.read_text())]
    found = {network: out / f"{network}-diagnose" / "diagnostics.json" for network in PAPER}
    diagnoses = {network: json.loads(path.read_text()) for network, path in found.items() if path.is_file()}
    return "\n".join([*lines, *(masking(diagnoses) if diagnoses else [])]) + "\n"


def masking(diagnoses: dict[str, dict[str, Any]]) -> list[str]:
    """What `python -m qlight diagnose` says of the networks, as Markdown: a line a diagnostic."""
    first = next(iter(diagnoses.values()))
    lines = [
        "",
        "## Does a failed attack mean robustness?",
        "",
        f"`python -m qlight diagnose` on the first {first['images']} test images; attacks and differences on those of them that are "
        "classified right. A figure in bold fails its diagnostic.",
        "",
        f"| diagnostic | what is measured | passes | {' | '.join(diagnoses)} |",
        f"|---|---|---|{'---|' * len(diagnoses)}",
    ]
    tables = {network: {one["name"]: one for one in found["diagnostics"]} for network, found in diagnoses.items()}
    for name, one in tables[next(iter(diagnoses))].items():
        cells = [name.replace("_", " "), one["measured"].replace("|", "\\|"), f"{one['comparison']} {one['threshold']:g}"]
        for table in tables.values():
            figure, status = table[name]["figure"], table[name]["status"]
            text = "-" if figure is None else f"{float(figure):.3g}"
            cells.append(f"**{text}**" if status == "fail" else text)
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "![Difference quotients against h, success against eps and iterations, w1a1](diagnose_w1a1.png)"]
    for network, found in diagnoses.items():
        lines += ["", f"**{network}**: {found['verdict']}"]
        lines += [f"* {one['verdict']}" for one in found["diagnostics"] if one["status"] == "fail"]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data/cifar10.npz", help=".npz as configs/data/arrays.yaml says")
    parser.add_argument("--out", type=Path, default=Path("runs/paper_attacks"))
    parser.add_argument("--networks", nargs="*", default=list(PAPER), choices=list(PAPER))
    parser.add_argument("--attacks", nargs="*", default=list(IMAGES), choices=list(IMAGES))
    parser.add_argument("--no-diagnose", action="store_true")
    options = parser.parse_args()
    preset = yaml.safe_load((ROOT / "configs/attack/paper.yaml").read_text())["attacks"]
    for network in options.networks:
        common = ["--data.path", options.data, "--ckpt_path", f"zoo:cifar10-{network}-x0.25"]
        for attack in options.attacks:
            limit = FLOAT_ZOO if (network, attack) == ("float", "ZOO") else IMAGES[attack]
            folder = str(options.out / f"{network}-{attack}")
            qlight("attack", *common, "--data.limit", str(limit), "--attacks", json.dumps({attack: preset[attack]}), "--out", folder)
            PAGE.write_text(page(options.out))
        if not options.no_diagnose:
            others = [f"zoo:cifar10-{other}-x0.25" for other in PAPER if other != network]
            qlight("diagnose", *common, "--sources", ",".join(others), "--out", str(options.out / f"{network}-diagnose"))
            PAGE.write_text(page(options.out))
    PAGE.write_text(page(options.out))


if __name__ == "__main__":
    main()
