"""The command line as users meet it: quick help, exit codes, one-line errors, JSON, Ctrl-C."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import synthforge_hf
from synthforge_hf.cli import run

TOY_RECIPE = "name: toy\ngenerator: ellipsoid\n"
"""A recipe whose faces take milliseconds."""


def synthforge(*arguments: str | Path, **options) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "synthforge_hf", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, **options)


@pytest.fixture
def toy_recipe(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(TOY_RECIPE)
    return path


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small finished data set. Tests that damage it copy it first."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "toy.yaml").write_text(TOY_RECIPE)
    arguments = ["--num-samples", "4", "--resolution", "32", "--recipe", str(folder / "toy.yaml"), "--workers", "1"]
    assert run(["generate", str(folder / "faces"), *arguments]) == 0
    return folder / "faces"


def test_help_answers_at_once() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = synthforge("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0
    for command in ("generate", "verify", "preview", "predict", "evaluate", "doctor"):
        assert command in result.stdout
    # processor time, which other processes on the machine do not lengthen
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


def test_nothing_heavy_is_imported_for_help() -> None:
    heavy = ("torch", "transformers", "datasets", "pyarrow", "warp", "numpy", "huggingface_hub")
    code = f"import sys, synthforge_hf.cli; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_help_names_every_option_in_full_on_a_narrow_terminal() -> None:
    for command in ("generate", "predict", "evaluate"):
        result = synthforge(command, "--help", env={**os.environ, "COLUMNS": "40"})
        assert max(map(len, result.stdout.splitlines())) <= 50
        assert "…" not in result.stdout
    assert "--num-samples" in synthforge("generate", "--help", env={**os.environ, "COLUMNS": "40"}).stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"synthforge {synthforge_hf.__version__}\n"


def test_no_command_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["generat"], 2, "generat"),
        (["generate"], 2, "OUT"),
        (["generate", "faces"], 2, "--num-samples"),
        (["generate", "faces", "--num-samples", "many"], 2, "--num-samples"),
        (["generate", "faces", "--num-samples", "0"], 2, "num_samples is 0"),
        (["generate", "faces", "--num-samples", "4", "--resolution", "2"], 2, "resolution is 2"),
        (["generate", "faces", "--num-samples", "4", "--seed", "-1"], 2, "seed is -1"),
        (["generate", "faces", "--num-samples", "4", "--workers", "0"], 2, "workers is 0"),
        (["generate", "faces", "--num-samples", "4", "--recipe", "papers"], 2, "papers"),
        (["generate", "faces", "--num-samples", "4", "--recipe", "absent.yaml"], 2, "absent.yaml"),
        (["generate", "faces", "--num-samples", "4", "--recipe", "wrong.yaml"], 2, "azimut"),
        (["generate", "faces", "--num-samples", "4", "--generator", "painting"], 2, "painting"),
        (["generate", "faces", "--num-samples", "4", "--executor", "cloud"], 2, "cloud"),
        (["generate", "faces", "--num-samples", "4", "--device", "tpu"], 2, "tpu"),
        (["generate", "a-file", "--num-samples", "4"], 2, "a-file"),
        (["generate", "a-file/faces", "--num-samples", "4"], 1, "a-file/faces"),
        (["generate", "faces", "--num-samples", "4", "--frames", "4"], 2, "--frames"),
        (["verify", "absent"], 2, "absent"),
        (["preview", "absent"], 1, "absent"),
        (["preview"], 2, "--recipe"),
        (["preview", "absent", "--recipe", "faces"], 2, "either OUT"),
        (["preview", "--recipe", "papers"], 2, "papers"),
        (["generate", "faces", "--num-samples", "4", "--backgrounds", "absent/pictures/folder"], 2, "absent/pictures"),
        (["evaluate", "mini", "--benchmark", "300w"], 2, "--data"),
        (["evaluate", "mini", "--benchmark", "400w", "--data", "."], 2, "400w"),
        (["evaluate", "mini", "--benchmark", "300w", "--data", "absent"], 2, "absent"),
        (["evaluate", "mini", "--benchmark", "300w", "--data", ".", "--fold", "6/5"], 2, "fold is '6/5'"),
        (["evaluate", "mini", "--benchmark", "300w", "--data", ".", "--fold", "x"], 2, "fold is 'x'"),
        (
            ["evaluate", "mini", "--benchmark", "300w", "--data", ".", "--fold", "2/5", "--train-share", "0.5"],
            2,
            "only one of them",
        ),
        (
            ["evaluate", "mini", "--benchmark", "synthforge", "--data", ".", "--fold", "2/5"],
            2,
            "instead of the fold 2/5",
        ),
        (["evaluate", "maxi", "--benchmark", "300w", "--data", "."], 2, "mini"),
        (["evaluate", "nobody/nothing", "--benchmark", "300w", "--data", "."], 1, "nobody/nothing"),
        (["evaluate", "a-file", "--benchmark", "300w", "--data", "."], 2, "a-file"),
        (["predict", "mini", "--out", "predictions"], 2, "IMAGE"),
        (["predict", "mini", "photo.jpg"], 2, "--out"),
        (["predict", "photo.jpg", "--out", "predictions"], 2, "IMAGE"),
        (["predict", "one.jpg", "two.jpg", "--out", "predictions"], 2, "name a model first"),
        (["predict", "maxi", "photo.jpg", "--out", "predictions"], 2, "maxi"),
        (["doctor", "me"], 2, "me"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_line(
    arguments: list[str],
    exit_code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("no folder")
    Path("wrong.yaml").write_text("name: wrong\ngraphics:\n  camera:\n    azimut_deg: [0, 1]\n")
    assert run(arguments) == exit_code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("synthforge: ")
    assert printed.err.count("\n") == 1
    assert words in printed.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-file", "wrong.yaml"]  # nothing is left behind


def test_generate_verify_preview_as_json(toy_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "faces"
    arguments = ["generate", str(out), "--num-samples", "3", "--resolution", "32", "--recipe", str(toy_recipe)]
    assert run([*arguments, "--workers", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["num_samples"], report["splits"], report["shards_made"]) == (3, {"train": 3}, 1)
    assert run(["verify", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(out), "sound": True, "problems": []}
    assert run(["preview", str(out), "--num", "2", "--out", str(tmp_path / "sheet.png"), "--json"]) == 0
    assert Path(json.loads(capsys.readouterr().out)["preview"]).stat().st_size > 0


def test_preview_of_a_recipe(toy_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    assert run(["preview", "--recipe", str(toy_recipe), "--num", "3", "--out", str(sheet)]) == 0
    assert capsys.readouterr().out == f"{sheet}\n"
    with Image.open(sheet) as picture:
        assert picture.width > picture.height == 192


def test_verify_lists_what_is_wrong_and_generate_mends_it(
    data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    shard = next(data_set.glob("data/*.parquet"))
    whole = shard.read_bytes()
    try:
        shard.write_bytes(whole[:-100])
        assert run(["verify", str(data_set)]) == 1
        assert shard.name in capsys.readouterr().out
        recipe = str(data_set.parent / "toy.yaml")
        assert run(["generate", str(data_set), "--num-samples", "4", "--resolution", "32", "--recipe", recipe]) == 0
        assert shard.read_bytes() == whole
    finally:
        shard.write_bytes(whole)


def test_doctor_as_json_is_nothing_but_json() -> None:
    result = synthforge("doctor", "--json")
    report = json.loads(result.stdout)
    assert report["problems"] == []
    assert result.returncode == 0
    assert report["devices"]["rasteriser"]["cpu"]["works"] is True
    assert {"mini", "detector"} <= set(report["checkpoints"])
    assert all(checkpoint["bytes"] > 0 for checkpoint in report["checkpoints"].values())
    assert report["backends"]["ray"]["install"] == "pip install 'synthforge_hf[ray]'"


def test_doctor_for_the_eye(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "Warp on cpu      works" in printed
    assert printed.endswith("No problems found.\n")


def test_a_fault_of_ours_shows_its_traceback_and_how_to_report_it() -> None:
    code = (
        "import sys, synthforge_hf.doctor as module; from synthforge_hf.cli import run\n"
        "module.doctor = lambda: 1 / 0\n"
        "sys.exit(run(['doctor']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr
    assert "please report it" in result.stderr.splitlines()[-1]


def test_a_reader_that_leaves_early_is_no_error(data_set: Path) -> None:
    code = f"from synthforge_hf.cli import run\nimport sys\nsys.exit(run(['verify', {str(data_set)!r}]))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(60)


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(toy_recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    command = [sys.executable, "-m", "synthforge_hf", "generate", str(out), "--num-samples", "120"]
    command += ["--resolution", "32", "--shard-size", "4", "--workers", "2", "--recipe", str(toy_recipe)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 300  # a busy machine takes long to import torch three times
    while len(list(out.glob("data/*.parquet"))) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    printed, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed == ""
    assert complaint == "synthforge: interrupted; what is finished is kept\n"
    made = len(list(out.glob("data/*.parquet")))
    assert 2 <= made < 30
    while group_is_alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_is_alive(process.pid)  # no worker is left behind
    result = synthforge("generate", out, "--num-samples", "120", *command[7:], "--json")
    # one shard may have been in place and not yet in the manifest
    assert made - 1 <= json.loads(result.stdout)["shards_kept"] <= made
