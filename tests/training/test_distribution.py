import json
import subprocess
import sys
from pathlib import Path

import pytest
import two_processes
from accelerate.commands.config.config_args import load_config_from_file

from synthforge_hf.errors import UsageError
from synthforge_hf.training.runs import start_run
from synthforge_hf.training.settings import TrainingSettings

CONFIGS = ["cpu-processes", "fsdp2", "multi-node"]


def launch(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``accelerate launch``."""
    return subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=repository,
    )


def test_two_processes_and_accumulation_give_the_losses_of_one_large_batch(tmp_path: Path, repository: Path) -> None:
    runs = {}
    for name, batch_size, accumulate in (("one", 8, 1), ("accumulated", 2, 4)):
        (tmp_path / name).mkdir()
        two_processes.main(str(tmp_path / name), batch_size, accumulate)
    (tmp_path / "two").mkdir()
    script = str(Path(two_processes.__file__))
    config = str(repository / "examples" / "configs" / "cpu-processes.yaml")
    finished = launch(repository, "--config_file", config, script, str(tmp_path / "two"), "4", "1")
    assert finished.returncode == 0, finished.stderr[-3000:]
    for name in ("one", "accumulated", "two"):
        runs[name] = json.loads((tmp_path / name / "losses.json").read_text(encoding="utf-8"))
    assert [runs[name]["processes"] for name in ("one", "two", "accumulated")] == [1, 2, 1]
    expected = runs["one"]["logged"]
    assert len(expected) == 6
    assert expected[-1]["train/loss"] < 0.5 * expected[0]["train/loss"]
    for name in ("two", "accumulated"):
        for step, reference in zip(runs[name]["logged"], expected, strict=True):
            assert step == pytest.approx(reference, rel=2e-4)


def test_accelerates_own_cpu_flag_is_refused_with_what_works_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What `accelerate launch --cpu --num_processes 2` leaves to its only process.
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    with pytest.raises(UsageError, match="--multi_gpu --num_processes N"):
        start_run(tmp_path, TrainingSettings(), resume=False)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_shipped_launch_configurations_are_read_by_accelerate(repository: Path, name: str) -> None:
    config = load_config_from_file(str(repository / "examples" / "configs" / f"{name}.yaml"))
    assert config.num_processes >= 2
