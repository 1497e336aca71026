"""Errors as the clients of other APIs know them: a text."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Failure(BaseModel):
    """The error of a whole request."""

    error: str
    request_id: str


FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure} for status in (400, 404, 405, 408, 413, 422, 500, 503, 504)
}
"""For a router: what its routes answer where they fail."""
