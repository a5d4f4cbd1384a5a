"""Build an overlay from a build folder with Vivado, and put it into the registry once its files are right."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from qlight.bitstream.manifest import BUILT, FORMAT, LOADING, Manifest, verify_files
from qlight.errors import HardwareError, InputError, nearest
from qlight.hardware.boards import load_board
from qlight.hardware.folders import MANIFEST, read_manifest, sha256, whole_folder
from qlight.hardware.vivado import BUILD_SCRIPT, VIVADO
from qlight.hardware.vivado_reports import BITSTREAM, record_implementation

FLOWS = ("vivado",)
_HANDOFF = "qlight.hwh"
_LOG = "build.log"


def build_overlay(build: str | Path, folder: str | Path, name: str, network: str, flow: str = "vivado") -> Manifest:
    """Run a flow on a build folder, check what it made, and put it into the registry; an overlay of that name is replaced.

    Args:
        build: what `export --format rtl --board BOARD` wrote.
        folder: the registry.
        name: of the overlay in it.
        network: what it runs, in words.
        flow: "vivado": `vivado/build.tcl` of the build folder.

    Raises:
        InputError: an argument is wrong, or the build folder is not for a board that has a name.
        HardwareError: the tool is not there or failed, or what it made is not right.
    """
    if flow not in FLOWS:
        raise InputError(f"Expected `flow` to be {', '.join(FLOWS)}, but got {flow!r}; did you mean {nearest(flow, FLOWS) or FLOWS[0]}?")
    if not name or name != Path(name).name or name.startswith("."):
        raise InputError(f"Expected `name` to be the name of a folder, but got {name!r}; letters, digits, - and _ will do.")
    build, folder = Path(build).expanduser(), Path(folder).expanduser()
    stated = read_manifest(build, "rtl")
    if not isinstance(stated.get("board"), dict) or not (build / VIVADO / BUILD_SCRIPT).is_file():
        raise InputError(f"Expected `build` to be one for a board, but {str(build)!r} is not; export it with --board.")
    board = load_board(str(stated["board"].get("name")))
    _run_vivado(build)
    try:
        found = record_implementation(build)
    except InputError as error:
        raise HardwareError(f"Vivado finished, but its reports are not right: {error}") from error
    if not found["timing"]["met"]:
        raise HardwareError(f"Vivado finished, but the timing is not met (WNS {found['timing']['wns_ns']:g} ns); lower the board's clock.")
    made = {f"{name}{suffix}": build / file for suffix, file in ((".bit", BITSTREAM), (".hwh", _HANDOFF))}
    missing = [path.name for path in made.values() if not path.is_file()]
    if missing:
        raise HardwareError(f"Vivado finished, but {' and '.join(missing)} is not there; see {build / VIVADO / _LOG}.")
    manifest = Manifest(
        name=name,
        board=board.name,
        part=board.part,
        network=network,
        loading=LOADING[0],
        state=BUILT,
        flow=flow,
        built_by=f"python -m qlight bitstream build --flow {flow}: {VIVADO}/{BUILD_SCRIPT} of qlight {stated.get('qlight')}",
        tool=found["tool"],
        geometry_hash=stated["geometry_hash"],
        graph_hash=stated["graph_hash"],
        folding=stated["folding"],
        clock_mhz=found["clock_mhz"],
        timing=found["timing"],
        resources=found["utilization"],
        files={file: sha256(path.read_bytes()) for file, path in made.items()},
    )
    _check_target(folder / name)
    with whole_folder(folder / name) as part:
        for file, path in made.items():
            shutil.copyfile(path, part / file)
        (part / MANIFEST).write_text(manifest.text(), encoding="ascii")
        try:
            verify_files(part, manifest)
        except InputError as error:
            raise HardwareError(f"Vivado finished, but what it made is not right: {error}") from error
    return manifest


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


def _run_vivado(build: Path) -> None:
    """Run the script in the build folder; what Vivado says goes into a log beside it.

    Raises:
        HardwareError: there is no Vivado, or it failed; its first error is quoted.
    """
    tool = shutil.which("vivado")
    if tool is None:
        raise HardwareError("The flow vivado needs `vivado`, which is not on PATH; install AMD Vivado and source its settings64.sh.")
    log = build / VIVADO / _LOG
    with log.open("w", encoding="utf-8") as file:
        command = [tool, "-mode", "batch", "-nojournal", "-nolog", "-source", f"{VIVADO}/{BUILD_SCRIPT}"]
        done = subprocess.run(command, cwd=build, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "it says nothing")
        raise HardwareError(f"Vivado failed ({said.strip()}); {log} has all that it said.")
