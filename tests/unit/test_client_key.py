"""Which key a client sends, and to whom (defects 4 and 17)."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from polygraft import Client
from polygraft.client import calls
from polygraft.client.connection import Connection
from polygraft.errors import KeyFileError, ServerError
from polygraft.serve import auth

SEEN: list[bytes | None] = []


class _Recorder(BaseHTTPRequestHandler):
    """Refuses everything, and keeps the bytes of each request's key."""

    def do_GET(self) -> None:
        given = self.headers.get("authorization")
        SEEN.append(None if given is None else given.encode("latin-1"))
        self.send_response(403)
        self.end_headers()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *told: object) -> None:
        """Keep silent."""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv(auth.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    SEEN.clear()
    server = HTTPServer(("127.0.0.1", 0), _Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def sent(url: str, key: str | None = None) -> bytes | None:
    with Client(url, key=key) as client, pytest.raises(ServerError, match="403"):
        client.remove("spam-en")
    return SEEN[-1]


def test_the_given_key_goes_before_the_variables_and_that_before_the_users(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sent(url) is None, "there is none yet"
    kept = auth.find_or_make()
    assert sent(url) == b"Bearer " + kept.encode()
    monkeypatch.setenv(auth.VARIABLE, "variable")
    assert sent(url) == b"Bearer variable"
    assert sent(url, "given") == b"Bearer given"


def test_a_key_beyond_ascii_is_sent_as_utf_8(url: str) -> None:
    """Defect 17: it was an error of the client's, or never matched."""
    assert sent(url, "ọ̀rọ̀-密") == b"Bearer " + "ọ̀rọ̀-密".encode()


def test_only_admin_verbs_send_it(url: str) -> None:
    with Client(url, key="given") as client, pytest.raises(ServerError):
        client.adapters()
    assert SEEN == [None]


def headers_for(host: str) -> object:
    connection = Connection(f"http://{host}:3000", None, 1)
    return connection.request(calls.remove("x", purge=False))["headers"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_the_users_key_goes_to_servers_on_this_machine(url: str, host: str) -> None:
    key = auth.find_or_make()
    assert headers_for(host) == auth.header(key)


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "10.0.0.1",
        "0.0.0.0",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "[::2]",
    ],
)
def test_and_to_no_other(url: str, host: str) -> None:
    auth.find_or_make()
    assert headers_for(host) == {}


def test_a_key_file_that_others_may_read_is_not_sent(url: str) -> None:
    auth.find_or_make()
    auth.key_file().chmod(0o644)
    with Client(url) as client, pytest.raises(KeyFileError, match="chmod 600"):
        client.remove("spam-en")
    assert not SEEN


def test_a_name_stays_one_part_of_the_path() -> None:
    call = calls.remove("a/b?purge=true#", purge=False)
    assert call.url == "/v1/adapters/a%2Fb%3Fpurge%3Dtrue%23"
