import json
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from drawn_faces import drawn_data_set
from huggingface_hub import DatasetCardData
from test_stage_one import settings

from synthforge_hf.errors import UsageError
from synthforge_hf.training.stage_one import train_backbone
from synthforge_hf.training.streaming import StreamedLoader, StreamedWindows, stream_splits
from synthforge_hf.training.windows import FaceWindows, WindowSettings

CUT = WindowSettings.for_model(32, 1.35)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen training samples in four shards, with a card that says so."""
    folder = drawn_data_set(tmp_path_factory.mktemp("streamed") / "faces", train=16, validation=4, size=64)
    single = folder / "data" / "train-00000-of-00001.parquet"
    rows = datasets.Dataset.from_parquet(str(single), cache_dir=str(folder.parent / "cache"))
    for shard in range(4):
        part = rows.shard(4, shard, contiguous=True)
        part.to_parquet(folder / "data" / f"train-{shard:05d}-of-00004.parquet")
    single.unlink()
    splits = datasets.SplitDict()
    for name, count in COUNTS.items():
        splits.add(datasets.SplitInfo(name, num_examples=count))
    card = DatasetCardData()
    info = datasets.DatasetInfo(features=rows.features, splits=splits)
    datasets.info.DatasetInfosDict({"default": info}).to_dataset_card_data(card)
    (folder / "README.md").write_text(f"---\n{card}\n---\n", encoding="utf-8")
    return folder


COUNTS = {"train": 16, "validation": 4}


def keys(windows: Iterator[dict[str, np.ndarray]], count: int) -> list[bytes]:
    return [window["landmarks"].tobytes() for window, _ in zip(windows, range(count), strict=False)]


def test_processes_and_workers_read_shards_of_their_own(sharded: Path) -> None:
    rows, _, count = stream_splits(str(sharded), 10)
    assert count == 16
    whole = datasets.load_dataset(str(sharded), split="train", cache_dir=str(sharded.parent / "cache"))
    stored = FaceWindows(whole, CUT)
    everything = {stored[index]["landmarks"].tobytes() for index in range(16)}
    shares = [keys(iter(StreamedWindows(rows, CUT, process, 2, seed=1)), 8) for process in (0, 1)]
    assert [len(set(share)) for share in shares] == [8, 8]
    assert set(shares[0]) | set(shares[1]) == everything
    loader = torch.utils.data.DataLoader(StreamedWindows(rows, CUT), batch_size=4, num_workers=2)
    batches = [batch["landmarks"] for batch, _ in zip(loader, range(4), strict=False)]
    assert {point.numpy().tobytes() for batch in batches for point in batch} == everything


def test_the_order_follows_from_seed_and_epoch_and_goes_on_without_end(sharded: Path) -> None:
    rows, _, _ = stream_splits(str(sharded), 10)
    windows = StreamedWindows(rows, CUT, seed=3)
    first, again = keys(iter(windows), 40), keys(iter(windows), 40)
    assert first == again
    assert set(first[:16]) == set(first[16:32])
    assert first[:16] != first[16:32]
    windows.set_epoch(1)
    assert keys(iter(windows), 16) != first[:16]


def test_a_resumed_epoch_goes_on_where_it_stopped(sharded: Path) -> None:
    rows, _, _ = stream_splits(str(sharded), 10)
    loader = StreamedLoader(StreamedWindows(rows, CUT), batch_size=3, length=6, workers=0)
    whole = [batch["landmarks"] for batch in loader]
    rest = [batch["landmarks"] for batch in loader.skipping(4)]
    assert len(whole) == len(loader) == 6
    assert len(rest) == 2
    assert all(torch.equal(*pair) for pair in zip(whole[4:], rest, strict=True))


def test_a_backbone_is_trained_on_a_stream(sharded: Path, tmp_path: Path) -> None:
    metrics = train_backbone(str(sharded), tmp_path / "run", settings(tmp_path, epochs=2, streaming=True))
    assert set(metrics) == {"nme_interocular", "mean_f1", "depth_abs_rel"}
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert 1.0 < config["depth_mean"] < 2.6
    assert "16 samples" in (tmp_path / "run" / "README.md").read_text()
    assert "4 steps" in (tmp_path / "run" / "README.md").read_text()
    assert not (tmp_path / "cache").exists()


def test_a_set_without_a_validation_split_is_refused(sharded: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shard = sharded / "data" / "train-00000-of-00004.parquet"
    (tmp_path / "data" / shard.name).write_bytes(shard.read_bytes())
    with pytest.raises(UsageError, match="validation"):
        stream_splits(str(tmp_path), 10)
