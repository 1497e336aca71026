"""The command line. Each command imports what it needs, so that serving never needs torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from polygraft.backbone import default_backbone
from polygraft.errors import PolygraftError

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    help="One backbone, many LoRA adapters: train them, serve them together, on CPU.",
)  # fmt: skip
adapters_app = typer.Typer(no_args_is_help=True, help="The adapters of a running server.")
app.add_typer(adapters_app, name="adapters")
out, err = Console(), Console(stderr=True)

Backbone = Annotated[
    Path | None, typer.Option("--backbone", help="Backbone folder; default: POLYGRAFT_BACKBONE, else the bundled one.")
]
Server = Annotated[str, typer.Option("--server", help="Address of the server.")]
Key = Annotated[str | None, typer.Option("--key", envvar="POLYGRAFT_ADMIN_KEY", help="The server's admin key.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Command = TypeVar("Command", bound=Callable[..., Any])


def told(command: Command) -> Command:
    """Errors of ours become one message and exit status 1; a missing extra names what to install."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except PolygraftError as error:
            err.print(f"[bold red]error[/] ({error.code}): {escape(str(error))}", highlight=False, soft_wrap=True)
        except ModuleNotFoundError as error:
            err.print(f"[bold red]error[/]: {escape(str(error))}; pip install -c constraints.txt -e '.\\[train]'")
        raise typer.Exit(1)

    return run  # type: ignore[return-value]


@app.command()
@told
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3000,
    library: Annotated[Path | None, typer.Option(help="Folder of adapters; default: the bundled ones.")] = None,
    backbone: Backbone = None,
) -> None:
    """Serve every adapter of the library over HTTP, on BentoML.

    Settings beyond these are environment variables: POLYGRAFT_ADMIN_KEY (needed to add or remove adapters from another
    machine), POLYGRAFT_SLOTS, POLYGRAFT_THREADS, POLYGRAFT_PRECISION, POLYGRAFT_MAX_ROWS.
    """
    import httpx

    environment = dict(os.environ, BENTOML_DO_NOT_TRACK="true")
    if library:
        environment["POLYGRAFT_LIBRARY"] = str(library.resolve())
    if backbone:
        environment["POLYGRAFT_BACKBONE"] = str(backbone.resolve())
    command = [sys.executable, "-m", "bentoml", "serve", "polygraft.serve.service:Polygraft"]
    server = subprocess.Popen([*command, "--host", host, "--port", str(port)], env=environment)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the server would outlive this process
    url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    try:
        while server.poll() is None:
            try:
                if httpx.get(f"{url}/readyz", timeout=2).is_success:
                    _banner(url)
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.3)
        raise typer.Exit(server.wait())
    except KeyboardInterrupt:
        server.terminate()
        raise typer.Exit(server.wait()) from None


def _banner(url: str) -> None:
    from polygraft.client import Client

    with Client(url) as client:
        names = [a.name for a in client.adapters().adapters]
    rows = [{"adapter": n, "text": t} for n, t in EXAMPLES.items() if n in names]
    out.print(f"\n[bold green]polygraft[/] is ready on [bold]{url}[/] with {', '.join(names) or 'no adapters yet'}")
    out.print(f"API: {url}/docs   metrics: {url}/metrics\n\nTry:\n")
    body = json.dumps({"rows": rows}, ensure_ascii=False)
    print(f"curl -s {url}/v1/classify -H 'content-type: application/json' -d '{body}'\n", flush=True)


EXAMPLES = {
    "spam-en": "URGENT! You have won a 2000 prize. Call 09061701461 now to claim",
    "spam-sw": "Iyo pesa itume kwenye namba hii 0657538690 jina litakuja Magomba Maila",
}


@app.command()
@told
def predict(
    adapter: Annotated[str, typer.Argument(help="Name of an adapter in the library, or its folder.")],
    input: Annotated[str, typer.Option("--input", help='JSON Lines with "text"; - is standard input.')] = "-",
    output: Annotated[str, typer.Option("--output", help="JSON Lines; - is standard output.")] = "-",
    backbone: Backbone = None,
) -> None:
    """Classify a file without a server: each row gets `label` and `score`.

    Example: `polygraft predict spam-en --input messages.jsonl --output labelled.jsonl`
    """
    from polygraft import offline
    from polygraft.errors import UnknownAdapter
    from polygraft.library import Library, default_library
    from polygraft.runtime.engine import Engine

    library = Library(default_library())
    if Path(adapter).is_dir():
        folder = Path(adapter)
    elif adapter in library.names():
        folder = library.folder(adapter)
    else:
        raise UnknownAdapter(adapter, library.names())
    engine = Engine(backbone or default_backbone(), slots=1)
    try:
        answered, failed = offline.predict(engine, engine.add(folder).name, input, output)
    finally:
        engine.close()
    err.print(f"{answered} rows answered" + (f", [red]{failed} failed[/]" if failed else ""))


@app.command()
@told
def train(
    recipe: Annotated[Path | None, typer.Argument(help="recipe.yaml of the adapter.")] = None,
    output: Annotated[Path | None, typer.Option(help="Adapter folder; default: the recipe's own.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check recipe and data, in seconds.")] = False,
    full_ladder: Annotated[
        bool, typer.Option("--full-ladder", help="Also train without the parent, for the gain from transfer.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Instead of a recipe: every adapter of the library made for another backbone.")
    ] = False,
    backbone: Backbone = None,
    as_json: AsJson = False,
) -> None:
    """Train an adapter from a recipe: LoRA and head, figures beside the baselines, card and golden.

    A killed run goes on where it stopped when the same command is given again. Put the result live with
    `polygraft adapters add FOLDER`. After a new backbone, `polygraft train --all` trains what no longer fits it, parents
    first.
    """
    if every == (recipe is not None):
        raise typer.BadParameter("give a recipe, or --all without one")
    if every and (output or check):
        raise typer.BadParameter("--all trains in place: leave --output and --check out")
    home = backbone or default_backbone()
    if recipe is not None:
        _train(recipe, home, output or recipe.resolve().parent, check, full_ladder, as_json)
        return
    from polygraft.backbone import fingerprint
    from polygraft.library import Library, default_library
    from polygraft.training.rebuild import outdated

    due = outdated(Library(default_library()), fingerprint(home))
    for one in due:
        _train(one.recipe, home, one.recipe.parent, False, full_ladder or one.full_ladder, as_json)
    err.print(f"{len(due)} adapters trained again" if due else "every adapter fits this backbone: nothing to train")


def _train(recipe: Path, backbone: Path, target: Path, check: bool, full_ladder: bool, as_json: bool) -> None:
    from polygraft.training.card import figures_table
    from polygraft.training.job import prepare
    from polygraft.training.train import train as run

    job = prepare(recipe, backbone)
    splits = job.splits
    counts = {n: len(s) for n, s in (("train", splits.train), ("dev", splits.dev), ("test", splits.test)) if s}
    if check:
        if as_json:
            out.print_json(data={"name": job.recipe.name, "rows": counts, "labels": splits.labels, "ok": True})
        else:
            out.print(f"{job.recipe.name}: recipe and data are fine; rows {counts}, labels {splits.labels}")
        return
    err.print(f"training {job.recipe.name}: {counts['train']} rows, labels {', '.join(splits.labels)}")
    if splits.dropped:
        err.print(f"{splits.dropped} training rows that also stand in dev or test were dropped (data.on_leak: drop)")
    manifest = run(job, target, full_ladder=full_ladder, say=err)
    if as_json:
        out.print_json(manifest.model_dump_json())
    else:
        from rich.markdown import Markdown

        out.print(Markdown(figures_table(manifest.metrics)))
        out.print(f"\n{manifest.name}@{manifest.version} is in {target}", highlight=False)


@app.command()
@told
def export(
    adapter: Annotated[Path | None, typer.Argument(help="Adapter folder, with --merged.")] = None,
    merged: Annotated[bool, typer.Option("--merged", help="One plain ONNX model of the adapter, head included.")] = False,
    output: Annotated[Path | None, typer.Option(help="With --merged: the file to write.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="int8 (default) or fp32; may be given twice.")] = None,
    sites: Annotated[list[str] | None, typer.Option(help="Name endings of the sites to carry; default: all.")] = None,
    core: Annotated[
        list[str] | None,
        typer.Option(help="Name endings of the sites that every batch computes; the others cost only who uses them."),
    ] = None,
    backbone: Backbone = None,
) -> None:
    """Write the backbone's ONNX graph (bank as inputs), checked against PyTorch + peft with adapters mixed.

    With `ADAPTER --merged`: a plain ONNX model for people who serve one task elsewhere.
    """
    from polygraft.export.export import PRECISIONS, export_backbone, export_merged

    precisions = precision or ["int8"]
    if set(precisions) - set(PRECISIONS):
        raise typer.BadParameter(f"precision is one of {', '.join(PRECISIONS)}")
    if merged != (adapter is not None):
        raise typer.BadParameter("give ADAPTER and --merged together")
    home = backbone or default_backbone()
    if adapter is not None:
        target = output or adapter / f"{adapter.resolve().name}.onnx"
        out.print(f"wrote {export_merged(adapter, home, target, precision=precisions[0])}")
        return
    card = export_backbone(home, precisions=precisions, sites=sites or "all", core=core or "all")
    out.print(
        f"wrote {home / 'onnx'}: {len(card.sites)} sites, {sum(s.core for s in card.sites)} of them core, drift {card.drift}"
    )


@app.command()
@told
def pretrain(
    folder: Annotated[Path, typer.Argument(help="Backbone folder with its recipe.yaml.")],
    data: Annotated[Path, typer.Option(envvar="POLYGRAFT_DATA", help="Root of the corpora the recipe lists.")],
    work: Annotated[Path, typer.Option(help="Caches and checkpoints; a killed run goes on from here.")],
    hours: Annotated[float | None, typer.Option(help="Stop the last stage after this many hours.")] = None,
    start: Annotated[Path | None, typer.Option(help="Backbone folder to start the second stage from.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    bf16: Annotated[bool | None, typer.Option("--bf16/--fp32", help="Default: bf16 on cuda only.")] = None,
) -> None:
    """Make a multilingual backbone from the English teacher, as the folder's recipe says."""
    from polygraft.pretrain.pretrain import pretrain as run

    run(folder, data, work, device=device, hours=hours, start=start, bf16=bf16)


@app.command()
@told
def probe(
    data: Annotated[Path, typer.Option(envvar="POLYGRAFT_DATA", help="Folder that holds sib200/.")],
    languages: Annotated[str, typer.Option(help="FLORES-200 codes, the source language first.")] = (
        "eng_Latn,fra_Latn,spa_Latn,yor_Latn,hau_Latn,ibo_Latn,swh_Latn,mri_Latn,ind_Latn,tgl_Latn,urd_Arab,snd_Arab"
    ),
    backbone: Backbone = None,
    as_json: AsJson = False,
) -> None:
    """SIB-200 zero-shot of the bare backbone: fitted on the first language's vectors, scored on every language's."""
    from polygraft.pretrain.probe import probe_sib200

    scores = probe_sib200(backbone or default_backbone(), data / "sib200", languages.split(","))
    if as_json:
        out.print_json(data=scores)
        return
    table = Table("language", "5-fold over 800", "train -> dev", title="SIB-200 zero-shot, macro-F1")
    for language, score in scores.items():
        table.add_row(language, f"{score['folds']:.1f}", f"{score['official']:.1f}")
    out.print(table)


@app.command()
@told
def measure(
    data: Annotated[Path, typer.Option(envvar="POLYGRAFT_DATA", help="Root of the data that the recipe names.")],
    output: Annotated[Path, typer.Option(help="Folder for measures.json and measures.html.")],
    rows: Annotated[int, typer.Option(min=10, help="Rows of each evaluation set at most.")] = 200,
    log: Annotated[Path | None, typer.Option(help="log.jsonl of its training, for the learning curve.")] = None,
    beside: Annotated[Path | None, typer.Option(help="measures.json of another backbone, to draw next to it.")] = None,
    backbone: Backbone = None,
) -> None:
    """Everything a backbone is judged by: zero-shot topics, retrieval, translation, tokens a word.

    Writes JSON for programs and a page for people.
    """
    import json

    from polygraft.pretrain.measure import measure as run
    from polygraft.pretrain.page import page

    found = run(backbone or default_backbone(), data, rows=rows, log=log)
    output.mkdir(parents=True, exist_ok=True)
    (output / "measures.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    other = json.loads(beside.read_text(encoding="utf-8")) if beside else None
    (output / "measures.html").write_text(page(found, other), encoding="utf-8")
    out.print(f"wrote {output / 'measures.json'} and {output / 'measures.html'}")


@app.command()
@told
def report(
    library: Annotated[Path | None, typer.Option(help="Folder of adapters; default: the bundled ones.")] = None,
) -> None:
    """Print the results table of a library as Markdown, from its manifests.

    Example: `polygraft report > adapters/README.md`
    """
    from polygraft.library import Library, default_library
    from polygraft.report import results_table

    print(results_table(Library(library or default_library())), end="")


@app.command("recipe")
def show_schema() -> None:
    """Print the recipe's fields, defaults and meanings as JSON Schema."""
    from polygraft.recipe import Recipe

    out.print_json(data=Recipe.model_json_schema())


@adapters_app.command("list")
@told
def list_adapters(server: Server = "http://127.0.0.1:3000", as_json: AsJson = False) -> None:
    """Adapters the server answers with, and those it refused."""
    from polygraft.client import Client

    with Client(server) as client:
        answer = client.adapters()
    if as_json:
        out.print_json(answer.model_dump_json())
        return
    table = Table("adapter", "version", "task", "languages", "labels", "parent")
    for a in answer.adapters:
        table.add_row(a.name, a.version, a.task, ", ".join(a.languages), ", ".join(a.labels), a.parent or "")
    out.print(table)
    for refused in answer.refused:
        err.print(f"[red]refused[/] {refused.name}: {refused.error.message}", highlight=False)


@adapters_app.command("add")
@told
def add_adapter(
    folder: Annotated[Path, typer.Argument(help="Adapter folder that `polygraft train` wrote.")],
    server: Server = "http://127.0.0.1:3000",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Put an adapter live without a restart; one of the same name is replaced."""
    from polygraft.client import Client

    started = time.perf_counter()
    with Client(server, key=key) as client:
        added = client.add(folder)
    if as_json:
        out.print_json(added.model_dump_json())
    else:
        out.print(f"{added.name}@{added.version} answers on {server} ({time.perf_counter() - started:.2f} s)")


@adapters_app.command("remove")
@told
def remove_adapter(
    name: Annotated[str, typer.Argument(help="Adapter name.")],
    server: Server = "http://127.0.0.1:3000",
    key: Key = None,
    purge: Annotated[bool, typer.Option("--purge", help="Delete it from the server's library too.")] = False,
) -> None:
    """Stop serving an adapter; without --purge a restart brings it back."""
    from polygraft.client import Client

    with Client(server, key=key) as client:
        removed = client.remove(name, purge=purge)
    out.print(f"{removed.name}@{removed.version} is no longer served")


if __name__ == "__main__":
    app()
