"""From the name of a target to the target."""

from __future__ import annotations

from qlight.errors import InputError
from qlight.targets.eight_bit import PackedTarget, PixelTarget
from qlight.targets.naming import TargetName


def open_target(name: TargetName) -> PixelTarget:
    """The target of a name (`parse_target`) other than torch, ready for queries.

    Raises:
        InputError: what it names is not there, or another argument is wrong.
        HardwareError: a board does not answer, or wrongly; or a tool that csim or rtlsim needs is missing.
    """
    if name.kind == "packed":
        return PackedTarget(name.place)
    if name.kind == "rtlsim":
        from qlight.targets.rtlsim_target import RtlSimTarget

        return RtlSimTarget(name.place)
    if name.kind == "csim":
        from qlight.targets.csim_target import CSimTarget

        return CSimTarget(name.place)
    if name.kind == "board":
        from qlight.targets.board import BoardTarget

        return BoardTarget(f"board:{name.place}")
    raise InputError(f"Expected a target of 8-bit pixels, but got {name.kind!r}, which is a torch network; give --ckpt_path.")
