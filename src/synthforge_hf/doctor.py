"""What is installed, what works, what is missing and how to get it."""

import os
import platform
import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from synthforge_hf.checkpoints import pretrained

_PACKAGE = "synthforge_hf"
_DEVELOPMENT_EXTRAS = {"test", "quality"}


def doctor() -> dict[str, Any]:
    """Examine this installation and return a report that JSON can hold.

    Keys: "versions" (name -> version), "devices", "checkpoints" (name -> path and size in bytes), "backends" (extra ->
    its packages, whether it is complete, and the command that completes it), "storage", and "problems": sentences, each
    with its remedy; none when all that the package itself needs works. A missing optional backend is no problem.
    """
    problems: list[str] = []
    return {
        "versions": _versions(problems),
        "devices": _devices(problems),
        "checkpoints": _checkpoints(problems),
        "backends": _backends(),
        "storage": _storage(),
        "problems": problems,
    }


def format_report(report: dict[str, Any]) -> str:
    """Return the report of ``doctor`` as lines for a terminal."""
    devices, storage = report["devices"], report["storage"]
    gpus = [f"{gpu['name']} ({gpu['memory_bytes'] / 2**30:.0f} GiB)" for gpu in devices["cuda"]]
    sections = {
        "Versions": report["versions"],
        "Devices": {
            "CPU": f"{devices['cpu_cores']} cores, torch uses {devices['torch_threads']} threads",
            "CUDA": ", ".join(gpus) or "none",
            **{f"Warp on {device}": _verdict(result) for device, result in devices["rasteriser"].items()},
        },
        "Embedded checkpoints": {
            name: f"{checkpoint['bytes'] / 1e6:.1f} MB  {checkpoint['path']}"
            for name, checkpoint in report["checkpoints"].items()
        },
        "Optional backends": {extra: _packages(backend) for extra, backend in report["backends"].items()},
        "Storage": {
            "Hub cache": storage["hub_cache"] + (" (offline mode)" if storage["hub_offline"] else ""),
            "free here": f"{storage['free_bytes_here'] / 2**30:.1f} GiB",
        },
    }
    lines: list[str] = []
    for title, rows in sections.items():
        lines += [title, *(f"  {name:<16} {value}" for name, value in rows.items()), ""]
    lines += [f"Problem: {problem}" for problem in report["problems"]] or ["No problems found."]
    return "\n".join(lines)


def _verdict(result: dict[str, Any]) -> str:
    return f"works ({result['seconds_first_use']} s for first use)" if result["works"] else f"fails: {result['error']}"


def _packages(backend: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version or '(missing)'}" for name, version in backend["packages"].items())
    return packages if backend["complete"] else f"{packages}; get it: {backend['install']}"


def _versions(problems: list[str]) -> dict[str, str]:
    versions = {_PACKAGE: metadata.version(_PACKAGE), "python": platform.python_version()}
    versions["system"] = platform.platform()
    for requirement in _requirements():
        version, satisfied = _installed(requirement)
        versions[requirement.name] = version or "missing"
        if not satisfied:
            found = f"is {version}" if version else "is missing"
            problems.append(f"{requirement.name} {found}; run: pip install '{requirement.name}{requirement.specifier}'")
    return versions


def _requirements(extra: str = "") -> list[Requirement]:
    """Return what setup.cfg lists for the package itself, or for one extra."""
    requirements = [Requirement(line) for line in metadata.requires(_PACKAGE) or []]
    if not extra:
        return [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return [
        each
        for each in requirements
        if each.marker and each.marker.evaluate({"extra": extra}) and not each.marker.evaluate({"extra": ""})
    ]


def _installed(requirement: Requirement) -> tuple[str | None, bool]:
    """Return the installed version, if any, and whether it satisfies the requirement."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return None, False
    return version, requirement.specifier.contains(version, prereleases=True)


def _devices(problems: list[str]) -> dict[str, Any]:
    import torch

    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    rasteriser: dict[str, Any] = {}
    for device in ["cpu", *(["cuda"] if gpus else [])]:
        try:
            rasteriser[device] = {"works": True, "seconds_first_use": _draw_a_triangle(device)}
        except Exception as error:  # whatever a driver or a compiler says is the finding
            rasteriser[device] = {"works": False, "error": f"{type(error).__name__}: {error}"}
            problems.append(f"the Warp kernels fail on {device} ({error}); run: pip install --upgrade warp-lang")
    return {
        "cpu_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": [{"name": gpu.name, "memory_bytes": gpu.total_memory} for gpu in gpus],
        "rasteriser": rasteriser,
    }


def _draw_a_triangle(device: str) -> float:
    """Draw a triangle over the left half of an image, check that it is there, return the seconds it took.

    The first time on a machine this compiles the kernel.
    """
    import torch

    from synthforge_hf.rendering.rasterize import rasterize

    vertices = torch.tensor([[[-1.0, -3.0, 1.0], [0.0, 0.0, 1.0], [-1.0, 3.0, 1.0]]], device=device)
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32, device=device)
    intrinsics = torch.tensor([[[16.0, 0.0, 16.0], [0.0, 16.0, 16.0], [0.0, 0.0, 1.0]]], device=device)
    start = time.perf_counter()
    triangle = rasterize(vertices, faces, intrinsics, 32, 32).triangle[0].cpu()
    seconds = time.perf_counter() - start
    if int(triangle[16, 8]) != 0 or int(triangle[16, 24]) != -1:
        raise RuntimeError("a test triangle was not drawn where it belongs")
    return round(seconds, 2)


def _checkpoints(problems: list[str]) -> dict[str, Any]:
    checkpoints = {}
    for name, path in pretrained().items():
        weights = Path(path) / "model.safetensors"
        checkpoints[name] = {"path": path, "bytes": weights.stat().st_size if weights.is_file() else 0}
        if not weights.is_file():
            problems.append(f"the embedded checkpoint '{name}' has lost its weights; install {_PACKAGE} again")
    if not checkpoints:
        problems.append(f"the embedded checkpoints were not installed; install {_PACKAGE} again")
    return checkpoints


def _backends() -> dict[str, Any]:
    extras = metadata.metadata(_PACKAGE).get_all("Provides-Extra") or []
    backends = {}
    for extra in (each for each in extras if each not in _DEVELOPMENT_EXTRAS):
        found = {requirement.name: _installed(requirement) for requirement in _requirements(extra)}
        backends[extra] = {
            "complete": all(satisfied for _, satisfied in found.values()),
            "packages": {name: version for name, (version, _) in found.items()},
            "install": f"pip install '{_PACKAGE}[{extra}]'",
        }
    return backends


def _storage() -> dict[str, Any]:
    from huggingface_hub import constants

    return {
        "hub_cache": constants.HF_HUB_CACHE,
        "hub_offline": constants.is_offline_mode(),
        "free_bytes_here": shutil.disk_usage(".").free,
    }
