"""What `make demo` shows once faces are generated: the data set loaded, and the embedded model on faces and on photos.

Run it where ./synthforge lies: python examples/demo.py
"""

from pathlib import Path

from datasets import load_dataset

import synthforge_hf

PHOTOS = Path(__file__).parent / "photos"
OUT = Path("predictions")


def main() -> None:
    faces = load_dataset("synthforge", split="train")
    print(f'load_dataset("synthforge"): {len(faces)} faces, columns {", ".join(faces.column_names)}')

    images = sorted(PHOTOS.glob("*.jpg"))
    (OUT / "generated").mkdir(parents=True, exist_ok=True)
    for face in faces.select(range(4)):
        images.append(OUT / "generated" / f"{face['sample_id']}.png")
        face["image"].save(images[-1])

    for photo in synthforge_hf.predict("mini", images, OUT):
        print(photo.message)

    print("\nWhere everything is:")
    for path, what in {
        "synthforge": 'the data set: load_dataset("synthforge")',
        "preview.png": "generated faces: image, depth, normals, segmentation, landmarks",
        "predictions": "the embedded model `mini` on photos and on generated faces: overlays and results.json",
    }.items():
        print(f"  {Path(path).resolve()}: {what}")


if __name__ == "__main__":
    main()
