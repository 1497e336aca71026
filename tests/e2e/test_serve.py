"""What a running server must not do: start on bad settings, outlive its starter, load from
elsewhere, trust its neighbours."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from polygraft.architectures.folder import BUNDLED
from polygraft.errors import SettingsError
from polygraft.serve import auth, launch

SERVE = [sys.executable, "-m", "polygraft.cli", "serve"]
BENTOML = [sys.executable, "-m", "bentoml", "serve", "polygraft.serve.service:Polygraft"]
Start = Callable[..., subprocess.Popen[str]]


def interruptible() -> None:
    """As in a terminal: what a shell runs in the background is started with interrupts ignored, and
    hands that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def library(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two adapters, so that a server is there in seconds."""
    folder = tmp_path_factory.mktemp("serve") / "adapters"
    for name in ("spam-en", "spam-sw"):
        shutil.copytree(root / "adapters" / name, folder / name)
    return folder


@pytest.fixture
def start(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """`start(command, port, **settings)`; stderr and stdout go to the process's `log`. What is left
    is killed at the end."""
    started: list[subprocess.Popen[str]] = []
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "true")

    def run(command: list[str], port: int, **settings: str) -> subprocess.Popen[str]:
        monkeypatch.setenv("POLYGRAFT_LIBRARY", str(library))
        for name, value in settings.items():
            monkeypatch.setenv(f"POLYGRAFT_{name}", value)
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [*command, "--port", str(port)],
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                process_group=0,
                preexec_fn=interruptible,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        left = children(process.pid) if process.poll() is None else []
        process.kill()
        process.wait()
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], seconds: float = 90) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.1)
    return False


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).is_success
    except httpx.TransportError:
        return False


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


BAD = {"SLOTS": "abc", "THREADS": "-5", "PRECISION": "foo", "BACKBONE": "/no/such/folder"}


@pytest.mark.parametrize("command", [SERVE, BENTOML], ids=["polygraft", "bentoml"])
def test_bad_settings_are_a_line_each_and_nothing_starts(
    start: Start, tmp_path: Path, command: list[str]
) -> None:
    """Defect 16: a loop of tracebacks."""
    process = start(command, free_port(), **BAD)
    assert process.wait(timeout=60) == 2
    told = (tmp_path / "log").read_text()
    lines = [x for x in told.splitlines() if x.startswith("error: ")]
    assert [next(name for name in BAD if f"POLYGRAFT_{name} " in x) for x in lines] == [
        "PRECISION",
        "SLOTS",
        "THREADS",
        "BACKBONE",
    ]
    assert "Traceback" not in told


@pytest.mark.parametrize("slots", ["0", "-1"])
def test_no_slots_are_no_server(start: Start, tmp_path: Path, slots: str) -> None:
    """Defect 16: "ready" with nothing to use."""
    assert start(SERVE, free_port(), SLOTS=slots).wait(timeout=60) == 2
    assert f"POLYGRAFT_SLOTS is '{slots}'" in (tmp_path / "log").read_text()


class _Stranger(BaseHTTPRequestHandler):
    """Another server, which answers everything with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *told: object) -> None:
        """Keep silent."""


@pytest.fixture
def stranger() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_port_that_is_taken_is_said_and_no_other_server_is_taken_for_ours(
    start: Start, tmp_path: Path, stranger: int
) -> None:
    """Defect 16: a traceback, and "ready" since another server answered."""
    assert start(SERVE, stranger).wait(timeout=60) == 2
    told = (tmp_path / "log").read_text()
    assert f"--port is {stranger}" in told
    assert "Traceback" not in told
    assert "is ready" not in told


def test_another_server_on_the_port_is_not_ours(stranger: int, library: Path) -> None:
    """The same, where the port is taken only after it was looked at."""
    server = launch.Server("127.0.0.1", free_port(), {"POLYGRAFT_LIBRARY": str(library)})
    server.url = f"http://127.0.0.1:{stranger}"
    assert httpx.get(f"{server.url}/readyz").is_success
    assert not server._answers()


@pytest.mark.parametrize(
    ("file", "told"),
    [("onnx/graph.json", "export again"), ("onnx/model.int8.onnx", "ONNXRuntimeError")],
)
def test_a_start_that_fails_in_the_worker_ends_the_server(
    start: Start, tmp_path: Path, file: str, told: str
) -> None:
    """Defect 16: a worker that cannot start was started again and again, with a traceback each
    time."""
    broken = tmp_path / "backbone"
    for name in ("config.json", "tokenizer.json", "onnx/graph.json", "onnx/model.int8.onnx"):
        (broken / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BUNDLED / name, broken / name)
    (broken / file).write_bytes(b"{}")
    status = start(BENTOML, free_port(), BACKBONE=str(broken)).wait(timeout=90)
    log = (tmp_path / "log").read_text()
    print(log)
    assert status == 1
    (line,) = [x for x in log.splitlines() if x.startswith("error: ")]
    assert told in line
    assert "Traceback" not in log


@pytest.mark.parametrize("killed", ["launcher", "supervisor"])
def test_kill_9_leaves_no_process_behind(start: Start, killed: str) -> None:
    """Defect 13: the worker outlived a killed `serve`."""
    port = free_port()
    launcher = start(SERVE, port)
    assert wait_until(lambda: is_ready(port))
    supervisor, worker = children(launcher.pid)
    assert supervisor.ppid() == launcher.pid
    assert worker.ppid() == supervisor.pid
    (launcher if killed == "launcher" else supervisor).kill()
    assert wait_until(lambda: all(is_gone(p) for p in (supervisor, worker)), 30), "still running"
    assert not is_ready(port)


@pytest.mark.parametrize("after", [0.5, 3.0])
def test_a_signal_during_the_start_ends_it(start: Start, after: float) -> None:
    """Handlers stand before the slow loading: while BentoML is imported (0.5 s), and in the worker
    (3 s)."""
    process = start(SERVE, free_port())
    time.sleep(after)
    below = children(process.pid)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
    assert all(is_gone(p) for p in below)


def test_control_c_ends_it_in_good_order(start: Start, tmp_path: Path) -> None:
    """A terminal interrupts every process of its group; BentoML takes a second signal during its
    end for a kill."""
    port = free_port()
    process = start(SERVE, port)
    assert wait_until(lambda: "is ready" in (tmp_path / "log").read_text())
    below = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert all(is_gone(p) for p in below)


@pytest.fixture(scope="module")
def url(serve: Callable[..., str], library: Path) -> str:
    return serve(
        ["polygraft.cli", "serve"], POLYGRAFT_LIBRARY=str(library), POLYGRAFT_BUNDLED="false"
    )


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/redoc", "/docs.json", "/static_content/index.css", "/nowhere"]
)
def test_no_page_of_a_running_server_names_another_origin(url: str, path: str) -> None:
    """Defect 17: `/` loaded a tag manager and `/docs` a CDN, on the origin of the admin verbs."""
    answer = httpx.get(url + path)
    assert not re.findall(r"(?:https?:)?//[\w.-]+", answer.text), answer.text
    if path in ("/", "/docs"):
        assert answer.status_code == 200
        assert "default-src" in answer.headers["content-security-policy"]
    else:
        assert answer.status_code == 404
        assert answer.json()["error"]["message"]


def test_600_paths_make_a_few_lines_of_metrics(url: str) -> None:
    """Defect 17: BentoML's `endpoint` label was the raw path, 12,192 lines."""
    with httpx.Client(base_url=url) as client:
        before = len(client.get("/metrics").text.splitlines())
        for i in range(600):
            client.get(f"/path/{i}")
        text = client.get("/metrics").text
    assert len(text.splitlines()) - before < 60
    assert "bentoml" not in text
    missed = re.search(
        r'polygraft_requests_total\{method="GET",route="other",status="404"\} (\d+)', text
    )
    assert missed
    assert int(missed.group(1)) >= 600


FOREIGN = {"origin": "https://evil.example", "host": "evil.example", "content-type": "text/plain"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        FOREIGN,
        {"via": "1.1 proxy"},
        {"authorization": "Bearer wrong"},
        {"x-forwarded-for": "127.0.0.1"},
    ],
)
def test_being_on_this_machine_lets_nobody_in(url: str, headers: dict[str, str]) -> None:
    """Defect 4: without a key, loopback let in a page's cross-site POST, and a proxy that sends no
    X-Forwarded-For."""
    for method, path in (
        ("POST", "/v1/adapters"),
        ("DELETE", "/v1/adapters/spam-sw"),
        ("DELETE", "/v1/adapters/spam-sw?purge=true"),
    ):
        answer = httpx.request(
            method, url + path, headers=headers, content=b"PK" if method == "POST" else None
        )
        assert answer.status_code == 403, answer.text
        assert answer.json()["error"]["code"] == "Forbidden"
    assert {a["name"] for a in httpx.get(f"{url}/v1/adapters").json()["adapters"]} == {
        "spam-en",
        "spam-sw",
    }


def test_the_readmes_command_finds_the_users_key(url: str, library: Path) -> None:
    cli = [sys.executable, "-m", "polygraft.cli"]
    done = subprocess.run(
        [*cli, "adapters", "add", str(library / "spam-sw"), "--server", url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = subprocess.run([*cli, "key"], capture_output=True, text=True, check=True).stdout.strip()
    assert shown == auth.known_key()
    wrong = subprocess.run(
        [*cli, "adapters", "remove", "spam-sw", "--server", url, "--key", "wrong"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 1
    assert "polygraft key" in wrong.stderr


def test_a_second_server_leaves_the_first_ones_series_alone(url: str, start: Start) -> None:
    """BentoML keeps the series of all servers of a user in one folder, and empties it at each
    start."""
    httpx.get(f"{url}/v1/adapters")
    port = free_port()
    start(SERVE, port)
    assert wait_until(lambda: is_ready(port))
    assert 'route="/v1/adapters"' in httpx.get(f"{url}/metrics").text
    assert 'route="other"' not in httpx.get(f"http://127.0.0.1:{port}/metrics").text


def test_a_home_that_cannot_be_written_is_no_hindrance(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 18: a traceback of BentoML's. Each server's files are in a folder of its own, which
    ends with it; what it says and logs of a request has the request's id."""
    monkeypatch.setenv("HOME", "/proc/nobody")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    port = free_port()
    process = start(SERVE, port)
    assert wait_until(lambda: "is ready" in (tmp_path / "log").read_text())
    (own,) = tmp_path.glob("polygraft-serve-*")
    assert (own / "bentos").is_dir()
    for path in ("/v1/nothing", "/livez", "/v1/adapters"):
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", headers={"x-request-id": "mine/7"})
        assert answer.headers["x-request-id"] == "mine/7"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert not list(tmp_path.glob("polygraft-serve-*"))
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "adapters cannot be added or removed while this server runs" in log
    lines = [line for line in log.splitlines() if line.endswith(" id=mine/7")]
    assert [path for path in ("/v1/nothing", "/v1/adapters") if path in str(lines)] == [
        "/v1/nothing",
        "/v1/adapters",
    ]


def test_without_any_folder_for_files_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    with pytest.raises(SettingsError, match="TMPDIR: No usable temporary directory"):
        launch.Server("127.0.0.1", free_port(), {})
