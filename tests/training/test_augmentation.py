import numpy as np
import pytest
import torch

from synthforge_hf.annotation.landmarks import MIRRORED_LANDMARKS
from synthforge_hf.models.synthforge.losses import IGNORED_CLASS
from synthforge_hf.segmentation_classes import CLASS_ID
from synthforge_hf.training.augmentation import AugmentationSettings, CropMaker
from synthforge_hf.training.geometry import GeometrySettings, move_points, random_homographies
from synthforge_hf.training.photometry import PhotometrySettings

QUIET = PhotometrySettings(*[0.0] * 15)
MARGIN, IMAGE, GRID, PIXELS = 1.75, 128, 64, 224


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crop_maker(geometry: GeometrySettings | None = None, photometry: PhotometrySettings = QUIET) -> CropMaker:
    settings = AugmentationSettings(geometry or GeometrySettings(), photometry)
    return CropMaker(settings, IMAGE, GRID, MARGIN, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def dotted_windows(count: int) -> dict[str, torch.Tensor]:
    """Windows with soft bright dots at six landmarks, and discs of class and depth around them."""
    rng = np.random.default_rng(0)
    centres = np.arange(PIXELS) + 0.5
    images = np.zeros((count, PIXELS, PIXELS, 3), np.uint8)
    landmarks = np.full((count, 68, 2), 0.5, np.float32)
    segmentation = np.zeros((count, PIXELS, PIXELS), np.uint8)
    depth = np.zeros((count, PIXELS // 2, PIXELS // 2), np.uint16)
    coarse = 2 * np.arange(PIXELS // 2) + 1.0
    for item in range(count):
        # Far apart, so that dots do not touch.
        for landmark, cell in enumerate(rng.permutation(9)[:6]):
            x, y = 62 + 50 * (cell % 3) + rng.uniform(-8, 8), 62 + 50 * (cell // 3) + rng.uniform(-8, 8)
            landmarks[item, landmark] = (x / PIXELS, y / PIXELS)
            distance = np.hypot(centres[None, :] - x, centres[:, None] - y)
            images[item] = np.maximum(images[item], (255 * np.exp(-0.5 * (distance / 4) ** 2))[..., None])
            segmentation[item][distance < 9] = landmark + 1
            depth[item][np.hypot(coarse[None, :] - x, coarse[:, None] - y) < 9] = 1000 * (landmark + 1)
    return {
        "image": torch.from_numpy(images),
        "landmarks": torch.from_numpy(landmarks),
        "segmentation": torch.from_numpy(segmentation),
        "depth": torch.from_numpy(depth),
    }


def test_points_and_labels_follow_the_image_within_a_fraction_of_a_pixel() -> None:
    windows = dotted_windows(16)
    crops = crop_maker(GeometrySettings(flip=0.0)).augmented(windows, generator())
    centres = (torch.arange(IMAGE) + 0.5) / IMAGE
    checked = 0
    for item in range(16):
        image = crops["pixel_values"][item, 0]
        for landmark in range(6):
            x, y = crops["landmarks"][item, landmark].tolist()
            if not (0.12 < x < 0.88 and 0.12 < y < 0.88):
                continue
            near = ((centres[None, :] - x).abs() < 0.08) & ((centres[:, None] - y).abs() < 0.08)
            weights = image * near
            found_x = (weights.sum(0) * centres).sum() / weights.sum()
            found_y = (weights.sum(1) * centres).sum() / weights.sum()
            assert abs(found_x - x) * IMAGE < 0.35
            assert abs(found_y - y) * IMAGE < 0.35
            cell = (int(y * GRID), int(x * GRID))
            assert crops["segmentation"][item][cell] == landmark + 1
            assert crops["depth"][item][cell] == pytest.approx(0.1 * (landmark + 1))
            # The disc of labels is centred on the point too (cells are 2 pixels wide).
            rows, columns = (crops["segmentation"][item] == landmark + 1).nonzero(as_tuple=True)
            assert abs((columns.float().mean() + 0.5) / GRID - x) * IMAGE < 0.8
            assert abs((rows.float().mean() + 0.5) / GRID - y) * IMAGE < 0.8
            checked += 1
    assert checked > 25


def test_mirroring_flips_the_image_and_exchanges_left_and_right() -> None:
    windows = dotted_windows(4)
    windows["segmentation"][:, 80:140, 80:140] = CLASS_ID["l_eye"]
    still = GeometrySettings(0.0, (1.0, 1.0), 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, flip=0.0)
    plain = crop_maker(still).augmented(windows, generator())
    mirrored = crop_maker(GeometrySettings(0.0, (1.0, 1.0), 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, flip=1.0)).augmented(
        windows, generator()
    )
    assert torch.allclose(mirrored["pixel_values"], plain["pixel_values"].flip(-1), atol=1e-5)
    expected = plain["landmarks"][:, MIRRORED_LANDMARKS] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    assert torch.allclose(mirrored["landmarks"], expected, atol=1e-5)
    assert torch.equal(
        mirrored["segmentation"] == CLASS_ID["r_eye"], (plain["segmentation"] == CLASS_ID["l_eye"]).flip(-1)
    )
    assert torch.allclose(mirrored["depth"], plain["depth"].flip(-1))


def test_the_nominal_crop_is_the_middle_of_the_window() -> None:
    windows = dotted_windows(2)
    crops = crop_maker().nominal(windows)
    border = (PIXELS - IMAGE) // 2
    middle = windows["image"][:, border:-border, border:-border].permute(0, 3, 1, 2) / 255
    assert torch.allclose(crops["pixel_values"], middle, atol=1e-4)
    assert torch.allclose(crops["landmarks"], (windows["landmarks"] - 0.5) * MARGIN + 0.5, atol=1e-5)


def test_outside_the_window_nothing_is_known() -> None:
    far = GeometrySettings(shift=0.0, scale=(2.0, 2.0), rotation_deg=0.0, wide_rotation_share=0.0, flip=0.0)
    crops = crop_maker(far).augmented(dotted_windows(2), generator())
    assert (crops["segmentation"][:, 0] == IGNORED_CLASS).all()
    assert (crops["depth"][:, 0] == 0).all()
    assert (crops["pixel_values"][:, :, 0] < 1e-3).all()


def test_photometry_keeps_the_range_and_changes_every_image() -> None:
    windows = dotted_windows(8)
    windows["image"] += torch.randint(0, 60, windows["image"].shape, dtype=torch.uint8, generator=generator())
    still = GeometrySettings(0.0, (1.0, 1.0), 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, flip=0.0)
    everything = PhotometrySettings(
        **dict.fromkeys(("side_light", "blur", "motion_blur", "resample", "noise", "jpeg"), 1.0)
    )
    plain = crop_maker(still).augmented(windows, generator())
    changed = crop_maker(still, everything).augmented(windows, generator())
    assert changed["pixel_values"].min() >= 0
    assert changed["pixel_values"].max() <= 1
    assert torch.isfinite(changed["pixel_values"]).all()
    assert ((changed["pixel_values"] - plain["pixel_values"]).abs().mean(dim=(1, 2, 3)) > 0.01).all()
    assert torch.equal(changed["landmarks"], plain["landmarks"])


def test_occluded_pixels_are_not_learnt() -> None:
    still = GeometrySettings(0.0, (1.0, 1.0), 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, flip=0.0)
    settings = [0.0] * 14 + [1.0]
    windows = dotted_windows(16)
    plain = crop_maker(still).augmented(windows, generator(3))
    crops = crop_maker(still, PhotometrySettings(*settings)).augmented(windows, generator(3))
    changed = (crops["pixel_values"] - plain["pixel_values"]).abs().amax(dim=1) > 0.2
    centres = changed[:, 1::2, 1::2]
    assert centres.any()
    hidden = crops["segmentation"] == IGNORED_CLASS
    assert (hidden & centres).sum() > 0.9 * centres.sum()
    assert (crops["depth"][hidden] == 0).all()


def test_the_same_generator_state_gives_the_same_crops() -> None:
    maker = crop_maker(photometry=PhotometrySettings())
    first, second = (maker.augmented(dotted_windows(4), generator(7)) for _ in "ab")
    other = maker.augmented(dotted_windows(4), generator(8))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["pixel_values"], other["pixel_values"])


SILENT = dict.fromkeys(vars(QUIET), 0.0)
STILL = {"shift": 0.0, "scale": (1.0, 1.0), "rotation_deg": 0.0, "wide_rotation_share": 0.0, "aspect": 1.0}
STILL |= {"shear": 0.0, "perspective": 0.0, "flip": 0.0}


@pytest.mark.parametrize(
    "change",
    [
        {"shift": 0.1},
        {"rotation_deg": 20.0},
        {"scale": (0.8, 0.9)},
        {"shear": 0.1},
        {"perspective": 0.1},
        {"flip": 1.0},
        {"blur": 1.0},
        {"occluder": 1.0},
        {"noise": 1.0},
        {"brightness": 0.3},
        {"contrast": 0.3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_augmentation_of_the_paper_alone_changes_the_image(change: dict) -> None:
    geometry = GeometrySettings(**(STILL | {name: value for name, value in change.items() if name in STILL}))
    photometry = PhotometrySettings(**(SILENT | {name: value for name, value in change.items() if name in SILENT}))
    windows = dotted_windows(4)
    windows["image"] += 40
    plain = crop_maker(GeometrySettings(**STILL)).nominal(windows)
    changed = crop_maker(geometry, photometry).augmented(windows, generator())
    assert (changed["pixel_values"] - plain["pixel_values"]).abs().mean() > 1e-3
    moves = not torch.allclose(changed["landmarks"], plain["landmarks"], atol=1e-3)
    assert moves == (next(iter(change)) in STILL)


def test_perspective_makes_parallel_lines_meet() -> None:
    homographies, _ = random_homographies(8, MARGIN, GeometrySettings(**(STILL | {"perspective": 0.1})), generator())
    assert (homographies[:, 2, :2].abs().amax(dim=1) > 0.005).all()
    corners = torch.tensor([[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]]).expand(8, 4, 2)
    moved = move_points(corners, homographies)
    opposite = (moved[:, 1] - moved[:, 0]) - (moved[:, 2] - moved[:, 3])
    assert (opposite.norm(dim=1) > 1e-4).all()
