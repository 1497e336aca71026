"""What is served, and how that changes: versions are added, promoted, rolled back, and tried on a
share of the rows. Each change is loaded and proved first, then written to the library, then
visible, at once, for rows that come after it; one that fails leaves all as it was.

Does not: know HTTP, or unpack uploads (see `serve.host`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from polygraft.adapters import pointer as pointers
from polygraft.adapters.format import Adapter, Manifest, check_backbone, load_manifest
from polygraft.adapters.library import Library, check_name
from polygraft.adapters.pointer import CANDIDATE, CHAMPION, Canary, Pointer, Route
from polygraft.adapters.reference import Reference, find_version
from polygraft.architectures.folder import fits
from polygraft.errors import (
    AdapterError,
    BankFull,
    Conflict,
    InvalidOption,
    NotShown,
    PolygraftError,
)
from polygraft.rollout.comparing import Comparison, Figure, compare
from polygraft.rollout.dispatch import Answered, Dispatcher, Observed
from polygraft.rollout.names import Names, Served, share
from polygraft.rollout.observed import Observations, outcome
from polygraft.rollout.proofs import Proofs
from polygraft.rollout.shadow import Shadow
from polygraft.rollout.tiers import Tiers
from polygraft.runtime.engine import Engine
from polygraft.transfer import guard

log = logging.getLogger(__name__)
ITSELF = "polygraft"
"""Who takes a canary back that passes its bounds."""
EAGER = 100
"""Adapters that are loaded before the server answers: small libraries whole, so that what is broken
in them is told at once, and large ones not for minutes."""
JUDGED_EVERY = 50
"""Rows of a canary after which its bounds are looked at again."""


class Rollout:
    """The adapters of `library` on `engine`. `refused` are those that are not served, with the
    reason. Every method may be called from any thread."""

    def __init__(
        self,
        engine: Engine,
        library: Library,
        *,
        warm: int = 512 * 2**20,
        resident: int = 1024 * 2**20,
        proofs: Proofs | None = None,
        pins: Collection[str] = (),
    ) -> None:
        self.engine, self.library = engine, library
        self.refused: dict[str, PolygraftError] = {}
        self.names = Names()
        self.tiers = Tiers(
            engine, library.folder, warm=warm, resident=resident, proofs=proofs, pins=pins
        )
        self.shadow = Shadow(self.tiers, self._shadowed)
        self.dispatcher = Dispatcher(self.names, self.tiers, self._observe)
        self.changing = threading.RLock()
        self._observations: dict[str, Observations] = {}
        self._judge = ThreadPoolExecutor(1, thread_name_prefix="polygraft-judge")
        self._start()

    def close(self) -> None:
        """Stop what runs beside the engine."""
        self.shadow.close()
        self.dispatcher.close()
        self._judge.shutdown(wait=False, cancel_futures=True)

    # changes

    def add(
        self, adapter: Adapter, unpacked: Path, *, alias: str, who: str, why: str = ""
    ) -> Manifest:
        """Serve the version that lies unpacked in the library and was read as `adapter`, under
        `alias`. Raises `AdapterError` and its kinds, `BankFull` or `LibraryError`."""
        manifest: Manifest = adapter.manifest
        pointers.added(Pointer(), manifest.version, who, alias=alias)  # is it an alias?
        with self.changing:
            key = (manifest.name, manifest.version)
            was_there = self.tiers.holds(key)
            self.tiers.add(adapter)
            try:
                if not self.library.holds(unpacked):
                    self.library.publish(unpacked)
                self._change(
                    manifest.name,
                    lambda now: pointers.added(now, manifest.version, who, why, alias=alias),
                )
            except Exception:
                if not was_there:
                    self.engine.adapters.evict(*key)
                raise
            self.refused.pop(manifest.name, None)
        return manifest

    def promote(
        self,
        name: str,
        at: str = CANDIDATE,
        *,
        who: str,
        why: str = "",
        revision: int | None = None,
        force: str | None = None,
        if_agreement: float | None = None,
        min_rows: int = 1,
    ) -> Pointer:
        """Make the version that `at` means the champion: an alias, a version or its beginning.
        `force`: the reason why one is served that transfer harmed.

        `if_agreement`: only if the lower end of the interval of its agreement with the champion
        reaches that, on `min_rows` rows. Raises `NotShown` where it does not, `Conflict`,
        `UnknownVersion`, and what keeps the version from being served."""
        with self.changing:
            version = self._version(name, at)
            if if_agreement is not None:
                self._require_agreement(name, version, if_agreement, min_rows)
            if force is not None:
                self.library.keep(name, version)
                guard.force(self.library.folder(name, version), force)
            guard.check(load_manifest(self.library.folder(name, version)))
            self.tiers.load((name, version))
            return self._change(
                name, lambda now: pointers.promoted(now, version, who, why), revision
            )

    def roll_back(
        self, name: str, *, who: str, why: str = "", revision: int | None = None
    ) -> Pointer:
        """Give callers again what they got before: without the canary, or the champion before.
        Raises `InvalidOption` where there was none, or `Conflict`."""
        with self.changing:
            served = self.names.get(name)
            champion = pointers.rolled_back(served.pointer, who).champion or served.champion
            self.tiers.load((name, champion))
            return self._change(name, lambda now: pointers.rolled_back(now, who, why), revision)

    def route(
        self,
        name: str,
        route: Route,
        aliases: Mapping[str, str],
        *,
        who: str,
        why: str = "",
        revision: int | None = None,
    ) -> Pointer:
        """Say who gets what. `aliases` are set first: to versions, their beginnings, or other
        aliases, whose versions they get. Raises `InvalidOption` for what makes no sense,
        `UnknownVersion`, `Conflict`, and what keeps a version from being served."""
        with self.changing:
            served = self.names.get(name)
            if CHAMPION in aliases:
                raise InvalidOption(
                    "the champion is changed by promote, which looks at the version first"
                )
            settled = settle(name, aliases, served)
            known = served.aliases | settled
            for alias in route.aliases:
                if alias == CHAMPION:
                    raise InvalidOption("canary and shadow are of another alias than the champion")
                version = find_version(Reference(name, alias), known, ())
                manifest = load_manifest(self.library.folder(name, version))
                if type(manifest) is not type(served.manifest):
                    raise InvalidOption(
                        f"{alias} is for {manifest.task}, the champion of {name!r} for "
                        f"{served.manifest.task}; only versions for one task can stand in for each "
                        "other"
                    )
                self.tiers.load((name, version))
            pointer = self._change(
                name, lambda now: pointers.routed(now, route, settled, who, why), revision
            )
            self._observations[name] = Observations()
            return pointer

    def remove(self, name: str) -> None:
        """Stop serving a name; rows under way are still answered. Raises `UnknownAdapter`."""
        with self.changing:
            self.names.get(name)
            self._forget(name)

    def purge(self, name: str) -> None:
        """Delete a name from the library, and stop serving it. Raises `LibraryError`; it is served
        as before then."""
        with self.changing:
            self.library.delete(name)
            self._forget(name)
            self.refused.pop(name, None)

    # what is known

    def compare(self, name: str, at: str, against: str = CHAMPION) -> Comparison:
        """What was observed of two versions since the route was set. Raises `UnknownAdapter`,
        `UnknownVersion`."""
        observations = self._observations.get(name) or Observations()
        return compare(observations, self._version(name, at), self._version(name, against))

    # inside

    def _start(self) -> None:
        """Register every adapter of the library, and load the first `EAGER` for which there is
        room, the pinned ones before. One that fails is refused by name, and the rest are served."""
        room = EAGER
        pinned = self.tiers.pins
        for name in sorted(self.library.names(), key=lambda name: (name not in pinned, name)):
            try:
                self._serve(name)
                served = self.names.find(name)
                if room and served:
                    self.tiers.load((name, served.champion), evicting=name in pinned)
                    room -= 1
            except BankFull as error:
                room = 0
                log.info("%s; the others are loaded when they are asked for", error)
            except PolygraftError as error:
                self._refuse(name, error)
            except Exception as error:
                log.exception("adapter %s cannot be loaded", name)
                problem = f"adapter {name!r} cannot be loaded ({type(error).__name__})"
                self._refuse(name, AdapterError(f"{problem}; the server's log says why"))

    def _refuse(self, name: str, error: PolygraftError) -> None:
        self._forget(name)
        self.refused[name] = error
        log.warning("adapter %s is refused: %s", name, error)

    def _serve(self, name: str) -> None:
        """Answer rows of a name as the library says from now on; a bundled adapter only where it
        fits the backbone, and a name only where something points to a version."""
        pointer, versions = self.library.pointer(name), self.library.versions(name)
        folder, backbone = self.library.folder(name), self.engine.card.backbone
        if versions and not self.library.has_champion(name):
            return
        manifest = load_manifest(folder)
        if self.library.is_bundled(name) and not fits(manifest.backbone, backbone):
            return
        check_name(name, folder, manifest)
        check_backbone(manifest, backbone)
        guard.check(manifest)
        self.names.put(Served(manifest, pointer, frozenset(versions)))
        self.engine.adapters.point(name, manifest.version)

    def _change(
        self, name: str, changed: Callable[[Pointer], Pointer], revision: int | None = None
    ) -> Pointer:
        """Write what is served as `name`, and serve it. A champion that nothing pointed to, since
        it lies flat, is pointed to first: it can be rolled back to."""
        served = self.names.find(name)

        def from_champion(now: Pointer) -> Pointer:
            if now.champion is None and served:
                aliases = {CHAMPION: served.champion} | now.aliases
                now = now.model_copy(update={"aliases": aliases})
            return changed(now)

        pointer = self.library.change(name, from_champion, revision)
        self._serve(name)
        return pointer

    def _forget(self, name: str) -> None:
        self.names.drop(name)
        self.tiers.drop(name)
        self._observations.pop(name, None)

    def _version(self, name: str, at: str) -> str:
        served = self.names.get(name)
        return find_version(Reference(name, at), served.aliases, served.versions)

    def _require_agreement(self, name: str, version: str, least: float, min_rows: int) -> None:
        champion = self.names.get(name).champion
        found = compare(self._observations.get(name) or Observations(), version, champion)
        low = found.agreement.low if found.agreement else 0.0
        if found.pairs < min_rows or low < least:
            shown = f"at least {low:.3f}" if found.agreement else "not known"
            raise NotShown(
                f"version {version} of {name!r} is not promoted: its agreement with the champion "
                f"is {shown}, on {found.pairs} rows; wanted is {least:g}, on {min_rows}. Let it "
                "run as a shadow for longer, or promote it without the condition"
            )

    def _observe(self, observed: Observed) -> None:
        """What the dispatcher tells of a row of a name with a route."""
        name = observed.row.adapter
        served, found = self.names.find(name), outcome(observed.answer, observed.seconds)
        if served is None or found is None:
            return
        seen = self._observations.setdefault(name, Observations())
        rows = seen.add(observed.version, found)
        shadow, canary = served.pointer.route.shadow, served.pointer.route.canary
        if (
            shadow
            and observed.version == served.champion
            and not found.failed
            and share(f"{name}\0shadow", observed.row.text) < shadow.share
        ):
            self.shadow.put(observed, served.aliases[shadow.alias])
        if (
            canary
            and canary.roll_back
            and observed.alias == canary.alias
            and rows >= canary.roll_back.min_rows
            and rows % JUDGED_EVERY == 0
        ):
            with suppress(RuntimeError):  # the server is closing
                self._judge.submit(self._judged, name, served, canary)

    def _shadowed(self, observed: Observed, answer: Answered, version: str) -> None:
        seen = self._observations.get(observed.row.adapter)
        first, second = outcome(observed.answer, None), outcome(answer, None)
        if seen is not None and first is not None and second is not None:
            seen.add(version, second)
            seen.pair((observed.version, version), (first, second))

    def _judged(self, name: str, served: Served, canary: Canary) -> None:
        """Take a canary back whose figures lie beyond its bounds."""
        seen = self._observations.get(name)
        if seen is None or canary.roll_back is None:
            return
        found = compare(seen, served.aliases[canary.alias], served.champion)
        bounds = canary.roll_back
        reasons = [
            beyond("its errors", found.version.error_rate, bounds.error_rate),
            beyond("the shift of its labels", found.label_shift, bounds.label_shift),
            below("its agreement", found.agreement, bounds.agreement),
        ]
        why = "; ".join(reason for reason in reasons if reason)
        if not why:
            return
        try:
            self.roll_back(name, who=ITSELF, why=why, revision=served.pointer.revision)
            log.warning("the canary of %s is taken back: %s", name, why)
        except Conflict:
            pass  # somebody has changed the route already
        except PolygraftError as error:
            log.error("the canary of %s could not be taken back: %s", name, error)


def beyond(what: str, figure: Figure | None, bound: float | None) -> str | None:
    """What is to be said of a figure that is shown to lie above its bound."""
    if figure is None or bound is None or figure.low <= bound:
        return None
    return f"{what} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}] > {bound:g}"


def below(what: str, figure: Figure | None, bound: float | None) -> str | None:
    """What is to be said of a figure that is shown to lie below its bound."""
    if figure is None or bound is None or figure.high >= bound:
        return None
    return f"{what} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}] < {bound:g}"


def settle(name: str, aliases: Mapping[str, str], served: Served) -> dict[str, str]:
    """The version of each alias, which may be given as another alias. Raises `InvalidOption` for
    aliases that stand for each other, `UnknownVersion` for what stands for nothing."""
    settled = dict[str, str]()
    for alias in aliases:
        followed = [alias]
        while (to := aliases[followed[-1]]) in aliases:
            if to in followed:
                circle = ", ".join(followed)
                raise InvalidOption(f"{circle} stand for each other; one must name a version")
            followed.append(to)
        settled[alias] = find_version(Reference(name, to), served.aliases, served.versions)
    return settled
