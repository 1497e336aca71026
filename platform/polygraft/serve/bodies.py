"""The body of a request that is read by hand."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request

from polygraft.errors import InvalidRow


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object of a request's body. Raises `InvalidRow`."""
    return parsed(await request.body())


def parsed(content: bytes) -> dict[str, Any]:
    """The JSON object in `content`. Raises `InvalidRow`."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise InvalidRow("the body is not valid JSON; send one JSON object")
    return body
