"""Errors as the API tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from polygraft.errors import end_of_sentence
from polygraft.serve.schemas.fields import MAX_NAME

MAX_PROBLEMS = 10


class ErrorBody(BaseModel):
    code: str = Field(description="name of the error class, stable")
    message: str = Field(description="what went wrong, why, and what to do")


class RequestErrorBody(ErrorBody):
    """The error of a whole request."""

    request_id: str = Field(description="of the request, as in the header X-Request-ID")


class ErrorResponse(BaseModel):
    error: RequestErrorBody


def in_one_line(errors: Sequence[Any], subject: str, skip: int = 0) -> str:
    """Pydantic's `errors` as a message: the place of each, without its first `skip` parts, or
    `subject` where nothing is left of it; and what is wrong there. `MAX_PROBLEMS` at most."""
    problems = []
    for error in errors[:MAX_PROBLEMS]:
        place = ".".join(map(str, error["loc"][skip:]))[:MAX_NAME] or subject
        problems.append(f"{place}: {end_of_sentence(error['msg'])}")
    if len(errors) > MAX_PROBLEMS:
        problems.append(f"and {len(errors) - MAX_PROBLEMS} more problems")
    return "; ".join(problems)
