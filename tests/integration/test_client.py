"""The sync and async clients against a real socket."""

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from polygraft import AsyncClient, Client
from polygraft.adapters.library import Library
from polygraft.errors import ServerError
from polygraft.runtime.engine import Engine
from polygraft.serve import auth
from polygraft.serve.app import create_app
from polygraft.serve.host import Host


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
