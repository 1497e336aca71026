"""The BentoML service: process, health, readiness, metrics and builds. The endpoints are in `api`."""

from __future__ import annotations

import logging

import bentoml

from polygraft.serve.api import RESIDENT, create_app
from polygraft.serve.host import Host

log = logging.getLogger(__name__)
_hosts: list[Host] = []


def _host() -> Host:
    return _hosts[0]


@bentoml.service(name="polygraft", workers=1, traffic={"timeout": 120, "max_concurrency": 512})
@bentoml.asgi_app(create_app(_host), path="/")
class Polygraft:
    """One backbone with every adapter of the library resident."""

    def __init__(self) -> None:
        self.host = Host.from_environment()
        _hosts[:] = [self.host]
        RESIDENT.set(len(self.host.engine.manifests()))
        for name, error in self.host.refused.items():
            log.error("adapter %s is not served: %s", name, error)

    async def __is_ready__(self) -> bool:
        return bool(_hosts)

    @bentoml.on_shutdown
    def stop(self) -> None:
        self.host.engine.close()
