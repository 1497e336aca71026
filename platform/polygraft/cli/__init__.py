"""The command line. Each command imports what it needs, so that serving never needs torch."""

from polygraft.cli import (
    adapters,
    backbones,
    doctor,
    imported_adapters,
    library,
    recipes,
    rollout,
    serving,
    transfer,
    vectors,
)
from polygraft.cli.app import app

__all__ = [
    "adapters",
    "app",
    "backbones",
    "doctor",
    "imported_adapters",
    "library",
    "recipes",
    "rollout",
    "serving",
    "transfer",
    "vectors",
]
