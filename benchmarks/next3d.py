"""Time and memory of the full-size Next3D generator (172.8 million parameters), by stage: one table.

    python benchmarks/next3d.py [--threads 1] [--images 3] [--model CONVERTED_FOLDER]

Without --model the weights are random; that takes the same time. The mesh is an ellipsoid of FLAME's size. One image at
a time, front plane only, 64 x 64 rays for the image and 128 x 128 for depth, as SynthForge uses it. CPU time is that of
all threads together; wall time needs an otherwise idle machine. Memory is the largest resident set of the whole
process, weights included.
"""

import argparse
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "generators" / "next3d"))


def clocks() -> np.ndarray:
    """CPU and wall seconds."""
    return np.array([time.process_time(), time.perf_counter()])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

    import torch
    from rich.console import Console
    from rich.table import Table
    from small_head import small_head
    from test_next3d_small_reference import look_at_camera

    from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
    from synthforge_hf.generators.next3d.modeling_next3d import Next3DModel, as_image

    torch.set_num_threads(arguments.threads)
    head = small_head()
    if arguments.model:
        model = Next3DModel.from_pretrained(arguments.model)
    else:
        mesh = {"num_faces": len(head["faces"]), "num_texture_vertices": len(head["uvs"])}
        model = Next3DModel(Next3DConfig(**mesh)).eval()
        tensors = [torch.from_numpy(head[name]) for name in ("faces", "uvfaces", "uvs")]
        model.set_mesh(*tensors, torch.from_numpy(head["uv_face_eye_mask"]) / 255)
    points = [torch.from_numpy(head[name])[None] for name in ("vertices", "landmarks")]
    camera = look_at_camera(0.2, 0.1, 4.26)
    seconds: dict[str, np.ndarray] = {}
    started = clocks()

    def begin(*_: object) -> None:
        nonlocal started
        started = clocks()

    def end(stage: str, since: np.ndarray | None = None) -> None:
        elapsed = clocks() - (started if since is None else since)
        seconds[stage] = seconds.get(stage, np.zeros(2)) + elapsed

    networks = {
        "texture network": model.texture_backbone.synthesis,
        "mouth network": model.mouth_backbone.synthesis,
        "blending network": model.neural_blending.synthesis,
        "static network": model.backbone.synthesis,
    }
    for stage, network in networks.items():
        network.register_forward_pre_hook(begin)
        network.register_forward_hook(lambda *_, stage=stage: end(stage))

    with torch.no_grad():
        for image in range(-1, arguments.images):  # the first compiles kernels
            if image == 0:
                seconds.clear()
            begun = clocks()
            ws = model.map(torch.randn(1, 512), camera, 0.7, 14)
            made = model.make_planes(ws, *points)
            end("planes, all together", begun)
            begin()
            rendered = model.render(made.planes, camera, 64)
            end("volume, 64 x 64")
            begin()
            model.render(made.planes, camera, 128, with_features=False)
            end("depth, 128 x 128")
            begin()
            assert rendered.features is not None
            model.super_resolve(as_image(rendered.features), ws)
            end("super-resolution")
    together = seconds.pop("planes, all together")
    planes = {stage: seconds.pop(stage) for stage in networks}
    stages = (
        planes | {"mapping, rasterisation, look-up, blending": together - sum(planes.values(), np.zeros(2))} | seconds
    )

    table = Table(title=f"Next3D, {model.num_parameters() / 1e6:.1f} M parameters, {arguments.threads} thread(s)")
    table.add_column("stage")
    for clock in ("CPU seconds", "wall seconds"):
        table.add_column(f"{clock} per image", justify="right")
    for stage, total in stages.items():
        table.add_row(stage, *(f"{value:.2f}" for value in total / arguments.images))
    table.add_section()
    whole = sum(stages.values(), np.zeros(2)) / arguments.images
    table.add_row("image with depth", *(f"{value:.2f}" for value in whole))
    table.add_row("largest resident set", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
