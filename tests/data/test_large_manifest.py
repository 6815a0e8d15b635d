"""Looking over a large data set costs little: a tenth of benchmarks/large_manifest.py, with looser bounds."""

from pathlib import Path

import pytest


def test_quick_checks_and_resuming_cost_little(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    large_manifest = __import__("large_manifest")
    recipe_file = large_manifest.simulate(tmp_path / "large", 100_000, 500)
    out = tmp_path / "large"
    quick = large_manifest.run("verify", out, "--quick")
    request = ["--recipe", recipe_file, "--num-samples", "100000", "--shard-size", "500", "--resolution", "512"]
    resumed = large_manifest.run("generate", out, *request)
    # Processor time, most of it imports: it does not depend on what else the machine does.
    assert quick.processor < 4
    assert resumed.processor < 10
    assert quick.memory < 300
    assert resumed.memory < 500
