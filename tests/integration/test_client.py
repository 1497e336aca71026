"""The sync and async clients against a real socket."""

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from typer.testing import CliRunner

from polygraft import AsyncClient, Client
from polygraft.adapters.library import Library
from polygraft.cli import app
from polygraft.errors import ServerError
from polygraft.runtime.engine import Engine
from polygraft.serve import auth
from polygraft.serve.app import create_app
from polygraft.serve.host import Host

MakeAdapter = Callable[..., Path]


@pytest.fixture(scope="module")
def url(backbone: Path, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    copy = Path(shutil.copytree(library, tmp_path_factory.mktemp("served") / "library"))
    auth.prepare()  # as a server does at its start; the clients below find this key
    host = Host(Engine(backbone, precision="fp32", slots=8), Library(copy))
    server = uvicorn.Server(uvicorn.Config(create_app(lambda: host), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
    host.engine.close()


def test_sync(url: str, library: Path) -> None:
    with Client(url) as client:
        assert [a.name for a in client.adapters().adapters] == ["mood", "spam", "topic"]
        first, second = client.classify("spam", ["WIN a free prize", " "], top_k=1)
        assert first.label in ("ham", "spam")
        assert second.error is not None
        (one,) = client.classify("spam", "WIN a free prize", top_k=1)
        assert one == first
        assert client.batch({"adapter": "spam", "text": "WIN a free prize"}, top_k=1) == [first]
        (why,) = client.classify("spam", ["WIN cash"], explain=True)
        assert why.explanation is not None
        assert [span.text for span in why.explanation.spans] == ["WIN", "cash"]
        many = [{"adapter": "spam", "text": f"win {i}"} for i in range(700)]
        streamed = list(client.stream(iter([*many, {"adapter": "nope", "text": "x"}]), top_k=1))
        halves = [client.batch(half, top_k=1) for half in (many[:400], many[400:])]
        assert streamed[:-1] == halves[0] + halves[1]
        assert streamed[-1].error is not None
        assert list(client.stream([])) == []
        rows = client.classify_rows(
            [{"adapter": "topic", "text": "x"}, {"adapter": "mood", "text": "y"}]
        )
        assert [r.adapter for r in rows] == ["topic", "mood"]
        assert client.remove("mood").name == "mood"
        assert client.add(library / "mood").name == "mood"
        with pytest.raises(ServerError, match=r"404.*did you mean spam.*request [0-9a-f]{32}"):
            client.classify("spma", ["x"])
        with pytest.raises(ServerError, match=r"422.*no adapter translates to 'fr'"):
            client.translate(["x", "y"], "fr", source="en")


def test_async(url: str, library: Path) -> None:
    async def go() -> None:
        async with AsyncClient(url) as client:
            answers = await asyncio.gather(
                *(client.classify("spam", [f"text {i}"]) for i in range(20))
            )
            assert all(a[0].label for a in answers)
            (why,) = await client.classify("spam", ["WIN cash"], explain=True)
            assert why.explanation is not None
            assert why.explanation.label == why.label
            assert (
                len(
                    (await client.classify_rows([{"adapter": "topic", "text": "x"}]))[0].labels
                    or []
                )
                == 7
            )
            assert (await client.remove("topic")).name == "topic"
            assert (await client.add(library / "topic")).name == "topic"
            assert len((await client.adapters()).adapters) == 3
            rows = [{"adapter": "spam", "text": f"text {i}"} for i in range(20)]
            assert [row async for row in client.stream(rows)] == [a[0] for a in answers]

    asyncio.run(go())


def test_no_server_is_one_clear_error() -> None:
    with (
        Client("http://127.0.0.1:9") as client,
        pytest.raises(ServerError, match="is the server running"),
    ):
        client.adapters()


def test_one_text_that_cannot_be_sent_costs_the_others_nothing(url: str) -> None:
    """Found by a new user: half of a UTF-16 pair in one text was a bare UnicodeEncodeError for all
    of them."""
    with Client(url.removeprefix("http://")) as client:
        first, second = client.classify("spam", ["\ud800", "see you soon"])
    assert first.error is not None
    assert "not valid Unicode" in first.error.message
    assert second.label in ("ham", "spam")


def test_versions(url: str, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    """The same by the client and by the commands."""
    old, new = (make_adapter(tmp_path / str(seed) / "mail", seed=seed) for seed in (51, 52))
    server = ["--server", url]
    with Client(url) as client:
        first = client.add(old, who="ada")
        added = run("adapters", "add", str(new), "--as", "candidate", "--why", "try it", *server)
        assert "mail@" in added
        route = client.show_route("mail")
        assert route.version == first.version
        candidate = route.aliases["candidate"]
        (result,) = client.classify("mail@candidate", "hello")
        assert (result.version, result.alias) == (candidate, "candidate")
        tried = client.set_route("mail", canary={"alias": "candidate", "weight": 0.5}, shadow={})
        assert tried.canary is not None
        results = client.classify("mail", ["hello"] * 3, key="somebody")
        assert len({r.version for r in results}) == 1
        shown = json.loads(
            run(
                *("route", "mail", "--alias", f"stable={first.version[:5]}", "--json"),
                *("--canary", "candidate=0.25", "--shadow", "candidate", "--max-errors", "0.1"),
                *server,
            )
        )
        assert shown["aliases"]["stable"] == first.version
        assert shown["canary"]["weight"] == 0.25
        assert shown["canary"]["roll_back"]["error_rate"] == 0.1
        assert "candidate, 0.25 of the rows" in run("route", "mail", *server)
        client.classify("mail", [f"hello {i}" for i in range(20)])
        assert client.compare("mail").version.version == candidate
        assert "rows" in run("compare", "mail", *server)
        promoted = run("promote", "mail@candidate", "--why", "better", *server)
        assert promoted.startswith(f"mail@{candidate}")
        with pytest.raises(ServerError, match=r"409.*NotShown"):
            client.promote("mail", "stable", if_agreement=0.9)
        with pytest.raises(ServerError, match=r"409.*Conflict"):
            client.promote("mail", "stable", revision=1)
        assert run("rollback", "mail", *server).startswith(f"mail@{first.version}")
        what = [change.what for change in client.history("mail").history]
        assert what == ["rollback", "promote", "route", "route", "add", "add"]
        assert "try it" in run("history", "mail", *server)
        client.remove("mail", purge=True)
    for bad in (["route", "mail", "--canary", "x"], ["route", "mail", "--alias", "x"]):
        assert "= between" in run(*bad, *server, status=1)
    assert "give one" in run(
        "route", "mail", "--alias", "a=b", "--max-errors", "1", *server, status=1
    )
    assert "404" in run("promote", "nobody@champion", *server, status=1)

    async def go() -> None:
        async with AsyncClient(url) as client:
            assert (await client.show_route("spam")).aliases == {}
            assert (await client.history("spam")).history == []

    asyncio.run(go())


def run(*command: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, list(command))
    assert done.exit_code == status, done.output
    return done.output
