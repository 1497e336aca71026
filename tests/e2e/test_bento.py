"""`bentoml build`, then the built bento served from its own files."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from polygraft import Client

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def bento(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("bentoml")
    environment = dict(os.environ, BENTOML_HOME=str(home), BENTOML_DO_NOT_TRACK="true")
    build = [sys.executable, "-m", "bentoml", "build", "--output", "tag"]
    done = subprocess.run(
        build, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next((home / "bentos" / "polygraft").glob("*/bento.yaml")).parent


def test_it_ships_what_serving_needs_and_nothing_else(bento: Path) -> None:
    shipped = {str(f.relative_to(bento / "src")) for f in (bento / "src").rglob("*") if f.is_file()}
    assert {
        "deploy/service.py",
        "platform/polygraft/cli/app.py",
        "platform/backbones/mini/onnx/model.int8.onnx",
    } <= shipped
    assert {
        f"platform/polygraft/serve/web/{name}" for name in ("home.html", "docs.html", "start.js")
    } <= shipped
    assert "adapters/spam-sw/adapter_model.safetensors" in shipped
    assert not [
        f
        for f in shipped
        if f.startswith("tests/")
        or (
            f.endswith(("model.safetensors", ".pyc", ".env"))
            and not f.endswith("adapter_model.safetensors")
        )
    ]


def test_the_built_bento_answers_from_its_own_files(bento: Path, serve) -> None:
    url = serve(["bentoml", "serve", str(bento)], cwd=bento)
    with Client(url) as client:
        results = client.classify_rows(
            [
                {
                    "adapter": "spam-en",
                    "text": "WINNER!! You have been selected to receive a 900 prize reward! "
                    "Call 09061701461",
                },
                {"adapter": "spam-en", "text": "Sorry, I'll call later"},
            ]
        )
    assert [r.label for r in results] == ["spam", "ham"]
    for path in ("/", "/docs", "/docs/swagger-ui-bundle.js"):
        assert httpx.get(url + path).status_code == 200, path
