"""What a server would be started with: settings, backbone, adapters, port, key."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from polygraft.adapters.format import LAYOUT, Adapter, load_adapter, load_manifest
from polygraft.adapters.layout import MiB
from polygraft.adapters.library import check_name
from polygraft.adapters.manifest import Manifest
from polygraft.architectures.folder import BackboneFiles, fits
from polygraft.client import Client
from polygraft.doctor.findings import Finding
from polygraft.errors import (
    AdapterError,
    KeyFileError,
    PolygraftError,
    ServerError,
    SettingsError,
)
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import GraphCard, load_card
from polygraft.serve import auth, launch
from polygraft.serve.detector import detector_problem
from polygraft.serve.settings import Settings
from polygraft.transfer import guard

PATIENCE = 3  # seconds for an answer
PROCESSES, WORK = 300 * MiB, 220 * MiB
GRAPHS, ADAPTERS = 2.5, 3.0
"""Bytes of memory for each byte of their files. Measured on two cores with the 21 bundled adapters:
a server's three processes held 499 MiB after the start and 697 MiB after long translations beside
768 classified rows, where `memory_needed` says 817."""


@dataclass
class Shelf:
    """The adapters that would be served, and what is told of the others."""

    manifests: list[Manifest] = field(default_factory=list)
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def newest(self) -> date | None:
        """The day on which the newest was made."""
        days = [manifest.created for manifest in self.manifests]
        return max((date.fromisoformat(day) for day in days if _is_date(day)), default=None)


def read_settings() -> tuple[Settings | None, list[Finding]]:
    """None where they cannot be used."""
    try:
        settings = Settings.from_environment(files=True)
    except SettingsError as error:
        return None, [Finding("settings", "problem", problem) for problem in error.problems]
    given = sorted(settings.model_fields_set - {"admin_key"})
    message = f"set: {', '.join(given)}" if given else "the defaults"
    return settings, [Finding("settings", "ok", message)]


def backbone(settings: Settings) -> tuple[GraphCard | None, Finding]:
    """None where its graphs cannot be used."""
    try:
        card = load_card(settings.backbone)
    except PolygraftError as error:
        return None, Finding("backbone", "problem", str(error))
    decoder = "with a decoder" if card.decoder else "without a decoder"
    message = f"{settings.backbone}, {settings.precision}, {decoder}, fingerprint {card.backbone}"
    return card, Finding("backbone", "ok", message)


def library(settings: Settings, card: GraphCard) -> Shelf:
    """As a server loads it, but for the goldens, which it replays as it starts."""
    shelf, home = Shelf(), settings.open_library()
    bank = Bank(card.sites, settings.slots)
    decoder_bank = Bank(card.decoder.sites, settings.slots) if card.decoder else None
    try:
        names = home.names()
    except OSError as error:
        remedy = f"make {home.root} readable for the user that runs the server"
        return Shelf(findings=[Finding("library", "problem", str(error), remedy)])
    for name in names:
        try:
            folder = home.folder(name)
            if home.is_bundled(name) and not fits(load_manifest(folder).backbone, card.backbone):
                continue  # for another backbone than the bundled one
            adapter = _loaded(name, folder, card.backbone, bank, decoder_bank)
        except PolygraftError as error:
            remedy = f"train or copy it again, or move {home.folder_of(name)} away"
            shelf.findings.append(Finding("library", "problem", f"refused: {error}", remedy))
            continue
        shelf.manifests.append(adapter.manifest)
        files = (folder / LAYOUT.weights, folder / LAYOUT.head)
        shelf.bytes += sum(file.stat().st_size for file in files if file.is_file())
    served, slots = len(shelf.manifests), f"{bank.free} of {settings.slots} slots are free"
    message = f"{served} of {len(names)} adapters in {home.root} can be served; {slots}"
    if served:
        shelf.findings.append(Finding("library", "ok", message))
    else:
        remedy = "train one, or name another folder in POLYGRAFT_LIBRARY"
        shelf.findings.append(Finding("library", "warning", message, remedy))
    shelf.findings += _missing_stacks(shelf.manifests)
    if problem := detector_problem(shelf.manifests, settings.detector):
        shelf.findings.append(Finding("detector", "warning", problem))
    return shelf


def _loaded(
    name: str, folder: Path, backbone: str, bank: Bank, decoder_bank: Bank | None
) -> Adapter:
    """Raises what keeps it from being served."""
    adapter = load_adapter(folder, backbone=backbone)
    check_name(name, folder, adapter.manifest)
    guard.check(adapter.manifest)
    bank.write(adapter.lora, adapter.name)
    if adapter.writes and decoder_bank is None:
        raise AdapterError(f"adapter {adapter.name!r} writes text, and the backbone has no decoder")
    if adapter.writes and decoder_bank is not None:
        decoder_bank.write(adapter.decoder_lora, adapter.name)
    return adapter


def _missing_stacks(manifests: list[Manifest]) -> list[Finding]:
    """Adapters that were trained on top of one that is not there."""
    there = {manifest.named for manifest in manifests}
    missing = [(one.name, named) for one in manifests for named in one.stack if named not in there]
    return [
        Finding(
            "library",
            "warning",
            f"{name} was trained on top of {named}, which is not there: its rows get errors",
            "add that version",
        )
        for name, named in missing
    ]


def memory_needed(settings: Settings, shelf: Shelf) -> int:
    """Bytes, about, of a server's processes under load."""
    files = BackboneFiles(settings.backbone)
    graphs = [graph(settings.precision) for graph in (files.model, files.cross, files.step)]
    graph_bytes = sum(file.stat().st_size for file in graphs if file.is_file())
    return int(PROCESSES + WORK + GRAPHS * graph_bytes + ADAPTERS * shelf.bytes)


def port(host: str, number: int) -> Finding:
    """Whether it can be listened on."""
    problems = launch.port_problems(host, number)
    if problems and (served := _served_at(host, number)) is not None:
        message = f"a polygraft server with {served} adapters listens on {number}"
        return Finding("port", "ok", f"{message}; another one needs another port")
    if problems:
        return Finding("port", "problem", problems[0])
    return Finding("port", "ok", f"{number} on {host} is free")


def _served_at(host: str, number: int) -> int | None:
    """How many adapters the polygraft server answers with that listens there; None where none
    does."""
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{asked}]" if ":" in asked else asked
    try:
        with Client(f"http://{shown}:{number}", timeout=PATIENCE) as client:
            return len(client.adapters().adapters)
    except (ServerError, ValueError):  # nobody speaks HTTP there, or it is another program
        return None


def key() -> Finding:
    """The admin key, which adapters are added and removed with."""
    try:
        known = auth.known_key()
        kept = "is set" if auth.is_set() else f"is in {auth.key_file()}, which only its user reads"
    except KeyFileError as error:
        return Finding("admin key", "problem", str(error))
    if known is None:
        return Finding("admin key", "ok", "there is none yet; the first server makes one")
    return Finding("admin key", "ok", f"it {kept}")


def _is_date(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True
