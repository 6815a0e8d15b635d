"""Train the face detector on nothing but synthetic faces.

    synthforge generate ./synthforge --num-samples 4000
    python examples/train_detector.py --dataset ./synthforge --output-dir runs/detector

Scenes are composed on the fly (synthforge_hf.training.face_detector); their backgrounds use a few sample images of
scikit-image, which `pip install scikit-image` brings.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from datasets import load_dataset
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from synthforge_hf.models.face_detector import SynthForgeFaceDetectorConfig, SynthForgeFaceDetectorModel
from synthforge_hf.models.face_detector.detection import normalise
from synthforge_hf.training.face_detector import FacePool, SceneComposer
from synthforge_hf.training.face_detector.backgrounds import faceless_photos


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--dataset", required=True, help="data set folder or Hub repository made by `synthforge generate`"
    )
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument("--init", type=Path, help="detector folder to start from instead of random weights")
    parser.add_argument("--num-faces", type=int, default=4000, help="faces kept in memory, 0.26 MB each")
    parser.add_argument("--num-scenes", type=int, default=60_000)
    parser.add_argument("--scene-size", type=int, default=192, help="side of a scene in pixels")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that compose scenes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


class Scenes(Dataset):
    def __init__(self, composer: SceneComposer, count: int):
        self.composer, self.count = composer, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        scene = self.composer.compose(index)
        return torch.tensor(scene.image), torch.tensor(scene.boxes), torch.tensor(scene.ignored)


def collate(scenes):
    images, boxes, ignored = zip(*scenes, strict=True)
    return torch.stack(images).permute(0, 3, 1, 2), list(boxes), list(ignored)


def moving_average(average: torch.Tensor, current: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
    """Exponential moving average that forgets the first steps quickly."""
    keep = min(0.998, (1 + updates.item()) / (10 + updates.item()))
    return keep * average + (1 - keep) * current


def main() -> None:
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    started = time.time()
    samples = load_dataset(arguments.dataset, split="train").select_columns(["image", "segmentation", "landmarks_2d"])
    pool = FacePool.from_samples(
        tqdm(samples, desc="faces", total=min(len(samples), arguments.num_faces)), arguments.num_faces
    )
    composer = SceneComposer(pool, faceless_photos(), size=arguments.scene_size, seed=arguments.seed)
    loader = DataLoader(
        Scenes(composer, arguments.num_scenes),
        batch_size=arguments.batch_size,
        num_workers=arguments.workers,
        collate_fn=collate,
        drop_last=True,
    )

    if arguments.init:
        model = SynthForgeFaceDetectorModel.from_pretrained(arguments.init, dtype=torch.float32)
    else:
        model = SynthForgeFaceDetectorModel(SynthForgeFaceDetectorConfig())
    config = model.config
    model = model.to(arguments.device, memory_format=torch.channels_last)
    average = AveragedModel(model, avg_fn=moving_average, use_buffers=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, arguments.learning_rate, total_steps=len(loader), pct_start=0.05, div_factor=20, final_div_factor=50
    )
    model.train()
    smooth: dict[str, float] = {}
    progress = tqdm(loader, desc="train", mininterval=5)
    for step, (images, boxes, ignored) in enumerate(progress):
        pixels = normalise(images.to(arguments.device), config)
        output = model(pixels, boxes=boxes, ignored=ignored)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        average.update_parameters(model)
        for name, value in output.losses.items():
            smooth[name] = smooth.get(name, float(value)) * 0.98 + 0.02 * float(value)
        if step % 20 == 0:
            progress.set_postfix({name: f"{value:.3f}" for name, value in smooth.items()})
        if (step + 1) % 250 == 0 or step + 1 == len(loader):
            average.module.save_pretrained(arguments.output_dir)

    record = {
        **{name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()},
        "faces": len(pool),
        "steps": len(loader),
        "minutes": round((time.time() - started) / 60, 1),
        "final_losses": smooth,
    }
    (arguments.output_dir / "training.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"detector in {arguments.output_dir} after {record['minutes']} minutes")


if __name__ == "__main__":
    main()
