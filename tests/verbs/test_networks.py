"""How a command line names networks: places, alone or behind a name."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from qlight.verbs.networks import named_places

FILES = st.text("ab=.-?:~ é", min_size=1, max_size=20).filter(lambda name: "=" in name and name == name.strip())
NAMES = st.text("ab-:1", min_size=1, max_size=5)


@given(file=FILES, name=NAMES)
@example(file="epoch=9-step=4000.ckpt", name="w1a1")
def test_a_file_whose_name_has_equals_signs_is_found_alone_and_behind_a_name(file: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path(file).touch()
        for place in (file, f"./{file}", f"{folder}/{file}"):
            assert named_places(f"{place}, {name}={place}") == [("", place), (name, place)]


def test_targets_and_addresses_keep_their_equals_signs() -> None:
    for place in ("packed:runs/a=b", "board://host:7000?graph=g&deadline=9", "torch:epoch=9.ckpt"):
        assert named_places(f"{place},own={place}") == [("", place), ("own", place)]


def test_a_name_ends_at_the_first_equals_sign_where_nothing_is_there() -> None:
    assert named_places("a=b=c.ckpt") == [("a", "b=c.ckpt")]
    assert named_places("") == named_places(None) == named_places(" , ") == []
