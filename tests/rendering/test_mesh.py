"""Small operations on triangle meshes."""

import numpy as np
from analytic_meshes import sphere, triangle_soup

from synthforge_hf.rendering.mesh import cross, used_vertices, vertex_normals


def test_normals_of_vertices_are_means_of_their_triangles_weighted_by_area() -> None:
    vertices, faces = triangle_soup(np.random.default_rng(0), 50)
    faces = np.concatenate([faces, np.random.default_rng(1).integers(0, len(vertices), (100, 3))])
    expected = np.zeros((len(vertices), 3))
    first, second, third = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    for corner in range(3):
        np.add.at(expected, faces[:, corner], np.cross(second - first, third - first))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    for given in (vertices, vertices.astype(np.float64)):
        found = vertex_normals(given, faces)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_normals_of_a_sphere_point_outwards_at_any_size() -> None:
    for radius in (1e-5, 0.1, 1e4):
        vertices, faces = sphere(rings=24, radius=radius, centre=(0.0, 0.0, 0.0))
        directions = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
        assert (vertex_normals(vertices, faces) * directions).sum(1).min() > 0.99


def test_a_vertex_without_area_around_it_looks_forward() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]], dtype=np.float32)
    assert np.array_equal(vertex_normals(vertices, np.array([[0, 1, 2]])), np.tile([0, 0, 1], (4, 1)))


def test_used_vertices_are_numbered_anew() -> None:
    faces = np.array([[7, 2, 5], [5, 2, 9]])
    used, renumbered = used_vertices(faces, 12)
    assert used.tolist() == [2, 5, 7, 9]
    assert np.array_equal(used[renumbered], faces)


def test_cross_products_broadcast() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(4, 1, 3)), random.normal(size=(5, 3))
    np.testing.assert_allclose(cross(first, second), np.cross(first, second))
