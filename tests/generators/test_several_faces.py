"""Several samples of any generator, one after the other or as it makes them itself."""

from collections.abc import Iterator, Sequence
from typing import cast

from synthforge_hf.generators.base import FaceGenerator, GeneratedFace, generate_many


class OneByOne:
    name, license = "names", "none"

    def __init__(self) -> None:
        self.made: list[int] = []

    def generate(self, seed: int, index: int, resolution: int) -> GeneratedFace:
        self.made.append(index)
        return cast(GeneratedFace, f"{seed}/{index}/{resolution}")


class Together(OneByOne):
    def generate_many(self, seed: int, indices: Sequence[int], resolution: int) -> Iterator[GeneratedFace]:
        faces = [self.generate(seed, index, resolution) for index in indices]
        return iter(faces)


def test_a_generator_is_asked_for_one_when_one_is_wanted() -> None:
    generator = OneByOne()
    faces = generate_many(cast(FaceGenerator, generator), 7, [4, 2], 64)
    assert generator.made == []
    assert (next(faces), generator.made) == ("7/4/64", [4])
    assert (next(faces), generator.made) == ("7/2/64", [4, 2])


def test_one_that_makes_several_at_once_does() -> None:
    generator = Together()
    faces = generate_many(cast(FaceGenerator, generator), 7, [4, 2], 64)
    assert (next(faces), generator.made) == ("7/4/64", [4, 2])
    assert list(faces) == ["7/2/64"]
