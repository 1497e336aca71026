"""The guard: an adapter that transfer harmed is not served, unless someone says why it is all the
same.

The verdict is that of training (`gain_from_transfer`, for each direction `gain_from_parent`): the
95% interval of the gain lies below zero. Runs without the training libraries. Does not: measure
anything.
"""

from __future__ import annotations

from pathlib import Path

from polygraft.adapters.format import LAYOUT, Manifest, load_manifest
from polygraft.adapters.publishing import rewrite
from polygraft.errors import AdapterError, NegativeTransfer, listed
from polygraft.reporting.figures import show

HARMS = "harms"


def harms(manifest: Manifest) -> list[str]:
    """What transfer made worse, with figures; empty when nothing is shown to be. Raises
    `AdapterError` for gains that are not written as training writes them."""
    try:
        return _harms(manifest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AdapterError(
            f"adapter {manifest.name!r}: its metrics hold a gain that cannot be read "
            f"({type(error).__name__}: "
            f"{str(error)[:100]}), so nothing says that transfer did no harm; train it again"
        ) from None


def _harms(manifest: Manifest) -> list[str]:
    gains = manifest.gains().items()
    return [f"{what} {show(gain)}" for what, gain in gains if gain["verdict"] == HARMS]


def check(manifest: Manifest) -> None:
    """Raises `NegativeTransfer` for an adapter that transfer harmed and nobody has forced."""
    if manifest.forced is None and (harmed := harms(manifest)):
        raise NegativeTransfer(
            f"adapter {manifest.name!r} is worse than what does without transfer "
            f"({listed(harmed)}); use that, try another "
            "source, or serve it all the same with `polygraft adapters add FOLDER --force REASON`"
        )


def force(folder: Path, reason: str) -> Manifest:
    """Keep in the manifest of the adapter in `folder` why it is served although transfer harmed it.
    Raises `AdapterError` when it did not, or for an empty reason."""
    manifest = load_manifest(folder)
    if not harms(manifest):
        raise AdapterError(
            f"adapter {manifest.name!r} needs no forcing: transfer is not shown to have harmed it"
        )
    if not reason.strip():
        raise AdapterError(
            "the reason is empty; say why the adapter is to be served, it is kept in its manifest"
        )
    forced = manifest.model_copy(update={"forced": reason.strip()})
    rewrite(folder, LAYOUT.manifest, forced.as_file())
    return forced
