"""What a recipe may say about the graphics generator: ranges and shares, all with defaults."""

from dataclasses import dataclass, field, fields
from typing import Any

from synthforge_hf.errors import UsageError

Range = tuple[float, float]


@dataclass(frozen=True)
class CameraSettings:
    """Where the camera stands. Defaults: the paper's ranges (SynthForge, section 3.1) around the head.

    azimuth_deg, elevation_deg, roll_deg: ranges of the camera's direction; azimuth > 0 is the subject's left.
    angle_distribution: "uniform", or "normal" with the range as +-2 standard deviations (cut off there).
    field_of_view_deg: across the image's width.
    distance_m: from the point looked at. With ``keep_framing`` the field of view is meant for 1.08 m and changes with
    the distance so
        that the head fills the same part of the image: near cameras then differ by their perspective only.
    offset_m: how far the point looked at may lie beside the middle of the face, each way.
    """

    azimuth_deg: Range = (-45.8, 45.8)
    elevation_deg: Range = (-45.8, 45.8)
    roll_deg: Range = (0.0, 0.0)
    angle_distribution: str = "uniform"
    field_of_view_deg: Range = (12.0, 27.0)
    distance_m: Range = (1.08, 1.08)
    keep_framing: bool = False
    offset_m: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, "azimuth_deg", -180, 180)
        check_range(self, "elevation_deg", -89, 89)
        check_range(self, "roll_deg", -180, 180)
        check_choice(self, "angle_distribution", ("uniform", "normal"))
        check_range(self, "field_of_view_deg", 2, 120)
        check_range(self, "distance_m", 0.25, 20)
        check_number(self, "offset_m", 0, 0.3)


@dataclass(frozen=True)
class HeadSettings:
    """Who is in front of the camera.

    age: 0 newborn, 0.19 child, 0.5 about 25 years, 1 very old; most samples are adults, ``child_share`` of them
    children.
    feature_spread: standard deviation of the local changes (nose, mouth, eyes, ...), as a share of their full range.
    asymmetry: standard deviation of the difference between left and right, likewise.
    neck_yaw_deg, neck_pitch_deg, neck_roll_deg: ranges of the head's turn on the shoulders.
    """

    age: Range = (0.03, 0.97)
    child_share: float = 0.18
    feature_spread: float = 0.3
    asymmetry: float = 0.1
    neck_yaw_deg: Range = (-20.0, 20.0)
    neck_pitch_deg: Range = (-10.0, 10.0)
    neck_roll_deg: Range = (-10.0, 10.0)

    def __post_init__(self) -> None:
        check_range(self, "age", 0, 1)
        check_number(self, "child_share", 0, 1)
        check_number(self, "feature_spread", 0, 1)
        check_number(self, "asymmetry", 0, 1)
        for name in ("neck_yaw_deg", "neck_pitch_deg", "neck_roll_deg"):
            check_range(self, name, -60, 60)


@dataclass(frozen=True)
class ExpressionSettings:
    """What the face does. neutral_share: samples with closed mouth and relaxed face. strength: scales all actions.
    gaze_deg: how far
    the eyes turn away from straight ahead."""

    neutral_share: float = 0.18
    strength: float = 1.0
    gaze_deg: float = 20.0

    def __post_init__(self) -> None:
        check_number(self, "neutral_share", 0, 1)
        check_number(self, "strength", 0, 1.5)
        check_number(self, "gaze_deg", 0, 35)


@dataclass(frozen=True)
class AppearanceSettings:
    """Skin, hair and clothes. melanin: 0 very light to 1 very dark skin. bald_share, beard_share (of adult men),
    long_hair_share."""

    melanin: Range = (0.0, 1.0)
    bald_share: float = 0.06
    beard_share: float = 0.45
    long_hair_share: float = 0.62
    makeup_share: float = 0.4

    def __post_init__(self) -> None:
        check_range(self, "melanin", 0, 1)
        for name in ("bald_share", "beard_share", "long_hair_share", "makeup_share"):
            check_number(self, name, 0, 1)


@dataclass(frozen=True)
class LightSettings:
    """Where the light comes from.

    exposure_stops: brighter or darker than a photo well exposed for the face. directional_share: how much of a studio's
    light comes from one lamp or the sun rather than from all around.
    environment_share: photos lit by a photographed place. flash_share: by the camera's flash. side_share: half of the
    face dark. back_share: by a lamp behind the head. dark_share: far too dark. coloured_share: by strongly
    coloured lamps. The rest is lit as in a studio.
    """

    exposure_stops: Range = (-0.45, 0.3)
    directional_share: Range = (0.1, 0.9)
    environment_share: float = 0.47
    flash_share: float = 0.07
    side_share: float = 0.07
    back_share: float = 0.04
    dark_share: float = 0.01
    coloured_share: float = 0.04

    def __post_init__(self) -> None:
        check_range(self, "exposure_stops", -5, 5)
        check_range(self, "directional_share", 0, 1)
        kinds = ("environment", "flash", "side", "back", "dark", "coloured")
        check_shares(self, *(f"{kind}_share" for kind in kinds))


@dataclass(frozen=True)
class BackgroundSettings:
    """What is behind the head.

    pictures_share: pictures of one's own, where ``pictures`` names any. environment_share: of the others, photographed
    places; the rest are plain and patterned scenes, and walls. people_share: backgrounds with other people at the edge,
    out of focus. sharp_share: backgrounds in focus.
    pictures: a folder of images, or a data set that ``datasets.load_dataset`` finds. pictures_sha256: of their names
    and contents; filled in when the recipe is loaded, and checked whenever they are read.
    """

    environment_share: float = 0.4
    pictures_share: float = 0.5
    people_share: float = 0.1
    sharp_share: float = 0.3
    pictures: str = ""
    pictures_sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("environment_share", "pictures_share", "people_share", "sharp_share"):
            check_number(self, name, 0, 1)


@dataclass(frozen=True)
class CameraEffectSettings:
    """What cameras and files do to a photo, each to this share of the photos. Nothing moves, so labels stay exact.

    defocus: the whole photo slightly out of focus. motion_blur: the camera shook. noise: of the sensor. white_balance:
    a tint. contrast: a tone curve. saturation: paler or stronger colours. vignette: darker corners. low_resolution:
    fewer pixels, scaled up. jpeg: strong compression. greyscale: black and white. old_photo: faded, sepia, grainy.
    """

    defocus_share: float = 0.35
    motion_blur_share: float = 0.05
    noise_share: float = 0.9
    white_balance_share: float = 0.5
    contrast_share: float = 0.85
    saturation_share: float = 0.5
    vignette_share: float = 0.12
    low_resolution_share: float = 0.15
    jpeg_share: float = 0.3
    greyscale_share: float = 0.06
    old_photo_share: float = 0.015

    def __post_init__(self) -> None:
        for item in fields(self):
            check_number(self, item.name, 0, 1)


@dataclass(frozen=True)
class AccessorySettings:
    """What is worn and held; shares of all samples from 0 to 1.

    glasses_share: of adults (of children a fifth of it). sunglasses_share: of all glasses. headwear_share: hats, hoods,
    scarves. earrings_share: of women (of men a fifth of it). necklace_share: likewise. occluder_share: hands, phones,
    cups, microphones, food, masks and scarves in front of the face.
    """

    glasses_share: float = 0.25
    sunglasses_share: float = 0.14
    headwear_share: float = 0.1
    earrings_share: float = 0.5
    necklace_share: float = 0.25
    occluder_share: float = 0.035

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            check_number(self, name, 0, 1)


@dataclass(frozen=True)
class GraphicsSettings:
    """Everything a recipe may set under ``graphics:``. Raises UsageError for values outside what the generator can
    draw.

    photos_per_identity: so many consecutive samples show the same person, with the same hair and colours, and another
    pose, expression, light, background and clothes each.
    """

    photos_per_identity: int = 1
    camera: CameraSettings = field(default_factory=CameraSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    expression: ExpressionSettings = field(default_factory=ExpressionSettings)
    appearance: AppearanceSettings = field(default_factory=AppearanceSettings)
    accessories: AccessorySettings = field(default_factory=AccessorySettings)
    light: LightSettings = field(default_factory=LightSettings)
    background: BackgroundSettings = field(default_factory=BackgroundSettings)
    camera_effects: CameraEffectSettings = field(default_factory=CameraEffectSettings)

    def __post_init__(self) -> None:
        check_number(self, "photos_per_identity", 1, 100_000)


def check_range(settings: Any, name: str, low: float, high: float) -> None:
    start, stop = getattr(settings, name)
    if not low <= start <= stop <= high:
        raise UsageError(
            f"{name} = [{start}, {stop}] is impossible: give [low, high] with {low} <= low <= high <= {high}"
        )


def check_number(settings: Any, name: str, low: float, high: float) -> None:
    value = getattr(settings, name)
    if not low <= value <= high:
        raise UsageError(f"{name} = {value} is impossible: give a number from {low} to {high}")


def check_shares(settings: Any, *names: str) -> None:
    """Shares of what excludes one another."""
    for name in names:
        check_number(settings, name, 0, 1)
    total = sum(getattr(settings, name) for name in names)
    if total > 1 + 1e-9:
        raise UsageError(f"{', '.join(names)} add up to {total:g}: they may add up to 1 at most")


def check_choice(settings: Any, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(settings, name)
    if value not in choices:
        raise UsageError(f"{name} = {value!r} is unknown: choose one of {', '.join(choices)}")
