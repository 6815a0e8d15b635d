"""Labels as people have them: right ones are read, wrong ones are one line that names the sample."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling

from synthforge_hf.data.name_split import NameSplit, place_of_name
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.training.own_labels import open_labels, read_depth

SIZE = (40, 30)


def write_photos(folder: Path, count: int = 4, **columns: list) -> str:
    """An imagefolder with metadata; a column of arrays becomes label images."""
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        Image.new("RGB", SIZE, (number, 0, 0)).save(folder / f"p{number}.png")
        line: dict = {"file_name": f"p{number}.png"}
        for name, values in columns.items():
            if isinstance(values[number], np.ndarray):
                path = f"masks/{name}{number}.png"
                Image.fromarray(values[number]).save(folder / path)
                line[f"{name}_file_name"] = path
            else:
                line[name] = values[number]
        lines.append(json.dumps(line))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return str(folder)


def points(*changes: tuple[int, list]) -> list:
    rows = [[[1.0, 2.0], [3.5, 4.0], [5.0, 6.0]] for _ in range(4)]
    for row, value in changes:
        rows[row] = value
    return rows


def all_samples(dataset: str, tasks: tuple[str, ...], **options: object) -> list:
    sources = open_labels(dataset, tasks, name_split=NameSplit.from_share(0.5), **options)  # type: ignore[arg-type]
    return [source.load(index) for source in sources for index in range(len(source))]


def test_points_of_any_number_with_missing_ones(tmp_path: Path) -> None:
    value = [[1.0, 2.0], [-1.0, 4.0], [float("nan"), 6.0]]
    samples = all_samples(write_photos(tmp_path, landmarks_2d=points((2, value))), ("landmarks",))
    missing = [int(np.isnan(sample.landmarks).any(axis=1).sum()) for sample in samples]
    assert sorted(missing) == [0, 0, 0, 2]
    assert samples[0].landmarks.shape == (3, 2)


@pytest.mark.parametrize(
    ("columns", "tasks", "message"),
    [
        (
            {"landmarks_2d": points((2, [[1.0, 2.0]]))},
            "landmarks",
            r"row \d.*1 landmarks, .* 3|row \d.*3 landmarks, .* 1",
        ),
        ({"landmarks_2d": points((1, [[-1.0, -1.0]] * 3))}, "landmarks", r"p1\.png.*every landmark is missing"),
        ({"landmarks_2d": [[[1.0], [2.0]]] * 4}, "landmarks", r"row \d.*list of \[x, y\]"),
    ],
)
def test_wrong_points_name_their_sample(tmp_path: Path, columns: dict, tasks: str, message: str) -> None:
    with pytest.raises(SynthForgeError, match=message):
        all_samples(write_photos(tmp_path, **columns), (tasks,))


def masks(**wrong: np.ndarray) -> list[np.ndarray]:
    result = [np.full((30, 40), number % 3, np.uint8) for number in range(4)]
    for name, value in wrong.items():
        result[int(name[1:])] = value
    return result


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n2": np.zeros((30, 41), np.uint8)}, r"row \d.*p2\.png.*41 x 30 pixels, the photo 40 x 30"),
        ({"n1": np.full((30, 40), 3, np.uint8)}, r"p1\.png.*class id 3 is out of range; there are 3 classes, 0 to 2"),
        ({"n3": np.zeros((30, 40, 3), np.uint8)}, r"p3\.png.*colour image"),
    ],
)
def test_wrong_masks_name_their_sample(tmp_path: Path, wrong: dict, message: str) -> None:
    data = write_photos(tmp_path, segmentation=masks(**wrong))
    with pytest.raises(SynthForgeError, match=message):
        all_samples(data, ("segmentation",), class_names=("a", "b", "c"))


def test_masks_are_read_with_unknown_pixels(tmp_path: Path) -> None:
    unknown = np.full((30, 40), 1, np.uint8)
    unknown[:5] = 255
    samples = all_samples(
        write_photos(tmp_path, segmentation=masks(n0=unknown)), ("segmentation",), class_names=("a", "b", "c")
    )
    assert sorted(int(sample.segmentation.max()) for sample in samples) == [0, 1, 2, 255]


def test_depth_in_other_units(tmp_path: Path) -> None:
    depth = [np.full((30, 40), 1200, np.uint16)] * 4
    samples = all_samples(write_photos(tmp_path, depth=depth), ("depth",), depth_unit=0.001)
    assert all((sample.depth == 12000).all() for sample in samples)
    with pytest.raises(SynthForgeError, match=r"sample 7.*0 to 6.5 m"):
        read_depth(np.full((2, 2), 1200, np.uint16), 1.0, "sample 7")


def test_mixed_sizes_are_fine(tmp_path: Path) -> None:
    data = write_photos(tmp_path, landmarks_2d=points())
    Image.new("RGB", (400, 100)).save(tmp_path / "p1.png")
    assert sorted(sample.photo.size for sample in all_samples(data, ("landmarks",))) == [SIZE, SIZE, SIZE, (400, 100)]


def test_wrong_columns_and_splits(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "a", points=points())
    with pytest.raises(UsageError, match=r"no column 'landmarks_2d', only image, points; .*--columns landmarks="):
        open_labels(data, ("landmarks",))
    train, _ = open_labels(data, ("landmarks",), {"landmarks": "points"}, name_split=NameSplit.from_share(0.5))
    assert train.load(0).landmarks is not None
    with pytest.raises(UsageError, match=r"column 'points'.*must hold images"):
        open_labels(data, ("segmentation",), {"segmentation": "points"}, name_split=NameSplit.from_share(0.5))
    with pytest.raises(UsageError, match="cannot load the data set"):
        open_labels(str(tmp_path / "absent"), ("landmarks",))
    (tmp_path / "empty" / "data").mkdir(parents=True)
    from datasets import Dataset, Features, Image, List, Value

    features = Features({"image": Image(), "landmarks_2d": List(List(Value("float32")))})
    nothing: dict[str, list] = {"image": [], "landmarks_2d": []}
    Dataset.from_dict(nothing, features=features).to_parquet(tmp_path / "empty" / "data" / "train-0.parquet")
    with pytest.raises(UsageError, match=r"split 'train' .*is empty|cannot load the data set"):
        open_labels(str(tmp_path / "empty"), ("landmarks",))
    with pytest.raises(UsageError, match="leaves none to"):
        open_labels(data, ("landmarks",), {"landmarks": "points"}, name_split=NameSplit.from_share(1e-6))


def write_300w(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (140, 120)).save(folder / f"face{number}.png")
        lines = "\n".join(f"{30 + point} {40 + point / 2}" for point in range(68))
        (folder / f"face{number}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")


def test_300w_is_split_by_name_and_test_photos_are_left_alone(tmp_path: Path) -> None:
    write_300w(tmp_path / "helen" / "trainset", 12)
    write_300w(tmp_path / "helen" / "testset", 3)
    train, held_out = open_labels(str(tmp_path), ("landmarks",), name_split=NameSplit.from_share(0.667))
    names = [[Path(source.name(index)).stem for index in range(len(source))] for source in (train, held_out)]
    assert sorted(names[0] + names[1]) == sorted(f"face{number}" for number in range(12))
    assert all(place_of_name(name) < 0.667 for name in names[0])
    assert all(place_of_name(name) >= 0.667 for name in names[1])
    assert "testset" not in train.name(0)
    assert (train.crop, train.load(0).landmarks.shape) == ("landmarks", (68, 2))
    with pytest.raises(UsageError, match="300-W has no labels for the task 'depth'"):
        open_labels(str(tmp_path), ("depth",))


def test_a_fold_is_validated_on_and_all_else_trained_on(tmp_path: Path) -> None:
    write_300w(tmp_path / "helen" / "trainset", 12)
    validated = []
    for number in (1, 2, 3):
        sources = open_labels(str(tmp_path), ("landmarks",), name_split=NameSplit.from_fold(f"{number}/3"))
        train, held_out = ({source.name(index) for index in range(len(source))} for source in sources)
        assert len(train) + len(held_out) == 12
        assert not train & held_out
        assert all((number - 1) / 3 <= place_of_name(Path(name).stem) < number / 3 for name in held_out)
        validated += held_out
    assert len(validated) == len(set(validated)) == 12


def test_own_metadata_wins_over_folders_like_a_benchmarks(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    lines = []
    for number in range(4):
        Image.new("RGB", SIZE).save(tmp_path / "images" / f"{number}.png")
        Image.new("L", SIZE, number % 2).save(tmp_path / "masks" / f"{number}.png")
        lines.append(f'{{"file_name": "images/{number}.png", "segmentation_file_name": "masks/{number}.png"}}')
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    train, _ = open_labels(
        str(tmp_path), ("segmentation",), class_names=("no", "yes"), name_split=NameSplit.from_share(0.5)
    )
    assert train.class_names == ("no", "yes")


def test_celebamask_hq_photos_may_be_larger_than_their_masks(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number in range(6):
        labels = np.full((20, 20), number, np.uint8)
        Image.fromarray(labels).save(tmp_path / "masks" / f"{number}.png")
        Image.fromarray(labels).convert("RGB").resize((40, 40), Resampling.NEAREST).save(
            tmp_path / "images" / f"{number}.png"
        )
    train, held_out = open_labels(str(tmp_path), ("segmentation",), name_split=NameSplit.from_share(0.5))
    assert len(train) + len(held_out) == 6
    assert (train.crop, len(train.class_names or ())) == ("whole", 19)
    assert train.load(0).segmentation.shape == (20, 20)
