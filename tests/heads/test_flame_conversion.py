"""Users' FLAME files, in every form they come in, become one head; what is missing, wrong or hostile is named."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from synthetic_flame import Ch, csc_matrix, foreign_pickle, synthetic_flame, write_flame_files

from synthforge_hf.cli import run
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.heads.flame import FlameHead
from synthforge_hf.heads.flame_conversion import convert_flame
from synthforge_hf.heads.flame_segmentation import FLAME_CLASS_ID, LOOK_UP
from synthforge_hf.heads.flame_sources import find_files, read_masks, read_model
from synthforge_hf.unpickling import RefusedPickleError


@pytest.fixture
def files(flame_files: Path, tmp_path: Path) -> Path:
    """Return a copy of the files that a test may change; the large model is a link until then."""
    folder = tmp_path / "files"
    shutil.copytree(flame_files, folder, copy_function=os.link)
    return folder


def replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def test_both_sets_of_files_give_the_same_head(flame_head: FlameHead, tmp_path: Path) -> None:
    """DECA's .npy of tensors and an OBJ, or RingNet's two embeddings and the texture space."""
    converted = convert_flame(write_flame_files(tmp_path / "FLAME2020", "static_dynamic"), tmp_path / "out")
    other = FlameHead.load(tmp_path / "out")
    assert converted.edition == "generic" and "non-commercial" in converted.license == other.license
    assert np.array_equal(other.faces, flame_head.faces)
    values = flame_head.neutral()
    values.identity[:], values.expression[:], values.pose[:] = 0.5, -0.5, 0.1
    assert np.abs(other.vertices(values) - flame_head.vertices(values)).max() < 1e-7
    for yaw in (None, -0.4, 0.4):
        points = [head.landmarks(head.template, yaw) for head in (other, flame_head)]
        assert np.abs(points[0] - points[1]).max() < 1e-6
    for name in ("triangles", "barycentric", "contour_triangles", "contour_barycentric"):
        ours, theirs = (getattr(head.landmark_model, name) for head in (other, flame_head))
        assert np.allclose(ours, theirs, atol=1e-6), name
    surfaces = [head.labelled_surface(head.template) for head in (other, flame_head)]
    assert np.array_equal(surfaces[0].triangle_classes, surfaces[1].triangle_classes)
    assert np.abs(surfaces[0].corner_uv - surfaces[1].corner_uv).max() < 1e-5
    assert (surfaces[0].label_texture != surfaces[1].label_texture).mean() < 1e-3


def test_what_is_written(flame_folder: Path, flame_files: Path) -> None:
    assert sorted(path.name for path in flame_folder.iterdir()) == ["flame.json", "flame.safetensors"]
    metadata = json.loads((flame_folder / "flame.json").read_text())
    assert metadata["license"] == "CC-BY-4.0" and metadata["edition"] == "2023-open"
    assert {source["kind"] for source in metadata["sources"]} == {"model", "landmarks", "masks", "uv"}
    assert all(len(source["sha256"]) == 64 and source["terms"] for source in metadata["sources"])
    assert metadata["version"].startswith("2023-open-")
    assert str(flame_files) not in json.dumps(metadata), "the user's folders are nobody's business"
    with safe_open(flame_folder / "flame.safetensors", framework="numpy") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert shapes["template"] == (5023, 3) and shapes["directions"] == (400, 15069)
    assert shapes["contour_triangles"] == (79, 17, 3) and shapes["corner_uv"] == (9976, 3, 2)


def test_converting_again_gives_the_same_bytes(flame_folder: Path, flame_files: Path, tmp_path: Path) -> None:
    convert_flame(flame_files, tmp_path / "out")
    for name in ("flame.json", "flame.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (flame_folder / name).read_bytes()


@pytest.mark.parametrize(
    ("removed", "words"),
    [
        ("flame2023_Open.pkl", ["generic_model.pkl", "flame.is.tue.mpg.de", "CC-BY-4.0"]),
        ("landmark_embedding.npy", ["landmark_embedding.npy", "DECA", "RingNet"]),
        ("masks/FLAME_masks.pkl", ["FLAME_masks.pkl", "flame.is.tue.mpg.de"]),
        ("head_template.obj", ["head_template.obj", "FLAME_texture.npz"]),
    ],
)
def test_a_missing_file_is_named_with_its_source(
    files: Path, removed: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (files / removed).unlink()
    assert run(["convert", "flame", str(files), str(files.parent / "out")]) == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith("synthforge: ") and complaint.count("\n") == 1
    assert all(word in complaint for word in words)
    assert not (files.parent / "out").exists()


def test_half_an_embedding_is_named(files: Path) -> None:
    (files / "landmark_embedding.npy").unlink()
    (files / "flame_static_embedding.pkl").write_bytes(b"")
    with pytest.raises(SynthForgeError, match=r"lacks flame_dynamic_embedding\.npy"):
        find_files(files)


def test_names_are_found_at_any_depth_and_in_any_case(files: Path) -> None:
    (files / "FLAME2020" / "deep").mkdir(parents=True)
    (files / "flame2023_Open.pkl").rename(files / "FLAME2020" / "deep" / "Generic_Model.PKL")
    assert find_files(files)["model"].name == "Generic_Model.PKL"


def test_several_models_are_no_choice_to_make_for_the_user(files: Path) -> None:
    (files / "generic_model.pkl").write_bytes(b"")
    with pytest.raises(UsageError, match=r"several FLAME models: flame2023_Open\.pkl, generic_model\.pkl"):
        convert_flame(files, files.parent / "out")


def test_wrong_folders(files: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        convert_flame(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds other files \(thesis\.txt\)"):
        convert_flame(files, tmp_path / "full")
    with pytest.raises(UsageError, match="is a file"):
        convert_flame(files, tmp_path / "full" / "thesis.txt")
    with pytest.raises(UsageError, match="synthforge convert flame DIR"):
        FlameHead.load(tmp_path / "full")


def test_hostile_files_are_refused_and_leave_nothing(files: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/trace",)

    hostile = {
        "flame2023_Open.pkl": pickle.dumps({"v_template": np.zeros((5, 3)), "shapedirs": Bomb()}),
        "masks/FLAME_masks.pkl": pickle.dumps(Bomb()),
    }
    for name, content in hostile.items():
        before = (files / name).read_bytes()
        replace(files / name, content)
        with pytest.raises(RefusedPickleError, match=r"asks for posix\.system.*nothing of it was run"):
            convert_flame(files, tmp_path / "out")
        replace(files / name, before)
    (files / "landmark_embedding.npy").unlink()
    np.save(files / "landmark_embedding.npy", np.array(Bomb(), dtype=object), allow_pickle=True)
    with pytest.raises(RefusedPickleError):
        convert_flame(files, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "trace").exists()


def small_model(**changes: Any) -> dict[str, Any]:
    """A model of six vertices that is right in all but the changes; None leaves an entry out."""
    content = {
        "v_template": np.zeros((6, 3)),
        "f": np.array([[0, 1, 2], [3, 4, 5]], dtype=np.uint32),
        "shapedirs": Ch(np.ones((6, 3, 400))),
        "posedirs": np.zeros((6, 3, 36)),
        "weights": np.full((6, 5), 0.2),
        "J_regressor": csc_matrix(np.eye(5, 6)),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], dtype=np.uint32),
        **changes,
    }
    return {name: value for name, value in content.items() if value is not None}


DOUBLING: list[Any] = [0.0] * 6
for _ in range(60):
    DOUBLING = [DOUBLING] * 6
"""6 ** 61 numbers if anyone unfolds it."""


@pytest.mark.parametrize("protocol", range(4))
def test_chumpy_and_sparse_arrays_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "generic_model.pkl").write_bytes(foreign_pickle(small_model(), protocol))
    model = read_model(tmp_path / "generic_model.pkl")
    assert model["directions"].shape == (400, 18) and (model["directions"] == 1).all()
    assert np.array_equal(model["joint_regressor"], np.eye(5, 6))
    assert model["faces"].dtype == np.int32


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shapedirs": None}, "no 'shapedirs'"),
        ({"shapedirs": np.zeros((6, 3, 10))}, r"'shapedirs' has shape \(6, 3, 10\), FLAME's is 6 x 3 x 400"),
        ({"posedirs": np.zeros((6, 3, 207))}, "posedirs"),
        ({"f": np.array([[0, 1, 6]])}, "'f' points to what is not there"),
        ({"v_template": np.full((6, 3), np.nan)}, "v_template"),
        ({"v_template": "text"}, "v_template"),
        ({"v_template": [[0.0, 0.0, 0.0]] * 6}, "v_template"),
        ({"posedirs": DOUBLING}, "'posedirs' cannot be read"),
        ({"shapedirs": Ch(DOUBLING)}, "'shapedirs' cannot be read"),
        ({"kintree_table": np.array([[0, 0, 0, 0, 0], range(5)])}, "parents"),
        ({"weights": np.ones((6, 5))}, "do not sum to 1"),
        ({"J_regressor": csc_matrix(np.zeros((24, 6)))}, r"shape \(24, 6\)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_other_models_are_told_apart(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """SMPL's files have the same keys."""
    (tmp_path / "generic_model.pkl").write_bytes(foreign_pickle(small_model(**changes)))
    with pytest.raises(SynthForgeError, match=words):
        read_model(tmp_path / "generic_model.pkl")


def test_a_chumpy_expression_is_not_guessed_at(tmp_path: Path) -> None:
    data = foreign_pickle(small_model(shapedirs=csc_matrix(np.eye(2)))).replace(
        b"cscipy.sparse.csc\ncsc_matrix\n", b"cchumpy.ch_ops\nadd\n"
    )
    (tmp_path / "generic_model.pkl").write_bytes(data)
    with pytest.raises(SynthForgeError, match=r"chumpy\.ch_ops\.add, which only its own library can evaluate"):
        read_model(tmp_path / "generic_model.pkl")


def test_arrays_that_contain_themselves_or_do_not_add_up(tmp_path: Path) -> None:
    loop = Ch(None)
    loop.x = loop
    (tmp_path / "generic_model.pkl").write_bytes(foreign_pickle(small_model(shapedirs=loop)))
    with pytest.raises(SynthForgeError, match="'shapedirs' cannot be read"):
        read_model(tmp_path / "generic_model.pkl")
    greedy = csc_matrix(np.eye(5, 6))
    greedy.indptr = np.array([0, 10**12, 10**12, 10**12, 10**12, 10**12, 10**12])
    (tmp_path / "generic_model.pkl").write_bytes(foreign_pickle(small_model(J_regressor=greedy)))
    with pytest.raises(SynthForgeError, match="does not add up"):
        read_model(tmp_path / "generic_model.pkl")


def test_a_list_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "generic_model.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(SynthForgeError, match="holds a list"):
        read_model(tmp_path / "generic_model.pkl")


def _without_triangles(text: str) -> str:
    return text[: text.index("\nf ") + 1]


def _of_another_mesh(text: str) -> str:
    first = text.index("\nf ") + 1
    return text[:first] + "f 1/1 2/1 2900/1\n" + text[text.index("\n", first) + 1 :]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_without_triangles, "no OBJ file of triangles"),
        (_of_another_mesh, "another mesh than the model's"),
        (lambda text: text.replace("/", "//"), "no OBJ file of triangles with texture coordinates"),
        (lambda text: text.replace("vt ", "vn "), "no OBJ file of triangles with texture coordinates"),
        (lambda text: text.replace("\nf ", "\nf 1/1 "), "no OBJ file of triangles"),
    ],
    ids=["no triangles", "another mesh", "no texture corners", "no texture", "quads"],
)
def test_template_meshes_that_do_not_fit(files: Path, damage: Callable[[str], str], words: str) -> None:
    text = damage((files / "head_template.obj").read_text())
    replace(files / "head_template.obj", text.encode())
    with pytest.raises(SynthForgeError, match=words):
        convert_flame(files, files.parent / "out")


def test_masks_that_lack_a_part(files: Path) -> None:
    masks = {name: members for name, members in synthetic_flame().masks.items() if name != "nose"}
    replace(files / "masks" / "FLAME_masks.pkl", pickle.dumps(masks, 2))
    with pytest.raises(SynthForgeError, match="the vertex masks lack nose"):
        convert_flame(files, files.parent / "out")
    replace(files / "masks" / "FLAME_masks.pkl", pickle.dumps({"nose": np.array([5023])}, 2))
    with pytest.raises(SynthForgeError, match="'nose' points to what is not there"):
        read_masks(files / "masks" / "FLAME_masks.pkl", 5023)


def test_a_painted_texture_takes_the_place_of_the_derived_one(files: Path, tmp_path: Path) -> None:
    painted = np.full((64, 64), FLAME_CLASS_ID["face"], dtype=np.uint8)
    painted[:32] = FLAME_CLASS_ID["scalp"]
    Image.fromarray(painted).save(tmp_path / "painted.png")
    arguments = ["convert", "flame", str(files), str(tmp_path / "out"), "--segmentation", str(tmp_path / "painted.png")]
    assert run(arguments) == 0
    head = FlameHead.load(tmp_path / "out")
    surface = head.labelled_surface(head.template)
    assert (surface.triangle_classes[: len(head.faces)] == LOOK_UP).all()
    assert np.array_equal(surface.label_texture, painted)
    painted[0, 0] = 20
    Image.fromarray(painted).save(tmp_path / "painted.png")
    with pytest.raises(UsageError, match="has class 20; they go to 19"):
        convert_flame(files, tmp_path / "out", tmp_path / "painted.png")
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(tmp_path / "painted.png")
    with pytest.raises(UsageError, match="one channel of class ids"):
        convert_flame(files, tmp_path / "out", tmp_path / "painted.png")


def test_damaged_conversions_are_named(flame_folder: Path, tmp_path: Path) -> None:
    damages: list[Callable[[Path], Any]] = [
        lambda folder: (folder / "flame.safetensors").unlink(),
        lambda folder: replace(folder / "flame.safetensors", b"{}"),
        lambda folder: replace(folder / "flame.json", b"{}"),
        lambda folder: replace(folder / "flame.json", b"not json"),
        lambda folder: replace(
            folder / "flame.json", (folder / "flame.json").read_bytes().replace(b": 1,", b": 2,", 1)
        ),
    ]
    for number, damage in enumerate(damages):
        folder = tmp_path / str(number)
        shutil.copytree(flame_folder, folder, copy_function=os.link)
        damage(folder)
        with pytest.raises(SynthForgeError, match=r"is damaged .* convert it again"):
            FlameHead.load(folder)


def test_command_line(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "flame", str(files), str(tmp_path / "out")]) == 0
    output = capsys.readouterr().out
    assert "5023 vertices" in output and "Licence: CC-BY-4.0" in output
    assert run(["convert", "flame", str(files), str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_faces"] == 9976
    assert run(["convert", "flame", str(files)]) == 2
    assert "OUT" in capsys.readouterr().err
    assert run(["convert", "flame", str(tmp_path / "absent"), str(tmp_path / "out")]) == 2
    assert run(["convert", "--help"]) == 0
    assert "flame" in capsys.readouterr().out
