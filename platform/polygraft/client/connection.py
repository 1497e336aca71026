"""The server that is asked: its address, the key for it, and what its errors and its silence are
raised as."""

from __future__ import annotations

import ipaddress
import os
from typing import Any, TypeVar

import httpx

from polygraft.client.calls import Call
from polygraft.errors import ServerError
from polygraft.serve import auth

DEFAULT_URL = "http://127.0.0.1:3000"
Result = TypeVar("Result")


class Connection:
    """`options` are those of an httpx client."""

    def __init__(self, url: str, key: str | None, timeout: float) -> None:
        self.url = url if "://" in url else f"http://{url}"
        self.options: dict[str, Any] = {"base_url": self.url, "timeout": timeout}
        self._key = key

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """What httpx sends."""
        headers: dict[str, str | bytes] = dict(call.headers)
        key = self._admin_key() if call.admin else None
        if key:
            headers |= auth.header(key)
        return {
            "method": call.method,
            "url": call.url,
            "content": call.content,
            "headers": headers,
            "params": call.params or None,
        }

    def result(self, call: Call[Result], response: httpx.Response) -> Result:
        """Raises `ServerError`."""
        self.check(response)
        return call.read(response.content)

    def check(self, response: httpx.Response) -> None:
        """Raise `ServerError` with the server's own message for an answer that is an error."""
        if response.is_success:
            return
        try:
            answer = response.json()
            error = answer["error"]
            if isinstance(error, str):  # as LibreTranslate tells it
                error = {"message": error, "code": "refused", "request_id": answer["request_id"]}
            message = f"{error['message']} ({error['code']}, request {error['request_id']})"
        except (ValueError, KeyError, TypeError):
            message = response.text[:300]
        raise ServerError(f"{self.url} answered {response.status_code}: {message}")

    def unreachable(self, error: httpx.TransportError) -> ServerError:
        return ServerError(
            f"{self.url} does not answer ({error or type(error).__name__}); is the server running, "
            "and at this address? Commands take another with --server or POLYGRAFT_SERVER"
        )

    def cut_off(self) -> ServerError:
        """For a stream that ended before its rows did."""
        return ServerError(f"{self.url} ended its answer too early; send the texts again")

    def _admin_key(self) -> str | None:
        """The key that was given, else POLYGRAFT_ADMIN_KEY, else, for a server on this machine, the
        one in the user's file."""
        key = self._key or os.environ.get(auth.VARIABLE)
        if not key and _is_this_machine(httpx.URL(self.url).host):
            key = auth.known_key()
        return key


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
