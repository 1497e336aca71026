"""Settings: defaults, ranges, every problem at once (defect 16)."""

import re
from pathlib import Path

import pytest

from polygraft.errors import SettingsError
from polygraft.serve.settings import Settings, variable


def test_the_defaults_are_those_of_the_documentation(root: Path) -> None:
    settings = Settings.from_environment({}, files=True)
    table = (root / "docs" / "operations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {
        variable(name) for name in Settings.model_fields
    }
    for name in ("slots", "precision", "max_rows", "detector"):
        assert re.search(rf"`{variable(name)}` \| {getattr(settings, name)}\b", table), name
    assert settings.admin_key is None


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SLOTS", "abc", "valid integer"),
        ("SLOTS", "0", "1 to 65536"),
        ("SLOTS", "-1", "1 to 65536"),
        ("SLOTS", "1000000000", "1 to 65536"),
        ("THREADS", "-5", "0 to 1024"),
        ("PRECISION", "foo", "'int8' or 'fp32'"),
        ("MAX_ROWS", "0", "1 to 100000"),
        ("MAX_BODY_MIB", "0", "1 to 1024"),
        ("QUEUE", "1e3", "1 to 1000000"),
        ("TIMEOUT", "nan", "1 to 600"),
        ("TIMEOUT", "inf", "1 to 600"),
        ("DETECTOR", "../langid", "adapter's name"),
    ],
)
def test_one_line_names_variable_value_and_range(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({f"POLYGRAFT_{name}": value})
    (problem,) = caught.value.problems
    assert f"POLYGRAFT_{name}" in problem
    assert repr(value) in problem
    assert told in problem
    assert "\n" not in problem


def test_all_problems_come_at_once_with_those_of_the_files(tmp_path: Path) -> None:
    given = {
        "SLOTS": "abc",
        "THREADS": "-5",
        "LIBRARY": str(tmp_path / "none"),
        "BACKBONE": str(tmp_path),
    }
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(
            {f"POLYGRAFT_{name}": value for name, value in given.items()}, files=True
        )
    told = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    assert all(f"POLYGRAFT_{name}" in told for name in given)
    assert "onnx/graph.json" in told


def test_a_precision_that_was_not_exported_is_named(
    root: Path, backbone: Path, tmp_path: Path
) -> None:
    given = {
        "POLYGRAFT_BACKBONE": str(backbone),
        "POLYGRAFT_LIBRARY": str(tmp_path),
        "POLYGRAFT_PRECISION": "fp32",
    }
    Settings.from_environment(given, files=True)
    only = tmp_path / "only-int8"
    (only / "onnx").mkdir(parents=True)
    for file in ("config.json", "tokenizer.json", "onnx/graph.json", "onnx/model.int8.onnx"):
        (only / file).write_bytes((backbone / file).read_bytes())
    with pytest.raises(SettingsError, match=r"model\.fp32\.onnx.*--precision fp32"):
        Settings.from_environment(given | {"POLYGRAFT_BACKBONE": str(only)}, files=True)


@pytest.mark.parametrize("key", [" key", "key\n", "k\x00y", "\udcff"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"POLYGRAFT_ADMIN_KEY": key})
    assert "POLYGRAFT_ADMIN_KEY" in str(caught.value)
    assert key not in str(caught.value)


def test_a_key_is_not_shown_by_a_settings_own_text() -> None:
    settings = Settings.from_environment({"POLYGRAFT_ADMIN_KEY": "ọ̀rọ̀ aṣínà"})
    assert settings.admin_key is not None
    assert settings.admin_key.get_secret_value() == "ọ̀rọ̀ aṣínà"
    assert "aṣínà" not in repr(settings)


def test_an_empty_variable_is_not_set() -> None:
    assert (
        Settings.from_environment({"POLYGRAFT_SLOTS": "", "POLYGRAFT_ADMIN_KEY": ""}) == Settings()
    )


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("https://example.org", ("https://example.org",)),
        (
            "https://Example.org, http://localhost:8080,http://[::1]:80",
            ("https://example.org", "http://localhost:8080", "http://[::1]:80"),
        ),
        ("*", ("*",)),
    ],
)
def test_origins_of_other_pages(value: str, origins: tuple[str, ...]) -> None:
    settings = Settings.from_environment({"POLYGRAFT_CORS_ORIGINS": value})
    assert settings.cors_origins == origins
    assert Settings.from_environment({"POLYGRAFT_CORS_ORIGINS": ""}).cors_origins == ()


@pytest.mark.parametrize(
    "value", ["example.org", "https://example.org/", "https://a.org;https://b.org", "null", "a,,b"]
)
def test_what_is_no_origin_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"POLYGRAFT_CORS_ORIGINS.*is no origin; give scheme"):
        Settings.from_environment({"POLYGRAFT_CORS_ORIGINS": value})


def test_a_detector_that_is_set_must_be_in_the_library(root: Path, tmp_path: Path) -> None:
    """Issue 18: a mistyped one was only noticed when a text came without its language."""
    Settings.from_environment({"POLYGRAFT_DETECTOR": "langid"}, files=True)
    Settings.from_environment({"POLYGRAFT_LIBRARY": str(tmp_path)}, files=True)
    with pytest.raises(SettingsError, match=r"POLYGRAFT_DETECTOR is 'langdi'.*did you mean langid"):
        Settings.from_environment({"POLYGRAFT_DETECTOR": "langdi"}, files=True)
