"""What an error says."""

from polygraft.errors import UnknownAdapter


def test_a_name_of_a_megabyte_is_not_echoed() -> None:
    """Defect 17."""
    error = UnknownAdapter("x" * 2**20, ["spam-en"])
    assert len(str(error)) < 200
    assert "spam-en" in str(error)
    assert UnknownAdapter("spam-e" + "x" * 100, ["spam-en"]).near == []
    assert "did you mean spam-en" in str(UnknownAdapter("spma-en", ["spam-en"]))
