"""The BentoML service answers nothing in the app's place."""

import logging

import pytest
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from polygraft.serve.process import LaunchHeader
from polygraft.serve.service import Polygraft


def test_bentoml_neither_limits_nor_counts_requests() -> None:
    """Defects 6 and 17: it said 512 requests, answered 429 and 504 in a shape of its own, and had
    one series a path."""
    stack = [m.cls.__name__ for m in Polygraft.to_asgi().user_middleware]
    assert LaunchHeader.__name__ in stack
    assert not {
        "TimeoutMiddleware",
        "MaxConcurrencyMiddleware",
        "RunnerTrafficMetricsMiddleware",
    } & set(stack)


@pytest.mark.parametrize("exporter", [None, "in_memory"])
def test_requests_are_traced_where_there_is_an_exporter(
    exporter: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracing took a fifth of a refusal's time with nowhere to send the traces."""
    if exporter:
        monkeypatch.setenv("BENTOML_CONFIG_OPTIONS", f"services.tracing.exporter_type={exporter}")
    stack = [m.cls.__name__ for m in Polygraft.to_asgi().user_middleware]
    assert ("OpenTelemetryMiddleware" in stack) is (exporter is not None)


def test_h11_reads_requests_also_where_httptools_is_installed() -> None:
    """httptools took 2 GB from one client that pipelines and does not read, and a body after
    `Upgrade` for a request."""
    config = Config("polygraft.serve.service:Polygraft", http="auto")
    config.load()
    assert config.http_protocol_class is H11Protocol


def test_the_access_log_keeps_to_its_line() -> None:
    record = logging.LogRecord(
        "bentoml.access", logging.INFO, "", 0, "%s (%s)", ("1.2.3.4", "path=/a\r\n\x00forged"), None
    )
    assert all(one.filter(record) for one in logging.getLogger("bentoml.access").filters)
    assert record.getMessage() == "1.2.3.4 (path=/a\\r\\n\\x00forged)"
