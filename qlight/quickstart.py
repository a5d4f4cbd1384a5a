"""``python -m qlight quickstart``: train a float and a binary network on embedded data, attack both, print one table, draw one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightning as L

from qlight.attacks import AttackSuite
from qlight.cli import run
from qlight.evaluation import ResultRow, evaluate, print_table, read_checkpoint, save_results
from qlight.models.checkpoint import load_classifier
from qlight.noise import quiet
from qlight.options import OptionParser

# What a CPU with two cores does in a few minutes. The networks are the paper's for SVHN at an eighth of its width.
DATA = ["--data", "SyntheticDigits", "--data.train_size", "10000", "--data.test_size", "500"]
TRAINING = ["--model.network", "svhn", "--model.width", "0.125", "--model.decay_epochs", "1", "--model.decay_rate", "0.7"]
NETWORKS = {
    "float": ["--model.learning_rate", "0.002", "--trainer.max_epochs", "3"],
    "w1a1": [
        *("--model.weight_bit_width", "1", "--model.activation_bit_width", "1"),
        *("--model.learning_rate", "0.005", "--trainer.max_epochs", "9"),
    ],
}
# Tables 11 and 12, with a fifth of BIM's iterations at five times their step
SUITE = AttackSuite.from_value(
    {
        "FGSM": {"class_path": "torchattacks.FGSM", "init_args": {"eps": 0.03}},
        "BIM": {"class_path": "torchattacks.BIM", "init_args": {"eps": 0.03, "alpha": 0.0015, "steps": 20}},
    }
)


def main(args: Sequence[str]) -> list[ResultRow]:
    """Run the quickstart; ``args`` may hold ``--out DIR``.

    Returns:
        a row for each of two networks and two attacks.
    """
    parser = OptionParser("quickstart", "only `--out DIR`")
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"))
    out: Path = parser.parse_args(args).out
    rows: list[ResultRow] = []
    for name, options in NETWORKS.items():
        print(f"\n== training the {name} network on SyntheticDigits", flush=True)
        fitted = run(["fit", *DATA, *TRAINING, *options, "--trainer.default_root_dir", str(out), "--trainer.enable_model_summary", "false"])
        checkpoint = Path(fitted.trainer.checkpoint_callback.best_model_path)  # type: ignore[union-attr]
        print(f"== attacking the {name} network", flush=True)
        network = load_classifier(checkpoint, read_checkpoint(checkpoint))
        trainer = L.Trainer(inference_mode=False, logger=False, enable_model_summary=False, default_root_dir=str(out))
        data = fitted.datamodule
        with quiet():
            rows += evaluate(trainer, network, SUITE, data, checkpoint=checkpoint, picture=out / f"{name}.png")
    print_table(rows)
    save_results(rows, out)
    print("wrote " + ", ".join(str(out / name) for name in ("results.csv", "results.json", "float.png", "w1a1.png")))
    return rows
