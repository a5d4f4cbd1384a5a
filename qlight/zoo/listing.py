"""`python -m qlight zoo`: what the zoo holds, printed."""

from __future__ import annotations

from collections.abc import Sequence

from qlight.errors import InputError
from qlight.zoo.store import PREFIX, entries, find


def main(arguments: Sequence[str]) -> None:
    """Print a line for every network, or all that is known of the one that is named.

    Raises:
        InputError: more than one name, or none of the zoo's.
    """
    if len(arguments) > 1:
        raise InputError(f"Expected at most one name of a network, but got {' '.join(arguments)!r}; name one.")
    if arguments:
        entry = find(arguments[0])
        print(f"{PREFIX}{entry.name}: accuracy {entry.accuracy:.4f} on {entry.test_images:,} test images of {entry.dataset}")
        print(
            f"{entry.bytes:,} bytes, SHA-256 {entry.sha256}\nlicense {entry.license}. {entry.provenance}\n\n{entry.configuration.rstrip()}"
        )
        return
    print(f"{'network':<28} {'accuracy':>8} {'images':>7} {'bytes':>10}  data")
    for entry in entries().values():
        print(f"{PREFIX + entry.name:<28} {entry.accuracy:>8.4f} {entry.test_images:>7,} {entry.bytes:>10,}  {entry.dataset}")
