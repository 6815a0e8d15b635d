import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from analytic_meshes import pixel_rays, rectangle, sphere, sphere_depth, triangle_soup

from synthforge_hf.errors import SynthForgeError
from synthforge_hf.rendering.rasterize import Fragments, depth_map, interpolate, rasterize

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]
TOLERANCE = {torch.float32: 2e-6, torch.float64: 5e-7}
"""Metres, for values interpolated in this dtype with the rasteriser's float32 barycentrics."""

EDGE_MARGIN = 2e-3
"""Pixels. Corners are rounded to 1/1024 pixel, so nearer than this to an edge a floating-point reference may differ."""


def pinhole(focal: float, width: int, height: int) -> np.ndarray:
    return np.array([[focal, 0, 0.5 * width], [0, focal, 0.5 * height], [0, 0, 1]], dtype=np.float32)


def draw(vertices, faces, intrinsics, height, width, device="cpu", **options) -> Fragments:
    vertices = torch.as_tensor(np.asarray(vertices, dtype=np.float32), device=device)
    intrinsics = torch.as_tensor(np.asarray(intrinsics, dtype=np.float32), device=device)
    vertices = vertices[None] if vertices.ndim == 2 else vertices
    intrinsics = intrinsics.expand(len(vertices), 3, 3)
    return rasterize(vertices, torch.as_tensor(faces, device=device), intrinsics, height, width, **options)


def assert_same(a: Fragments, b: Fragments) -> None:
    for name in ("triangle", "barycentric", "depth"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def reference(vertices: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray, height: int, width: int):
    """Intersect every pixel's ray with every triangle in float64 and keep the nearest.

    Returns triangle, barycentric, depth, and where an edge or an equal depth is too near to tell.
    """
    rays = pixel_rays(intrinsics, height, width)
    triangle = np.full((height, width), -1)
    barycentric, depth = np.zeros((height, width, 3)), np.full((height, width), np.inf)
    unclear = np.zeros((height, width), dtype=bool)
    centres = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    for number, face in enumerate(faces):
        corners = vertices[face].astype(np.float64)
        if (corners[:, 2] <= 1e-3).any():
            continue
        shares = rays @ np.linalg.inv(corners)
        inside = (shares >= 0).all(-1)
        z = 1 / np.where(inside, shares.sum(-1), 1)
        pixels = corners @ intrinsics.T.astype(np.float64)
        pixels = pixels[:, :2] / pixels[:, 2:]
        near_edge = np.zeros_like(inside)
        for a, b in ((0, 1), (1, 2), (2, 0)):
            along = pixels[b] - pixels[a]
            share = np.clip(((centres - pixels[a]) @ along) / (along @ along), 0, 1)
            distance = np.linalg.norm(centres - pixels[a] - share[..., None] * along, axis=-1)
            near_edge |= distance < EDGE_MARGIN
        unclear |= near_edge | (inside & (np.abs(z - depth) < 1e-3))
        nearer = inside & (z < depth)
        triangle[nearer], depth[nearer] = number, z[nearer]
        barycentric[nearer] = (shares / shares.sum(-1, keepdims=True))[nearer]
    return triangle, barycentric, np.where(np.isinf(depth), 0, depth), unclear


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(6))
def test_matches_ray_casting_on_random_triangles(seed: int, device: str) -> None:
    random = np.random.default_rng(seed)
    vertices, faces = triangle_soup(random, 40)
    vertices[random.integers(0, len(vertices), 6), 2] *= -1
    intrinsics = pinhole(40, 61, 47)
    intrinsics[0, 1] = 3.0
    found = draw(vertices, faces, intrinsics, 47, 61, device)
    triangle, barycentric, depth, unclear = reference(vertices, faces, intrinsics, 47, 61)
    assert unclear.mean() < 0.1
    clear = ~unclear
    assert (triangle[clear] >= 0).sum() > 500
    np.testing.assert_array_equal(found.triangle[0].cpu().numpy()[clear], triangle[clear])
    np.testing.assert_allclose(found.barycentric[0].cpu().numpy()[clear], barycentric[clear], atol=0.02)
    np.testing.assert_allclose(found.depth[0].cpu().numpy()[clear], depth[clear], atol=0.005)
    # Rounding corners to 1/1024 pixel only shows on slivers.
    assert np.median(np.abs(found.depth[0].cpu().numpy() - depth)[clear & (triangle >= 0)]) < 5e-5


@pytest.mark.parametrize("device", DEVICES)
def test_plane_depth_is_exact(device: str) -> None:
    corners = np.array([[-2, -2, 1.0], [2, -2, 1.6], [2, 2, 2.2], [-2, 2, 1.6]], dtype=np.float32)
    intrinsics = pinhole(100, 64, 48)
    found = draw(corners, [[0, 1, 2], [0, 2, 3]], intrinsics, 48, 64, device)
    # z = 1.6 + 0.15 x + 0.15 y, so along a ray (x, y, 1) * z it is 1.6 / (1 - 0.15 x - 0.15 y).
    rays = pixel_rays(intrinsics, 48, 64)
    expected = 1.6 / (1 - 0.15 * rays[..., 0] - 0.15 * rays[..., 1])
    np.testing.assert_allclose(found.depth[0].cpu().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_sphere_depth_outside_and_inside(device: str) -> None:
    centre = np.array([0.02, -0.01, 0.7])
    vertices, faces = sphere(rings=160, radius=0.1, centre=tuple(centre))
    intrinsics = pinhole(600, 200, 200)
    rays = pixel_rays(intrinsics, 200, 200)
    outside = draw(vertices, faces, intrinsics, 200, 200, device)
    inside = draw(vertices, faces[:, ::-1].copy(), intrinsics, 200, 200, device, num_one_sided=len(faces))
    culled = draw(vertices, faces, intrinsics, 200, 200, device, num_one_sided=len(faces))
    assert torch.equal(outside.depth, culled.depth)
    for found, expected in (
        (outside, sphere_depth(rays, 0.1, centre)),
        (inside, sphere_depth(rays, 0.1, centre, far=True)),
    ):
        depth = found.depth[0].cpu().numpy()
        assert ((depth > 0) != (expected > 0)).sum() < 100
        # Away from the silhouette: the chords of 160 segments lie up to 0.02 mm below the sphere.
        facing = sphere_depth(rays, 0.09, centre) > 0
        np.testing.assert_allclose(depth[facing], expected[facing], atol=1e-4)


def test_crossing_triangles_meet_where_their_planes_do() -> None:
    left_near = np.array([[-1, -1, 1.0], [1, -1, 2.0], [1, 1, 2.0], [-1, 1, 1.0]], dtype=np.float32)
    right_near = left_near * [-1, 1, 1]
    faces = [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]
    found = draw(np.concatenate([left_near, right_near]), faces, pinhole(50, 40, 40), 40, 40)
    from_first = (found.triangle[0] < 2).numpy()
    assert (found.triangle[0] >= 0).all()
    assert from_first[:, :20].all()
    assert not from_first[:, 20:].any()


@pytest.mark.parametrize("x0", [3.0, 3.49, 3.5, 3.51, 4.0])
@pytest.mark.parametrize("y1", [9.5, 9.75, 10.0])
@pytest.mark.parametrize("orthographic", [False, True])
def test_square_covers_the_pixels_whose_centres_it_contains(x0: float, y1: float, orthographic: bool) -> None:
    y0, x1 = 2.25, 12.5
    vertices, faces = rectangle(x0, y0, x1, y1, 1.0)
    if not orthographic:
        vertices *= 2.0
    found = draw(vertices, faces, np.eye(3), 16, 16, orthographic=orthographic)
    centres = np.arange(16) + 0.5
    inside_x, inside_y = (x0 <= centres) & (centres < x1), (y0 <= centres) & (centres < y1)
    np.testing.assert_array_equal(found.triangle[0].numpy() >= 0, inside_y[:, None] & inside_x[None])


@pytest.mark.parametrize("on_centres", [False, True])
def test_shared_edges_and_corners_belong_to_one_triangle(on_centres: bool) -> None:
    random = np.random.default_rng(3)
    cells, size = 8, 48
    y, x = np.mgrid[: cells + 1, : cells + 1] * (size / cells)
    grid = np.stack([x, y], axis=-1)
    grid[1:-1, 1:-1] += random.uniform(-2.5, 2.5, (cells - 1, cells - 1, 2))
    if on_centres:
        grid[1:-1, 1:-1] = np.floor(grid[1:-1, 1:-1]) + 0.5
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + cells + 2], axis=1),
            np.stack([corner + cells + 2, corner + cells + 1, corner], axis=1)[:, ::-1],
        ]
    )
    flat = np.concatenate([grid.reshape(-1, 2), np.ones(((cells + 1) ** 2, 1))], axis=1)
    # Triangle n alone in image n of a batch: the others' corners lie behind the camera.
    corners = np.where(np.eye(len(faces))[:, :, None, None] > 0, flat[faces][None], [0.0, 0.0, -1.0])
    alone = draw(corners.reshape(len(faces), -1, 3), np.arange(3 * len(faces)).reshape(-1, 3), np.eye(3), size, size)
    times_covered = (alone.triangle >= 0).sum(0)
    assert (times_covered == 1).all()
    together = draw(flat, faces, np.eye(3), size, size)
    assert torch.equal(together.triangle, alone.triangle.max(0, keepdim=True).values)


@pytest.mark.parametrize("columns", [3, 15, 16, 17, 27, 29, 31, 33, 40])
def test_narrow_and_wide_triangles_share_their_edges(columns: int) -> None:
    """Small triangles (up to 32 pixels) are tested in whole numbers, larger ones computed: side by side, they leave no
    pixel out or over."""
    random = np.random.default_rng(columns)
    outline = 4 + columns * np.array([[0, 0], [1, 0.1], [1.1, 1], [0.1, 0.9]]) + random.uniform(-0.5, 0.5, (4, 2))
    points = np.concatenate([outline, [4 + columns * random.uniform(0.4, 0.6, 2), [150.3, -20.7]]])
    vertices = np.concatenate([points, np.ones((6, 1))], axis=1)
    flat = np.diag([1.0, 1.0, 1.0])
    fan = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [1, 5, 2]])
    size = columns + 12
    covered = sum((draw(vertices, fan[n : n + 1], flat, size, size).triangle[0] >= 0).int() for n in range(5))
    together = draw(vertices, fan, flat, size, size)
    assert int(covered.max()) == 1
    assert torch.equal(covered == 1, together.triangle[0] >= 0)


@pytest.mark.parametrize("device", DEVICES)
def test_pictures_of_a_batch_may_have_triangles_of_their_own(device: str) -> None:
    scenes = [triangle_soup(np.random.default_rng(seed), count) for seed, count in ((0, 30), (1, 12), (2, 45))]
    one_sided = [10, 0, 45]
    intrinsics = [torch.tensor(pinhole(focal, 64, 48), device=device) for focal in (40, 50, 60)]
    vertices = torch.zeros((3, max(len(points) for points, _ in scenes), 3), device=device)
    faces = torch.zeros((3, 45, 3), dtype=torch.int32, device=device)
    for number, (points, triangles) in enumerate(scenes):
        vertices[number, : len(points)] = torch.as_tensor(points, device=device)
        faces[number, : len(triangles)] = torch.as_tensor(triangles, device=device)
    together = depth_map(vertices, faces, torch.stack(intrinsics), 48, 64, num_one_sided=one_sided)
    for number, (points, triangles) in enumerate(scenes):
        alone = depth_map(
            torch.as_tensor(points, device=device)[None],
            torch.as_tensor(triangles, device=device),
            intrinsics[number][None],
            48,
            64,
            num_one_sided=one_sided[number],
        )
        assert (alone > 0).float().mean() > 0.1
        assert torch.equal(together[number], alone[0])


def test_mirrored_scene_gives_mirrored_fragments() -> None:
    vertices, faces = triangle_soup(np.random.default_rng(11), 60)
    intrinsics = pinhole(50, 64, 48)
    found = draw(vertices, faces, intrinsics, 48, 64)
    mirrored = draw(vertices * [-1, 1, 1], faces, intrinsics, 48, 64)
    assert (found.triangle >= 0).float().mean() > 0.5
    assert torch.equal(found.triangle.flip(2), mirrored.triangle)
    torch.testing.assert_close(found.barycentric.flip(2), mirrored.barycentric, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.depth.flip(2), mirrored.depth, atol=1e-5, rtol=0)


def test_winding_changes_nothing_but_the_order_of_corners() -> None:
    vertices, faces = triangle_soup(np.random.default_rng(12), 60)
    found = draw(vertices, faces, pinhole(50, 64, 48), 48, 64)
    turned = draw(vertices, faces[:, [0, 2, 1]].copy(), pinhole(50, 64, 48), 48, 64)
    assert torch.equal(found.triangle, turned.triangle)
    torch.testing.assert_close(found.barycentric, turned.barycentric[..., [0, 2, 1]], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.depth, turned.depth, atol=1e-6, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_result_does_not_depend_on_the_order_of_triangles_or_the_run(device: str) -> None:
    random = np.random.default_rng(13)
    vertices, faces = triangle_soup(random, 80)
    order = random.permutation(len(faces))
    found = draw(vertices, faces, pinhole(50, 64, 48), 48, 64, device)
    assert_same(found, draw(vertices, faces, pinhole(50, 64, 48), 48, 64, device))
    shuffled = draw(vertices, faces[order], pinhole(50, 64, 48), 48, 64, device)
    assert torch.equal(found.depth, shuffled.depth)
    covered = found.triangle >= 0
    assert torch.equal(found.triangle[covered].long().cpu(), torch.as_tensor(order)[shuffled.triangle[covered].cpu()])


def test_equal_depths_go_to_the_first_triangle() -> None:
    vertices, faces = rectangle(2, 2, 8, 8, 1.0)
    found = draw(vertices, np.concatenate([faces, faces]), np.eye(3), 10, 10)
    assert found.triangle.max() == 1
    assert (found.triangle >= 0).sum() == 36


@pytest.mark.parametrize("device", DEVICES)
def test_batch_equals_singles(device: str) -> None:
    scenes = [triangle_soup(np.random.default_rng(seed), 40)[0] for seed in range(3)]
    faces = np.arange(120).reshape(-1, 3)
    intrinsics = np.stack([pinhole(focal, 64, 48) for focal in (40, 50, 60)])
    batch = draw(np.stack(scenes), faces, intrinsics, 48, 64, device)
    for number, scene in enumerate(scenes):
        single = draw(scene, faces, intrinsics[number], 48, 64, device)
        item = slice(number, number + 1)
        assert_same(Fragments(batch.triangle[item], batch.barycentric[item], batch.depth[item]), single)


def test_triangles_at_or_behind_the_camera_are_left_out() -> None:
    vertices, faces = triangle_soup(np.random.default_rng(14), 60)
    behind = np.unique(np.random.default_rng(15).integers(0, 60, 15))
    crossing = vertices.copy()
    crossing[faces[behind, 0], 2] = np.resize([-1.0, 0.0, 1e-3, np.nan, -np.inf], len(behind))
    found = draw(crossing, faces, pinhole(50, 64, 48), 48, 64)
    kept = np.setdiff1d(np.arange(60), behind)
    expected = draw(vertices, faces[kept], pinhole(50, 64, 48), 48, 64)
    assert torch.equal(found.depth, expected.depth)
    assert not np.isin(found.triangle.numpy(), behind).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e30])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_corners_that_are_nowhere_draw_nothing(value: float, axis: int) -> None:
    vertices, faces = rectangle(2, 2, 8, 8, 1.0)
    vertices[0, axis] = value
    assert (draw(vertices, faces, np.eye(3), 10, 10).triangle == -1).all()


def test_huge_triangle_is_exact() -> None:
    found = draw([[-9e5, 7.3, 1], [9e5, 7.3, 1], [0, 9e5, 1]], [[0, 1, 2]], np.eye(3), 16, 16)
    assert (found.triangle[0, :7] == -1).all()
    assert (found.triangle[0, 7:] == 0).all()


@pytest.mark.parametrize("device", DEVICES)
def test_nothing_to_see_gives_fill_values(device: str) -> None:
    far_off = rectangle(100, 100, 110, 110, 1.0)
    line = (np.array([[1, 1, 1], [5, 5, 1], [9, 9, 1]], dtype=np.float32), np.array([[0, 1, 2], [1, 1, 2]]))
    nothing = (np.zeros((0, 3), dtype=np.float32), np.zeros((0, 3), dtype=np.int64))
    for vertices, faces in (far_off, line, nothing, (far_off[0], nothing[1])):
        found = draw(vertices, faces, np.eye(3), 10, 12, device)
        assert found.triangle.shape == (1, 10, 12)
        assert found.barycentric.shape == (1, 10, 12, 3)
        assert (found.triangle == -1).all()
        assert (found.barycentric == 0).all()
        assert (found.depth == 0).all()
    empty = rasterize(torch.zeros(0, 4, 3), torch.zeros(0, 3, dtype=torch.int32), torch.zeros(0, 3, 3), 5, 6)
    assert empty.triangle.shape == (0, 5, 6)


def test_orthographic_sphere() -> None:
    vertices, faces = sphere(rings=160, radius=0.1, centre=(0.0, 0.0, 0.5))
    intrinsics = np.array([[500, 0, 64], [0, 500, 64], [0, 0, 1]], dtype=np.float32)
    depth = depth_map(
        torch.from_numpy(vertices)[None],
        torch.from_numpy(faces),
        torch.from_numpy(intrinsics)[None],
        128,
        128,
        orthographic=True,
    )[0].numpy()
    y, x = (np.mgrid[:128, :128] + 0.5 - 64) / 500
    inner = x**2 + y**2 < 0.09**2
    expected = 0.5 - np.sqrt(np.maximum(0.01 - x**2 - y**2, 0))
    np.testing.assert_allclose(depth[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_interpolated_positions_lie_on_the_pixels_rays(device: str, dtype: torch.dtype) -> None:
    scenes = np.stack([sphere(40, 0.1, (0, 0, z))[0] for z in (0.6, 0.8)])
    faces = sphere(40)[1]
    intrinsics = pinhole(300, 96, 80)
    found = draw(scenes, faces, intrinsics, 80, 96, device)
    values = torch.as_tensor(scenes, dtype=dtype, device=device)[:, torch.as_tensor(faces, device=device).long()]
    positions = interpolate(found, values)
    assert positions.dtype == dtype
    rays = torch.as_tensor(pixel_rays(intrinsics, 80, 96), dtype=dtype, device=device)
    covered = found.triangle >= 0
    assert 0.2 < covered.float().mean() < 0.9
    assert (positions[~covered] == 0).all()
    off = positions[..., :2] - rays[..., :2] * positions[..., 2:]
    # A thousandth of a pixel, at 300 pixels per unit of x / z.
    assert off[covered].abs().max() < 1e-3 / 300
    assert (positions[..., 2] - found.depth.to(dtype)).abs().max() < TOLERANCE[dtype]
    shared = interpolate(found, values[0])
    torch.testing.assert_close(shared[0], positions[0], atol=0, rtol=0)
    with_gradient = interpolate(found, values.clone().requires_grad_())
    torch.testing.assert_close(with_gradient, positions, atol=1e-6, rtol=0)


def test_interpolate_takes_fragments_in_any_memory_layout() -> None:
    random = np.random.default_rng(0)
    vertices, faces = triangle_soup(random, 20)
    seen = draw(vertices, faces, pinhole(40, 32, 24), 24, 32)
    turned = replace(seen, barycentric=seen.barycentric.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1))
    values = torch.as_tensor(random.normal(size=(len(faces), 3, 2)).astype(np.float32))
    assert not turned.barycentric.is_contiguous()
    assert torch.equal(interpolate(turned, values), interpolate(seen, values))


def test_interpolate_passes_gradients_to_the_corners() -> None:
    vertices, faces = rectangle(2, 2, 8, 8, 1.0)
    found = draw(vertices, faces, np.eye(3), 10, 10)
    values = torch.ones(2, 3, 2, requires_grad=True)
    interpolate(found, values).sum().backward()
    per_triangle = torch.stack([(found.triangle == number).sum() for number in range(2)])
    torch.testing.assert_close(values.grad.sum(1), per_triangle[:, None].float().expand(2, 2))


def test_wrong_input_is_named() -> None:
    vertices, faces = (torch.from_numpy(array) for array in rectangle(2, 2, 8, 8, 1.0))
    vertices, intrinsics = vertices[None], torch.eye(3)[None]
    with pytest.raises(ValueError, match=r"vertices must be \(B, V, 3\) float32"):
        rasterize(vertices[0], faces, intrinsics, 4, 4)
    with pytest.raises(ValueError, match=r"vertices must be \(B, V, 3\) float32"):
        rasterize(vertices.double(), faces, intrinsics, 4, 4)
    with pytest.raises(ValueError, match=r"faces must be \(F, 3\)"):
        rasterize(vertices, faces.float(), intrinsics, 4, 4)
    with pytest.raises(ValueError, match="faces index vertices 0 to 4, of 4"):
        rasterize(vertices, faces.where(faces != 3, 4), intrinsics, 4, 4)
    with pytest.raises(ValueError, match=r"intrinsics must be \(1, 3, 3\)"):
        rasterize(vertices, faces, intrinsics[0], 4, 4)
    with pytest.raises(ValueError, match="at least one pixel"):
        rasterize(vertices, faces, intrinsics, 0, 4)
    with pytest.raises(ValueError, match="unknown rasterisation backend 'opengl'"):
        rasterize(vertices, faces, intrinsics, 4, 4, backend="opengl")
    with pytest.raises(ValueError, match="corner_values"):
        interpolate(rasterize(vertices, faces, intrinsics, 4, 4), torch.zeros(2, 4))


def test_starting_warp_says_nothing() -> None:
    program = (
        "import torch; from synthforge_hf.rendering.rasterize import rasterize; import sys;"
        "assert 'warp' not in sys.modules;"
        "rasterize(torch.ones(1, 3, 3), torch.tensor([[0, 1, 2]]), torch.eye(3)[None], 4, 4)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def pytorch3d_imports() -> bool:
    try:
        import pytorch3d.renderer.mesh.rasterize_meshes  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.skipif(pytorch3d_imports(), reason="PyTorch3D is installed")
def test_missing_pytorch3d_names_the_extra() -> None:
    vertices, faces = rectangle(2, 2, 8, 8, 1.0)
    with pytest.raises(SynthForgeError, match=r"synthforge_hf\[pytorch3d\]"):
        draw(vertices, faces, np.eye(3), 4, 4, backend="pytorch3d")


@pytest.mark.skipif(not pytorch3d_imports(), reason="PyTorch3D does not import")
@pytest.mark.parametrize("shape", [(48, 48), (48, 64), (64, 40)])
def test_pytorch3d_agrees(shape: tuple[int, int]) -> None:
    height, width = shape
    scenes = np.stack([triangle_soup(np.random.default_rng(seed), 30)[0] for seed in (21, 22)])
    scenes[:, 5, 2] = -1.0
    faces = np.arange(90).reshape(-1, 3)
    ours = draw(scenes, faces, pinhole(50, width, height), height, width)
    theirs = draw(scenes, faces, pinhole(50, width, height), height, width, backend="pytorch3d")
    same = ours.triangle == theirs.triangle
    assert same.float().mean() > 0.998
    torch.testing.assert_close(ours.depth[same], theirs.depth[same], atol=5e-3, rtol=0)
    torch.testing.assert_close(ours.barycentric[same], theirs.barycentric[same], atol=2e-2, rtol=0)
