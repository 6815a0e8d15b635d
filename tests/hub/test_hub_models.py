"""Models go to the Hub with processor, card and results, and run from the repository's name; so do recipes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_under_test import HubUnderTest

import synthforge_hf
from synthforge_hf.checkpoints import resolve_model
from synthforge_hf.data.manifest import read_manifest, write_manifest
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.hub import pull, push
from synthforge_hf.hub.licenses import license_table, refuse_unaccepted, sources_of_generator

RESULTS = {
    "benchmark": "300w",
    "protocol": "subset common, boxes of the landmarks",
    "model": "mini",
    "num_images": 554,
    "metrics": {"nme_interocular": 5.5, "failure_rate_10": 3.25, "f1": {"hair": 81.5}},
}


def listing(name: str, kind: str = "model") -> list[str]:
    from huggingface_hub import HfApi

    return sorted(set(HfApi().list_repo_files(name, repo_type=kind)) - {".gitattributes"})


def read(name: str, path: str, kind: str = "model") -> str:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, path, repo_type=kind)).read_text()


def analyse(model: str, photo: str) -> dict[str, Any]:
    """Load a model in every way that users do and look at one photo."""
    from transformers import AutoImageProcessor, AutoModel, pipeline

    network, processor = AutoModel.from_pretrained(model), AutoImageProcessor.from_pretrained(model)
    faces = pipeline("face-analysis", model=model, device="cpu")(photo, boxes=[175.0, 70.0, 275.0, 180.0])
    return {
        "classes": [type(network).__name__, type(processor).__name__],
        "parameters": sum(float(each.double().sum()) for each in network.parameters()),
        "nose": faces[0]["landmarks"][30].tolist(),
    }


def push_with_the_library(folder: str, name: str) -> str:
    from transformers import AutoImageProcessor, AutoModel

    AutoModel.from_pretrained(folder).push_to_hub(name, private=True)
    AutoImageProcessor.from_pretrained(folder).push_to_hub(name, private=True)
    return type(AutoModel.from_pretrained(name)).__name__


def load_card(name: str) -> dict[str, Any]:
    from huggingface_hub import ModelCard

    data = ModelCard.load(name).data
    results = {each.metric_type: (each.dataset_type, each.metric_value) for each in data.eval_results or []}
    return {"license": data.license, "results": results}


def command_line(*arguments: str) -> tuple[int, str]:
    import contextlib
    import io

    from synthforge_hf.cli import run

    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(printed):
        code = run(arguments)
    return code, printed.getvalue()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the embedded model, as after a training, that a test may change."""
    folder = Path(shutil.copytree(synthforge_hf.pretrained()["mini"], tmp_path / "model"))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "optimizer.bin").write_bytes(b"\x80pickle")
    (folder / "scheduler.bin").write_bytes(b"\x80pickle")
    return folder


@pytest.fixture(scope="module")
def photo() -> str:
    return str(Path(__file__).parents[2] / "examples" / "photos" / "astronaut.jpg")


@pytest.fixture(scope="module")
def mini(connection: HubUnderTest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The embedded model, published with results and code."""
    name = connection.new_name()
    results = tmp_path_factory.mktemp("results") / "results.json"
    results.write_text(json.dumps(RESULTS))
    connection(push, "mini", name, private=True, results=[results], with_code=True)
    return name


def test_a_model_runs_from_the_repository_s_name(hub: HubUnderTest, mini: str, photo: str) -> None:
    here = hub(analyse, synthforge_hf.pretrained()["mini"], photo)
    assert hub(analyse, mini, photo) == here
    assert here["classes"] == ["SynthForgeModel", "SynthForgeImageProcessor"]
    assert here["nose"] == pytest.approx([226, 119], abs=15)


def test_they_run_without_the_package(hub: HubUnderTest, mini: str, adapted: str, photo: str, tmp_path: Path) -> None:
    """The repositories' own code where ``synthforge_hf`` cannot be imported; faces by the detector that comes along."""
    script = f"""
import json, sys
sys.modules["synthforge_hf"] = None
from transformers import AutoImageProcessor, AutoModel, pipeline
name = {mini!r}
network = AutoModel.from_pretrained(name, trust_remote_code=True)
processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=True)
faces = pipeline(model=name, trust_remote_code=True, device="cpu")({photo!r})
classes = [type(network).__name__, type(processor).__name__]
classes.append(type(AutoModel.from_pretrained({adapted!r}, trust_remote_code=True)).__name__)
print(json.dumps({{"classes": classes, "nose": faces[0]["landmarks"][30].tolist()}}))
"""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
    }
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["classes"] == ["SynthForgeModel", "SynthForgeImageProcessor", "SynthForgeForLabelFinetuning"]
    assert found["nose"] == pytest.approx([226, 119], abs=15)


def test_the_name_is_enough_for_our_own_commands(hub: HubUnderTest, mini: str) -> None:
    assert {"config.json", "model.safetensors"} <= {path.name for path in Path(hub(resolve_model, mini)).iterdir()}


def test_what_a_model_s_repository_holds(hub: HubUnderTest, model: Path, tmp_path: Path) -> None:
    name = hub.new_name()
    hub(push, model, name, private=True)
    assert hub(listing, name) == ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
    assert hub(push, model, name).uploaded == 0
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"depth_focal": None}, indent=2))
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    hub(push, model, name, with_code=True, results=[tmp_path / "results.json"])
    held = hub(listing, name)
    assert {"detector/model.safetensors", "models_synthforge_modeling_synthforge.py"} <= set(held)
    assert ".eval_results/300w.yaml" in held
    hub.control("log")
    plain = hub(push, model, name)
    assert (plain.uploaded, plain.removed) == (3, len(held) - 4)  # card and both configurations
    assert hub(listing, name) == ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
    assert hub.sent("PUT") == []  # the weights stay where they are


def test_results_are_in_the_card_in_both_forms(hub: HubUnderTest, mini: str) -> None:
    card = hub(load_card, mini)
    assert card["license"] == "apache-2.0"
    assert card["results"] == {
        "nme_interocular": ("300w", 5.5),
        "failure_rate_10": ("300w", 3.25),
        "f1 hair": ("300w", 81.5),
    }
    entries = yaml.safe_load(hub(read, mini, ".eval_results/300w.yaml"))
    assert entries[0]["dataset"] == {"id": "300w", "task_id": "nme_interocular"}
    assert entries[0]["value"] == 5.5
    assert "subset common" in entries[0]["notes"]
    text = hub(read, mini, "README.md")
    assert "| 300w | subset common, boxes of the landmarks | 554 | nme_interocular | 5.5 |" in text
    for heading in ("Intended use", "Limits", "Consent and misuse", "Origin and licences", "Citation"):
        assert text.count(f"## {heading}\n") == 1
    assert f'model="{mini}"' in text
    assert "trust_remote_code=True" in text


def test_results_that_are_none_are_named(hub: HubUnderTest, model: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"accuracy": 1}')
    with pytest.raises(UsageError, match=r"other\.json holds no results"):
        hub(push, model, hub.new_name(), results=[tmp_path / "other.json"])


def test_a_model_comes_back_and_goes_on(hub: HubUnderTest, mini: str, tmp_path: Path) -> None:
    back = tmp_path / "back"
    assert hub(pull, mini, back).kind == "model"
    weights = Path(synthforge_hf.pretrained()["mini"]) / "model.safetensors"
    assert (back / "model.safetensors").read_bytes() == weights.read_bytes()
    name = hub.new_name()
    hub(push, back, name, private=True)
    text = hub(read, name, "README.md")
    assert text.count("## Using it") == 1
    assert name in text.split("## Using it")[1].split("##")[0]


def test_the_libraries_own_push_to_hub(hub: HubUnderTest) -> None:
    assert hub(push_with_the_library, synthforge_hf.pretrained()["mini"], hub.new_name()) == "SynthForgeModel"


def test_a_public_push_asks_for_the_licences(hub: HubUnderTest, model: Path) -> None:
    card = model / "README.md"
    text = card.read_text()
    for license_lines, words in (
        ("license: cc-by-nc-4.0", r"weights \(cc-by-nc-4.0\) forbids commercial use"),
        ("license: other\nlicense_name: my-terms", r"what weights \(my-terms\) allows is not known"),
        ("", r"what weights \(not stated\) allows is not known"),
    ):
        card.write_text(text.replace("license: apache-2.0", license_lines))
        name = hub.new_name()
        with pytest.raises(UsageError, match=words) as caught:
            hub(push, model, name)
        assert "--accept-licenses" in str(caught.value)
        assert "--private" in str(caught.value)
        with pytest.raises(SynthForgeError):  # nothing was made
            hub(listing_or_error, name)
    hub(push, model, name, private=True)
    assert "| weights | not stated | nobody has said what is allowed | not known | not known |" in hub(
        read, name, "README.md"
    )
    public = hub.new_name()
    assert not hub(push, model, public, accept_licenses=True).private
    hub(delete, public)


def listing_or_error(name: str) -> list[str]:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return listing(name)
    except RepositoryNotFoundError as error:
        raise SynthForgeError("none") from error


def delete(name: str) -> None:
    from huggingface_hub import HfApi

    HfApi().delete_repo(name)


def test_a_data_set_states_its_generator_s_licences(hub: HubUnderTest, dataset: Path) -> None:
    write_manifest(dataset, replace(read_manifest(dataset), generator_license="CC-BY-NC-4.0"))
    name = hub.new_name()
    with pytest.raises(UsageError, match=r"images and labels .* \(CC-BY-NC-4.0\) forbids commercial use"):
        hub(push, dataset, name)
    hub(push, dataset, name, private=True)
    card = hub(read, name, "README.md", "dataset")
    row = (
        "| images and labels of the generator 'ellipsoid' | CC-BY-NC-4.0 | attribution, no commercial use | no | yes |"
    )
    assert row in card
    for heading in ("Intended use", "Limits", "Consent and misuse", "Origin and licences", "Citation"):
        assert card.count(f"## {heading}\n") == 1
    assert "![samples: image, depth, normals, segmentation, landmarks](preview.jpg)" in card


def test_terms_of_licensed_generators_and_of_own_pictures() -> None:
    sources = sources_of_generator("next3d", "terms of the Next3D checkpoint", pictures="holidays")
    with pytest.raises(UsageError, match=r"'next3d' .* not known here; what background pictures 'holidays' .* FLAME"):
        refuse_unaccepted(sources, "me/faces")
    refuse_unaccepted(sources_of_generator("graphics", "CC0-1.0"), "me/faces")
    assert license_table(sources).count("| not known | not known |") == 2


def test_a_licence_in_a_sentence_becomes_a_name(hub: HubUnderTest, dataset: Path) -> None:
    write_manifest(dataset, replace(read_manifest(dataset), generator_license="Terms of X; FLAME: see there"))
    card = (dataset / "README.md").read_text()
    sentence = "license: other\nlicense_name: 'Terms of X; FLAME: see there'\n"
    (dataset / "README.md").write_text(card.replace("license: cc0-1.0\n", sentence))
    name = hub.new_name()
    hub(push, dataset, name, private=True)
    assert "\nlicense_name: terms-of-x-flame-see-there\n" in hub(read, name, "README.md", "dataset")
    assert hub(count_rows, name) == 9


def count_rows(name: str) -> int:
    from datasets import load_dataset

    return load_dataset(name, split="train").num_rows


def test_a_label_fine_tuned_model(hub: HubUnderTest, adapted: str) -> None:
    assert hub(points_of, adapted) == ("SynthForgeForLabelFinetuning", (5, 2))


@pytest.fixture(scope="module")
def adapted(connection: HubUnderTest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with five points of its own, published with code."""
    folder = tmp_path_factory.mktemp("adapted")
    connection(make_label_fine_tuned, str(folder))
    name = connection.new_name()
    with pytest.raises(UsageError, match="license-of-the-training-labels"):
        connection(push, folder, name)
    connection(push, folder, name, private=True, with_code=True)
    return name


def make_label_fine_tuned(folder: str) -> None:
    from transformers import AutoImageProcessor

    from synthforge_hf.models.label_finetuning.modeling_label_finetuning import SynthForgeForLabelFinetuning
    from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel

    mini = synthforge_hf.pretrained()["mini"]
    model = SynthForgeForLabelFinetuning.from_backbone(
        SynthForgeModel.from_pretrained(mini), ("landmarks",), num_landmarks=5
    )
    model.save_pretrained(folder)
    AutoImageProcessor.from_pretrained(mini).save_pretrained(folder)
    card = "---\nlicense: other\nlicense_name: license-of-the-training-labels\n---\n\n# Five points\n"
    (Path(folder) / "README.md").write_text(card)


def points_of(model: str) -> tuple[str, tuple[int, ...]]:
    import numpy as np
    from transformers import pipeline

    analyse = pipeline("face-analysis", model=model, device="cpu")
    faces = analyse(np.full((100, 120, 3), 128, np.uint8), boxes=[30.0, 20.0, 80.0, 70.0])
    return type(analyse.model).__name__, faces[0]["landmarks"].shape


def test_a_token_in_a_file_stops_the_push(hub: HubUnderTest, model: Path) -> None:
    name = hub.new_name()
    (model / "training.yaml").write_text(f"hub_token: {hub.token}\n")
    with pytest.raises(SynthForgeError, match=r"training\.yaml holds an access token") as caught:
        hub(push, model, name, private=True)
    assert hub.token not in str(caught.value)
    (model / "training.yaml").write_text("hub_token: hf_" + "A1b2" * 9 + "\n")
    with pytest.raises(SynthForgeError, match="access token"):
        hub(push, model, name, private=True)


def test_nothing_that_is_published_holds_the_token(hub: HubUnderTest, mini: str, dataset: Path, tmp_path: Path) -> None:
    name = hub.new_name()
    hub(push, dataset, name, private=True)
    for each in (mini, name):
        back = tmp_path / each.replace("/", "-")
        hub(pull, each, back)
        for path in back.rglob("*"):
            assert not path.is_file() or hub.token.encode() not in path.read_bytes()


def test_a_recipe(hub: HubUnderTest, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\ndescription: Faces from the side.\ngenerator: graphics\n")
    name = hub.new_name()
    hub(push, recipe, name, private=True)
    hub(pull, name, tmp_path / "back")
    assert (tmp_path / "back" / "mine.yaml").read_bytes() == recipe.read_bytes()
    card = (tmp_path / "back" / "README.md").read_text()
    assert "Faces from the side." in card
    assert "--recipe recipe/mine.yaml" in card
    assert "MakeHuman" in card


def test_the_commands(hub: HubUnderTest, model: Path, tmp_path: Path) -> None:
    name = hub.new_name()
    code, printed = hub(command_line, "push", str(model), name, "--private", "--tag", "v1", "--json")
    assert code == 0
    report = json.loads(printed)
    assert (report["kind"], report["private"], report["tag"], report["uploaded"]) == ("model", True, "v1", 4)
    code, printed = hub(command_line, "push", str(model), name)
    assert (code, "(private)" in printed, "0 files sent, 4 unchanged" in printed) == (0, True, True)
    code, printed = hub(command_line, "pull", name, str(tmp_path / "back"), "--revision", "v1")
    assert (code, "holds the model" in printed, "4 files fetched" in printed) == (0, True, True)
    for arguments, expected, words in (
        (("push", "absent", name), 2, "there is nothing at absent"),
        (("push", str(tmp_path), name), 2, "nothing to push"),
        (("push", str(model), "no-owner"), 2, "owner/name"),
        (("pull", hub.new_name(), str(tmp_path / "x")), 1, "no such repository"),
        (("pull", name, str(model)), 2, "not pulled"),
    ):
        code, printed = hub(command_line, *arguments)
        assert code == expected
        assert printed.startswith("synthforge: ")
        assert printed.count("\n") == 1
        assert words in printed


def test_files_that_would_leave_the_folder_are_refused() -> None:
    from synthforge_hf.hub.pulling import _refuse_unsafe

    for name in ("../x", "a/../../x", "/etc/passwd", ".synthforge/pulled.json", ".git/config", "a\\..\\x", ""):
        with pytest.raises(SynthForgeError, match="refused"):
            _refuse_unsafe(name)
    for name in ("README.md", "data/train-00000-of-00001.parquet", ".eval_results/300w.yaml"):
        _refuse_unsafe(name)
