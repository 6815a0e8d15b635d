"""The balance report: shares counted from the columns, angles from the landmarks."""

import numpy as np
import pytest
from reference_data import Reference

from synthforge_hf.data.balance import balance_table, face_angles
from synthforge_hf.data.preview import read_samples


def face(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    """(1, 68, 3) points of a face in the camera frame, turned to its left and up."""
    points = np.zeros((68, 3))
    points[36:42], points[42:48] = (-0.03, 0.0, 0.0), (0.03, 0.0, 0.0)
    points[48], points[54] = (-0.02, 0.07, 0.0), (0.02, 0.07, 0.0)
    yaw, pitch = np.radians([-yaw_deg, -pitch_deg])
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    lift = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return (points @ (turn @ lift).T + (0, 0, 1.0))[None]


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (35, 0), (-60, 0), (0, 20), (25, -15), (-85, 10)])
def test_angles_of_a_face(yaw: float, pitch: float) -> None:
    found = face_angles(face(yaw, pitch))
    assert found[0][0] == pytest.approx(yaw, abs=1e-6)
    assert found[1][0] == pytest.approx(pitch, abs=1e-6)


def test_angles_agree_with_the_camera_s(reference: Reference) -> None:
    samples = read_samples(reference.folder, 20)
    yaw, _ = face_angles(np.stack([sample.landmarks_3d for sample in samples]).astype(np.float64))
    positions = [-sample.world_to_camera[:3, :3].T @ sample.world_to_camera[:3, 3] for sample in samples]
    # A camera on the person's left sees a face that is turned to the image's left.
    azimuth = np.degrees([np.arctan2(position[0], position[2]) for position in positions])
    assert np.corrcoef(yaw, -azimuth)[0, 1] > 0.9


def test_shares_in_the_table_add_up(reference: Reference) -> None:
    table = balance_table(sorted((reference.folder / "data").glob("*.parquet")))
    rows = dict(line.strip("| ").split(" | ") for line in table.splitlines()[2:])
    assert {"yaw of the face, degrees", "pitch of the face, degrees", "landmarks hidden"} <= set(rows)
    for text in rows.values():
        shares = [float(part.split()[-2]) for part in text.split("; ")]
        assert sum(shares) == pytest.approx(100, abs=len(shares))
