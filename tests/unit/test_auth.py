"""The admin key: always there, kept for its user alone, and all that counts (defects 4 and 17)."""

import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from polygraft.errors import Forbidden, KeyFileError
from polygraft.serve import auth

NON_ASCII = "ọ̀rọ̀-aṣínà-密"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(auth.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "polygraft" / "admin.key"


def sent(*values: bytes) -> Headers:
    return Headers(raw=[(b"authorization", value) for value in values])


def test_one_is_made_for_the_user_alone_and_stays() -> None:
    key = auth.find_or_make()
    assert len(key) >= 32
    assert stat.S_IMODE(auth.key_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(auth.key_file().parent.stat().st_mode) == 0o700
    assert auth.find_or_make() == auth.known_key() == key
    assert [f.name for f in auth.key_file().parent.iterdir()] == ["admin.key"], "no draft stays"
    auth.authorise(sent(f"Bearer {key}".encode()))


def test_servers_that_start_together_agree() -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(_key, range(8))
    assert len(set(keys)) == 1


def _key(_: int) -> str:
    return auth.find_or_make()


def test_the_variable_is_the_key_when_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = auth.find_or_make()
    monkeypatch.setenv(auth.VARIABLE, "secret")
    auth.authorise(sent(b"Bearer secret"))
    with pytest.raises(Forbidden):
        auth.authorise(sent(f"Bearer {kept}".encode()))


def test_a_key_beyond_ascii_matches_what_the_client_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(auth.VARIABLE, NON_ASCII)
    auth.authorise(sent(auth.header(NON_ASCII)["authorization"]))
    with pytest.raises(Forbidden):
        auth.authorise(sent(auth.header(NON_ASCII[:-1])["authorization"]))


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b""],
        [b"secret"],
        [b"Bearer"],
        [b"Bearer "],
        [b"Basic secret"],
        [b"Bearersecret"],
        [b"Bearer secre"],
        [b"Bearer secrets"],
        [b"Bearer secret, Bearer secret"],
        [b"Bearer wrong", b"Bearer secret"],
        [b"Bearer \xff\xfe"],
    ],
)
def test_nothing_but_the_key_with_its_scheme_is_let_in(
    values: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(auth.VARIABLE, "secret")
    with pytest.raises(Forbidden, match=r"POLYGRAFT_ADMIN_KEY.*polygraft key"):
        auth.authorise(sent(*values))


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
def test_the_schemes_case_is_free(scheme: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(auth.VARIABLE, "secret")
    auth.authorise(sent(scheme + b" secret"))


def test_without_any_key_nobody_is_let_in(state: Path) -> None:
    for value in (b"", b"Bearer ", b"Bearer None"):
        with pytest.raises(Forbidden):
            auth.authorise(sent(value))
    assert not state.exists(), "asking makes no key"


@pytest.mark.parametrize(
    ("mode", "content"), [(0o644, "secret"), (0o660, "secret"), (0o600, ""), (0o600, " \n")]
)
def test_a_file_that_others_may_read_or_that_is_empty_is_no_key(
    state: Path, mode: int, content: str
) -> None:
    state.parent.mkdir(parents=True)
    state.write_text(content, encoding="utf-8")
    state.chmod(mode)
    with pytest.raises(KeyFileError, match=r"admin\.key"):
        auth.find_or_make()
    for key in (content.strip(), ""):
        with pytest.raises(Forbidden):
            auth.authorise(sent(b"Bearer " + key.encode()))


def test_where_none_can_be_kept_the_server_says_so_and_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    auth.prepare()
    (record,) = caplog.records
    assert "cannot be added or removed" in record.getMessage()
    assert auth.VARIABLE in record.getMessage()
    with pytest.raises(Forbidden):
        auth.authorise(sent(b"Bearer "))


def test_a_relative_state_folder_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert auth.key_file() == tmp_path / ".local" / "state" / "polygraft" / "admin.key"
    assert os.fspath(auth.key_file()).startswith(os.fspath(tmp_path))
