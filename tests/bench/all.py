"""Runs the benchmarks of speed one after the other, and writes what they measured.

    python tests/bench/all.py [NAME ...]

Each one's JSON line goes into docs/results/speed.json, under its name, and its tables into
docs/results/speed.md, between its marks. Run it on a quiet machine: nothing else is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "docs" / "results"
Record = dict[str, Any]


def mixed(record: Record) -> str:
    rates, memory = record["rows_per_second"], record["memory_mib"]
    names = {
        "bare": "bare int8 graph, no adapters",
        "one": "one adapter",
        "mixed16": "**16 adapters mixed**, on the core sites",
        "hybrid16": "the same with a lexical part each",
        "stack16": "the same on top of twelve languages, five slots a row",
        "all16": "16 adapters mixed, on every site",
        "peft": "PyTorch + peft, `adapter_names=` (fp32), core sites",
        "peft_all": "PyTorch + peft, every site",
        "merged": "one merged int8 session an adapter",
    }
    rows = [
        [
            title,
            *(f"{rates[size][name]:,.0f}" for size in rates),
            *(str(rates[size].get(f"{name}_over_bare", 1)) for size in ("1", "32")),
            f"{memory[name]:.0f}" if name in memory else "",
        ]
        for name, title in names.items()
    ]
    sizes = [f"batch {size}" for size in rates]
    return table(["", *sizes, "of bare, batch 1", "of bare, batch 32", "memory, MiB"], rows)


def http_rows(record: Record) -> str:
    one, many, half = (
        record[name] for name in ("one_row_1_clients", "one_row_32_clients", "one_row_half_load")
    )
    over_http, engine = record["http_rows_a_second"], record["engine_rows_a_second"]
    return table(
        ["", "rows a second", "p50, ms", "p99, ms"],
        [
            ["the engine in process, 32 rows a call, two callers", f"{engine:,}", "", ""],
            ["HTTP, 32 rows a request, two clients", f"{over_http:,}", "", ""],
            ["the same texts again", f"{record['again_rows_a_second']:,}", "", ""],
            ["one row a request, one client", *cells(one)],
            ["one row a request, 32 clients", *cells(many)],
            ["at half of that rate, at random moments", "", *cells(half)],
        ],
    )


def http_peers(record: Record) -> str:
    names = {
        "polygraft": "**polygraft**",
        "merged": "FastAPI, a merged int8 session an adapter",
        "bentoml": "BentoML's batching, the same sessions",
        "peft": "FastAPI, PEFT's mixed batch (fp32)",
    }
    rates = record["rows_a_second"]
    rows = [[t, *(f"{value:,}" for value in rates[name].values())] for name, t in names.items()]
    return table(["rows a second", "32 rows a request, 2 clients", "1 row, 32 clients"], rows)


def cells(figures: Record) -> list[str]:
    return [f"{value:,}" for value in figures.values()]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


BENCHES: dict[str, Callable[[Record], str] | None] = {
    "mixed": mixed,
    "http_rows": http_rows,
    "http_peers": http_peers,
    "decode": None,
    "overload": None,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}")
    names = parser.parse_args().names or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    records, page = RESULTS / "speed.json", RESULTS / "speed.md"
    known = json.loads(records.read_text(encoding="utf-8")) if records.is_file() else {}
    for name in names:
        print(f"== {name}", flush=True)
        run = subprocess.Popen(
            [sys.executable, HERE / f"{name}.py"], stdout=subprocess.PIPE, text=True, env=os.environ
        )
        assert run.stdout
        last = ""
        for line in run.stdout:
            print(line, end="", flush=True)
            last = line
        if run.wait():
            sys.exit(f"{name} failed")
        known[name] = json.loads(last)
        records.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        if made := BENCHES[name]:
            marks = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
            text = page.read_text(encoding="utf-8")
            page.write_text(marks.sub(rf"\g<1>{made(known[name])}\g<2>", text), encoding="utf-8")


if __name__ == "__main__":
    main()
