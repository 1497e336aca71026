"""What `polygraft doctor` finds, and what it says to do."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.cli import app
from polygraft.doctor import machine, serving, software
from polygraft.doctor.findings import Finding
from polygraft.serve import auth

MIB = 2**20
NOW = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def doctor(*arguments: str, status: int) -> dict[str, list[Finding]]:
    """Findings by check."""
    port = [] if "--port" in arguments else ["--port", str(free_port())]
    done = CliRunner().invoke(app, ["doctor", "--json", *port, *arguments])
    assert done.exit_code == status, done.output
    answer = json.loads(done.stdout)
    assert answer["ok"] is (status == 0)
    findings: dict[str, list[Finding]] = {}
    for told in answer["findings"]:
        findings.setdefault(told["check"], []).append(Finding(**told))
    return findings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command sets variables of its own: the environment is put back."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(auth.VARIABLE, raising=False)


@pytest.fixture
def shelf(root: Path, tmp_path: Path) -> Path:
    """A library of three bundled adapters, one of which lies on a fourth that is not there."""
    folder = tmp_path / "library"
    for name in ("spam-en", "topics-en", "langid"):
        shutil.copytree(root / "adapters" / name, folder / name)
    return folder


def test_a_sound_installation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGRAFT_BUNDLED", "true")
    findings = doctor(status=0)
    assert list(findings) == [
        *("python", "packages", "training", "settings", "backbone", "library", "memory", "cores"),
        *("instructions", "port", "admin key", "temporary files", "home", "clock"),
    ]
    of_the_machine = {"memory", "cores", "instructions"}
    levels = {name: told[0].level for name, told in findings.items()}
    assert {level for name, level in levels.items() if name not in of_the_machine} == {"ok"}
    names = [folder.parent for folder in (root / "adapters").glob("*/manifest.json")]
    assert f"{len(names)} of {len(names)} adapters" in findings["library"][0].message


def test_for_people_each_finding_is_a_line_and_its_remedy_another() -> None:
    done = CliRunner().invoke(app, ["doctor", "--library", "/no/such", "--port", "3999"])
    assert done.exit_code == 1
    (line,) = [line for line in done.stdout.split("\n") if "settings" in line]
    assert line.startswith("problem")
    assert "POLYGRAFT_LIBRARY is '/no/such', which is not a folder; give" in line


def test_every_bad_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGRAFT_SLOTS", "many")
    monkeypatch.setenv("POLYGRAFT_DETECTOR", "langdi")
    monkeypatch.setenv("POLYGRAFT_BUNDLED", "true")
    told = [finding.message for finding in doctor(status=1)["settings"]]
    assert len(told) == 2
    assert "POLYGRAFT_SLOTS" in told[0]
    assert "did you mean langid" in told[1]


def test_adapters_that_would_be_refused_are_named(
    shelf: Path, edit_manifest: Callable[..., None]
) -> None:
    weights = shelf / "spam-en" / LAYOUT.weights
    weights.write_bytes(weights.read_bytes()[:1_000])
    (shelf / "langid").rename(shelf / "other")
    edit_manifest(shelf / "topics-en", backbone="0" * 16)
    findings = doctor("--library", str(shelf), status=1)["library"]
    assert [finding.level for finding in findings] == ["problem"] * 3 + ["warning"]
    told = [finding.message for finding in findings]
    assert "folder 'other' holds adapter 'langid'" in told[0]
    assert "spam-en" in told[1]
    assert "was trained on backbone 0000000000000000" in told[2]
    assert "0 of 3 adapters" in told[3]
    assert str(shelf / "spam-en") in findings[1].remedy


def test_what_lies_on_an_adapter_that_is_not_there(shelf: Path) -> None:
    ok, missing = doctor("--library", str(shelf), status=0)["library"]
    assert ok.level == "ok"
    assert (missing.level, missing.remedy) == ("warning", "add that version")
    assert missing.message.startswith("topics-en was trained on top of lang-en@")


def test_too_few_slots(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGRAFT_SLOTS", "1")
    told = [finding.message for finding in doctor("--library", str(shelf), status=1)["library"]]
    assert any("slots" in one for one in told[:-1])


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        (finding,) = doctor("--port", port, status=1)["port"]
    assert "stop what uses it, or give another" in finding.message
    (finding,) = doctor("--host", "nowhere", status=1)["port"]
    assert "give an IP address" in finding.message


def test_the_admin_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the first server makes one" in serving.key().message
    auth.find_or_make()
    assert str(auth.key_file()) in serving.key().message
    auth.key_file().chmod(0o644)
    (finding,) = doctor(status=1)["admin key"]
    assert "chmod 600" in finding.message
    monkeypatch.setenv(auth.VARIABLE, "secret")
    assert serving.key() == Finding("admin key", "ok", "it is set")


@pytest.mark.parametrize(
    ("supported", "level"), [(">=3.11", "ok"), (">=3.99", "problem"), (None, "ok")]
)
def test_the_version_of_python(
    monkeypatch: pytest.MonkeyPatch, supported: str | None, level: str
) -> None:
    def distribution(name: str) -> object:
        if supported is None:
            raise PackageNotFoundError
        return SimpleNamespace(metadata={"Requires-Python": supported})

    monkeypatch.setattr(software, "distribution", distribution)
    assert software.python().level == level


def test_packages_that_are_missing_or_of_another_version() -> None:
    requirements = [Requirement(line) for line in ("numpy<1", "no-such-package>=2", "pyyaml>=6")]
    missing, wrong = software._faults(requirements)
    assert missing == ["no-such-package is not installed"]
    assert [one.split(" is ")[0] for one in wrong] == ["numpy"]
    assert software._serving(requirements).level == "problem"
    assert "pip install" in software._serving(requirements).remedy
    without = software._training(requirements)
    assert without.level == "ok", "training is no part of serving"
    assert "lacks 1 of 3 packages" in without.message
    assert software._training(requirements[:1]).level == "warning"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`system(file=content)` of /proc and /sys/fs/cgroup."""
    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setattr(machine, "CGROUP", tmp_path)

    def write(**files: str) -> None:
        for name, content in files.items():
            (tmp_path / name.replace("_", ".")).write_text(content)

    return write


def test_memory_is_that_of_the_machine_and_of_the_container(system: Callable[..., None]) -> None:
    assert machine.memory(600 * MIB).level == "ok", "nothing is told"
    system(meminfo="MemTotal: 9 kB\nMemAvailable: 1048576 kB\n")
    assert machine.memory(600 * MIB).level == "ok"
    assert machine.memory(1_100 * MIB).level == "problem"
    system(memory_max=f"{800 * MIB}\n", memory_current=f"{300 * MIB}\n")
    finding = machine.memory(600 * MIB)
    assert finding.level == "problem"
    assert "600 MiB are needed, 500 MiB are free" in finding.message
    system(memory_max="max\n")
    assert machine.memory(600 * MIB).level == "ok"


def test_more_threads_than_cores(
    system: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert machine.cores(0).level == "ok"
    system(cpu_max="200000 100000\n")
    finding = machine.cores(0)
    assert (finding.level, finding.remedy) == ("warning", "set POLYGRAFT_THREADS=2")
    assert machine.cores(2).level == "ok"
    system(cpu_max="max 100000\n")
    assert machine.cores(0).level == "ok"
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert machine.cores(0).remedy == "set POLYGRAFT_THREADS=1"


@pytest.mark.parametrize(
    ("cpuinfo", "level", "told"),
    [
        ("flags\t\t: fpu sse2 avx avx2 avx512f avx512_vnni\n", "ok", "AVX2, AVX512, AVX512-VNNI"),
        ("flags\t\t: fpu sse2 avx avx2\n", "ok", "no 8-bit dot products"),
        ("flags\t\t: fpu sse2 avx\n", "warning", "neither AVX2 nor NEON"),
        ("Features\t: fp asimd asimddp\n", "ok", "NEON, dot product"),
        ("", "ok", "not told"),
    ],
)
def test_instruction_sets(system: Callable[..., None], cpuinfo: str, level: str, told: str) -> None:
    system(cpuinfo=cpuinfo)
    finding = machine.instructions()
    assert finding.level == level
    assert told in finding.message


def test_folders_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.home().level == "ok"
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nobody")
    finding = machine.home()
    assert finding.level == "warning"
    assert "POLYGRAFT_ADMIN_KEY" in finding.remedy

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    assert machine.temporary_files().level == "problem"


@pytest.mark.parametrize(
    ("newest", "level"),
    [(None, "ok"), ("2026-11-27", "ok"), ("2026-11-28", "warning"), ("2020-01-01", "ok")],
)
def test_a_clock_that_is_behind(newest: str | None, level: str) -> None:
    day = None if newest is None else datetime.date.fromisoformat(newest)
    assert machine.clock(day, NOW).level == level


def test_the_newest_adapter_tells_the_least_that_a_clock_may_say(root: Path) -> None:
    manifests = [load_manifest(root / "adapters" / name) for name in ("spam-en", "langid")]
    shelf = serving.Shelf(manifests)
    assert shelf.newest == max(datetime.date.fromisoformat(one.created) for one in manifests)
    assert serving.Shelf([manifests[0].model_copy(update={"created": "soon"})]).newest is None


class Server(BaseHTTPRequestHandler):
    """Answers every GET with the same JSON, as `answer` is set."""

    answer: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "level", "told"),
    [
        (b'{"adapters": [], "free_slots": 8, "backbone": "mini"}', "ok", "polygraft"),
        (b'{"hello": "mum"}', "problem", "Address already in use"),
        (b"<html>", "problem", "Address already in use"),
    ],
)
def test_a_server_of_ours_on_the_port_is_no_problem(
    answer: bytes, level: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 18: beside one's own running server it said to stop it, and ended with status 1."""
    monkeypatch.setattr(Server, "answer", answer)
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = serving.port("127.0.0.1", server.server_port)
        server.shutdown()
    assert found.level == level
    assert told in found.message
