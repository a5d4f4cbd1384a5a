"""Who may talk to a board: tokens in files, and TLS in which both sides show a certificate."""

from __future__ import annotations

import contextlib
import os
import secrets
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from qlight.errors import InputError

#: what a client takes from its environment, so that no secret stands on a command line
TOKEN_FILE, CA, CERTIFICATE, KEY = "QLIGHT_BOARD_TOKEN_FILE", "QLIGHT_BOARD_CA", "QLIGHT_BOARD_CERT", "QLIGHT_BOARD_KEY"
_LEAST, _MOST = 16, 4096


class Credentials(NamedTuple):
    """What a client shows; nothing where the server asks for nothing."""

    token: bytes = b""
    tls: ssl.SSLContext | None = None


def new_token(path: str | Path) -> Path:
    """Write a new token of 32 random bytes, in hexadecimal digits, that only its owner can read.

    Raises:
        InputError: the file is there already, or cannot be written.
    """
    path = Path(path).expanduser()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32) + "\n")
    except OSError as error:
        raise InputError(
            f"Expected `path` to be a new file, but {str(path)!r} cannot be made ({error.strerror}); choose another."
        ) from error
    return path


def read_token(path: str | Path) -> bytes:
    """The token of a file, without white space around it.

    Raises:
        InputError: it cannot be read, everybody can read it, or it is no token.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as stream:
            open_to_all = os.fstat(stream.fileno()).st_mode & 0o007
            token = stream.read(_MOST + 1).strip()
    except OSError as error:
        raise InputError(
            f"Expected the file of a token, but {str(path)!r} cannot be read ({error.strerror}); `python -m qlight.board token` makes one."
        ) from error
    if open_to_all:
        raise InputError(f"Expected only its owner to read the token in {str(path)!r}, but everybody can; chmod 600 it.")
    if not _LEAST <= len(token) <= _MOST:
        raise InputError(
            f"Expected a token of {_LEAST} to {_MOST} bytes in {str(path)!r}, but got {len(token)}; make one with `token FILE`."
        )
    return token


def server_tls(certificate: str | Path, key: str | Path, clients: str | Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later for a server.

    Args:
        certificate, key: PEM files of the server.
        clients: PEM file of the authorities whose certificates clients must show; None: they show none.

    Raises:
        InputError: a file cannot be read, or does not hold what it must.
    """
    with _readable(certificate, key, clients):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        if clients is not None:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(authority: str | Path, certificate: str | Path | None = None, key: str | Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later for a client, which checks the server's certificate and its name.

    Args:
        authority: PEM file of who signed the server's certificate (the certificate itself where it signed itself).
        certificate, key: PEM files that the client shows; None: it shows none.

    Raises:
        InputError: a file cannot be read, or does not hold what it must.
    """
    with _readable(authority, certificate, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(authority)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    return context


def credentials(environment: Mapping[str, str] | None = None) -> Credentials:
    """What the environment gives a client: QLIGHT_BOARD_TOKEN_FILE; QLIGHT_BOARD_CA, and with it QLIGHT_BOARD_CERT and QLIGHT_BOARD_KEY.

    Raises:
        InputError: a file is not what it must be.

    >>> credentials({})
    Credentials(token=b'', tls=None)
    """
    held = os.environ if environment is None else environment
    token = read_token(held[TOKEN_FILE]) if held.get(TOKEN_FILE) else b""
    if not held.get(CA):
        if held.get(CERTIFICATE) or held.get(KEY):
            raise InputError(f"Expected {CA} with {CERTIFICATE} and {KEY}, but it is not set; name who signed the board's certificate.")
        return Credentials(token)
    return Credentials(token, client_tls(held[CA], held.get(CERTIFICATE) or None, held.get(KEY) or None))


@contextlib.contextmanager
def _readable(*files: str | Path | None) -> Iterator[None]:
    """Turns what ssl says of files into a sentence."""
    names = ", ".join(repr(str(each)) for each in files if each is not None)
    for each in files:
        if each is not None and not Path(each).is_file():
            raise InputError(f"Expected a PEM file, but there is no file {str(each)!r}; correct the path.")
    try:
        yield
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InputError(
            f"Expected certificates and keys in {names}, but they do not hold ({error}); check which file is which."
        ) from error
