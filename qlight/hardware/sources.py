"""Where the sources of the hardware are: ``hw/`` of a checkout, or the copy that a wheel ships beside the package's modules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import qlight
from qlight.errors import InputError

#: the cells of a top level, one file each
CELLS = (
    *("qlight_affine", "qlight_control", "qlight_dot", "qlight_dwc", "qlight_fifo", "qlight_mvtu", "qlight_mvtu_stream", "qlight_pool"),
    *("qlight_reorder", "qlight_replay", "qlight_swg", "qlight_threshold", "qlight_weight_reader", "qlight_weight_registers"),
)
#: what lies between them and the processing system in the open flow (qlight.bitstream.openxc7), which takes qlight_fifo from above too
SHELL_CELLS = (
    *("qlight_axi3_lite", "qlight_dma", "qlight_dma_read", "qlight_dma_registers", "qlight_dma_write", "qlight_reset", "qlight_shell"),
)

#: the units of the HLS twin, and its test bench
UNITS = (
    *("qlight_codes.hpp", "qlight_affine.hpp", "qlight_dot.hpp", "qlight_dwc.hpp", "qlight_mvtu.hpp", "qlight_mvtu_stream.hpp"),
    "qlight_pool.hpp",
    *("qlight_reorder.hpp", "qlight_replay.hpp", "qlight_swg.hpp", "qlight_threshold.hpp", "qlight_weight_reader.hpp", "testbench.cpp"),
)

#: what the adapter around the HLS twin needs for memory ports
PORT_CELLS = ("qlight_hls_bases", "qlight_hls_port")


def rtl_folder() -> Path:
    """The folder of the cells.

    Raises:
        InputError: this installation has none.
    """
    return _folder("rtl", f"{CELLS[0]}.sv", "SystemVerilog cells")


def hls_folder() -> Path:
    """The folder of the HLS twin's units.

    Raises:
        InputError: this installation has none.
    """
    return _folder("hls", UNITS[0], "C++ units")


def cell_sources() -> dict[str, str]:
    """The text of every cell by file name.

    Raises:
        InputError: a cell is missing.
    """
    return _texts(rtl_folder(), [f"{cell}.sv" for cell in CELLS], "cell")


def shell_sources() -> dict[str, str]:
    """The text of every cell of the open flow's shell by file name.

    Raises:
        InputError: a cell is missing.
    """
    return _texts(rtl_folder(), [f"{cell}.sv" for cell in SHELL_CELLS], "cell")


def unit_sources() -> dict[str, str]:
    """The text of every file of the HLS twin by file name.

    Raises:
        InputError: a file is missing.
    """
    return _texts(hls_folder(), UNITS, "unit")


def port_sources() -> dict[str, str]:
    """The text of the cells for memory ports around the HLS twin, by file name.

    Raises:
        InputError: a cell is missing.
    """
    return _texts(hls_folder() / "adapter", [f"{cell}.sv" for cell in PORT_CELLS], "cell")


def _folder(name: str, file: str, what: str) -> Path:
    package = Path(qlight.__file__).parent
    for folder in (package / "hw" / name, package.parent / "hw" / name):
        if (folder / file).is_file():
            return folder
    raise InputError(f"Expected the {what} in hw/{name} of this installation, but there are none; install qlight again.")


def _texts(folder: Path, names: Sequence[str], what: str) -> dict[str, str]:
    found = {}
    for name in names:
        path = folder / name
        try:
            found[name] = path.read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"Expected the {what} {path}, but it cannot be read ({error.strerror}); install qlight again.") from error
    return found
