"""``python -m qlight.board COMMAND``: what a board runs, and what asks it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from qlight.errors import HardwareError, InputError, nearest

COMMANDS = {
    "serve": "serve the accelerator of this board",
    "status": "ask a server what it serves and what it counted",
    "throughput": "time random images through a server",
    "token": "make a secret that server and clients share",
    "emulate": "give yourself a board to talk to",
}


def main(args: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0, 1 where hardware fails, 2 where the input is wrong."""
    given = list(sys.argv[1:] if args is None else args)
    if not given or given[0] in ("-h", "--help"):
        print("usage: python -m qlight.board COMMAND [options]\n\ncommands (each has --help):")
        print("\n".join(f"  {name:<10} {what}" for name, what in COMMANDS.items()))
        return 0
    name = given[0]
    try:
        if name not in COMMANDS:
            close = nearest(name, COMMANDS, 1)
            hint = f"did you mean {close}?" if close else "see --help."
            raise InputError(f"Expected a command ({', '.join(COMMANDS)}), but got {name!r}; {hint}")
        if name == "emulate":
            from qlight.board.emulated.command import main as emulate

            return emulate(given[1:])
        from qlight.board import commands

        return getattr(commands, name)(given[1:])
    except (InputError, HardwareError) as error:
        print(f"qlight.board: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
