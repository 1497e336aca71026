"""Commands about sentence vectors: `heatmap`."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from polygraft.architectures.folder import default_backbone
from polygraft.cli.app import AsJson, Backbone, app, err, report_errors, require_folder
from polygraft.cli.serving import InputKind, TextColumn
from polygraft.errors import DataError, PolygraftError

Input = Annotated[
    str,
    typer.Option("--input", help="Plain text, a text a line; JSON Lines, CSV or TSV; - is stdin."),
]


@app.command()
@report_errors
def heatmap(
    input: Input,
    against: Annotated[
        str | None, typer.Option(help="A second file; default: the texts with each other.")
    ] = None,
    adapter: Annotated[
        str, typer.Option(help="An adapter that gives vectors: name in the library, or folder.")
    ] = "embed",
    output: Annotated[
        Path, typer.Option(help="What to draw: a name that ends in .html or .png.")
    ] = Path("heatmap.html"),
    text: TextColumn = "text",
    kind: InputKind = None,
    as_json: AsJson = False,
    backbone: Backbone = None,
) -> None:
    """Draw how similar texts are: a map of the cosines of their sentence vectors, each text with
    each.

    A file whose name ends in .txt is read a text a line. With --json the matrix is printed, and
    nothing is drawn.

    Example: `polygraft heatmap --input english.txt --against yoruba.txt --output map.html`
    """
    from polygraft import offline
    from polygraft.adapters.library import find_folder, open_library
    from polygraft.data.tables import read_table
    from polygraft.reporting import heatmap as drawing

    if output.suffix not in drawing.KINDS and not as_json:
        raise DataError(str(output), [f"give a name that ends in {' or '.join(drawing.KINDS)}"])
    if not as_json:
        require_folder(output.absolute().parent, "make it first")
    sides = [
        [str(row[text]) for row in read_table(file, text, kind)]
        for file in (input, against)
        if file is not None
    ]
    for file, texts in zip((input, against), sides, strict=False):
        if not texts or (len(texts) > drawing.MAX_SHOWN and not as_json):
            raise DataError(
                str(file),
                [f"has {len(texts):,} texts; a map has 1 to {drawing.MAX_SHOWN} a side"],
            )
    folder = find_folder(adapter, open_library())

    from polygraft.runtime.engine import Engine
    from polygraft.runtime.rows import Row
    from polygraft.tasks.embedding.serving import Embedded, cosines, together

    with closing(Engine(backbone or default_backbone())) as engine:
        named = offline.load(engine, folder).named
        vectors = []
        for file, texts in zip((input, against), sides, strict=False):
            rows = [Row(named.split("@")[0], one, truncate=True) for one in texts]
            answers = list[Embedded]()
            for place, answer in enumerate(engine.answer(rows), 1):
                if isinstance(answer, PolygraftError):
                    raise DataError(str(file), [f"text {place}: {answer}"])
                if not isinstance(answer, Embedded):
                    raise DataError(adapter, ["gives no vectors; give an adapter whose task does"])
                answers.append(answer)
            vectors.append(together(answers))
    ours, theirs = sides[0], sides[-1]
    values = cosines(vectors[0], vectors[-1])
    if as_json:
        print(
            json.dumps(
                {
                    "adapter": named,
                    "texts": ours,
                    "against": theirs,
                    "similarity": values.round(6).tolist(),
                },
                ensure_ascii=False,
            )
        )
        return
    title = f"Similarity, {named}"
    if output.suffix == ".png":
        drawing.save_png(values, ours, theirs, title, output)
    else:
        output.write_text(drawing.page(values, ours, theirs, title), encoding="utf-8")
    err.print(f"{len(ours)} × {len(theirs)} texts are drawn in {output}")
