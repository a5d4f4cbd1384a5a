"""Overlays: a bitstream and its hardware handoff file, in the build folder of the network that they were made of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from qlight.errors import HardwareError, InputError
from qlight.files import whole_file

#: what a bitstream file may end in; pynq converts a .bit and takes a .bin as it is
SUFFIXES = (".bit", ".bin")
HANDOFF_SUFFIX = ".hwh"
#: the type of the DMA in a handoff file, without its version: the vendor's, and that of the open flow (hw/rtl/qlight_dma.sv), which has
#: the same registers; the type of the accelerator
DMA_TYPE, OPEN_DMA_TYPE, ACCELERATOR_TYPE = "xilinx.com:ip:axi_dma", "qlight:user:qlight_dma", "qlight_top"
_MOST_HANDOFF_BYTES = 1 << 26


class Overlay(NamedTuple):
    """A bitstream with its handoff file of the same stem.

    Attributes:
        bitstream, handoff: the files.
        bitstream_hash: SHA-256 of the bitstream file, 64 hexadecimal digits.
        dma, accelerator: names of the two blocks in the handoff file.
        dma_type: of the DMA, with its version.
    """

    bitstream: Path
    handoff: Path
    bitstream_hash: str
    dma: str
    accelerator: str
    dma_type: str


def find_overlay(folder: str | Path) -> Overlay:
    """The overlay of a folder.

    Raises:
        InputError: there is none or more than one, it cannot be read, or its design is not an accelerator of qlight behind one DMA.
    """
    folder = Path(folder).expanduser()
    found = [path for suffix in SUFFIXES for path in sorted(folder.glob(f"*{suffix}")) if path.with_suffix(HANDOFF_SUFFIX).is_file()]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or ("none" if folder.is_dir() else "no such folder")
        raise InputError(
            f"Expected `overlay` {str(folder)!r} to hold one bitstream (.bit or .bin) with a .hwh of the same name, but got {names}; "
            "bitstreams/README.md says how one is built, `python -m qlight board emulate` makes one without a board."
        )
    bitstream, handoff = found[0], found[0].with_suffix(HANDOFF_SUFFIX)
    try:
        digest = hashlib.sha256(bitstream.read_bytes()).hexdigest()
        dma, accelerator, dma_type = _blocks(handoff)
    except OSError as error:
        raise InputError(f"Expected `overlay` {str(bitstream)!r} to be readable, but it is not ({error.strerror}).") from error
    return Overlay(bitstream, handoff, digest, dma, accelerator, dma_type)


def named_by_content(overlay: Overlay, folder: Path) -> Overlay:
    """The overlay under a name made of its content, copied into `folder` unless it is there.

    pynq sends a file to the board only where the board has none of that name, so a changed file must have another name.

    Raises:
        HardwareError: it cannot be copied, as where the disk is full.
    """
    both = hashlib.sha256(overlay.bitstream.read_bytes() + overlay.handoff.read_bytes()).hexdigest()
    placed = []
    for path in (overlay.bitstream, overlay.handoff):
        target, content = folder / f"qlight-{both[:24]}{path.suffix}", path.read_bytes()
        if not target.exists() or target.read_bytes() != content:
            try:
                with whole_file(target) as part:
                    part.write_bytes(content)
            except OSError as error:
                raise HardwareError(f"The overlay cannot be copied to {target} ({error.strerror}); make room there.") from error
        placed.append(target)
    return overlay._replace(bitstream=placed[0], handoff=placed[1])


def _blocks(handoff: Path) -> tuple[str, str, str]:
    """Names of the DMA and the accelerator, and the DMA's type.

    Raises:
        InputError: the file is no handoff file, or does not have one of each.
    """
    problem = f"Expected {handoff.name} to be the handoff file of an accelerator of qlight, but "
    if handoff.stat().st_size > _MOST_HANDOFF_BYTES:
        raise InputError(problem + f"it has more than {_MOST_HANDOFF_BYTES} bytes.")
    try:
        root = ElementTree.parse(handoff).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # an unknown encoding is a LookupError
        raise InputError(problem + f"it is no XML ({error}).") from error
    modules = [(module.get("VLNV", ""), module.get("INSTANCE", "")) for module in root.iter("MODULE")]
    dmas = [(name, kind) for kind, name in modules if kind.rpartition(":")[0] in (DMA_TYPE, OPEN_DMA_TYPE)]
    accelerators = [name for kind, name in modules if kind.split(":")[2:3] == [ACCELERATOR_TYPE]]
    if len(dmas) != 1 or len(accelerators) != 1:
        raise InputError(problem + f"it has {len(dmas)} AXI DMAs and {len(accelerators)} blocks {ACCELERATOR_TYPE} where one each must be.")
    return dmas[0][0], accelerators[0], dmas[0][1]
