"""Entry of a built bento: puts `<root>/platform` first on the path, so that the bento's own code
runs, then the service."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "platform"))

from polygraft.serve.service import Polygraft

__all__ = ["Polygraft"]
