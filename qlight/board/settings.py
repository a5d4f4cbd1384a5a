"""How a board server serves, and what it refuses to serve to strangers."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field

from qlight.board.owner import Care
from qlight.board.protocol import DEFAULT_PORT
from qlight.errors import InputError


@dataclass(frozen=True)
class Settings:
    """How a server serves.

    Attributes:
        host, port: where it listens; port 0 is one that the system chooses.
        token: secret that clients must know, at least 16 bytes; empty: none is asked for.
        tls: a server's context; None: plain TCP.
        clients: at once.
        in_flight: queries that a client may have unanswered.
        memory: bytes for the frames of all clients together; sets the images of a query.
        care: how the accelerator is treated.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: bytes = field(default=b"", repr=False)
    tls: ssl.SSLContext | None = None
    clients: int = 8
    in_flight: int = 2
    memory: int = 96 << 20
    care: Care = field(default_factory=Care)

    def check(self) -> None:
        """Refuse what cannot be served, or would be served to strangers.

        Raises:
            InputError: it says which setting, and what to do.
        """
        if self.token and len(self.token) < 16:
            raise InputError(
                f"Expected `token` to have 16 bytes at least, but got {len(self.token)}; `python -m qlight.board token` makes one."
            )
        if not is_loopback(self.host) and not self.token and not (self.tls is not None and self.tls.verify_mode == ssl.CERT_REQUIRED):
            raise InputError(
                f"Expected a token or mutual TLS where others can connect, but `host` is {self.host!r} and neither is given; "
                "add --token_file FILE (`python -m qlight.board token FILE` makes one), or --tls_clients FILE."
            )
        for name in ("clients", "in_flight", "memory"):
            if getattr(self, name) < 1:
                raise InputError(f"Expected `{name}` to be at least 1, but got {getattr(self, name)}.")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. Names other than localhost do not count: they may change."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
