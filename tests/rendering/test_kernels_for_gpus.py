"""The kernels are CUDA as well: they compile for a GPU where there is none, though only one runs them."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import importlib, sys
import warp

folder, *modules = sys.argv[1:]
for module in modules:
    written = warp.compile_aot_module(importlib.import_module(module), arch=80, module_dir=folder, use_ptx=True)
    print(module, len(written))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Warp brings its CUDA compiler on Linux")
def test_every_module_of_kernels_compiles_for_a_gpu(repository: Path, tmp_path: Path) -> None:
    source = repository / "src"
    found = sorted((source / "synthforge_hf").rglob("*_kernels.py"))
    files = [path for path in found if "@wp.kernel" in path.read_text()]  # others only hold functions
    modules = [".".join(path.relative_to(source).with_suffix("").parts) for path in files]
    assert {"synthforge_hf.rendering.rasterize_kernels", "synthforge_hf.rendering.shading_kernels"} < set(modules)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path, *modules], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for module in modules:
        assert f"{module} " in done.stdout
        assert any(module in path.name for path in tmp_path.glob("*.ptx")), module
