"""Which model is meant: an embedded checkpoint, a folder of the user's, or a repository on the Hugging Face Hub."""

import re
from pathlib import Path

from synthforge_hf.errors import SynthForgeError, UsageError

_EMBEDDED = Path(__file__).parent / "pretrained"
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


def pretrained() -> dict[str, str]:
    """Return name -> local path of the checkpoints inside this package; each path suits ``from_pretrained``."""
    return {config.parent.name: str(config.parent) for config in sorted(_EMBEDDED.glob("*/config.json"))}


def resolve_model(model: str) -> str:
    """Return the local folder of a model.

    model: the name of an embedded checkpoint, a folder that ``save_pretrained`` wrote, or a Hub repository
        "owner/name", which is downloaded on first use (or found in the local cache). A folder wins over a repository.

    Raises UsageError when it is none of these, and SynthForgeError when the repository cannot be had.
    """
    embedded = pretrained()
    if model in embedded:
        return embedded[model]
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UsageError(f"'{model}' holds no model: there is no config.json in it")
        return str(folder)
    names = ", ".join(embedded)
    if folder.suffix.lower() in _IMAGE_SUFFIXES:
        raise UsageError(f"'{model}' is an image where a model is expected; name a model first: {names}")
    if folder.exists():
        raise UsageError(f"'{model}' is a file; a model is a folder that save_pretrained wrote, or one of: {names}")
    if _REPO_ID.fullmatch(model):
        return _download(model)
    raise UsageError(f"no model '{model}': it is no folder, no Hub repository (owner/name), and none of: {names}")


def _download(repo_id: str) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return snapshot_download(repo_id, allow_patterns=["*.json", "*.safetensors", "*.md"])
    except HFValidationError as error:
        raise UsageError(f"'{repo_id}' is neither a folder nor a name that a Hub repository can have") from error
    except RepositoryNotFoundError as error:
        raise SynthForgeError(
            f"no folder '{repo_id}', and no model of that name on the Hub that you may read; "
            "check the name, or log in with: hf auth login"
        ) from error
    except LocalEntryNotFoundError as error:
        raise SynthForgeError(
            f"no folder '{repo_id}', and the Hub cannot be reached to look for a model of that name; "
            f"check the path, or the network, or use an embedded model: {', '.join(pretrained())}"
        ) from error
    except HfHubHTTPError as error:
        raise SynthForgeError(f"the Hub refused '{repo_id}': {str(error).splitlines()[0]}") from error
