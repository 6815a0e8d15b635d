"""A folder of converted files is whole or counts as none, whatever interrupts its writing."""

from pathlib import Path

import pytest

from synthforge_hf.converted_folder import check_output, file_sha256, filling
from synthforge_hf.errors import SynthForgeError, UsageError


def fill(out: Path, content: str) -> None:
    with filling(out, "last") as folder:
        for name in ("last", "first"):
            (folder / name).write_text(content)


def test_files_replace_those_of_an_earlier_conversion(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    for content in ("one", "two"):
        check_output(out, {"first", "last"})
        fill(out, content)
        assert {path.name: path.read_text() for path in out.iterdir()} == {"first": content, "last": content}


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def fail() -> None:
        with filling(out, "last") as folder:
            (folder / "first").write_text("new")
            raise OSError(28, "No space left on device")

    with pytest.raises(SynthForgeError, match=r"cannot write to .*out: No space left on device; choose another folder"):
        fail()
    assert not out.exists()
    fill(out, "old")
    with pytest.raises(SynthForgeError):
        fail()
    assert {path.name: path.read_text() for path in out.iterdir()} == {"first": "old", "last": "old"}


def test_what_a_killed_conversion_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-x").mkdir()
    (tmp_path / ".unfinished-x" / "first").write_text("half")
    check_output(tmp_path, {"first", "last"})
    fill(tmp_path, "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "last"]


def test_places_that_cannot_be_written_are_named_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a folder lets itself be written depends on who runs the tests; a file in the way stops anybody."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is a file; OUT is a folder"):
        check_output(tmp_path / "file", set())
    with pytest.raises(UsageError, match="file is a file: there can be no"):
        check_output(tmp_path / "file" / "deep" / "out", set())
    with pytest.raises(UsageError, match=r"holds other files \(file\)"):
        check_output(tmp_path, {"first"})
    monkeypatch.chdir(tmp_path)
    check_output(Path("new"), set())


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
