"""The README of a repository: what lies in the folder, with everything that is known and not yet said added to it."""

import re
from collections.abc import Collection, Mapping
from importlib import resources
from string import Template
from typing import Any

import yaml

from synthforge_hf import __version__
from synthforge_hf.data.licenses import license_in_metadata, plain_license_name
from synthforge_hf.data.recipes import Recipe
from synthforge_hf.errors import SynthForgeError
from synthforge_hf.hub.contents import PREVIEW_NAME, Contents
from synthforge_hf.hub.evaluation_results import EvaluationRecord, model_index, results_table
from synthforge_hf.hub.licenses import Source, license_table, source, sources_of_generator

_PLACEHOLDER = re.compile(r"PATH_OR_REPO(?:SITORY)?")
_EMBEDDED = re.compile(r"synthforge_hf\.pretrained\(\)\[[\"']\w+[\"']\]")

_DATASET_USE, _MODEL_USE, _RESULTS = "Reading a part of it", "Using it", "Evaluation results"
"""Sections of the templates that name the repository or the results, and so are written anew with every push."""

_LIMITS = {
    "graphics": (
        "Faces, hair and light are rendered: they look made, and what a model learns from them alone is less exact on "
        "photos. Variety is that of the recipe above and no more."
    ),
    "next3d": (
        "Images come from a generative network and the labels from the mesh that steered it; where the two part (hair, "
        "ears, glasses, wide open mouths) labels are off. The network's own training photos decide who is shown how "
        "often."
    ),
}
_CONSENT = {
    "graphics": (
        "Nobody is shown: geometry, textures and labels hold no photo of a person (the average face was brought near "
        "to published landmark annotations), so there was nobody to ask."
    ),
    "next3d": (
        "The people shown do not exist, but the network that draws them learnt from photos of real people who were not "
        "asked by us, and may come close to one of them."
    ),
}


_MODEL_LIMITS = {
    "synthforge": (
        "Trained on generated faces; photos differ from them. Depth is metric only where the photo's focal length is "
        "known."
    ),
    "synthforge_label_finetuning": (
        "The frozen backbone was trained on generated faces, the label networks on the labels named above: what those "
        "do not show, the model has not seen."
    ),
}
"""Of the models that the pipeline "face-analysis" runs."""

_CODE_NOTE = """
The code is in this repository too. Without `synthforge_hf`, pass `trust_remote_code=True` to the calls above, and for
the pipeline write `pipeline(model="{repo_id}", trust_remote_code=True)`.
"""


def dataset_card(contents: Contents, repo_id: str, url: str) -> str:
    """Return the card of a data set: the one that ``generate`` wrote, a picture, and what it leaves out."""
    manifest = contents.manifest
    if manifest is None:
        return _recipe_card(contents, repo_id)
    first = min(manifest.shards.values(), key=lambda record: (record.split != "train", record.path))
    generator = manifest.recipe.generator
    consent = _CONSENT.get(generator, "The people shown do not exist.")
    if pictures := own_pictures(manifest.recipe):
        consent += f" Backgrounds are cut from the pictures '{pictures}', which may show people who were not asked."
    fields = {
        **_citation(contents.card, repo_id, url),
        "first_split": first.split,
        "first_shard": first.path,
        "limits": _LIMITS.get(generator, "What the generator does not draw, a model trained on it does not learn."),
        "consent": consent,
        "licenses": license_table(sources_of(contents)),
    }
    text = _PLACEHOLDER.sub(repo_id, contents.card)
    metadata, body = split_card(text)
    if (plain := _with_plain_license_name(metadata)) != metadata:
        text = _join_card(plain, body)
    if PREVIEW_NAME not in text:
        picture = f"\n\n![samples: image, depth, normals, segmentation, landmarks]({PREVIEW_NAME})"
        text = re.sub(r"^(# .+)$", lambda match: match[1] + picture, text, count=1, flags=re.MULTILINE)
    return _with_sections(text, "dataset.md", fields, replacing=[_DATASET_USE])


def model_card(contents: Contents, repo_id: str, url: str, results: list[EvaluationRecord], with_code: bool) -> str:
    """Return the card of a model: the one in its folder, evaluation results as metadata, and what it leaves out."""
    metadata, body = split_card(contents.card)
    limits = _MODEL_LIMITS.get(str(contents.configuration.get("model_type")))
    metadata.setdefault("library_name", "transformers")
    if limits:
        metadata.setdefault("pipeline_tag", "image-segmentation")
    metadata["tags"] = list(dict.fromkeys([*(metadata.get("tags") or []), "synthforge"]))
    if results:
        metadata["model-index"] = model_index(repo_id.split("/")[-1], results)
    body = _EMBEDDED.sub(f'"{repo_id}"', _PLACEHOLDER.sub(repo_id, body))
    if not body.strip():
        body = f"# {repo_id.split('/')[-1]}\n"
    fields = {
        **_citation(body, repo_id, url),
        "pipeline_import": ", pipeline" if limits else "",
        "pipeline_lines": (f'\nfaces = pipeline("face-analysis", model="{repo_id}")("photo.jpg")' if limits else ""),
        "code_note": (_CODE_NOTE.format(repo_id=repo_id) if with_code else ""),
        "evaluation": results_table(results),
        "limits": limits or "Not stated by whoever made it.",
        "licenses": license_table(sources_of(contents)),
    }
    text = _with_sections(body, "model.md", fields, replacing=[_MODEL_USE, *([_RESULTS] if results else [])])
    return _join_card(_with_plain_license_name(metadata), text)


def sources_of(contents: Contents) -> list[Source]:
    """Return everything that the contents are made from, with its licence."""
    if contents.manifest is not None:
        recipe = contents.manifest.recipe
        return sources_of_generator(recipe.generator, contents.manifest.generator_license, own_pictures(recipe))
    if contents.recipe is not None:
        return [source("the recipe itself", "CC0-1.0")]
    metadata, _ = split_card(contents.card)
    return [source("weights", license_in_metadata(metadata)), source("code of the model (synthforge_hf)", "Apache-2.0")]


def own_pictures(recipe: Recipe) -> str:
    """Return the name of the folder or data set that a recipe takes its background pictures from; empty without."""
    return getattr(getattr(recipe.published().settings, "background", None), "pictures", "")


def split_card(text: str) -> tuple[dict[str, Any], str]:
    """Return a card's metadata and its Markdown. Raises SynthForgeError when the metadata cannot be read."""
    match = re.match(r"---\n(.*?\n)---\n", text, flags=re.DOTALL)
    if match is None:
        return {}, text
    try:
        metadata = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise SynthForgeError(
            f"the metadata of README.md is not valid YAML: {' '.join(str(error).split())}; mend it"
        ) from error
    if not isinstance(metadata, dict):
        raise SynthForgeError("the metadata of README.md is no mapping of keys to values; mend it")
    return metadata, text[match.end() :]


def _with_plain_license_name(metadata: dict[str, Any]) -> dict[str, Any]:
    """The Hub takes a short name in small letters where the folder's card has a sentence; that stays in the body."""
    name = metadata.get("license_name")
    return {**metadata, "license_name": plain_license_name(str(name))} if name else metadata


def _join_card(metadata: dict[str, Any], body: str) -> str:
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---\n{body}"


def _recipe_card(contents: Contents, repo_id: str) -> str:
    recipe = contents.recipe
    assert recipe is not None
    (file,) = contents.files
    license_name = {"graphics": "CC0-1.0"}.get(recipe.generator, "its authors' terms")
    fields = {
        "title": f"SynthForge recipe {recipe.name}",
        "description": recipe.description.strip(),
        "repo_id": repo_id,
        "file": file,
        "recipe": contents.files[file].read().decode("utf-8"),
        "licenses": license_table(sources_of_generator(recipe.generator, license_name)),
    }
    return _template("recipe.md").substitute(fields)


def _citation(text: str, repo_id: str, url: str) -> dict[str, str]:
    title = re.search(r"^# (.+)$", text, flags=re.MULTILINE)
    author, name = repo_id.split("/")
    return {
        "repo_id": repo_id,
        "url": url,
        "author": author,
        "title": title[1] if title else name,
        "citation_key": re.sub(r"\W+", "_", name),
        "version": __version__,
    }


def _with_sections(text: str, template: str, fields: Mapping[str, str], replacing: Collection[str] = ()) -> str:
    """Append the template's sections whose heading the text does not have yet; replace those of ``replacing``."""
    for heading in replacing:
        text = re.sub(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    present = set(re.findall(r"^## (.+)$", text, flags=re.MULTILINE))
    sections = re.split(r"^(?=## )", _template(template).substitute(fields), flags=re.MULTILINE)
    new = [each for each in sections if each.strip() and each.partition("\n")[0].removeprefix("## ") not in present]
    return "\n\n".join(part.rstrip() for part in (text, *new)) + "\n"


def _template(name: str) -> Template:
    return Template((resources.files("synthforge_hf.hub") / "templates" / name).read_text(encoding="utf-8"))
