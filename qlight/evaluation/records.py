"""What an attack did to each image, and a folder that keeps it through a kill.

While an attack runs, every finished image is appended to a journal, `unfinished/<attack>/<process>.records`: a line of JSON that says the
shape and dtype of images, then records of a fixed size with a checksum each. A process that is killed leaves a torn record at most,
which is not read. When all images are done, the journals become `adversarial/<attack>.safetensors`, sorted by image, so that the file does
not depend on the order in which images were finished, on the number of processes, or on interruptions.
"""

from __future__ import annotations

import json
import shutil
import urllib.parse
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np

from qlight.errors import InputError
from qlight.files import whole_file

#: Columns of a record, and how each is stored.
COLUMNS: dict[str, str] = {
    "loader": "<i8",
    "index": "<i8",
    "label": "<i8",
    "clean_prediction": "<i8",
    "adversarial_prediction": "<i8",
    "success": "?",
    "l2": "<f8",
    "linf": "<f8",
    "queries": "<i8",
    "forwards": "<i8",
    "gradients": "<i8",
    "counted_singly": "?",
    "iterations": "<i8",
    "c": "<f8",
    "clean_checksum": "<u4",
    "seconds": "<f8",
}
#: What is not the same in every run: kept apart from the results.
TIMES = ("seconds",)


@dataclass(frozen=True)
class Records:
    """One attack on n images; every field has length n.

    Attributes:
        loader, index: which image: the number of its dataloader, and its index there.
        label: the true class.
        clean_prediction, adversarial_prediction: predicted classes of the image and of what the attack returned.
        success: whether the attack says that it found an example (for torchattacks: whether the adversarial prediction is not the label).
        l2, linf: norms of the perturbation, pixels in [0, 1].
        queries, forwards, gradients: images asked about, computed, and differentiated for it.
        counted_singly: whether these counts are the image's own; where not, they are its share of its batch's.
        iterations: steps taken; -1 where the attack does not say.
        c: the weight that gave the example; NaN where there is none.
        clean_checksum: CRC-32 of the clean image.
        seconds: its share of the time.
        adversarial: n x C x H x W.
    """

    loader: np.ndarray
    index: np.ndarray
    label: np.ndarray
    clean_prediction: np.ndarray
    adversarial_prediction: np.ndarray
    success: np.ndarray
    l2: np.ndarray
    linf: np.ndarray
    queries: np.ndarray
    forwards: np.ndarray
    gradients: np.ndarray
    counted_singly: np.ndarray
    iterations: np.ndarray
    c: np.ndarray
    clean_checksum: np.ndarray
    seconds: np.ndarray
    adversarial: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, chosen: Any) -> Records:
        return Records(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence[Records]) -> Records:
        """All images of `parts`, each once, sorted by loader and index."""
        columns = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        keys = np.stack([columns["loader"], columns["index"]], 1)
        first = np.unique(keys, axis=0, return_index=True)[1]  # sorted by key
        return cls(**columns)[first]


class RecordFolder:
    """The records of an evaluation in a folder.

    Args:
        folder: where; made when something is written.
        process: of this process among those that share the folder: it writes journals of its own.
    """

    def __init__(self, folder: str | Path, process: int = 0) -> None:
        self.folder = Path(folder)
        self.process = process
        self._open: dict[str, IO[bytes]] = {}

    def append(self, attack: str, records: Records) -> None:
        """Write records down; when this returns they outlive the process."""
        layout = _layout(records.adversarial.shape[1:], records.adversarial.dtype)
        if attack not in self._open:
            self._open[attack] = self._journal(attack, records.adversarial)
        rows = np.zeros(len(records), layout)
        for name in COLUMNS:
            rows[name] = getattr(records, name)
        rows["adversarial"] = records.adversarial
        for row in rows:
            row["checksum"] = zlib.crc32(row.tobytes()[:-4])
        journal = self._open[attack]
        journal.write(rows.tobytes())
        journal.flush()

    def _journal(self, attack: str, images: np.ndarray) -> IO[bytes]:
        folder = self.folder / "unfinished" / file_name(attack)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = 0
            while (path := folder / f"{self.process}-{number}.records").exists():
                number += 1  # never append to a journal that may end in a torn record
            journal = path.open("xb")
        except OSError as error:
            raise InputError(
                f"Expected a folder that can be written, but {str(self.folder)!r} cannot ({error.strerror}); choose another."
            ) from error
        journal.write(json.dumps({"shape": images.shape[1:], "dtype": images.dtype.str}).encode() + b"\n")
        return journal

    def load(self, attack: str) -> Records | None:
        """Everything that is known of an attack, finished or not; None where there is nothing."""
        parts = [_read_journal(path) for path in sorted((self.folder / "unfinished" / file_name(attack)).glob("*.records"))]
        finished = self.path(attack)
        if finished.is_file():
            parts.insert(0, _read_finished(finished))
        held = [part for part in parts if part is not None and len(part)]
        return Records.joined(held) if held else None

    def path(self, attack: str) -> Path:
        """The file of a finished attack."""
        return self.folder / "adversarial" / f"{file_name(attack)}.safetensors"

    def times_path(self, attack: str) -> Path:
        """The file of a finished attack's times."""
        return self.folder / "seconds" / f"{file_name(attack)}.csv"

    def finish(self, attack: str) -> Records | None:
        """Turn the journals of an attack into its file; its records. To be called by one process while no other writes."""
        self.close()
        journals = self.folder / "unfinished" / file_name(attack)
        records = self.load(attack)
        if records is not None and journals.is_dir():
            _write_finished(self.path(attack), self.times_path(attack), records)
        shutil.rmtree(journals, ignore_errors=True)
        if journals.parent.is_dir() and not any(journals.parent.iterdir()):
            journals.parent.rmdir()
        return records

    def close(self) -> None:
        """Close the journals."""
        for journal in self._open.values():
            journal.close()
        self._open = {}


def file_name(attack: str) -> str:
    """A label as a file name: other characters than letters, digits, "_", "-", "." and " " are escaped.

    >>> file_name("PGD 8/255")
    'PGD 8%2F255'
    """
    escaped = urllib.parse.quote(attack, safe=" ")
    return escaped.replace(".", "%2E", 1) if escaped.startswith(".") else escaped


def _layout(shape: tuple[int, ...], dtype: Any) -> np.dtype:
    return np.dtype([*COLUMNS.items(), ("adversarial", np.dtype(dtype), tuple(shape)), ("checksum", "<u4")])


def _read_journal(path: Path) -> Records | None:
    """The whole records of a journal; what was torn by a kill, and what follows it, is left out."""
    content = path.read_bytes()
    line, newline, body = content.partition(b"\n")
    if not newline:
        return None
    try:
        header = json.loads(line)
        layout = _layout(tuple(header["shape"]), np.dtype(header["dtype"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"Expected {str(path)!r} to be a journal of an evaluation, but it is not; delete it.") from error
    rows = np.frombuffer(body[: len(body) // layout.itemsize * layout.itemsize], layout)
    whole = len(rows)
    for number, row in enumerate(rows):
        if zlib.crc32(row.tobytes()[:-4]) != row["checksum"]:
            whole = number
            break
    return Records(**{field.name: rows[field.name][:whole] for field in fields(Records)})


def _write_finished(path: Path, times: Path, records: Records) -> None:
    from safetensors.numpy import save_file

    with whole_file(times) as part, part.open("w", encoding="utf-8") as stream:
        stream.write("loader,index,seconds\n")
        for loader, index, seconds in zip(records.loader, records.index, records.seconds, strict=True):
            stream.write(f"{loader},{index},{seconds:.6f}\n")
    columns = {field.name: np.ascontiguousarray(getattr(records, field.name)) for field in fields(records) if field.name not in TIMES}
    with whole_file(path) as part:
        save_file(columns, part, metadata={"format": "qlight adversarial examples 1"})


def _read_finished(path: Path) -> Records:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    times = path.parent.parent / "seconds" / f"{path.stem}.csv"
    try:
        columns = load_file(path)
        seconds = np.loadtxt(times, delimiter=",", skiprows=1, usecols=2, ndmin=1) if times.is_file() else None
        if seconds is None or len(seconds) != len(columns["index"]):
            seconds = np.full(len(columns["index"]), np.nan)
        return Records(**columns, seconds=seconds)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"Expected {str(path)!r} to hold adversarial examples of qlight, but it does not: {error}.") from error
