"""graph.json and tensors.safetensors: written whole, read without trust. SPEC.md section 6 (rules F1 to F6)."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from qlight.errors import InputError
from qlight.files import whole_file
from qlight.intgraph.document import FORMAT, LOGIT_ARRAYS, SAFETENSORS_DTYPES, VERSION
from qlight.intgraph.nodes import OPS, Array, Node, TensorType, json_fields
from qlight.intgraph.rules import Words, broken, shown

GRAPH_FILE, ARRAYS_FILE = "graph.json", "tensors.safetensors"
#: default of the most that both files may have together; the paper's networks at full width have about 20 MB
MAX_BYTES = 2**28
#: JSON takes many times its size in memory when it is read
MAX_JSON_BYTES = 2**20
MAX_DIGITS = 19


class Parts(NamedTuple):
    """What the files hold, with the right types but not yet validated."""

    tensors: tuple[TensorType, ...]
    nodes: tuple[Node, ...]
    logit_scale: Array
    logit_bias: Array
    metadata: dict[str, str]
    content_hash: str


def write(folder: Path, document: Mapping[str, Any], content_hash: str, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write both files, each to a temporary name first; graph.json, which names the content of the other, comes last.

    Raises:
        InputError: the folder cannot be made or written.
    """
    import safetensors.numpy  # here, as a board that serves a network reads no graphs, and may not have it

    text = json.dumps({**document, "content_hash": content_hash, "metadata": dict(metadata)}, indent=1, ensure_ascii=True) + "\n"
    # safetensors orders by dtype and name, so the bytes depend on the arrays alone
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ((ARRAYS_FILE, safetensors.numpy.save(whole)), (GRAPH_FILE, text.encode("ascii"))):
            with whole_file(folder / name) as part:
                part.write_bytes(content)
    except OSError as error:
        raise InputError(
            f"Expected `folder` to be a folder that can be written, but {str(folder)!r} cannot ({error.strerror}); choose another."
        ) from error


def read(folder: Path, max_bytes: int = MAX_BYTES) -> Parts:
    """Read both files. Sizes are checked before bytes are read, names and dtypes before arrays are made.

    Raises:
        GraphError: rules F1 to F5.
        InputError: ``max_bytes`` is not a positive integer.
    """
    if type(max_bytes) is not int or max_bytes < 1:
        raise InputError(f"Expected `max_bytes` to be a positive integer, but got {max_bytes!r}; leave it out for {MAX_BYTES}.")
    text = _read_file(folder / GRAPH_FILE, min(max_bytes, MAX_JSON_BYTES))
    content = _strict_json(text, GRAPH_FILE)
    _demand_format(content)
    _demand_keys(content, ("format", "version", "tensors", "nodes", "content_hash", "metadata"), GRAPH_FILE)
    tensors = tuple(_tensor(entry, position) for position, entry in enumerate(_list(content["tensors"], "tensors")))
    entries = _list(content["nodes"], "nodes")
    kinds = [_node_kind(entry, position) for position, entry in enumerate(entries)]
    arrays = _read_arrays(folder / ARRAYS_FILE, max_bytes - len(text), kinds, entries)
    nodes: list[Node] = []
    for kind, entry in zip(kinds, entries, strict=True):
        plain = {field: _tuple(entry[field]) for field in json_fields(kind)}
        make: Any = kind
        nodes.append(make(**plain, **{field: arrays.get(f"{entry['name']}.{field}") for field in kind.ARRAYS}))
    return Parts(tensors, tuple(nodes), arrays["logit_scale"], arrays["logit_bias"], content["metadata"], content["content_hash"])


def check_hash(stated: Any, computed: str) -> None:
    """Rule F6.

    Raises:
        GraphError: the hash in graph.json is not that of the content.
    """
    if stated != computed:
        broken("F6", GRAPH_FILE, f"`content_hash` to be {computed}, the hash of what was read", stated)


def _read_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes. The size is that of the opened file, so it cannot be exchanged meanwhile."""
    try:
        # without O_NONBLOCK, opening a pipe of that name would wait forever
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        broken("F1", path.name, f"a file {shown(str(path))}", Words(getattr(error, "strerror", None) or str(error)))
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        broken("F1", path.name, "a regular file", Words("something else"))
    with os.fdopen(handle, "rb") as file:
        if status.st_size > limit:
            broken("F1", path.name, f"at most {limit} bytes (`max_bytes`, and {MAX_JSON_BYTES} of JSON)", Words(f"{status.st_size}"))
        return file.read(limit)


def _strict_json(text: bytes, where: str) -> dict[str, Any]:
    """A JSON object without duplicate keys, fractions, NaN or integers beyond 64 bits."""
    problem = "text and integers only"

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            broken("F2", where, "every key of an object once", Words("a key twice"))
        return found

    def integer(digits: str) -> int:
        return int(digits) if len(digits) <= MAX_DIGITS else refuse(digits)

    def refuse(number: str) -> NoReturn:
        broken("F2", where, problem, number)

    try:
        content = json.loads(text.decode(), object_pairs_hook=pairs, parse_int=integer, parse_float=refuse, parse_constant=refuse)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        broken("F2", where, "JSON", Words(f"text that is not ({shown(str(error))})"))
    if type(content) is not dict:
        broken("F2", where, "a JSON object", Words(type(content).__name__))
    return content


def _demand_format(entry: dict[str, Any]) -> None:
    if entry.get("format") != FORMAT or type(entry.get("version")) is not int or entry["version"] != VERSION:
        got = Words(f"{shown(entry.get('format'))}, {shown(entry.get('version'))}")
        broken("F3", GRAPH_FILE, f"`format` {FORMAT!r} and `version` {VERSION}", got)


def _demand_keys(entry: Any, keys: tuple[str, ...], where: str) -> None:
    if type(entry) is not dict or set(entry) != set(keys):
        broken("F4", where, f"the keys {', '.join(keys)}", sorted(entry) if type(entry) is dict else entry)


def _list(value: Any, name: str) -> list[Any]:
    if type(value) is not list:
        broken("F4", GRAPH_FILE, f"`{name}` to be a list", value)
    return value


def _tensor(entry: Any, position: int) -> TensorType:
    _demand_keys(entry, ("name", "shape", "encoding", "bits"), f"tensor {position}")
    return TensorType(entry["name"], _tuple(entry["shape"]), entry["encoding"], entry["bits"])


def _node_kind(entry: Any, position: int) -> type[Node]:
    op = entry.get("op") if type(entry) is dict else None
    kind = OPS.get(op) if type(op) is str else None
    if kind is None:
        broken("F4", f"node {position}", f"`op` to be one of {', '.join(OPS)}", op)
    _demand_keys(entry, ("op", *json_fields(kind)), f"node {position} ({shown(entry.get('name'))})")
    return kind


def _tuple(value: Any) -> Any:
    return tuple(value) if type(value) is list else value


def _read_arrays(path: Path, limit: int, kinds: list[type[Node]], entries: list[dict[str, Any]]) -> dict[str, Array]:
    """The arrays that the nodes ask for, no more and no fewer; safetensors checks shapes against offsets against the file's size."""
    import safetensors.numpy

    data = _read_file(path, limit)
    header_bytes = int.from_bytes(data[:8], "little")
    if header_bytes > MAX_JSON_BYTES or 8 + header_bytes > len(data):
        broken("F5", ARRAYS_FILE, f"a header of at most {MAX_JSON_BYTES} bytes within the file", Words(f"{header_bytes} bytes"))
    header = _strict_json(data[8 : 8 + header_bytes], ARRAYS_FILE)
    header.pop("__metadata__", None)
    wanted: dict[str, tuple[str, ...]] = dict.fromkeys(LOGIT_ARRAYS, ("float64",))
    for kind, entry in zip(kinds, entries, strict=True):
        for field, dtypes in kind.ARRAYS.items():
            name = f"{entry['name']}.{field}"
            if name in header or field not in kind.OPTIONAL:
                wanted[name] = dtypes
    missing, extra = sorted(wanted.keys() - header), sorted(header.keys() - wanted)
    if missing or extra:
        expected = f"an array {shown(missing[0])}" if missing else "only arrays that nodes have"
        broken("F5", ARRAYS_FILE, expected, extra[0] if extra else Words("none"))
    for name, dtypes in wanted.items():
        dtype = header[name].get("dtype") if type(header[name]) is dict else None
        if dtype not in [SAFETENSORS_DTYPES[each] for each in dtypes]:
            broken("F5", ARRAYS_FILE, f"array {shown(name)} to be {' or '.join(dtypes)}", dtype)
    try:
        return safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError) as error:
        broken("F5", ARRAYS_FILE, "whole safetensors", Words(shown(str(error))))
