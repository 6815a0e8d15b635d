"""Background pictures of the user's own: a folder of images, or an image data set that ``datasets`` can load."""

import hashlib
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.image_limits import open_limited

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


class Pictures:
    """Pictures by number, in an order that depends on nothing but their names.

    Raises UsageError when ``source`` is neither a folder with images nor a data set with a column of images.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._rows: Any = None
        self._paths: list[Path] = []
        if Path(source).is_dir():
            self._paths = [path for path in Path(source).rglob("*") if path.suffix.lower() in SUFFIXES]
            self._paths.sort(key=lambda path: path.relative_to(source).as_posix())
        else:
            self._rows = _load_rows(source)
        if len(self) == 0:
            raise UsageError(f"backgrounds: {source} holds no image (looked for {', '.join(sorted(SUFFIXES))})")

    def __len__(self) -> int:
        return len(self._paths) if self._rows is None else len(self._rows)

    def read(self, number: int) -> tuple[str, bytes]:
        """Return the name and the undecoded content of one picture. Raises SynthForgeError when it cannot be read."""
        if self._rows is not None:
            row = self._rows[number]
            content = row["bytes"]
            return str(row["path"] or number), Path(row["path"]).read_bytes() if content is None else content
        path = self._paths[number]
        try:
            return path.relative_to(self.source).as_posix(), path.read_bytes()
        except OSError as error:
            raise SynthForgeError(f"backgrounds: cannot read {path}: {error.strerror}") from error

    def open(self, number: int, size: int) -> Image.Image:
        """Decode one picture as RGB; JPEGs larger than needed for ``size`` x ``size`` pixels are decoded at a fraction
        of their size."""
        name, content = self.read(number)
        try:
            picture = open_limited(io.BytesIO(content), f"backgrounds: {name} of {self.source}")
            picture.draft("RGB", (2 * size, 2 * size))
            return picture.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise SynthForgeError(
                f"backgrounds: {name} of {self.source} is no readable image: take it out, or mend it"
            ) from error

    def sha256(self) -> str:
        """Return the SHA-256 (hex) of all names and contents."""
        digest = hashlib.sha256()
        for number in range(len(self)):
            name, content = self.read(number)
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()


@lru_cache(maxsize=2)
def load_pictures(source: str, sha256: str) -> Pictures:
    """Load pictures and check that they are those of a recipe; once per process.

    Raises UsageError when the content changed since the recipe was loaded (an empty ``sha256`` accepts any).
    """
    pictures = Pictures(source)
    if sha256 and pictures.sha256() != sha256:
        raise UsageError(
            f"backgrounds: the pictures of {source} are not those that the data set was begun with: "
            "restore them, or choose another folder for the data set"
        )
    return pictures


def _load_rows(source: str) -> Any:
    import datasets

    try:
        found = datasets.load_dataset(source)
    except Exception as error:  # the Hub, its cache and the builders each have errors of their own
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"backgrounds: {source} is neither a folder nor a data set that can be loaded ({reason})"
        ) from error
    split = found[next(iter(found))]
    columns = [name for name, feature in split.features.items() if isinstance(feature, datasets.Image)]
    if not columns:
        raise UsageError(f"backgrounds: the data set {source} has no column of images")
    rows = split.select_columns(columns[:1]).cast_column(columns[0], datasets.Image(decode=False))
    return rows.rename_column(columns[0], "picture").with_format(None)["picture"]
