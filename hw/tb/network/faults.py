"""Small faults put into a generated top level, one at a time: the testbench of networks must fail on each. Cells: `hw.tb.mutants`."""

from __future__ import annotations

import dataclasses
import subprocess

from hw.tb.network.networks import NETWORKS
from hw.tb.network.run import run_network

__all__ = ["FAULTS", "Fault", "notice"]


@dataclasses.dataclass(frozen=True)
class Fault:
    """In the top level of the small network "xnor", the first `old` (which must be there) becomes `new`."""

    what: str
    old: str
    new: str


_CLOCKED = "u_layer1_swg (\n      .clk(clk),\n      .rst_n({})"
FAULTS = (
    Fault("the last class is marked early", "CLASSES - 1)", "CLASSES - 2)"),
    Fault("logits without their sign", "{{27{s16_tdata[4]}}", "{{27{s16_tdata[4] && 1'b0}}"),
    Fault("logits that leave before they are taken", "assign s16_tready = m_axis_tready", "assign s16_tready = 1'b1"),
    Fault("padding of the other code", ".PAD_CODE(1)", ".PAD_CODE(0)"),
    Fault("a unit that a soft reset leaves as it is", _CLOCKED.format("pipeline_rst_n"), _CLOCKED.format("rst_n")),
    Fault("a bit of the parameter chain upside down", ".cfg_data(c2_data)", ".cfg_data(c2_data ^ 32'd4)"),
    Fault("beats that nobody took", ".m_axis_tready(s3_tready)", ".m_axis_tready(s3_tready || s3_tvalid)"),
    Fault("a FIFO less deep than it must be", ".DEPTH(6)", ".DEPTH(2)"),
)  # fmt: skip


def notice(fault: Fault) -> str:
    """The first test that fails; "" where nothing notices.

    Raises:
        ValueError: the top level does not hold what the fault changes, or does not build with it.
    """

    def edit(text: str) -> str:
        if fault.old not in text:
            raise ValueError(f"Expected the top level to hold `{fault.old}`; update the fault '{fault.what}'.")
        return text.replace(fault.old, fault.new, 1)

    network = next(network for network in NETWORKS["small"] if network.name == "xnor")
    try:
        outcomes = run_network([network], edit)
    except subprocess.CalledProcessError as error:
        raise ValueError(f"The fault '{fault.what}' does not build: {error.stderr[:600]}") from error
    return next((outcome.test for outcome in outcomes if outcome.error), "")
