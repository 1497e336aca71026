"""No module of the package needs, to be imported, one that needs it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from polygraft.tasks import registry


def modules_of(source: Path, package: str) -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for file in sorted((source / package).rglob("*.py")):
        parts = file.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def at_import(body: list[ast.stmt], *, types_too: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run when the module is imported: not those in functions; those for type checkers
    only with `types_too`."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif (
            isinstance(node, ast.If)
            and ast.unparse(node.test).endswith("TYPE_CHECKING")
            and not types_too
        ):
            yield from at_import(node.orelse, types_too=types_too)
        else:
            for name in ("body", "orelse", "finalbody"):
                yield from at_import(getattr(node, name, []), types_too=types_too)
            for handler in getattr(node, "handlers", []):
                yield from at_import(handler.body, types_too=types_too)


def imports(source: Path, package: str, *, types_too: bool = False) -> dict[str, set[str]]:
    """The modules of the package that each of them names at import. A package counts where
    something is taken out of its own `__init__`, not where it is only on the way to a module in
    it."""
    files = modules_of(source, package)
    needs: dict[str, set[str]] = {name: set() for name in files}
    for name, file in files.items():
        for node in at_import(
            ast.parse(file.read_text(encoding="utf-8")).body, types_too=types_too
        ):
            if isinstance(node, ast.Import):
                needs[name] |= {alias.name for alias in node.names if alias.name in files}
                continue
            base = node.module or ""
            if node.level:
                home = name if file.name == "__init__.py" else name.rpartition(".")[0]
                base = ".".join(
                    [
                        *home.split(".")[: len(home.split(".")) - node.level + 1],
                        *([base] if base else []),
                    ]
                )
            taken = {
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in files else base
                for alias in node.names
            }
            needs[name] |= (taken & set(files)) - {name}
    return needs


def cycle(needs: dict[str, set[str]]) -> list[str]:
    """One cycle, or none."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_package_has_no_import_cycle(root: Path) -> None:
    needs = imports(root / "platform", "polygraft")
    assert len(needs) > 100, "the modules are not found: the test is void"
    assert "polygraft.tasks.classification.job" in needs["polygraft.tasks.classification.training"]
    assert cycle(needs) == []


def test_training_has_none_for_type_checkers_either(root: Path) -> None:
    """Issue 15: `training.translation.ladder` took a type from `train`, which imports it; a type
    that two modules need belongs in a third."""
    needs = imports(root / "platform", "polygraft", types_too=True)
    rooms = ("polygraft.training.", *(f"{folder}." for folder in registry.TASKS.values()))
    assert cycle({name: needed for name, needed in needs.items() if name.startswith(rooms)}) == []


def test_a_cycle_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("from pack.a import x\n")
    (folder / "inner" / "__init__.py").write_text("")
    (folder / "a.py").write_text(
        "try:\n    from pack.inner import b\nexcept ImportError:\n    x = 1\n"
    )
    (folder / "inner" / "b.py").write_text("def f():\n    from ..a import x\n")
    assert cycle(imports(tmp_path, "pack")) == []
    (folder / "inner" / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..a import x\n"
    )
    assert cycle(imports(tmp_path, "pack")) == []
    assert set(cycle(imports(tmp_path, "pack", types_too=True))) == {"pack.a", "pack.inner.b"}
    (folder / "inner" / "b.py").write_text("from ..a import x\n")
    assert set(cycle(imports(tmp_path, "pack"))) == {"pack.a", "pack.inner.b"}
