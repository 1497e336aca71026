"""The admin key: who may add and remove adapters. There always is one.

POLYGRAFT_ADMIN_KEY is the key when it is set. Otherwise it is made once for each user and kept in
`admin.key`, which only that user can read, so commands on the same machine find it; where that file
cannot be kept, nobody knows the key.

A request is let in for its key alone. Where it comes from (peer, Host, Origin, X-Forwarded-For)
counts for nothing, so that a page in the user's browser, a rebound name or a proxy on this machine
gains nothing by being near. A browser never sends this header by itself.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import secrets
import stat
import tempfile
from pathlib import Path

from starlette.datastructures import Headers

from polygraft.errors import Forbidden, KeyFileError

log = logging.getLogger(__name__)
VARIABLE = "POLYGRAFT_ADMIN_KEY"
_UNKNOWN = secrets.token_urlsafe(32)
_FORBIDDEN = (
    "this needs the header 'Authorization: Bearer KEY' with the server's admin key: the value of "
    f"{VARIABLE} where the server was started with it, else what `polygraft key` prints for the "
    "user that runs the server"
)


def key_file() -> Path:
    """Where the user's key is kept: `polygraft/admin.key` under XDG_STATE_HOME, else under
    ~/.local/state."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        if not state.is_absolute():
            state = Path.home() / ".local" / "state"
        return state / "polygraft" / "admin.key"
    except RuntimeError as error:
        raise KeyFileError(
            f"this user has no folder to keep a key in ({error}); set {VARIABLE}"
        ) from error


def known_key() -> str | None:
    """The key that this process is given or finds in the user's file; None where there is none.
    Raises `KeyFileError`."""
    return os.environ.get(VARIABLE) or _read(key_file())


def is_set() -> bool:
    """Whether the environment gives the key."""
    return bool(os.environ.get(VARIABLE))


def find_or_make() -> str:
    """The key of a server that this user runs, made now when there is none yet. Raises
    `KeyFileError`."""
    key = known_key()
    if key is None:
        _create(key_file())
        key = known_key()
    if key is None:
        raise KeyFileError("the key file has just been deleted; try again")
    return key


def prepare() -> None:
    """See to it, as a server starts, that there is a key that its user can find; says so once where
    that fails."""
    try:
        find_or_make()
    except KeyFileError as error:
        log.error("adapters cannot be added or removed while this server runs: %s", error)


def authorise(headers: Headers) -> None:
    """Raise `Forbidden` unless the request carries the admin key: one `Authorization` header of
    scheme `Bearer`.

    Compared as bytes, in a time that does not tell how much of it is right.
    """
    sent = headers.getlist("authorization")
    scheme, _, key = (sent[0] if len(sent) == 1 else "").partition(" ")
    key_matches = hmac.compare_digest(key.strip().encode("latin-1"), _server_key().encode())
    if scheme.lower() != "bearer" or not key_matches:
        raise Forbidden(_FORBIDDEN)


def header(key: str) -> dict[str, bytes]:
    """What a client sends; bytes, since a header's text would be ASCII."""
    return {"authorization": b"Bearer " + key.encode()}


def _server_key() -> str:
    try:
        return known_key() or _UNKNOWN
    except KeyFileError:
        return _UNKNOWN


def _read(file: Path) -> str | None:
    """The key in `file`, or None where there is no such file."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as opened:
            state = os.fstat(opened.fileno())
            if (
                not stat.S_ISREG(state.st_mode)
                or state.st_uid != os.geteuid()
                or state.st_mode & 0o077
            ):
                raise KeyFileError(
                    f"{file} must be a file of its user's alone; chmod 600 it, or delete it to "
                    "have a new one made"
                )
            key = opened.read(4_096).decode(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError(f"{file} cannot be read ({error.strerror}); set {VARIABLE}") from error
    if not key or not key.isprintable():
        raise KeyFileError(f"{file} holds no key; delete it to have a new one made")
    return key


def _create(file: Path) -> None:
    """Write a new key, unless another server has just done so: the name appears with its content,
    or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=".admin.key-")  # 0600
        try:
            with open(descriptor, "w", encoding="utf-8") as opened:
                opened.write(f"{secrets.token_urlsafe(32)}\n")
                opened.flush()
                os.fsync(opened.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, file)
        finally:
            Path(draft).unlink()
    except OSError as error:
        raise KeyFileError(
            f"{file} cannot be written ({error.strerror}); set {VARIABLE}"
        ) from error
