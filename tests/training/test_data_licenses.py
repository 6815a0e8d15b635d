"""A model comes under the licence of what it was trained on, and the licence gate of push sees it."""

from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import yaml
from drawn_faces import drawn_data_set
from test_stage_one import settings

from synthforge_hf.data.generation import generate
from synthforge_hf.data.manifest import read_manifest, write_manifest
from synthforge_hf.data.recipes import Recipe, load_recipe
from synthforge_hf.errors import UsageError
from synthforge_hf.hub.cards import model_card, sources_of, split_card
from synthforge_hf.hub.contents import gather
from synthforge_hf.hub.licenses import refuse_unaccepted
from synthforge_hf.training.data_licenses import licenses_of_data, model_license
from synthforge_hf.training.stage_one import train_backbone

SENTENCE = "terms of the Next3D checkpoint; FLAME: research only, see there"


@pytest.mark.parametrize(
    ("licenses", "expected"),
    [
        (["CC0-1.0"], {"license": "apache-2.0"}),
        (["cc0-1.0", "Apache-2.0"], {"license": "apache-2.0"}),
        (["CC0-1.0", "CC-BY-NC-4.0"], {"license": "cc-by-nc-4.0"}),
        ([SENTENCE], {"license": "other", "license_name": SENTENCE}),
        (["mit", "cc-by-4.0"], {"license": "other", "license_name": "mit; cc-by-4.0"}),
        ([], {"license": "other", "license_name": "license-of-the-training-data"}),
    ],
)
def test_the_licence_of_a_model(licenses: list[str], expected: dict[str, str]) -> None:
    assert model_license(licenses) == expected


def test_a_data_set_states_licences_in_rows_card_and_manifest(tmp_path: Path) -> None:
    def rows(**columns: list) -> datasets.Dataset:
        return datasets.Dataset.from_dict({"number": [1, 2, 3], **columns})

    folder = str(tmp_path)
    assert licenses_of_data(folder, rows()) == ()
    stated = rows(generator_license=[SENTENCE, SENTENCE, None])
    assert licenses_of_data(folder, stated) == (SENTENCE,)
    assert licenses_of_data(folder, stated.to_iterable_dataset()) == (SENTENCE,)
    card = tmp_path / "README.md"
    card.write_text(
        "---\nlicense: other\nlicense_name: terms-of-the-next3d-checkpoint-flame-research-only-see-there\n---\n"
    )
    assert licenses_of_data(folder, stated) == (SENTENCE,)
    card.write_text("---\nlicense: [mit, cc-by-nc-4.0]\n---\n")
    assert licenses_of_data(folder, rows(generator_license=["MIT"] * 3)) == ("MIT", "cc-by-nc-4.0")


def test_pictures_behind_the_heads_have_a_licence_of_their_own(tmp_path: Path) -> None:
    out = tmp_path / "faces"
    recipe = Recipe(name="toy", generator="ellipsoid")
    generate(out, recipe, num_samples=2, resolution=32, workers=1, progress=False)
    rows = datasets.Dataset.from_dict({"generator_license": ["CC0-1.0"]})
    assert licenses_of_data(str(out), rows) == ("CC0-1.0",)
    faces = load_recipe("faces")
    background = replace(faces.settings.background, pictures="somebody/pictures", pictures_sha256="0")
    faces = replace(faces, settings=replace(faces.settings, background=background))
    write_manifest(out, replace(read_manifest(out), recipe=faces))
    licenses = licenses_of_data(str(out), rows)
    assert licenses == ("CC0-1.0", "that of the background pictures somebody/pictures")
    assert model_license(licenses)["license"] == "other"


def test_push_asks_about_a_backbone_that_was_trained_on_licensed_data(tmp_path: Path) -> None:
    faces = drawn_data_set(tmp_path / "faces", train=8, validation=2, size=64)
    (faces / "README.md").write_text(f"---\n{yaml.safe_dump({'license': 'other', 'license_name': SENTENCE})}---\n")
    train_backbone(str(faces), tmp_path / "run", settings(tmp_path, epochs=1))
    contents = gather(tmp_path / "run")
    assert f"The data set is under {SENTENCE}." in contents.card
    with pytest.raises(UsageError, match=r"what weights \(terms of the Next3D checkpoint.*--accept-licenses"):
        refuse_unaccepted(sources_of(contents), "me/backbone")
    published, body = split_card(model_card(contents, "me/backbone", "", [], with_code=False))
    assert published["license"] == "other"
    assert published["license_name"] == "terms-of-the-next3d-checkpoint-flame-research-only-see-there"
    assert SENTENCE in body
