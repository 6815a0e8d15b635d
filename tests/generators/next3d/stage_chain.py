"""Compare the generator with reference arrays stage by stage, and name the first one that differs."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn


class Chain:
    """Collects comparisons in the order of computation. measured: stage -> (largest difference, tolerance)."""

    def __init__(self) -> None:
        self.measured: dict[str, tuple[float, float]] = {}
        self.differences: list[str] = []

    def check(self, name: str, found: Tensor | np.ndarray, atol: float, wanted: np.ndarray) -> None:
        """Compare a stage with its reference."""
        found = np.asarray(found, dtype=np.float64)
        if found.shape != wanted.shape:
            self.measured[name] = np.inf, atol
            self.differences.append(f"{name} has shape {found.shape}, the reference {wanted.shape}")
            return
        worst = float(np.abs(found - wanted).max())
        self.measured[name] = worst, atol
        if not worst <= atol:
            self.differences.append(f"{name} differs by {worst:.3g}, more than {atol:g}")

    def report(self) -> str:
        if not self.differences:
            return ""
        more = f" (and {len(self.differences) - 1} later ones)" if len(self.differences) > 1 else ""
        return f"the first stage that differs: {self.differences[0]}{more}"


def probe_values(output: Tensor) -> dict[str, object]:
    """Reduce a layer's output as the reference's probes do: shape, mean and deviation of sample 0, eight values."""
    flat = output[0].flatten()
    step = len(flat) // 8
    deviation, mean = torch.std_mean(flat)
    return {
        "shape": list(output.shape),
        "mean": float(mean),
        "std": float(deviation),
        "vals": flat[step // 2 :: step][:8].tolist(),
    }


class LayerProbes:
    """Records ``probe_values`` of the first call of every module while it is entered. worst: largest difference that
    ``differences`` met."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.found: dict[str, dict[str, object]] = {}
        self.worst = 0.0

    def __enter__(self) -> "LayerProbes":
        self.handles = [
            module.register_forward_hook(lambda _module, _inputs, output, name=name: self._record(name, output))
            for name, module in self.model.named_modules()
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _record(self, name: str, output: object) -> None:
        outputs = {name: output} if torch.is_tensor(output) else {}
        if isinstance(output, tuple):
            outputs = {f"{name}#{number}": item for number, item in enumerate(output)}
        for key, item in outputs.items():
            if torch.is_tensor(item) and key not in self.found:
                self.found[key] = probe_values(item)

    def differences(self, expected: Mapping[str, dict], atol: float) -> Iterator[str]:
        """Name the layers that differ by more than ``atol``, in the order of computation.

        Layers that the reference calls and this one does not differ too.
        """
        order = {name: number for number, name in enumerate(self.found)}
        missing = [name for name in expected if name not in self.found]
        if missing:
            yield f"{missing[0]} was never called (nor were {len(missing) - 1} others)"
        for name in sorted(expected.keys() & self.found.keys(), key=order.__getitem__):
            wanted, found = expected[name], self.found[name]
            if wanted["shape"] != found["shape"]:
                yield f"{name} has shape {found['shape']}, the reference {wanted['shape']}"
            worst = np.abs(
                np.array([found["mean"], found["std"], *found["vals"]])
                - np.array([wanted["mean"], wanted["std"], *wanted["vals"]])
            ).max()
            self.worst = max(self.worst, float(worst))
            if not worst <= atol:
                yield f"{name} differs by {worst:.3g}, more than {atol:g}"
