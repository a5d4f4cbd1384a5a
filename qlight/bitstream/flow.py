"""Build an overlay from a build folder, and put it into the registry once its files are right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from qlight.bitstream.made import Made
from qlight.bitstream.manifest import BUILT, FORMAT, LOADING, Manifest, verify_files
from qlight.bitstream.openxc7 import OPEN, build_with_open_tools, clear
from qlight.bitstream.vivado import build_with_vivado
from qlight.errors import HardwareError, InputError, nearest
from qlight.files import whole_file
from qlight.hardware.boards import load_board
from qlight.hardware.folders import MANIFEST, read_manifest, sha256, whole_folder

FLOWS = ("vivado", OPEN)


def build_overlay(
    build: str | Path,
    folder: str | Path,
    name: str,
    network: str,
    flow: str = "vivado",
    prjxray_db: str | Path | None = None,
    chipdb: str | Path | None = None,
) -> Manifest:
    """Run a flow on a build folder, check what it made, and put it into the registry; an overlay of that name is replaced.

    Args:
        build: what `export --format rtl --board BOARD` wrote; it gets qlight.bit and qlight.hwh.
        folder: the registry.
        name: of the overlay in it.
        network: what it runs, in words.
        flow: "vivado": `vivado/build.tcl` of the build folder; "openxc7": Yosys, nextpnr and Project X-Ray (`qlight.bitstream.openxc7`).
        prjxray_db, chipdb: of openxc7: Project X-Ray's database, nextpnr's chip database (`qlight.bitstream.open_tools`).

    Raises:
        InputError: an argument is wrong, or the build folder is not for a board that has a name.
        HardwareError: a tool is not there or failed, or what it made is not right.
    """
    if flow not in FLOWS:
        raise InputError(f"Expected `flow` to be {', '.join(FLOWS)}, but got {flow!r}; did you mean {nearest(flow, FLOWS) or FLOWS[0]}?")
    if not name or name != Path(name).name or name.startswith("."):
        raise InputError(f"Expected `name` to be the name of a folder, but got {name!r}; letters, digits, - and _ will do.")
    if flow != OPEN and (prjxray_db or chipdb):
        raise InputError(f"Expected `prjxray_db` and `chipdb` with --flow {OPEN} only, but the flow is {flow}; leave them out.")
    build, folder = Path(build).expanduser(), Path(folder).expanduser()
    stated = read_manifest(build, "rtl")
    if not isinstance(stated.get("board"), dict):
        raise InputError(f"Expected `build` to be one for a board, but {str(build)!r} is not; export it with --board.")
    board = load_board(str(stated["board"].get("name")))
    _check_target(folder / name)
    made = build_with_open_tools(build, stated, board, prjxray_db, chipdb) if flow == OPEN else build_with_vivado(build, stated)
    files = {f"{name}.bit": made.bitstream, f"{name}.hwh": made.handoff}
    manifest = Manifest(
        name=name,
        board=board.name,
        part=board.part,
        network=network,
        loading=LOADING[0],
        state=BUILT,
        flow=flow,
        built_by=f"python -m qlight bitstream build --flow {flow}: {made.built_by}",
        tool=made.tool,
        geometry_hash=stated["geometry_hash"],
        graph_hash=stated["graph_hash"],
        folding=stated["folding"],
        clock_mhz=made.clock_mhz,
        timing=made.timing,
        resources=made.resources,
        files={file: sha256(path.read_bytes()) for file, path in files.items()},
    )
    with whole_folder(folder / name) as part:
        for file, path in files.items():
            shutil.copyfile(path, part / file)
        (part / MANIFEST).write_text(manifest.text(), encoding="ascii")
        try:
            verify_files(part, manifest)
        except InputError as error:
            if flow == OPEN:
                clear(build)
            raise HardwareError(f"The flow {flow} finished, but what it made is not right: {error}") from error
    if flow == OPEN:
        _place(made, build)
    return manifest


def _place(made: Made, build: Path) -> None:
    """Copies in the build folder itself, where `python -m qlight.board serve --overlay` looks."""
    for path in (made.bitstream, made.handoff):
        with whole_file(build / path.name) as part:
            shutil.copyfile(path, part)


def _check_target(folder: Path) -> None:
    """Only an overlay is replaced, not a build folder that is named by mistake."""
    path = folder / MANIFEST
    if path.is_file():
        try:
            kind = json.loads(path.read_text(encoding="ascii")).get("format")
        except (OSError, ValueError, AttributeError, RecursionError):
            kind = None
        if kind != FORMAT:
            raise InputError(f"Expected {str(folder)!r} to be an overlay or new, but it holds something else; choose another `name`.")
