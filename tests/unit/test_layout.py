"""The project's shape: what must be importable, what must not be imported, what must not exist."""

import ast
import importlib
import subprocess
import sys
import zipfile
from pathlib import Path

import polygraft
from polygraft import errors
from polygraft.tasks import registry

TRAINING_ONLY = (
    "torch",
    "transformers",
    "peft",
    "datasets",
    "sklearn",
    "accelerate",
    "onnx",
    "onnxscript",
    "pandas",
    "scipy",
    "statsmodels",
    "sacrebleu",
    "matplotlib",
    "datasketch",
    "sentencepiece",
    "pycrfsuite",
    "seqeval",
)
SERVING = (
    "polygraft.serve.service",
    "polygraft.client",
    "polygraft.cli",
    "polygraft.offline",
    "polygraft.runtime.engine",
    "polygraft.transfer.guard",
    *(f"{folder}.serving" for folder in registry.TASKS.values()),
)
MARKDOWN = ("polygraft.reporting.results", "polygraft.training.card")
BLOCK = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {TRAINING_ONLY!r}:
            raise ModuleNotFoundError(f"{{name}} is not a serving dependency", name=name)

sys.meta_path.insert(0, Block())
"""


def test_serving_side_imports_without_the_training_libraries() -> None:
    code = (
        BLOCK
        + "import importlib\n"
        + "\n".join(f"importlib.import_module({m!r})" for m in SERVING)
        + f"\nassert not set({MARKDOWN!r}) & set(sys.modules), 'Markdown is loaded to serve'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_core_knows_neither_tasks_nor_http(root: Path) -> None:
    """What is in runtime/, rollout/ and adapters/ finds a task in the registry, names none."""
    package = root / "platform" / "polygraft"
    files = [
        file
        for room in ("runtime", "rollout", "adapters")
        for file in sorted((package / room).glob("*.py"))
    ]
    assert len(files) > 20
    outside = ("fastapi", "starlette", "bentoml", "httpx", "uvicorn", "http.client", "http.server")
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{file}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Constant):
                assert node.value not in registry.TASKS, where
            if isinstance(node, ast.Compare | ast.Call):
                assert not _asks_for_the_task(node), where
            for name in _imported(node):
                assert not f"{name}.".startswith(tuple(f"{o}." for o in outside)), where
                if name.startswith("polygraft."):
                    assert name.split(".")[1] not in ("serve", "client", "cli", "offline"), where
                    assert name.split(".")[1:3] not in TASK_ROOMS, where


TASK_ROOMS = [["tasks", task] for task in registry.TASKS]


def _imported(node: ast.AST) -> list[str]:
    """The modules of an import, `from polygraft import client` as `polygraft.client`; a relative
    import cannot be told, and is none of ours."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert not node.level, f"line {node.lineno}: a relative import"
    return [f"{node.module}.{alias.name}" for alias in node.names] + [node.module or ""]


def _asks_for_the_task(node: ast.Compare | ast.Call) -> bool:
    """`x.task == ...`, `x.task in ...`, `x.task.startswith(...)`."""
    asked = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node.func]
    parts = [part for one in asked for part in (one, getattr(one, "value", None))]
    return any(isinstance(part, ast.Attribute) and part.attr == "task" for part in parts)


def test_the_import_block_itself_blocks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + "import torch"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0


def test_training_without_its_extra_names_what_to_install(root: Path) -> None:
    recipe = root / "adapters" / "questions-es" / "recipe.yaml"
    code = BLOCK + f"from polygraft.cli import app; app(['train', {str(recipe)!r}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_public_names_are_importable() -> None:
    assert sorted(polygraft.__all__) == polygraft.__all__
    for name in polygraft.__all__:
        assert getattr(polygraft, name) is not None


def test_every_error_is_in_the_drawn_tree_with_its_status() -> None:
    for name, kind in vars(errors).items():
        if (
            isinstance(kind, type)
            and issubclass(kind, errors.PolygraftError)
            and not name.startswith("_")
        ):
            line = next(
                x
                for x in (errors.__doc__ or "").splitlines()
                if name in x.replace("─", " ").split()
            )
            assert str(kind.status) in line, name


def test_platform_is_no_package(root: Path) -> None:
    assert not (root / "platform" / "__init__.py").exists()
    assert importlib.import_module("platform").system()


def test_text_is_cut_into_lines_at_line_feeds_alone(root: Path) -> None:
    """Issue 15, offline: `str.splitlines` cuts inside texts; `lines.split_lines` is what the
    package uses. The same goes for httpx's `iter_lines`."""
    files = sorted((root / "platform" / "polygraft").rglob("*.py"))
    called = {
        f"{file.relative_to(root)}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in {"splitlines", "iter_lines", "aiter_lines"}
    }
    assert not called


def test_the_wheel_holds_the_package_at_its_top(root: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {"polygraft/cli/app.py", "polygraft/serve/web/home.html"} <= set(names)
    assert not [n for n in names if n.startswith(("platform/", "tests/", "adapters/"))]
