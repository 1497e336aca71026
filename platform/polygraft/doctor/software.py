"""Python and the packages, against the versions that polygraft's own metadata asks for."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from polygraft.doctor.findings import Finding

INSTALL = "pip install -c constraints.txt -e {what}"


def python() -> Finding:
    """The interpreter's version."""
    running = platform.python_version()
    try:
        supported = SpecifierSet(distribution("polygraft").metadata["Requires-Python"])
    except PackageNotFoundError:
        return Finding("python", "ok", f"Python {running}")
    if supported.contains(running, prereleases=True):
        return Finding("python", "ok", f"Python {running} (supported: {supported})")
    remedy = f"make the environment anew with a Python {supported}"
    return Finding("python", "problem", f"Python {running} is not supported", remedy)


def packages() -> list[Finding]:
    """What serving needs, and what training needs, which may be left out."""
    try:
        requirements = [Requirement(line) for line in distribution("polygraft").requires or []]
    except PackageNotFoundError:
        message = "polygraft runs from a folder, which does not say what it needs"
        return [Finding("packages", "warning", message, "install it, if something is missing")]
    serving = [one for one in requirements if _is_for(one, "")]
    training = [one for one in requirements if _is_for(one, "train") and one not in serving]
    return [_serving(serving), _training(training)]


def _serving(requirements: list[Requirement]) -> Finding:
    missing, wrong = _faults(requirements)
    if missing or wrong:
        return Finding("packages", "problem", "; ".join(missing + wrong), INSTALL.format(what="."))
    return Finding("packages", "ok", f"{len(requirements)} packages are of supported versions")


def _training(requirements: list[Requirement]) -> Finding:
    missing, wrong = _faults(requirements)
    install = INSTALL.format(what="'.[train]'")
    if missing:
        message = f"`polygraft train` lacks {len(missing)} of {len(requirements)} packages"
        return Finding("training", "ok", f"{message}; serving needs none of them", install)
    if wrong:
        return Finding("training", "warning", "; ".join(wrong), install)
    return Finding("training", "ok", f"possible: all {len(requirements)} packages are there")


def _is_for(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _faults(requirements: list[Requirement]) -> tuple[list[str], list[str]]:
    """What is missing, and what is there in a version that is not supported."""
    missing, wrong = [], []
    for requirement in requirements:
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            missing.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} is {installed}, needed is {requirement.specifier}")
    return missing, wrong
