"""Where the SystemVerilog cells are: ``hw/`` of a checkout, or the copy that a wheel ships beside the package's modules."""

from __future__ import annotations

from pathlib import Path

import qlight
from qlight.errors import InputError

#: the cells that a top level instantiates, one file each
CELLS = ("qlight_control", "qlight_dwc", "qlight_fifo", "qlight_mvtu", "qlight_pool", "qlight_swg")


def rtl_folder() -> Path:
    """The folder of the cells.

    Raises:
        InputError: this installation has none.
    """
    package = Path(qlight.__file__).parent
    for folder in (package / "hw" / "rtl", package.parent / "hw" / "rtl"):
        if (folder / f"{CELLS[0]}.sv").is_file():
            return folder
    raise InputError("Expected the SystemVerilog cells in hw/rtl of this installation, but there are none; install qlight again.")


def cell_sources() -> dict[str, str]:
    """The text of every cell by file name.

    Raises:
        InputError: a cell is missing.
    """
    folder = rtl_folder()
    found = {}
    for cell in CELLS:
        path = folder / f"{cell}.sv"
        try:
            found[path.name] = path.read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"Expected the cell {path}, but it cannot be read ({error.strerror}); install qlight again.") from error
    return found
