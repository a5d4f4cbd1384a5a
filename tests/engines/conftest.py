from __future__ import annotations

import pytest

from qlight.engines.native import Library, UnavailableError, library


@pytest.fixture(scope="session")
def kernels() -> Library:
    """The kernels for this processor; without a compiler, tests that need them are left out."""
    try:
        return library()
    except UnavailableError as error:
        pytest.skip(str(error))
