"""Tokens and certificates, and that nothing is served to strangers by mistake."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qlight.board.client import BoardClient
from qlight.board.link import BoardError
from qlight.board.security import client_tls, credentials, new_token, read_token, server_tls
from qlight.board.settings import Settings, is_loopback
from qlight.errors import InputError
from tests.board.fakes import TOKEN, answers, images, serve


def test_a_token_is_new_and_private(tmp_path: Path) -> None:
    path = new_token(tmp_path / "token")
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_token(path)) == 64
    assert read_token(path) != read_token(new_token(tmp_path / "other"))
    with pytest.raises(InputError, match="to be a new file"):
        new_token(path)


def test_tokens_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(InputError, match="cannot be read"):
        read_token(path)
    path.write_bytes(b" short \n")
    path.chmod(0o600)
    with pytest.raises(InputError, match=r"16 to 4096 bytes .* but got 5"):
        read_token(path)
    path.write_bytes(b"x" * 5000)
    with pytest.raises(InputError, match="but got 4097"):
        read_token(path)
    path.write_bytes(TOKEN)
    path.chmod(0o604)
    with pytest.raises(InputError, match="chmod 600"):
        read_token(path)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "", "192.168.2.99", "board.local")],
)
def test_only_loopback_is_served_without_credentials(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
    Settings(host=host, token=TOKEN).check()
    if loopback:
        Settings(host=host).check()
    else:
        with pytest.raises(InputError, match="Expected a token or mutual TLS where others can connect"):
            Settings(host=host).check()


@pytest.mark.parametrize("setting", [{"token": b"short"}, {"clients": 0}, {"in_flight": 0}, {"memory": 0}])
def test_settings_that_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        serve(**setting)


def test_the_token_is_in_no_text() -> None:
    assert TOKEN.decode() not in repr(Settings(token=TOKEN))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's certificate for 127.0.0.1, a client's, and one of somebody else."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes certificates, is not installed")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True, timeout=60)

    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for authority in ("ca", "stranger"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={authority}",
                "-keyout", f"{authority}.key", "-out", f"{authority}.pem")  # fmt: skip
    for who in ("server", "client"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={who}",
                "-keyout", f"{who}.key", "-out", f"{who}.csr")  # fmt: skip
        openssl("x509", "-req", "-in", f"{who}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "names", "-out", f"{who}.pem")  # fmt: skip
    return folder


def test_mutual_tls(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = {
        name: certificates / name
        for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key", "stranger.pem", "stranger.key")
    }
    tls = server_tls(at["server.pem"], at["server.key"], at["ca.pem"])
    Settings(host="0.0.0.0", tls=tls).check()
    with pytest.raises(InputError, match="a token or mutual TLS"):
        Settings(host="0.0.0.0", tls=server_tls(at["server.pem"], at["server.key"])).check()
    with serve(tls=tls) as server:
        mine = client_tls(at["ca.pem"], at["client.pem"], at["client.key"])
        with BoardClient(server.address, tls=mine, batch=100) as client:
            assert np.array_equal(client.query(images(1000)), answers(images(1000)))
        monkeypatch.setenv("QLIGHT_BOARD_CA", str(at["ca.pem"]))
        monkeypatch.setenv("QLIGHT_BOARD_CERT", str(at["client.pem"]))
        monkeypatch.setenv("QLIGHT_BOARD_KEY", str(at["client.key"]))
        with BoardClient(server.address) as client:
            assert np.array_equal(client.query(images(3)), answers(images(3)))
        for name in ("QLIGHT_BOARD_CA", "QLIGHT_BOARD_CERT", "QLIGHT_BOARD_KEY"):
            monkeypatch.delenv(name)
        for other in (None, client_tls(at["ca.pem"]), client_tls(at["ca.pem"], at["stranger.pem"], at["stranger.key"])):
            with pytest.raises(BoardError, match="Expected a board server at"):
                BoardClient(server.address, tls=other, deadline=5)
        with pytest.raises(BoardError, match=r"certificate of the board server .* does not hold"):
            BoardClient(server.address, tls=client_tls(at["stranger.pem"], at["client.pem"], at["client.key"]))
        assert server._served == 2


def test_what_the_environment_gives(certificates: Path, tmp_path: Path) -> None:
    token = new_token(tmp_path / "token")
    assert credentials({"QLIGHT_BOARD_TOKEN_FILE": str(token)}) == (read_token(token), None)
    assert credentials({"QLIGHT_BOARD_CA": str(certificates / "ca.pem")}).tls is not None
    with pytest.raises(InputError, match="Expected QLIGHT_BOARD_CA with"):
        credentials({"QLIGHT_BOARD_CERT": "client.pem"})
    with pytest.raises(InputError, match=r"there is no file .nowhere\.pem"):
        credentials({"QLIGHT_BOARD_CA": "nowhere.pem"})
    with pytest.raises(InputError, match="do not hold"):
        server_tls(certificates / "ca.key", certificates / "ca.pem")
