"""``python -m qlight curves``: pictures of what attacks cost, from the folders that `attack` left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qlight.options import OptionParser


def main(args: Sequence[str]) -> None:
    """Draw the attacks of some folders.

    Raises:
        InputError: an option is wrong, or a folder is none that `attack` left.
    """
    parser = OptionParser("curves", "folders of `attack` and `--out FILE`")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(args)
    from qlight.evaluation.curve_pictures import save_curves
    from qlight.evaluation.curves import load_attacks

    attacks = load_attacks(options.folders)
    print(f"wrote {save_curves(attacks, options.out or options.folders[0] / 'curves.png')}: {len(attacks)} attacks")
