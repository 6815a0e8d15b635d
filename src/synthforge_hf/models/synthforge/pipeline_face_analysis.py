"""``pipeline("face-analysis")``: photos in, faces with box, landmarks, parsing mask and depth out."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from transformers import AutoModel, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from synthforge_hf.models.synthforge.image_processing_synthforge import as_photo_list
from synthforge_hf.models.synthforge.mirroring import mirror_is_known, run_both_ways
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeOutput
from synthforge_hf.models.synthforge.photos import open_photo, to_rgb

Face = dict[str, Any]


class FaceAnalysisPipeline(Pipeline):
    """Finds faces (unless the caller says where they are) and analyses each.

    Parameters, at construction or per call:
        boxes (per call): face boxes x0, y0, x1, y1 in pixels of the upright photo: (4,) or (N, 4) for one photo, a
        list of such
            for a list of photos, None in that list for "detect". Detected with the embedded face detector unless given.
        batch_size: faces per run of the model (16).
        refine: look a second time at the crop that the first look's landmarks give (True). Costs a second run; a box
        that is a tenth
            off then hardly matters.
        flip_test: average with the mirrored crop; by default wherever it is known what that exchanges (see
            ``mirror_is_known``). Landmarks come out 3 percent better; the network takes up to twice as long.
        detector: a callable, PIL image -> list of (box, score), to use instead of the embedded one (at construction
        only).
    """

    task_name = "face-analysis"
    default_input_names = "images"  # type: ignore[assignment]
    _load_processor = False  # type: ignore[assignment]
    _load_image_processor = True  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]
    _load_tokenizer = False  # type: ignore[assignment]

    def __init__(self, *args: Any, detector: Any = None, **kwargs: Any) -> None:
        kwargs.setdefault("batch_size", 16)
        super().__init__(*args, **kwargs)
        self._detector = detector

    def __call__(self, images: Any, boxes: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Analyse one photo (-> list of faces), a list of photos (-> list of lists), or any other iterable (->
        iterator of lists).

        A photo is a path, an address, a PIL image or an array; see ``open_photo``. Every face is a dictionary:
            box: [x0, y0, x1, y1] floats; score: of the detector, 1.0 for the caller's boxes.
            landmarks: (P, 2) float32, continuous pixels of the upright photo.
            segmentation: (H, W) uint8 class ids (``model.config.id2label``) at the photo's size, 0 outside the face's
            crop. depth: (H, W) float32 metres, 0 where there is none.
        Raises SynthForgeError for a photo that cannot be read.
        """
        batch_size = kwargs.pop("batch_size", self._batch_size)
        _, forward_parameters, _ = self._sanitize_parameters(**kwargs)
        forward_parameters = self._forward_params | forward_parameters
        if _is_stream(images):
            return self._stream(images, batch_size, forward_parameters)
        several = isinstance(images, list | tuple) or (hasattr(images, "ndim") and images.ndim == 4)
        photos = as_photo_list(images)
        boxes_per_photo = [None] * len(photos) if boxes is None else list(boxes) if several else [boxes]
        results = self._analyse(photos, boxes_per_photo, batch_size, **forward_parameters)
        return results if several else results[0]

    def _sanitize_parameters(
        self, refine: bool | None = None, flip_test: bool | None = None, **unknown: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if unknown:
            raise TypeError(
                f"face-analysis has no parameter {', '.join(unknown)}; it has boxes, batch_size, refine, flip_test"
            )
        forward = {name: value for name, value in (("refine", refine), ("flip_test", flip_test)) if value is not None}
        return {}, forward, {}

    def preprocess(self, input_: Any, boxes: Any = None) -> dict[str, Any]:  # type: ignore[override]
        """Open one photo and find its faces: photo, boxes (N, 4), scores (N,), and whether a detector found them."""
        image = open_photo(input_)
        if boxes is None:
            found = self.detector(to_rgb(image))
            located = np.array([box for box, _ in found], dtype=np.float64).reshape(-1, 4)
            scores = [float(score) for _, score in found]
            return {"photo": image, "boxes": located, "scores": scores, "detected": True}
        located = np.asarray(boxes, dtype=np.float64)
        located = located.reshape(0, 4) if located.size == 0 else np.atleast_2d(located)
        return {"photo": image, "boxes": located, "scores": [1.0] * len(located), "detected": False}

    def _forward(  # type: ignore[override]
        self, model_inputs: dict[str, Tensor], flip_test: bool = False
    ) -> SynthForgeOutput:
        pixel_values = model_inputs["pixel_values"].to(self.model.dtype)
        return run_both_ways(self.model, pixel_values) if flip_test else self.model(pixel_values=pixel_values)

    def postprocess(self, model_outputs: dict[str, Any]) -> Face:  # type: ignore[override]
        """One face as the user gets it."""
        keys = ("box", "score", "landmarks", "segmentation", "depth")
        return {key: model_outputs[key] for key in keys}

    @property
    def detector(self) -> Any:
        """The face detector; the embedded one is loaded when it is first needed."""
        if self._detector is None:
            from synthforge_hf.models.face_detector import load_face_detector

            self._detector = load_face_detector()
        return self._detector

    def _stream(self, images: Iterable[Any], batch_size: int, parameters: dict[str, Any]) -> Iterator[list[Face]]:
        photos = iter(images)
        while chunk := list(islice(photos, batch_size)):
            yield from self._analyse(chunk, [None] * len(chunk), batch_size, **parameters)

    def _analyse(
        self,
        photos: list[Any],
        boxes: list[Any],
        batch_size: int,
        refine: bool = True,
        flip_test: bool | None = None,
    ) -> list[list[Face]]:
        flip_test = mirror_is_known(self.model.config) if flip_test is None else flip_test
        located = [self.preprocess(photo, entry) for photo, entry in zip(photos, boxes, strict=True)]
        images: list[Image.Image] = [entry["photo"] for entry in located]
        owners = [number for number, entry in enumerate(located) for _ in entry["boxes"]]
        results: list[list[Face]] = [[] for _ in photos]
        processor: Any = self.image_processor
        if not owners:
            return results
        given = np.concatenate([entry["boxes"] for entry in located])
        scores = [score for entry in located for score in entry["scores"]]
        for start in range(0, len(owners), batch_size):
            part = slice(start, start + batch_size)
            # A first look only says where to look.
            faces = self._look(images, owners[part], given[part], flip_test and not refine, masks=not refine)
            if refine:
                again = np.stack([face["face_box"] for face in faces])
                faces = self._look(images, owners[part], again, flip_test, masks=True)
            for owner, face, box, score in zip(owners[part], faces, given[part], scores[part], strict=True):
                # What the model itself cannot read as a face was a false find of the detector.
                if located[owner]["detected"] and face["confidence"] < processor.face_threshold:
                    continue
                results[owner].append(self.postprocess(face | {"box": box.tolist(), "score": score}))
        return results

    def _look(
        self, images: list[Image.Image], owners: list[int], boxes: np.ndarray, flip_test: bool, masks: bool
    ) -> list[Face]:
        """Run the model once on one crop per face."""
        photos = [images[owner] for owner in owners]
        single = [box[None] for box in boxes]
        processor: Any = self.image_processor
        inputs = processor(photos, single, return_tensors="pt")
        output = self.forward({"pixel_values": inputs["pixel_values"]}, flip_test=flip_test)
        sizes = [(photo.height, photo.width) for photo in photos]
        return processor.post_process(output, sizes, single, masks=masks)


def _is_stream(images: Any) -> bool:
    """A data set or generator, rather than one photo or a list of photos."""
    single = isinstance(images, str | bytes | list | tuple | Image.Image | np.ndarray | Tensor) or hasattr(
        images, "__fspath__"
    )
    return not single and hasattr(images, "__iter__")


PIPELINE_REGISTRY.register_pipeline(
    FaceAnalysisPipeline.task_name, pipeline_class=FaceAnalysisPipeline, pt_model=AutoModel, type="image"
)
