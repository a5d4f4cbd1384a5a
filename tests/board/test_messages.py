"""Payloads: what is written is read, and what nobody writes is refused."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qlight.board
from qlight.board.messages import (
    MOST_TEXT,
    Answer,
    Code,
    Query,
    Welcome,
    ask_file_payload,
    error_payload,
    json_object,
    proof,
    read_ask_file,
    read_error,
)
from qlight.board.protocol import HEADER_BYTES, VERSION, FrameType, ProtocolError
from tests.board.fakes import images

WELCOME = Welcome("a" * 64, "b" * 64, "", "a board", 12, 3, 0, 100, 2, "c" * 32, "0.1.0", {"graph.json": 10})


def test_welcome() -> None:
    assert Welcome.from_bytes(WELCOME.to_bytes()) == WELCOME
    later = json.dumps({**asdict(WELCOME), "something": "of a later version"}).encode()
    assert Welcome.from_bytes(later) == WELCOME


@pytest.mark.parametrize(
    "changed",
    [
        {"graph_hash": "A" * 64},
        {"graph_hash": "a" * 63},
        {"graph_hash": None},
        {"bitstream_hash": "x"},
        {"run": ""},
        {"image_bytes": 0},
        {"image_bytes": True},
        {"image_bytes": 12.0},
        {"classes": -1},
        {"most_images": 1 << 28},  # more than fits into a frame
        {"in_flight": "2"},
        {"parameter_words": -1},
        {"files": {"graph.json": -1}},
        {"files": [1]},
        {"description": "\x1b[2J"},
        {"version": 1},
    ],
)
def test_welcomes_that_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="hashes or sizes that cannot be"):
        Welcome.from_bytes(json.dumps({**asdict(WELCOME), **changed}).encode())


def test_a_welcome_with_something_missing() -> None:
    held = asdict(WELCOME)
    del held["classes"]
    with pytest.raises(ProtocolError, match="does not state its classes"):
        Welcome.from_bytes(json.dumps(held).encode())


@given(st.binary(max_size=100) | st.sampled_from([b"[]", b"1", b"null", b"[" * 60_000, b'{"a": 1']))
def test_what_is_no_json_object(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="JSON object"):
        json_object(payload)


@given(st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_query(count: int, milliseconds: int) -> None:
    pixels = images(count)
    found = Query.read(memoryview(Query.header(count, milliseconds) + pixels.tobytes()), 12)
    assert found.milliseconds == milliseconds
    assert np.array_equal(found.pixels, pixels)


@pytest.mark.parametrize(
    "payload", [b"", b"\0" * 7, Query.header(0, 5), Query.header(1, 5) + b"\0" * 11, Query.header(2**32 - 1, 5) + b"\0" * 12]
)
def test_queries_that_are_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="QUERY"):
        Query.read(memoryview(payload), 12)


@given(st.integers(1, 40), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_answer(count: int, waited: int, device: int) -> None:
    values = np.random.default_rng(count).integers(-(2**31), 2**31, (count, 3)).astype(np.int32)
    found = Answer.read(memoryview(b"".join(Answer(waited, device, values).parts())))
    assert (found.waited, found.device) == (waited, device)
    assert np.array_equal(found.accumulators, values)
    assert found.accumulators.dtype == np.int32


@pytest.mark.parametrize("payload", [b"", b"\0" * 23, b"\1\0\0\0\2\0\0\0" + b"\0" * 20, b"\xff" * 28])
def test_answers_that_are_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="ANSWER"):
        Answer.read(memoryview(payload))


def test_errors_are_printable_and_short() -> None:
    code, text = read_error(memoryview(error_payload(Code.DEVICE, "späte\x1b[2J\n" + "x" * 5000)))
    assert code == Code.DEVICE
    assert text.startswith("späte [2J x")
    assert text.isprintable()
    assert len(error_payload(Code.DEVICE, "x" * 5000)) == MOST_TEXT
    with pytest.raises(ProtocolError, match="too short"):
        read_error(memoryview(b"\1"))


def test_ask_file() -> None:
    assert read_ask_file(memoryview(ask_file_payload(1, 2**40))) == (1, 2**40)
    with pytest.raises(ProtocolError, match="of its size"):
        read_ask_file(memoryview(b"\0" * 8))


def test_the_text_of_the_protocol_has_these_numbers() -> None:
    text = (Path(qlight.board.__file__).parent / "PROTOCOL.md").read_text(encoding="utf-8")
    for each in (*FrameType, *Code):
        assert len(re.findall(rf"^\| {each.value} {each.name} \|", text, re.MULTILINE)) == 1
    assert f"version {VERSION}\n" in text
    assert f"header of {HEADER_BYTES} bytes" in text


def test_proofs_differ_by_all_that_they_prove() -> None:
    found = {
        proof(token, who, one, other)
        for token in (b"", b"token")
        for who in ("hello", "challenge", "proof")
        for one, other in ((b"1" * 32, b"2" * 32), (b"2" * 32, b"1" * 32))
    }
    assert len(found) == 12
    assert replace(WELCOME, run="d" * 32) != WELCOME
