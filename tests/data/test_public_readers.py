"""Readers of public benchmarks, on small folders laid out as their authors ship them, and on real ones if there are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthforge_hf.data.public.celebamask_hq import read_celebamask_hq
from synthforge_hf.data.public.three_hundred_w import read_300w
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.segmentation_classes import CLASS_ID


def write_pts(path: Path, points: np.ndarray) -> None:
    lines = "\n".join(f"{x:.6f} {y:.6f}" for x, y in points)
    path.write_text(f"version: 1\nn_points:  {len(points)}\n{{\n{lines}\n}}\n")


def write_photo(folder: Path, name: str, points: np.ndarray, suffix: str = ".jpg") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_pts(folder / f"{name}.pts", points)
    image = folder / f"{name}{suffix}"
    Image.new("RGB", (8, 8)).save(image)
    return image


@pytest.fixture
def three_hundred_w(tmp_path: Path) -> Path:
    root = tmp_path / "ibug"  # a folder above the data that is called like a subset must not count
    points = np.arange(136, dtype=float).reshape(68, 2) + 1
    for number, folder in enumerate(
        ["afw", "ibug", "helen/trainset", "helen/testset", "lfpw/trainset", "lfpw/testset"]
    ):
        write_photo(root / "300w" / folder, f"image _{number}", points, ".png" if number % 2 else ".JPG")
    return root / "300w"


@pytest.mark.parametrize(
    ("subset", "folders"),
    [
        (None, {"afw", "ibug", "helen/trainset", "helen/testset", "lfpw/trainset", "lfpw/testset"}),
        ("common", {"helen/testset", "lfpw/testset"}),
        ("challenge", {"ibug"}),
        ("full", {"helen/testset", "lfpw/testset", "ibug"}),
        ("lfpw", {"lfpw/trainset", "lfpw/testset"}),
        ("lfpw/trainset", {"lfpw/trainset"}),
        ("trainset/", {"lfpw/trainset", "helen/trainset"}),
    ],
)
def test_subsets_of_300w(three_hundred_w: Path, subset: str | None, folders: set[str]) -> None:
    samples = read_300w(three_hundred_w, subset)
    assert {str(image.parent.relative_to(three_hundred_w)) for image, _ in samples} == folders
    assert [image for image, _ in samples] == sorted(image for image, _ in samples)


def test_300w_points_become_continuous_pixels(three_hundred_w: Path) -> None:
    _, points = read_300w(three_hundred_w)[0]
    # 1-based pixel centres: the first pixel's centre is 1 in the file and 0.5 here.
    assert points[0].tolist() == [0.5, 1.5]
    assert points.shape == (68, 2)


def test_300w_errors_name_what_is_wrong(three_hundred_w: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        read_300w(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no \.pts file"):
        read_300w(tmp_path / "empty")
    with pytest.raises(UsageError, match="no annotated photo in indoor"):
        read_300w(three_hundred_w, "indoor")
    write_pts(three_hundred_w / "afw" / "short.pts", np.ones((67, 2)))
    with pytest.raises(SynthForgeError, match="no photo beside it"):
        read_300w(three_hundred_w, "afw")
    Image.new("RGB", (8, 8)).save(three_hundred_w / "afw" / "short.png")
    with pytest.raises(SynthForgeError, match=r"short\.pts holds 67 points instead of 68"):
        read_300w(three_hundred_w, "afw")
    for text in ("nonsense", "{\n1 2\n3\n}", "{\nx y\n}", "{\nnan 1\n" + "1 1\n" * 67 + "}"):
        (three_hundred_w / "afw" / "short.pts").write_text(text)
        with pytest.raises(SynthForgeError, match=r"short\.pts"):
            read_300w(three_hundred_w, "afw")


def test_prepared_celebamask_hq(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "7.jpg")
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    mask = Image.fromarray(labels).convert("P")
    mask.putdata(labels.reshape(-1).tolist())
    mask.save(tmp_path / "masks" / "7.png")
    (photo,) = read_celebamask_hq(tmp_path)
    assert np.array_equal(photo.segmentation(), labels)
    with pytest.raises(UsageError, match="no subsets"):
        read_celebamask_hq(tmp_path, "test")
    Image.fromarray(labels + 10).save(tmp_path / "masks" / "7.png")
    with pytest.raises(SynthForgeError, match="class 25"):
        photo.segmentation()
    (tmp_path / "masks" / "7.png").write_bytes(b"no image")
    with pytest.raises(SynthForgeError, match="damaged or not an image"):
        photo.segmentation()
    (tmp_path / "masks" / "7.png").unlink()
    with pytest.raises(SynthForgeError, match="has no mask"):
        read_celebamask_hq(tmp_path)


def test_official_celebamask_hq(tmp_path: Path) -> None:
    images, masks = tmp_path / "CelebA-HQ-img", tmp_path / "CelebAMask-HQ-mask-anno"
    images.mkdir()
    for number in (0, 1, 2):
        Image.new("RGB", (16, 16)).save(images / f"{number}.jpg")
        folder = masks / "0"
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in (("skin", slice(0, 6)), ("nose", slice(2, 4)), ("hair", slice(5, 8))):
            part = np.zeros((8, 8, 3), np.uint8)
            part[rows] = 255
            Image.fromarray(part).save(folder / f"{number:05d}_{name}.png")
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text(
        "idx   orig_idx   orig_file\n0   119613   119614.jpg\n1   162771   162772.jpg\n2   182638   182639.jpg\n"
    )
    photos = read_celebamask_hq(tmp_path)
    assert [photo.image.name for photo in photos] == ["0.jpg", "1.jpg", "2.jpg"]
    wanted = np.zeros((8, 8), np.uint8)
    wanted[:6] = CLASS_ID["skin"]
    wanted[2:4] = CLASS_ID["nose"]
    wanted[5:] = CLASS_ID["hair"]
    assert np.array_equal(photos[0].segmentation(), wanted)
    for number, subset in enumerate(["train", "val", "test"]):
        assert [photo.image.name for photo in read_celebamask_hq(tmp_path, subset)] == [f"{number}.jpg"]
    with pytest.raises(UsageError, match="'dev'"):
        read_celebamask_hq(tmp_path, "dev")
    with pytest.raises(UsageError, match="neither"):
        read_celebamask_hq(images)


def test_real_folders(real_photos: Path) -> None:
    samples = read_300w(real_photos / "300w", "lfpw/trainset")
    assert len(samples) > 700
    for image, points in samples[:: len(samples) // 20]:
        with Image.open(image) as photo:
            inside = (points > 0) & (points < np.array(photo.size))
        assert inside.mean() > 0.9
    photo = read_celebamask_hq(real_photos / "parsing")[0]
    assert CLASS_ID["skin"] in photo.segmentation()
