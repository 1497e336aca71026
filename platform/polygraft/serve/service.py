"""The BentoML service: process, health, readiness and builds. The app it serves is in `app`.

BentoML's own limits, series and pages are out of the way. Its limits answer 429 and 504 in a shape
of their own and know no rows; its series have one label value a path; its pages load scripts from
elsewhere. The app limits, counts and shows. Requests are traced where BentoML's configuration names
an exporter (`services.tracing.exporter_type`), not to be thrown away.
"""

from __future__ import annotations

import logging
import os
import re

import bentoml
import uvicorn.protocols.http.auto
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.server.http.traffic import MaxConcurrencyMiddleware, TimeoutMiddleware
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from polygraft.errors import PolygraftError, SettingsError
from polygraft.serve import auth, process, request_id
from polygraft.serve.settings import Settings

# One worker answers, so its series live in its memory. BentoML would have them in one folder for
# all servers of a user, which the next server to start empties. Read when prometheus_client is
# first imported, which the modules below do.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.serve.metrics import CACHED, CAPACITY, REPEATED, RESIDENT, WAITING

# uvicorn would take httptools where some package has installed it: that reads pipelined requests
# and headers without bound, and takes the body of a request with an Upgrade header for the next
# request.
uvicorn.protocols.http.auto.AutoHTTPProtocol = H11Protocol

log = logging.getLogger(__name__)
_hosts: list[Host] = []


def _host() -> Host:
    return _hosts[0]


_app = create_app(_host)


async def _everything(scope: Scope, receive: Receive, send: Send) -> None:
    """The app. Not mounted as a Starlette, of which BentoML would only take the routes it knows and
    answer the rest."""
    await _app(scope, receive, send)


class _WithoutLimits(bentoml.Service):
    """A service whose requests BentoML neither counts nor times; its timer would also keep each
    request for its length."""

    def to_asgi(self, is_main: bool = True) -> Starlette:
        app: Starlette = super().to_asgi(is_main)
        unwanted: list[object] = [TimeoutMiddleware, MaxConcurrencyMiddleware]
        if BentoMLContainer.tracing.exporter_type.get() is None:
            unwanted.append(OpenTelemetryMiddleware)
        app.user_middleware = [m for m in app.user_middleware if m.cls not in unwanted]
        return app


class AccessLine(logging.Filter):
    """A line of the access log gets its request's id. Control characters of a path, which a client
    chose, would begin a line of their own."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                _CONTROL.sub(_escaped, argument) if isinstance(argument, str) else argument
                for argument in record.args
            )
            if named := request_id.current():
                record.msg, record.args = f"{record.msg} id=%s", (*record.args, named)
        return True


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _escaped(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode()


logging.getLogger("bentoml.access").addFilter(AccessLine())


@bentoml.service(
    name="polygraft",
    workers=1,
    service_class=_WithoutLimits,
    metrics={"enabled": False, "namespace": "polygraft"},
)
@bentoml.asgi_app(_everything, path="/")
class Polygraft:
    """One backbone with every adapter of the library loaded."""

    @bentoml.on_deployment
    @staticmethod
    def before_workers() -> None:
        """Check, in the supervisor, what would fail in each worker."""
        try:
            Settings.from_environment(files=True)
        except SettingsError as error:
            process.give_up(*error.problems, status=2)
        auth.prepare()
        process.supervise()

    def __init__(self) -> None:
        process.follow_supervisor()
        try:
            with process.interruptible():
                self.host = Host.from_environment()
        except SettingsError as error:
            process.give_up(*error.problems)
        except PolygraftError as error:
            process.give_up(str(error))
        except Exception as error:
            log.debug("the engine could not be started", exc_info=True)
            process.give_up(
                f"the engine could not be started: {type(error).__name__}: "
                f"{' '.join(str(error).split())}"
            )
        _hosts[:] = [self.host]
        RESIDENT.set_function(lambda: len(self.host.engine.adapters.resident()))
        WAITING.set_function(lambda: self.host.engine.admission.under_way)
        CACHED.set_function(lambda: len(self.host.engine.cache))
        REPEATED.set_function(lambda: self.host.engine.cache.hits)
        CAPACITY.set(self.host.settings.queue)
        for name, refused in self.host.rollout.refused.items():
            log.error("adapter %s is not served: %s", name, refused)
        process.collect_garbage_seldom()

    async def __is_ready__(self) -> bool:
        return bool(_hosts)

    @bentoml.on_shutdown
    def stop(self) -> None:
        self.host.close()


# also around what BentoML answers itself
for middleware in (request_id.RequestId, process.LaunchHeader):
    Polygraft.add_asgi_middleware(middleware)  # type: ignore[attr-defined]  # the decorator made it a Service
