"""Small faults put into the cells, one at a time: the testbench of the cell must fail on each. `python -m hw.tb.mutants` runs all."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hw.tb.common.run import run_cell
from hw.tb.common.tools import RTL

__all__ = ["MUTANTS", "Mutant", "detect"]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """In `qlight_<cell>.sv`, the first `old` (which must be there) becomes `new`. `bench`: whose testbench must notice, if another's."""

    cell: str
    what: str
    old: str
    new: str
    bench: str = ""


MUTANTS = (
    Mutant("fifo", "a word too many", "count != COUNT_BITS'(WORDS)", "32'(count) <= WORDS"),
    Mutant("fifo", "a word too few", "count != COUNT_BITS'(WORDS)", "32'(count) < WORDS - (WORDS > 1 ? 1 : 0)"),
    Mutant("fifo", "the read address wraps one late", "read_address == LAST ?", "read_address == LAST + 1'b1 ?"),
    Mutant("fifo", "an output that nobody took", "!m_axis_tvalid || m_axis_tready", "!m_axis_tvalid || m_axis_tready || count != '0"),
    Mutant("dwc", "a place too few", "place <= CAPACITY - IN;", "place < CAPACITY - IN;"),
    Mutant("dwc", "ready one unit early", "count <= COUNT_BITS'(CAPACITY - IN)", "count <= COUNT_BITS'(CAPACITY - IN) + 1'b1"),
    Mutant("dwc", "a buffer that makes bubbles", "IN + 2 * OUT - 1", "IN + OUT - 1"),
    Mutant("swg", "a dropped pad row", "row_in >= HEIGHT;", "row_in > HEIGHT;"),
    Mutant("swg", "left padding one column late", "32'(column) - PAD_LEFT", "32'(column) - (PAD_LEFT > 0 ? PAD_LEFT - 1 : 0)"),
    Mutant("swg", "padding that does not wait", "first ? ahead >", "first && ahead < 0 ? ahead >"),
    Mutant("swg", "reads what is not yet written", "padding || ahead > 0", "padding || ahead >= 0"),
    Mutant("swg", "room given back too early", "(WIDTH - LAST_COLUMN) * FOLDS", "(WIDTH - LAST_COLUMN + 1) * FOLDS"),
    Mutant("swg", "a buffer that stops between frames", "(2 * KERNEL_H - 2 - PAD_TOP", "(KERNEL_H - 1 - PAD_TOP"),
    Mutant("swg", "a wrong step to the next row", "(WIDTH - OUT_W) * FOLDS", "(WIDTH - OUT_W + 1) * FOLDS"),
    Mutant("mvtu", "the replay buffer written in every fold", "if (first_fold) vector[sf]", "vector[sf]"),
    Mutant("mvtu", "ready while stopped", "s_axis_tready = enable && first_fold", "s_axis_tready = first_fold"),
    Mutant("mvtu", "the chain passes on the last row", "&& !loading;", "&& (!loading || write_row);"),
    Mutant("mvtu", "a fold begins late", "read_first <= sf == '0", "read_first <= sf == SF_BITS'(SF > 1)"),
    Mutant("dot", "the accumulator starts one beat late", "(dot_first ?", "(dot_first && product_first ?", "mvtu"),
    Mutant("dot", "an XNOR constant off by one product", "? -MW * OFFSET : 0", "? -(MW - 1) * OFFSET : 0", "mvtu"),
    Mutant("dot", "planes with wrong weights", "<< (I + J))", "<< (I + 2 * J))", "mvtu"),
    Mutant("dot", "odd weights half repaired", "(a_sum << WEIGHT_BITS) - a_sum", "(a_sum << WEIGHT_BITS)", "mvtu"),
    Mutant("dot", "packed fields too close", "int FIELD_BITS = WEIGHT_BITS +", "int FIELD_BITS = WEIGHT_BITS - 1 +", "mvtu"),
    Mutant("dot", "signed weights taken for unsigned", "? {1'b1, {(WEIGHT_BITS - 1) {1'b0}}} : '0", "? '0 : '0", "mvtu"),
    Mutant("dot", "the negative of a signed weight one off", "+ (WEIGHT_BITS + 1)'(!in_activations[s])", "+ 1'b0", "mvtu"),
    Mutant("threshold", "an off-by-one threshold", "sum >= level", "sum > level", "mvtu"),
    Mutant("threshold", "a direction half ignored", "sum = acc ^ {T_BITS{direction}}", "sum = acc", "mvtu"),
    Mutant("threshold", "the direction lost after the first stage", "direction_o <= direction", "direction_o <= 1'b0", "mvtu"),
    Mutant("threshold", "the next threshold for what was found last", "gen_pe[p].code});", "gen_pe[p].code ^ 1'b1});", "mvtu"),
    Mutant("threshold", "thresholds of the next fold", "fold <= read_fold", "fold <= in_fold", "mvtu"),
    Mutant("threshold", "a bit too early", "valid <= read_valid", "valid <= go", "mvtu"),
    Mutant("threshold", "stages that go on while an output waits", "if (enable && go) word <=", "if (go) word <=", "mvtu"),
    Mutant("threshold", "a threshold loaded into the stage behind", "'(number << s) ==", "'(number << (s > 0 ? s - 1 : 0)) ==", "mvtu"),
    Mutant("threshold", "the middle threshold without its direction", "{cfg_data[0], middle}", "{1'b0, middle}", "mvtu"),
    Mutant("threshold", "the chain passes on a direction", "&& !loading;", "&& (!loading || take_word && number == '0);", "mvtu"),
    Mutant("affine", "the lower part of M taken for signed", "low = {1'b0,", "low = {used[LOW_BITS-1],"),
    Mutant("affine", "a product rounded to zero", "low_product >>> LOW_BITS", "low_product / (PRODUCT_BITS'(1) << LOW_BITS)"),
    Mutant("affine", "negative codes", "if (scaled < 0) code <= '0;", "if (1'b0) code <= '0;"),
    Mutant("affine", "the largest code one bit late", "|scaled[SUM_BITS-1:OUTPUT_BITS]", "|scaled[SUM_BITS-1:OUTPUT_BITS+1]"),
    Mutant("affine", "the offset of the accumulator behind", "SUM_BITS'(offset_3)", "SUM_BITS'(offset_2)"),
    Mutant("affine", "rows repeated once too few", "TIME_BITS'(REPEAT - 1)", "TIME_BITS'(REPEAT - 2)"),
    Mutant("affine", "a group begins again one row late", "row - ROW_BITS'(GROUP - 1)", "row - ROW_BITS'(GROUP > 1 ? GROUP - 2 : 0)"),
    Mutant("affine", "rows that go on while nothing is taken", "take = s_axis_tvalid && s_axis_tready", "take = s_axis_tready"),
    Mutant("affine", "a bubble stops what is behind it", "!(&valid[STAGES-1:i])", "!valid[STAGES-1]"),
    Mutant("affine", "products that go on while an output waits", "if (moves[2]) begin", "begin"),
    Mutant("affine", "the chain passes on a last word", "&& !loading;", "&& (!loading || write_word);"),
    Mutant("affine", "words loaded in reverse", "WORD_BITS'({cfg_data, kept})", "WORD_BITS'({kept, cfg_data})"),
    Mutant("affine", "words of another lane", "load_lane == LANE_BITS'(i)", "load_lane == LANE_BITS'(LANES - 1 - i)"),
    Mutant("pool", "smallest and largest swapped", "larger != smallest[i]", "larger == smallest[i]"),
    Mutant("pool", "a sign ignored", "BITS'(SIGNED) << (BITS - 1)", "BITS'(0) << (BITS - 1)"),
    Mutant("pool", "one column more than there is", "kx == K_BITS'(REST_W - 1)", "kx == K_BITS'(REST_W)"),
    Mutant("pool", "an output that nobody took", "!m_axis_tvalid || m_axis_tready;", "!m_axis_tvalid || m_axis_tready || first;"),
    Mutant("control", "images begin in load mode", "(!load_mode && in_flight", "((!load_mode || !loading) && in_flight"),
    Mutant("control", "the first cycle of an image not counted", "if (take_first || !idle) cycles", "if (!idle) cycles"),
    Mutant("control", "a byte strobe too many", "if (write_strobe[i]) graph_hash", "if (write_strobe[i] || i == 2) graph_hash"),
    Mutant("control", "a soft reset leaves the packet", "(!pipeline_rst_n || (image_done", "((image_done"),
    Mutant("control", "the hash words in reverse", "hash[(7-i)*32+:32]", "hash[i*32+:32]"),
    Mutant("control", "weights go on in a load", "pipeline_rst_n && !loading;", "pipeline_rst_n;"),
    Mutant("dwc", "the rest of a frame kept", "push ? kept + units", "push ? kept + COUNT_BITS'(IN)"),
    Mutant("replay", "room given back by every time", "COUNT_BITS'(read && last_pass)", "COUNT_BITS'(read)"),
    Mutant("replay", "the second frame replayed from the first", "== LAST ? HALF : '0;", "== LAST ? '0 : '0;"),
    Mutant("replay", "a beat read before it was written", "m_axis_tvalid <= ahead != '0", "m_axis_tvalid <= ahead != '0 || write"),
    Mutant("reorder", "the outer and the inner step swapped", "place + ADDRESS_BITS'(INNER)", "place + ADDRESS_BITS'(OUTER)"),
    Mutant("reorder", "a beat read before it was written", "written > COUNT_BITS'(place)", "written >= COUNT_BITS'(place)"),
    Mutant("reorder", "room for a frame too early", "(done ? COUNT", "(read && last_outer && inner == '0 ? COUNT"),
    Mutant("weight_reader", "bursts over a boundary", " - LENGTH_BITS'(from[BYTE_BITS+:OFFSET_BITS])", ""),
    Mutant("weight_reader", "a burst without room", "32'(room) >= 32'(length)", "32'(room) + 1 >= 32'(length)"),
    Mutant("weight_reader", "an address that does not wait", "(!m_axi_arvalid || m_axi_arready) && 32'(room)", "32'(room)"),
    Mutant("weight_reader", "words of before a stop", "(active || outstanding == '0)", "1'b1"),
    Mutant("weight_reader", "the FIFO kept over a stop", "rst_n && active && run)", "rst_n)"),
    Mutant("weight_reader", "the next image goes on behind the last", "first ? base : address", "address == '0 ? base : address"),
    Mutant("weight_reader", "cycles with words under way not counted", "if (outstanding != '0) busy", "if (m_axi_arvalid) busy"),
    Mutant("weight_registers", "a stop in the middle of an image", "running && !idle", "1'b0"),
    Mutant("weight_registers", "the upper half of another moment", "6'h29: kept <= busy_cycles", "6'h2F: kept <= busy_cycles"),
    Mutant("mvtu_stream", "fewer rows counted than can come", "$clog2(WORDS + SF)", "$clog2(WORDS + 1)"),
    Mutant("mvtu_stream", "room given back by every vector", "ROOM_BITS'(advance && last_vector)", "ROOM_BITS'(advance)"),
    Mutant("mvtu_stream", "activations that do not wait for rows", "s_axis_tready = enable && present", "s_axis_tready = enable"),
    Mutant("mvtu_stream", "a row taken while stopped", "w_axis_tready = enable && s_axis_tvalid", "w_axis_tready = s_axis_tvalid"),
    Mutant("mvtu_stream", "rows kept over their reset", "if (!rst_n || !weights_rst_n) begin", "if (!rst_n) begin"),
    Mutant("mvtu_stream", "thresholds of one vector a fold", ".REPEAT(VECTORS)", ".REPEAT(1)"),
    Mutant("dma_read", "bursts over a boundary", " - {1'b0, next[6:3]}", "", "dma"),
    Mutant("dma_read", "a burst without room", "32'(room) >= 32'(length)", "32'(room) + 1 >= 32'(length)", "dma"),
    Mutant("dma_read", "over while words are outstanding", "(stop ? outstanding == '0", "(stop ? 1'b1", "dma"),
    Mutant("dma_write", "done before memory has answered", "REST && unanswered == '0 &&", "REST &&", "dma"),
    Mutant("dma_write", "a packet that is too long goes on", "else if (overflow) error", "else if (!rst_n) error", "dma"),
    Mutant("dma_registers", "halted while words are outstanding", " && !stopping[read_channel]", "", "dma"),
    Mutant("dma_registers", "a reset that does not wait", "else if (busy == '0) resetting", "else resetting", "dma"),
    Mutant("axi3_lite", "a burst that stays at its address", "(beat.burst == INCREMENT)", "(beat.burst != INCREMENT)"),
    Mutant("reset", "it ends with the first edge", "{stages[STAGES-2:0], 1'b1}", "'1", "shell"),
)  # fmt: skip


def detect(mutant: Mutant) -> str:
    """How the fault shows: a failing test, or a simulation that does not build or end; "" where nothing notices."""
    with tempfile.TemporaryDirectory() as folder:
        for path in RTL.glob("*.sv"):
            shutil.copy(path, folder)
        path = Path(folder) / f"qlight_{mutant.cell}.sv"
        text = path.read_text()
        if mutant.old not in text:
            raise ValueError(f"Expected {path.name} to hold `{mutant.old}`; update the mutant '{mutant.what}'.")
        path.write_text(text.replace(mutant.old, mutant.new, 1))
        before = os.environ.get("QLIGHT_DUT")
        os.environ["QLIGHT_DUT"] = folder
        try:
            outcomes = run_cell(mutant.bench or mutant.cell)
        except subprocess.CalledProcessError as error:
            raise ValueError(f"The mutant '{mutant.what}' does not build: {error.stderr[:600]}") from error
        except RuntimeError as error:
            return str(error).splitlines()[0]
        finally:
            if before is None:
                del os.environ["QLIGHT_DUT"]
            else:
                os.environ["QLIGHT_DUT"] = before
    return next((outcome.test for outcome in outcomes if outcome.error), "")


if __name__ == "__main__":
    survivors = 0
    for mutant in MUTANTS:
        found = detect(mutant)
        survivors += not found
        print(f"{'caught by ' + found if found else 'SURVIVES':50}  {mutant.cell}: {mutant.what}", flush=True)
    print(f"{len(MUTANTS) - survivors} of {len(MUTANTS)} faults caught")
    sys.exit(1 if survivors else 0)
