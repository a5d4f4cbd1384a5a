"""Tools of the hardware's tests."""

from __future__ import annotations

import pytest

from hw.tb.common.tools import MissingToolError, require_tools


@pytest.fixture(scope="session")
def simulator_tools() -> None:
    """Skip where Verilator, cocotb or a compiler is missing."""
    try:
        require_tools()
    except MissingToolError as error:
        pytest.skip(str(error))
