"""A server of the tiny translators."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from polygraft.adapters.library import Library
from polygraft.runtime.engine import Engine
from polygraft.serve.app import create_app
from polygraft.serve.host import Host


@pytest.fixture(scope="module")
def host(writing_backbone: Path, translators: Path) -> Iterator[Host]:
    """haw to en, en to yo and yo to en: haw to yo only through English."""
    host = Host(Engine(writing_backbone, precision="fp32", slots=8), Library(translators))
    yield host
    host.engine.close()


@pytest.fixture
def api(host: Host) -> TestClient:
    return TestClient(create_app(lambda: host))
