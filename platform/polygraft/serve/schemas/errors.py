"""Errors as the API tells them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
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


REMEDIES = {
    "missing": "send it",
    "string_type": "send one text in quotes",
    "list_type": "send a list, [...]",
    "bool_type": "send true or false",
    "int_type": "send a whole number",
    "float_type": "send a number",
    "dict_type": "send an object, {...}",
    "model_type": "send an object, {...}",
}
"""What to do, by pydantic's kind of error."""
ONE_AND_MANY = {
    ("text", "string_type"): "send one text in quotes; several texts go into texts",
    ("texts", "list_type"): "send a list of texts; one text goes into text",
}


def in_one_line(
    errors: Sequence[Any], subject: str, skip: int = 0, known: Collection[str] = ()
) -> str:
    """Pydantic's `errors` as a message: the place of each, without its first `skip` parts, or
    `subject` where nothing is left of it; what is wrong there, and what to do. `known` are the
    fields there are. `MAX_PROBLEMS` at most."""
    problems = []
    for error in errors[:MAX_PROBLEMS]:
        place = ".".join(map(str, error["loc"][skip:]))[:MAX_NAME]
        if error["type"] == "extra_forbidden":
            what = f"there is no such field; {_meant(place, known)}"
        else:
            what = end_of_sentence(error["msg"])
            kind = error["type"]
            if remedy := ONE_AND_MANY.get((place, kind)) or REMEDIES.get(kind):
                what = f"{what}; {remedy}"
        problems.append(f"{place or subject}: {what}")
    if len(errors) > MAX_PROBLEMS:
        problems.append(f"and {len(errors) - MAX_PROBLEMS} more problems")
    return "; ".join(problems)


def _meant(place: str, known: Collection[str]) -> str:
    """What to do about an unknown field."""
    if near := difflib.get_close_matches(place, known, n=1):
        return f"did you mean {near[0]}?"
    if known and "." not in place:
        return f"leave it out, or take one of {', '.join(known)}"
    return "leave it out"
