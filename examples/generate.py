"""Make one face with all its labels, in Python: python examples/generate.py [INDEX] [FILE.png]"""

import sys

from PIL import Image

import synthforge_hf
from synthforge_hf.annotation import drawing

index = int(sys.argv[1]) if len(sys.argv) > 1 else 0
output = sys.argv[2] if len(sys.argv) > 2 else "face.png"

generator = synthforge_hf.load_generator("graphics")
face = generator.generate(seed=0, index=index, resolution=512)  # the same seed and index always give the same face
labels = synthforge_hf.annotate(face)

panels = [
    drawing.draw_landmarks(face.image, labels.landmarks_2d, labels.landmarks_visible),
    drawing.overlay_segmentation(face.image, labels.segmentation),
    drawing.colourise_depth(labels.depth),
    drawing.colourise_normals(labels.normals),
]
Image.fromarray(drawing.side_by_side([face.image, *panels])).save(output)
print(f"{output}: a face of {face.head_name}, nose tip {labels.landmarks_3d[30, 2]:.3f} m from the camera")
