"""A typed Python client for a running server, sync and async.

    with Client("http://localhost:3000") as client:
        client.classify("spam-en", ["WIN a FREE phone now! Text WIN to 80182"])[0].label

Where several texts or rows are taken, one may stand by itself: a string is one text, an object one
row, and the answer is a list of one. What is said for all texts together (an adapter, a target
language) and cannot be done is raised as `ServerError`, with the server's own message; errors of
single rows stay in their place (`result.error`).

options -> calls (what is sent, and what comes back) -> blocking, asynchronous.
"""

from polygraft.client.asynchronous import AsyncClient
from polygraft.client.blocking import Client
from polygraft.client.connection import DEFAULT_URL
from polygraft.client.options import ClassifyOptions, RowsOptions, TagOptions, TranslateOptions
from polygraft.client.progress import TranslationProgress, TranslationResult

__all__ = [
    "DEFAULT_URL",
    "AsyncClient",
    "ClassifyOptions",
    "Client",
    "RowsOptions",
    "TagOptions",
    "TranslateOptions",
    "TranslationProgress",
    "TranslationResult",
]
