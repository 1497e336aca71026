"""Everything that is looked at, in the order in which a server needs it."""

from __future__ import annotations

import datetime

from polygraft.doctor import machine, serving, software
from polygraft.doctor.findings import Finding


def examine(host: str, port: int) -> list[Finding]:
    """What is found of the installation that this process runs in, with its environment's
    settings."""
    findings = [software.python(), *software.packages()]
    settings, of_settings = serving.read_settings()
    findings += of_settings
    card = None
    shelf = serving.Shelf()
    if settings is not None:
        card, finding = serving.backbone(settings)
        findings.append(finding)
    if settings is not None and card is not None:
        shelf = serving.library(settings, card)
        needed = serving.memory_needed(settings, shelf)
        findings += [*shelf.findings, machine.memory(needed)]
    return [
        *findings,
        machine.cores(settings.threads if settings else 0),
        machine.instructions(),
        serving.port(host, port),
        serving.key(),
        machine.temporary_files(),
        machine.home(),
        machine.clock(shelf.newest, datetime.datetime.now(datetime.UTC)),
    ]
