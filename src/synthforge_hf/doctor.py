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

    Keys: "versions" (name -> version), "devices", "checkpoints" (name -> path and size in bytes), "backends" (extra -> its
    packages, whether it is complete, and the command that completes it), "storage", and "problems": a list of sentences, each
    with its remedy, empty when everything that the package itself needs works. A missing optional backend is no problem.
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


def _requirements(extra: str | None) -> list[Requirement]:
    """Return what setup.cfg lists for the package itself (extra=None) or for one extra."""
    requirements = [Requirement(line) for line in metadata.requires(_PACKAGE) or []]
    if extra is None:
        return [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return [each for each in requirements if each.marker and _belongs_to(each, extra)]


def _belongs_to(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _installed(requirement: Requirement) -> tuple[str | None, bool]:
    """Return the installed version, if any, and whether it satisfies the requirement."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return None, False
    return version, requirement.specifier.contains(version, prereleases=True)


def _versions(problems: list[str]) -> dict[str, str]:
    versions = {_PACKAGE: metadata.version(_PACKAGE), "python": platform.python_version(), "system": platform.platform()}
    for requirement in _requirements(None):
        version, satisfied = _installed(requirement)
        versions[requirement.name] = version or "missing"
        if not satisfied:
            found = f"is {version}" if version else "is missing"
            problems.append(f"{requirement.name} {found}; run: pip install '{requirement.name}{requirement.specifier}'")
    return versions


def _devices(problems: list[str]) -> dict[str, Any]:
    import torch

    devices: dict[str, Any] = {
        "cpu_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": [
            {"name": torch.cuda.get_device_name(number), "memory_bytes": torch.cuda.get_device_properties(number).total_memory}
            for number in range(torch.cuda.device_count())
        ],
        "rasteriser": {},
    }
    for device in ["cpu", *(["cuda"] if devices["cuda"] else [])]:
        try:
            devices["rasteriser"][device] = _draw_a_triangle(device)
        except Exception as error:  # whatever a driver or compiler says is the finding
            devices["rasteriser"][device] = {"works": False, "error": f"{type(error).__name__}: {error}"}
            problems.append(f"the Warp kernels fail on {device} ({error}); run: pip install --upgrade warp-lang")
    return devices


def _draw_a_triangle(device: str) -> dict[str, Any]:
    """Compile the kernel where that is still to be done, draw one triangle over the left half of an image, check it."""
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
    return {"works": True, "seconds_first_use": round(seconds, 2)}


def _checkpoints(problems: list[str]) -> dict[str, Any]:
    checkpoints = {}
    for name, path in pretrained().items():
        weights = Path(path) / "model.safetensors"
        checkpoints[name] = {"path": path, "bytes": weights.stat().st_size if weights.is_file() else 0}
        if not weights.is_file():
            problems.append(f"the embedded checkpoint '{name}' has lost its weights; run: pip install --force-reinstall {_PACKAGE}")
    if not checkpoints:
        problems.append(f"no embedded checkpoint was installed; run: pip install --force-reinstall {_PACKAGE}")
    return checkpoints


def _backends() -> dict[str, Any]:
    extras = [extra for extra in metadata.metadata(_PACKAGE).get_all("Provides-Extra") or [] if extra not in _DEVELOPMENT_EXTRAS]
    backends = {}
    for extra in extras:
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


def format_report(report: dict[str, Any]) -> str:
    """Return the report of ``doctor`` as lines for a terminal."""
    lines = ["Versions", *(f"  {name:<16} {version}" for name, version in report["versions"].items()), "", "Devices"]
    devices = report["devices"]
    lines.append(f"  {'CPU':<16} {devices['cpu_cores']} cores, torch uses {devices['torch_threads']} threads")
    for gpu in devices["cuda"] or [None]:
        lines.append(f"  {'CUDA':<16} " + (f"{gpu['name']}, {gpu['memory_bytes'] / 2**30:.0f} GiB" if gpu else "none"))
    for device, result in devices["rasteriser"].items():
        verdict = f"works ({result['seconds_first_use']} s for first use)" if result["works"] else f"fails: {result['error']}"
        lines.append(f"  {'Warp on ' + device:<16} {verdict}")
    lines += ["", "Embedded checkpoints"]
    for name, checkpoint in report["checkpoints"].items():
        lines.append(f"  {name:<16} {checkpoint['bytes'] / 1e6:.1f} MB  {checkpoint['path']}")
    lines += ["", "Optional backends"]
    for extra, backend in report["backends"].items():
        packages = ", ".join(f"{name} {version or '(missing)'}" for name, version in backend["packages"].items())
        lines.append(f"  {extra:<16} " + (packages if backend["complete"] else f"{packages}; get it: {backend['install']}"))
    storage = report["storage"]
    lines += ["", "Storage", f"  {'Hub cache':<16} {storage['hub_cache']}{' (offline mode)' if storage['hub_offline'] else ''}"]
    lines += [f"  {'free here':<16} {storage['free_bytes_here'] / 2**30:.1f} GiB", ""]
    lines += [f"Problem: {problem}" for problem in report["problems"]] or ["No problems found."]
    return "\n".join(lines)
