"""What a recipe may say about the Next3D generator. Defaults: the paper's (SynthForge, section 3.1)."""

from dataclasses import dataclass
from typing import Literal

from synthforge_hf.errors import UsageError

Range = tuple[float, float]


@dataclass(frozen=True)
class Next3DSettings:
    """Where the licensed files are, and what to draw at random.

    model: folder that ``synthforge convert next3d`` wrote; "": the environment's SYNTHFORGE_NEXT3D names it. flame:
        folder that ``synthforge convert flame`` wrote; "": SYNTHFORGE_FLAME.
    num_shape, num_expression: how many of FLAME's coefficients are drawn; the others are 0.
    coefficient: range of every drawn coefficient, standard deviations.
    azimuth_deg: range of the camera's direction, > 0 to the subject's left. elevation_deg: > 0 is above.
    field_of_view_deg: as the published code counts it (its image shows a little more).
    truncation_psi, truncation_cutoff: how far, and how many, style vectors are drawn towards the average.
    depth_resolution: side of the rendered depth image, which is then enlarged to the picture's.
    opacity: how opaque the volume must be along a ray for the ray to show a surface.
    alignment: "closed_form" takes the mesh where the generator's own geometry puts it; "per_sample" then moves and
        scales it by a little towards the rendered depth.
    max_alignment_error_mm: a sample is drawn anew where the median distance in depth between mesh and volume, over the
        visible front of the head, is larger.
    max_detector_disagreement_px: None, or a sample is drawn anew, too, where the embedded detector sees no face in its
        image, or landmarks that are on average further from the labels, in pixels of the network's own 512 x 512
        image. The paper's filter is 11.
    max_attempts: so many draws before giving up.
    batch_size: samples that the networks make in one go: 0 to batch_size - 1, the next as many, and so on. Part of what
        decides the bytes: in a batch, networks round differently.
    random_rays: place samples along rays at random, as in training; else in the middle of their steps.
    """

    model: str = ""
    flame: str = ""
    num_shape: int = 100
    num_expression: int = 50
    coefficient: Range = (-2.0, 2.0)
    azimuth_deg: Range = (-45.84, 45.84)
    elevation_deg: Range = (-45.84, 45.84)
    field_of_view_deg: Range = (18.0, 24.0)
    truncation_psi: float = 0.7
    truncation_cutoff: int = 14
    depth_resolution: int = 128
    opacity: float = 0.5
    alignment: Literal["closed_form", "per_sample"] = "per_sample"
    max_alignment_error_mm: float = 15.0
    max_detector_disagreement_px: float | None = None
    max_attempts: int = 8
    batch_size: int = 1
    random_rays: bool = False

    def __post_init__(self) -> None:
        for name in ("azimuth_deg", "elevation_deg"):
            low, high = getattr(self, name)
            if not -89 <= low <= high <= 89:
                raise UsageError(f"{name} is [{low}, {high}]: it must lie within -89 and 89, the low end first")
        low, high = self.field_of_view_deg
        if not 1 <= low <= high <= 90:
            raise UsageError(f"field_of_view_deg is [{low}, {high}]: it must lie within 1 and 90, the low end first")
        if self.coefficient[0] > self.coefficient[1]:
            raise UsageError(f"coefficient is {list(self.coefficient)}: the low end is above the high end")
        for name, lowest, highest in (
            ("num_shape", 0, 300),
            ("num_expression", 0, 100),
            ("truncation_cutoff", 0, 28),
            ("depth_resolution", 16, 1024),
            ("max_attempts", 1, 1000),
            ("batch_size", 1, 256),
        ):
            if not lowest <= getattr(self, name) <= highest:
                raise UsageError(f"{name} is {getattr(self, name)}: it must lie between {lowest} and {highest}")
        limit = self.max_detector_disagreement_px
        if limit is not None and limit <= 0:
            raise UsageError(f"max_detector_disagreement_px is {limit:g}: it must be above 0, or null for no filter")
        if not 0 < self.opacity < 1:
            raise UsageError(f"opacity is {self.opacity}: it must lie between 0 and 1")
        if self.max_alignment_error_mm <= 0:
            raise UsageError(f"max_alignment_error_mm is {self.max_alignment_error_mm}: it must be above 0")
