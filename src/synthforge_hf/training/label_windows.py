"""Windows around the faces of labelled photos: the same crops in label fine-tuning as later in use.

What frames a face is the set's own ``face_box`` column, its landmarks where they are 68 or 106 points around the whole
face, the face detector followed by a first look of the backbone (what the pipeline does), or the whole photo.
"""

from dataclasses import asdict

import datasets
import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from synthforge_hf.annotation.face_box import face_box, square_crop
from synthforge_hf.errors import SynthForgeError
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.synthforge.pipeline_face_analysis import FaceAnalysisPipeline
from synthforge_hf.training.own_labels import LABEL_COLUMNS, LabelledPhoto, LabelSource
from synthforge_hf.training.windows import WINDOW_VERSION, WindowSettings, cut_photo

CROPS = ("face_box", "landmarks", "detector", "whole")

LABEL_VERSION = 2
"""Raise when labels are read differently, so that cached windows are not used any more."""


class FaceFinder:
    """Face boxes as the pipeline frames them: the detector's largest find, then the box of the landmarks seen there."""

    def __init__(self, backbone: SynthForgeModel, processor: SynthForgeImageProcessor) -> None:
        self._pipeline = FaceAnalysisPipeline(model=backbone, image_processor=processor, task="face-analysis")
        self.fingerprint = f"{sum(float(parameter.detach().sum()) for parameter in backbone.parameters()):.9g}"

    def __call__(self, photo: Image.Image) -> np.ndarray | None:
        """Return the (4,) box, or None where no face is found."""
        faces = self._pipeline(photo, refine=False)
        if not faces:
            return None
        largest = max(faces, key=lambda face: float(np.prod(np.subtract(face["box"][2:], face["box"][:2]))))
        return face_box(np.asarray(largest["landmarks"])[None])[0]


class LabelWindows(Dataset):
    """Windows of a source's photos; see ``FaceWindows`` for what they hold. Missing landmarks are NaN.

    crop: one of ``CROPS``. finder: for the crop "detector".
    """

    def __init__(
        self, source: LabelSource, tasks: tuple[str, ...], settings: WindowSettings, crop: str, finder: FaceFinder
    ) -> None:
        self.source, self.tasks, self.settings, self.crop, self.finder = source, tasks, settings, crop, finder
        self.labels = tuple(LABEL_COLUMNS[task] for task in tasks)
        self.canonical_depth = "depth" in tasks and source.load(0).focal is not None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        sample = self.source.load(index)
        labels = {name: getattr(sample, name) if name in self.tasks else None for name in ("segmentation", "depth")}
        points = sample.landmarks if "landmarks" in self.tasks else None
        if "landmarks" in self.tasks and points is None:
            raise SynthForgeError(f"{self.source.name(index)}: there are no landmarks")
        focal = sample.focal if self.canonical_depth else None
        return cut_photo(sample.photo, self._square(sample, index), self.settings, points, focal=focal, **labels)

    @property
    def fingerprint(self) -> str:
        """Changes with the samples, their labels and the way windows are cut."""
        found = self.finder.fingerprint if self.crop == "detector" else ""
        return datasets.fingerprint.Hasher.hash(
            [
                self.source.fingerprint,
                self.tasks,
                asdict(self.settings),
                self.crop,
                found,
                WINDOW_VERSION,
                LABEL_VERSION,
            ]
        )

    def _square(self, sample: LabelledPhoto, index: int) -> tuple[float, float, float]:
        photo = sample.photo
        if self.crop == "whole":
            return photo.width / 2, photo.height / 2, float(max(photo.size))
        box = sample.face_box
        if self.crop == "landmarks":
            box = None if sample.landmarks is None else _box_of_known(sample.landmarks)
        elif self.crop == "detector":
            box = self.finder(photo)
        if box is None:
            missing = {"landmarks": "there are no landmarks", "detector": "the detector finds no face"}
            raise SynthForgeError(
                f"{self.source.name(index)}: {missing.get(self.crop, 'there is no face_box')}, so its crop is unknown; "
                "leave it out, add a column face_box (x0, y0, x1, y1), or choose another --crop"
            )
        centre_x, centre_y, side = square_crop(box[None], self.settings.crop_scale)[0].tolist()
        return centre_x, centre_y, side


def _box_of_known(landmarks: np.ndarray) -> np.ndarray:
    known = landmarks[np.isfinite(landmarks).all(axis=1)]
    return face_box(known[None])[0]
