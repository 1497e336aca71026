"""What a browser sees: a home page, and the API's documentation by Swagger UI. All of it from this
origin.

Adapters are changed on the same origin, so nothing foreign may run here: the pages load nothing
from elsewhere, and their Content-Security-Policy forbids it. Swagger UI's script and style are the
ones BentoML ships, which is installed already.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.util
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, Response

from polygraft.serve.host import Host
from polygraft.serve.routing import Directions, directions

WEB = Path(__file__).resolve().parents[1] / "web"
GUARD = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NO_ONE_ELSE = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
MAX_DIRECTIONS = 200
"""That the home page lists; `/languages` has all of them."""
DOCS_POLICY = f"default-src 'self'; img-src 'self' data:; object-src 'none'; {NO_ONE_ELSE}"


def router(host: Callable[[], Host]) -> APIRouter:
    """`/`, and `/docs` with its files; neither is part of the API's description."""
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def home() -> Response:
        """The home page, with the directions that are translated and the class of each."""
        page = (WEB / "home.html").read_text(encoding="utf-8")
        rows = _direction_rows(directions(host().manifests()))
        return Response(
            page.replace("<!-- directions -->", rows),
            media_type="text/html",
            headers=GUARD | {"content-security-policy": _home_policy()},
        )

    @routes.api_route("/docs", methods=["GET", "HEAD"])
    async def docs() -> Response:
        """The page that loads Swagger UI."""
        return FileResponse(
            WEB / "docs.html", headers=GUARD | {"content-security-policy": DOCS_POLICY}
        )

    @routes.api_route("/docs/{name}", methods=["GET", "HEAD"])
    async def docs_file(name: str) -> Response:
        """A file of the page above."""
        file = _files().get(name)
        if file is None:
            raise HTTPException(404)
        return FileResponse(file, headers=GUARD | {"cache-control": "public, max-age=3600"})

    return routes


def _direction_rows(served: Directions) -> str:
    """A row of the page's table for each direction: languages, class, adapter."""
    rows = list[str]()
    for (source, target), way in sorted(served.items())[:MAX_DIRECTIONS]:
        cells = (f"{source} to {target}", way.quality, *way.adapters)
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    if len(served) > MAX_DIRECTIONS:
        rows.append(f"<tr><td>and {len(served) - MAX_DIRECTIONS:,} more</td></tr>")
    return "\n".join(rows or ["<tr><td>none yet</td></tr>"])


@cache
def _files() -> dict[str, Path]:
    """The script and style of Swagger UI in BentoML's package, found without importing it, and our
    own line of script."""
    bentoml = importlib.util.find_spec("bentoml")
    if bentoml is None or bentoml.origin is None:
        return {}
    swagger = Path(bentoml.origin).parent / "_internal" / "server" / "static_content"
    return {name: swagger / name for name in ("swagger-ui-bundle.js", "swagger-ui.css")} | {
        "start.js": WEB / "start.js"
    }


@cache
def _home_policy() -> str:
    """No script at all, and no style but the page's own."""
    style = re.search(
        r"<style>(.*?)</style>", (WEB / "home.html").read_text(encoding="utf-8"), re.DOTALL
    )
    digest = hashlib.sha256(style.group(1).encode() if style else b"").digest()
    return (
        f"default-src 'none'; style-src 'sha256-{base64.b64encode(digest).decode()}'; img-src "
        f"data:; {NO_ONE_ELSE}"
    )
