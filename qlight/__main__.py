"""``python -m qlight <verb>``: dispatch and error messages; what the verbs do is imported only when one runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from qlight import __version__
from qlight.errors import HardwareError, InputError, nearest
from qlight.help import HELP, VERBS, verb_help

#: modules whose `main` takes the arguments of a verb that is not LightningCLI's
OWN = {
    "bitstream": "qlight.bitstream.command",
    "curves": "qlight.curves",
    "hardware": "qlight.hardware.command",
    "import": "qlight.importing",
    "quickstart": "qlight.quickstart",
    "study": "qlight.study.command",
    "zoo": "qlight.zoo.listing",
}


def _fail(message: str, verb: str = "", status: int = 2) -> int:
    print(f"qlight{' ' + verb if verb else ''}: error: {' '.join(message.split())}", file=sys.stderr)
    return status


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: what follows ``python -m qlight``; None takes it from ``sys.argv``.

    Returns:
        The exit status: 0, or 2 after one line on stderr that says what was wrong with the input.
    """
    given = list(sys.argv[1:] if args is None else args)
    if not given or given[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    verb = given[0]
    if verb == "--version":
        print(f"qlight {__version__}")
        return 0
    if verb not in VERBS:
        close = nearest(verb, VERBS)
        return _fail(f"Expected a verb ({', '.join(VERBS)}), but got {verb!r}; " + (f"did you mean {close}?" if close else "see --help."))
    if verb == "board":  # also `python -m qlight.board`, which needs nothing that a board has not
        from qlight.board.__main__ import main as board

        return board(given[1:])
    if "-h" in given or "--help" in given:
        print(verb_help(verb))
        return 0
    try:
        if verb in OWN:
            importlib.import_module(OWN[verb]).main(given[1:])
        else:
            from qlight.cli import run

            run(given)
    except InputError as error:
        return _fail(str(error), verb)
    except HardwareError as error:
        return _fail(str(error), verb, status=1)
    except KeyboardInterrupt:
        print(f"\nqlight {verb}: interrupted", file=sys.stderr)
        return 130
    return 0


def entry() -> None:
    """The console script."""
    try:
        status = main()
    except BrokenPipeError:  # the reader of our output, such as `head`, has left
        sys.stderr.close()
        status = 0
    sys.exit(status)


if __name__ == "__main__":
    entry()
