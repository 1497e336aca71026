"""The pages of a server load nothing from elsewhere, and say that they may not (defect 17)."""

import base64
import hashlib
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from polygraft.serve.routes import pages
from polygraft.tasks.translation.manifest import TranslationManifest

LOADS = re.compile(
    r"""<(?:script|link|img|iframe|form|object|embed)\b[^>]*?(?:src|href|action|data)=["']?([^"'\s>]+)"""
)


class _Host:
    def manifests(self) -> list[TranslationManifest]:
        def of(name: str, direction: tuple[str, str], chrf: float) -> TranslationManifest:
            rungs = {
                name: {"chrf++": {"value": value, "low": value - 1, "high": value + 1}}
                for name, value in (("copy", 10.0), ("adapter", chrf))
            }
            metrics = {"directions": {"test": {"-".join(direction): {"rungs": rungs}}}}
            return TranslationManifest.model_construct(
                name=name, directions=[direction], metrics=metrics
            )

        return [of("good", ("en", "fr"), 50), of("<b>", ("en", "yo"), 20)]


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(pages.router(lambda: _Host()))  # type: ignore[arg-type, return-value]
    return TestClient(app)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_nothing_is_loaded_from_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.findall(r"(?:https?:)?//\S+", answer.text)
    loads = [x for x in LOADS.findall(answer.text) if not x.startswith("data:")]
    for one in loads:
        assert client.get(f"/{one}").status_code == 200, one
    policy = dict(
        x.strip().split(" ", 1) for x in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] in ("'none'", "'self'")
    assert policy["frame-ancestors"] == "'none'"
    assert not [v for v in policy.values() if "unsafe" in v or "//" in v or "*" in v]
    assert client.head(path).status_code == 200


def test_no_script_stands_in_a_page_and_the_home_pages_style_is_the_one_allowed(
    client: TestClient,
) -> None:
    home, docs = client.get("/"), client.get("/docs")
    assert "<script" not in home.text
    assert not re.search(r"<style|\son\w+=|<script>|style=", docs.text)
    (style,) = re.findall(r"<style>(.*?)</style>", home.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in home.headers["content-security-policy"]


def test_the_home_page_says_how_far_each_direction_can_be_trusted(client: TestClient) -> None:
    page = client.get("/").text
    assert "<td>en to fr</td><td>usable</td><td>good</td>" in page
    assert "<td>en to yo</td><td>experimental</td><td>&lt;b&gt;</td>" in page


def test_the_docs_read_our_own_description(client: TestClient) -> None:
    assert 'url: "openapi.json"' in client.get("/docs/start.js").text
    assert "validatorUrl: null" in client.get("/docs/start.js").text
    assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text
    assert len(client.get("/docs/swagger-ui.css").content) > 100_000


@pytest.mark.parametrize(
    "name", ["home.html", "..%2fhome.html", "swagger-initializer.js", "%2e%2e"]
)
def test_no_other_file_is_given(client: TestClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


def test_the_pages_are_no_part_of_the_description(client: TestClient) -> None:
    assert client.get("/openapi.json").json()["paths"] == {}
