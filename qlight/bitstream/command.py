"""``python -m qlight bitstream list | verify | build``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qlight.bitstream.flow import build_overlay
from qlight.bitstream.manifest import PLANNED, read_manifests, verify
from qlight.errors import InputError, nearest
from qlight.options import OptionParser

ACTIONS = ("list", "verify", "build")


def main(args: Sequence[str]) -> None:
    """Run the verb with these options.

    Raises:
        InputError: an option is wrong, or the registry is not what it says.
        HardwareError: a tool is not there, or fails.
    """
    if not args or args[0] not in ACTIONS:
        got = repr(args[0]) if args else "nothing"
        close = nearest(args[0], ACTIONS, 1) if args else ""
        raise InputError(f"Expected `bitstream` to be followed by list, verify or build, but got {got}; did you mean {close or 'list'}?")
    parser = OptionParser(f"bitstream {args[0]}", "the options of `bitstream`")
    parser.add_argument("--folder", type=Path, default=Path("bitstreams"))
    if args[0] == "verify":
        parser.add_argument("--name")
    if args[0] == "build":
        parser.add_argument("--build", required=True, type=Path)
        parser.add_argument("--name", required=True)
        parser.add_argument("--network", required=True)
        parser.add_argument("--flow", default="vivado")
        parser.add_argument("--prjxray_db", type=Path)
        parser.add_argument("--chipdb", type=Path)
    options = parser.parse_args(args[1:])
    if args[0] == "list":
        found = read_manifests(options.folder)
        for manifest in found:
            print(manifest.line())
        if not any(manifest.files for manifest in found):
            print("no bitstream was built yet; bitstreams/README.md says how one is")
    elif args[0] == "verify":
        for manifest in verify(options.folder, options.name):
            print(
                f"{manifest.name}: {'a plan without files' if manifest.state == PLANNED else 'files, bitstream and handoff file are right'}"
            )
    else:
        manifest = build_overlay(
            options.build, options.folder, options.name, options.network, options.flow, options.prjxray_db, options.chipdb
        )
        print(manifest.line())
        print(f"wrote {options.folder / manifest.name}")
