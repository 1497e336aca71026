"""polygraft: one backbone, many LoRA adapters, served together.

`Client` and `AsyncClient` call a running server; `Engine` and `Row` answer in this process. The
command line is `polygraft --help`. Training needs the `train` extra; nothing imported here does.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("polygraft")
except PackageNotFoundError:  # run from a built bento, where the package is a folder
    __version__ = "0.2.0"

if TYPE_CHECKING:
    from polygraft.client import AsyncClient, Client
    from polygraft.runtime.engine import Engine
    from polygraft.runtime.rows import Row

__all__ = ["AsyncClient", "Client", "Engine", "Row", "__version__"]
_HOMES = {
    "AsyncClient": "client",
    "Client": "client",
    "Engine": "runtime.engine",
    "Row": "runtime.rows",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'polygraft' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"polygraft.{_HOMES[name]}"), name)
