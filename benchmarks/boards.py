"""The paper's nine networks at full width on every board: `docs/boards.md` and `docs/boards.png`.

    python benchmarks/boards.py [--networks w1a1 w2a2 ...] [--boards pynq_z2 ...] [--width 1] [--out docs]

A plan needs shapes and bit widths only: weights are random. Networks with real activations (wNa32) are deployed with 8-bit unsigned ones,
the float network with 8-bit weights and activations; a few are shown with 4-bit activations too. Takes some ten minutes of one core.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from engine import random_graph

from qlight.errors import InputError
from qlight.hardware.boards import DRAM_EFFICIENCY, SHELL, ULTRASCALE, USABLE, Board, board_names, load_board
from qlight.hardware.folding import DSP, DSP4
from qlight.hardware.layers import layers
from qlight.hardware.memories import ULTRA
from qlight.hardware.plan import HEADINGS, Plan, make_plan
from qlight.hardware.resources import model
from qlight.hardware.solver import LIMITED, Solver

NETWORKS = {"float": (8, 8), **{f"w{n}a{n}": (n, n) for n in range(1, 5)}, **{f"w{n}a32": (n, 8) for n in range(1, 5)}}
#: what becomes of networks with real activations where these are exported with 4 bits (w4a32 is as w4a4 then)
FEWER = {f"w{n}a32 with a4": (n, 4) for n in range(1, 4)}
Found = dict[tuple[str, str], Plan | str]


def plans(networks: list[str], boards: list[Board], width: float) -> Found:
    """A plan, or the sentence that says why there is none, by (network, board)."""
    found: Found = {}
    for network in networks:
        graph = random_graph("cifar10", width, *(NETWORKS | FEWER)[network])
        known: dict[tuple[str, int, bool], Any] = {}
        for board in sorted(boards, key=lambda board: not board.resources.uram):
            start = time.perf_counter()
            key = (board.family, board.port_bits, board.resources.uram > 0)
            if key not in known and (*key[:2], True) in known:  # the same without UltraRAM
                known[key] = [[choice for choice in of if choice.fold.memory != ULTRA] for of in known[(*key[:2], True)]]
            if key not in known:
                known[key] = Solver(layers(graph), board).options
            try:
                plan: Plan | str = make_plan(graph, board, options=known[key])
            except InputError as error:
                plan = str(error)
            found[network, board.name] = plan
            said = (
                plan
                if isinstance(plan, str)
                else f"{plan.fps:,.0f} images a second, {HEADINGS[plan.scarcest]} {plan.shares[plan.scarcest]:.0%}"
            )
            print(f"{network:<14} {board.name:<8} {time.perf_counter() - start:5.1f} s  {said}", flush=True)
    return found


def table(found: Found, board: Board, networks: list[str]) -> list[str]:
    lines = [f"## {board.title}", ""]
    have = board.resources
    lines.append(
        f"{board.part}: {have.lut:,} LUT, {have.ff:,} FF, {have.bram36:g} BRAM36, {have.uram} URAM, {have.dsp:,} DSP; "
        f"{board.clock_mhz:g} MHz; "
        f"DRAM {board.bytes_per_second / 1e9:g} GB/s, {board.ports} ports of {board.port_bits} bits. "
        + " ".join(f"*{group}*: {text}." for group, text in board.sources.items())
    )
    lines += [
        "",
        "| network | images/s, estimated | cycles | " + " | ".join(HEADINGS[kind] for kind in LIMITED) + " | slowest | streamed |",
    ]
    lines.append("|---|" + "---|" * (len(LIMITED) + 4))
    for network in networks:
        plan = found[network, board.name]
        if isinstance(plan, str):
            lines.append(f"| {network} | none: {plan} |" + " |" * (len(LIMITED) + 3))
            continue
        shares = " | ".join(f"**{plan.shares[kind]:.0%}**" if kind == plan.scarcest else f"{plan.shares[kind]:.0%}" for kind in LIMITED)
        streamed = ", ".join(layer.name for layer in plan.layers if layer.choice.fold.streamed) or "-"
        star = "" if plan.proven else " (not proven)"
        lines.append(f"| {network} | {plan.fps:,.0f}{star} | {plan.cycles:,} | {shares} | {plan.bottleneck} | {streamed} |")
    marks = "*s* streamed, *d* products in DSP slices, *u* weights in UltraRAM, *a* codes by an affine function instead of thresholds"
    lines += ["", f"PE x SIMD of each layer; {marks}:", ""]
    names = next((list(plan.folding) for plan in found.values() if isinstance(plan, Plan)), [])
    lines += ["| network | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for network in networks:
        plan = found[network, board.name]
        if isinstance(plan, Plan):
            lines.append(f"| {network} | " + " | ".join(_fold(layer) for layer in plan.layers) + " |")
    return [*lines, ""]


def _fold(layer: Any) -> str:
    fold = layer.choice.fold
    in_slices = fold.multiply in (DSP, DSP4) and layer.resources.dsp > 0
    marks = "s" * fold.streamed + "d" * in_slices + "u" * (fold.memory == ULTRA) + "a" * fold.affine
    return f"{fold.pe} x {fold.simd}" + (f" *{marks}*" if marks else "")


def document(found: Found, boards: list[Board], networks: list[str], width: float) -> str:
    errors = model()["errors"].get("mvtu", {})
    usable = ", ".join(f"{share:.0%} of {HEADINGS[kind]}" for kind, share in USABLE.items())
    lines = [
        "# The paper's networks on four boards",
        "",
        f"The CIFAR-10 network at {width:g} times the paper's width in its nine precisions, planned by `python -m qlight hardware "
        f"plan`: the fastest "
        "folding within the board, and of the fastest the smallest. **Estimates**: no board and no vendor tool was run. Cycles are "
        "exact for the "
        "pipeline (with memory ports that never make it wait); images a second are the board file's clock over the cycles. LUT and "
        "FF are those of "
        f"the resource model, fitted to Yosys (pyosys {model().get('made_by', {}).get('pyosys', '?')}; whole MVTUs that the fit has "
        f"not seen: "
        f"LUT off by {errors.get('lut', {}).get('median', 0):.1%} in the median, {errors.get('lut', {}).get('largest', 0):.1%} at "
        f"most). A plan may "
        f"take {usable}, less {SHELL['lut']:,} LUT, {SHELL['ff']:,} FF and {SHELL['bram18'] / 2:g} BRAM36 for the DMA and "
        f"interconnects, and "
        f"{DRAM_EFFICIENCY:.0%} of the DRAM's peak rate: these are assumptions. Shares are of that budget; the largest is bold. No "
        f"timing was "
        "analysed: wide folds may not reach the clock. Networks with real activations (float, wNa32) are exported with 8-bit "
        "activations; `export --activation_bit_width 4` makes what the last rows show. The 8-bit codes are affine functions of the "
        "accumulators (*a*), but for those of conv0, which keeps 255 thresholds a channel. `export --thresholds affine` makes such "
        "networks: it moves thresholds that torch's float32 put one accumulator beside such a function, and nothing else (of 950,000 "
        "thresholds of untrained networks of this width 16 with w1a32, 137 with w2a32, 2,448 with w4a32, 54,504 with float: "
        "`python benchmarks/affine.py`). With `--thresholds exact` one such threshold in a layer makes it need all, more than 20 Mbit in "
        "the whole network: too much for these boards.",
        "",
        "```sh",
        "python benchmarks/boards.py",
        "```",
        "",
        "![Estimated images a second of every network on every board, and the share of each resource](boards.png)",
        "",
    ]
    for board in boards:
        lines += table(found, board, networks)
    return "\n".join(lines)


def picture(found: Found, boards: list[Board], networks: list[str], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 0.7 + 2.5 * len(boards)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(boards), 2, width_ratios=[1, 1], squeeze=False)
    fastest = max((plan.fps for plan in found.values() if isinstance(plan, Plan)), default=1)
    for (left, right), board in zip(axes, boards, strict=True):
        shares = []
        for y, network in enumerate(networks):
            plan = found[network, board.name]
            if isinstance(plan, str):
                left.text(
                    1.2,
                    y,
                    "no design: " + plan.split(" than ")[0].removeprefix("Expected a board with "),
                    va="center",
                    fontsize=7.5,
                    color="#a33",
                )
                shares.append([0.0] * len(LIMITED))
                continue
            left.barh(y, plan.fps, color="#7fa8d1", edgecolor="#456")
            left.text(plan.fps * 1.08, y, f"{plan.fps:,.0f}  ({plan.bottleneck})", va="center", fontsize=7.5)
            shares.append([plan.shares[kind] for kind in LIMITED])
        left.set(xscale="log", xlim=(1, fastest * 12), ylim=(len(networks) - 0.4, -0.6))
        left.set_yticks(range(len(networks)), networks, fontsize=8)
        left.set_title(f"{board.title}, {board.clock_mhz:g} MHz: images a second, estimated (slowest layer)", fontsize=9, loc="left")
        left.tick_params(axis="x", labelsize=7)
        left.spines[["top", "right"]].set_visible(False)
        right.imshow(shares, cmap="YlOrRd", vmin=0, vmax=1.15, aspect="auto")
        for y, row in enumerate(shares):
            for x, share in enumerate(row):
                missing = isinstance(found[networks[y], board.name], str) or (LIMITED[x] == "uram" and not board.resources.uram)
                right.text(
                    x,
                    y,
                    "-" if missing else f"{share:.0%}",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if share > 0.75 else "#333",
                )
        right.set_xticks(range(len(LIMITED)), [HEADINGS[kind] for kind in LIMITED], fontsize=8)
        right.set_yticks([])
        right.set_title("share of the budget", fontsize=9, loc="left")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=[*NETWORKS, *FEWER], choices=[*NETWORKS, *FEWER])
    parser.add_argument("--boards", nargs="+", default=board_names())
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs")
    options = parser.parse_args()
    boards = sorted((load_board(name) for name in options.boards), key=lambda board: (board.family == ULTRASCALE, board.resources.lut))
    found = plans(options.networks, boards, options.width)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "boards.md").write_text(document(found, boards, options.networks, options.width), encoding="utf-8")
    picture(found, boards, options.networks, options.out / "boards.png")


if __name__ == "__main__":
    main()
