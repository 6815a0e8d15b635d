"""``push``: a folder becomes what a branch of a repository shows, in one commit, however often the network fails.

Large files are uploaded first, where nobody sees them; the one commit at the end makes them, the card and the manifest
visible together. Files that the branch holds already are not sent again, so a second push sends what changed, and an
interrupted one goes on. A commit whose answer is lost is found out by looking at the branch before trying again.
"""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from tqdm import tqdm

from synthforge_hf import __version__
from synthforge_hf.data.card import CARD_NAME
from synthforge_hf.data.manifest import MANIFEST_NAME, Manifest
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.hub.cards import dataset_card, model_card, sources_of
from synthforge_hf.hub.connection import Hub, Patience, quiet_bar
from synthforge_hf.hub.contents import PREVIEW_NAME, Contents, Kind, LocalFile, gather, refuse_secrets
from synthforge_hf.hub.evaluation_results import EvaluationRecord, collect_results, results_files
from synthforge_hf.hub.licenses import refuse_unaccepted
from synthforge_hf.hub.self_contained import code_files

PREVIEW_SAMPLES = 8


@dataclass(frozen=True)
class PushReport:
    """What a push did. uploaded, unchanged, removed: numbers of files. commit: what the branch shows now."""

    repo_id: str
    kind: Kind
    url: str
    revision: str
    commit: str
    private: bool
    uploaded: int
    unchanged: int
    removed: int
    tag: str | None = None


@dataclass(frozen=True)
class _Branch:
    """What a branch showed when it was looked at."""

    commit: str
    files: dict[str, RepoFile]


def push(
    path: str | Path,
    repo_id: str,
    private: bool = False,
    *,
    revision: str = "main",
    tag: str | None = None,
    message: str | None = None,
    results: Sequence[str | Path] = (),
    with_code: bool = False,
    replace_other: bool = False,
    accept_licenses: bool = False,
    token: str | None = None,
    patience: Patience | None = None,
) -> PushReport:
    """Publish a data set, a model (with its processor) or a recipe as the repository ``repo_id`` ("owner/name").

    path: a folder that ``generate`` or ``save_pretrained`` wrote, the name of an embedded model, or a recipe file.
    private: make the repository private, if it does not exist yet. revision: the branch, made if need be. tag: name
    the result. results: files of ``synthforge evaluate``, beside those in the model's folder. with_code: add the code
    of the model for ``trust_remote_code``. replace_other: put this data set in the place of another one.
    accept_licenses: publish although a licence stands against it. token: instead of the stored one.

    Shards go as they are, never re-encoded. Raises UsageError for what the request itself forbids, and SynthForgeError
    when the Hub refuses or cannot be reached; the branch then shows what it showed before.
    """
    hub = Hub(token, patience or Patience())
    contents = gather(path)
    if contents.kind != "model" and (with_code or results):
        raise UsageError("--with-code and --results are for models")
    if repo_id.count("/") != 1:
        raise UsageError(f"'{repo_id}' is no name of a repository: write owner/name")
    evaluations = collect_results(contents.folder, map(Path, results)) if contents.kind == "model" else []
    kind, doing = contents.kind, f"pushing {path} to {repo_id}"
    with hub.session():
        is_public = hub.patiently(partial(_is_public, hub, kind, repo_id), doing)
        if private and is_public:
            raise UsageError(f"{repo_id} exists and is public: make it private in its settings, or choose another name")
        becomes_public = not private if is_public is None else is_public
        if becomes_public and not accept_licenses:
            refuse_unaccepted(sources_of(contents), repo_id)
        url = f"{hub.api.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
        files = contents.files | _described(contents, repo_id, url, evaluations, with_code)
        refuse_secrets(files, hub.secrets)
        if is_public is None:
            create = partial(hub.api.create_repo, repo_id, repo_type=kind, private=private, exist_ok=True)
            hub.patiently(create, doing)
        if revision != "main":
            branch = partial(hub.api.create_branch, repo_id, branch=revision, repo_type=kind, exist_ok=True)
            hub.patiently(branch, doing)
        summary = message or f"Upload {contents.folder.name} with synthforge_hf {__version__}"
        whole = replace(contents, files=files)
        step = partial(_bring_up_to_date, hub, whole, repo_id, revision, summary, replace_other, {})
        commit, uploaded, removed = hub.patiently(step, doing)
        if tag is not None:
            hub.patiently(partial(_tag, hub, kind, repo_id, tag, commit), f"tagging {repo_id} as {tag}")
    return PushReport(
        repo_id=repo_id,
        kind=kind,
        url=url,
        revision=revision,
        commit=commit,
        private=not becomes_public,
        uploaded=uploaded,
        unchanged=len(files) - uploaded,
        removed=removed,
        tag=tag,
    )


def _described(
    contents: Contents, repo_id: str, url: str, evaluations: list[EvaluationRecord], with_code: bool
) -> dict[str, LocalFile]:
    """Return what is made for the repository: the card, and the picture, results and code that it speaks of."""
    made: dict[str, LocalFile] = {}
    if contents.kind == "model":
        card = model_card(contents, repo_id, url, evaluations, with_code)
        made |= {name: LocalFile(content=content) for name, content in results_files(evaluations).items()}
        if with_code:
            made |= code_files(contents)
    else:
        card = dataset_card(contents, repo_id, url)
        if contents.manifest is not None:
            made[PREVIEW_NAME] = LocalFile(content=_preview(contents.folder))
    return made | {CARD_NAME: LocalFile(content=card.encode())}


def _is_public(hub: Hub, kind: Kind, repo_id: str) -> bool | None:
    """Say whether the repository is public; None when there is none (that we may see)."""
    try:
        return not hub.api.repo_info(repo_id, repo_type=kind).private
    except RepositoryNotFoundError:
        return None


def _preview(folder: Path) -> bytes:
    from synthforge_hf.data.preview import preview  # brings torch, which nothing else here needs

    with tempfile.TemporaryDirectory() as temporary:
        return preview(folder, PREVIEW_SAMPLES, Path(temporary) / PREVIEW_NAME).read_bytes()


def _bring_up_to_date(
    hub: Hub,
    contents: Contents,
    repo_id: str,
    revision: str,
    summary: str,
    replace_other: bool,
    hashed: dict[str, CommitOperationAdd],
) -> tuple[str, int, int]:
    """Make the branch show the contents; safe to repeat. Returns the commit, and how many files went up and away.

    hashed: files that an earlier try has read and hashed already; this one adds its own.
    """
    branch = _look_at(hub, contents.kind, repo_id, revision)
    if contents.manifest is not None and MANIFEST_NAME in branch.files and not replace_other:
        _refuse_other_dataset(hub, contents.manifest, repo_id, branch)
    changed = {name: file for name, file in contents.files.items() if not _is_same(branch.files.get(name), file)}
    removed = [name for name in branch.files if name not in contents.files and contents.is_stale(name)]
    if not changed and not removed:
        return branch.commit, 0, 0
    for name in tqdm([name for name in changed if name not in hashed], desc="checking", unit=" files", **quiet_bar()):
        hashed[name] = _addition(name, changed[name])
    additions = [hashed[name] for name in changed]
    hub.api.preupload_lfs_files(repo_id, additions, repo_type=contents.kind, revision=revision, free_memory=False)
    commit = hub.api.create_commit(
        repo_id,
        [*additions, *(CommitOperationDelete(name, is_folder=False) for name in removed)],
        commit_message=summary,
        repo_type=contents.kind,
        revision=revision,
        parent_commit=branch.commit,
    )
    return commit.oid, len(additions), len(removed)


def _look_at(hub: Hub, kind: Kind, repo_id: str, revision: str) -> _Branch:
    commit = hub.api.repo_info(repo_id, repo_type=kind, revision=revision).sha
    assert commit is not None
    tree = hub.api.list_repo_tree(repo_id, recursive=True, revision=commit, repo_type=kind)
    return _Branch(commit, {entry.path: entry for entry in tree if isinstance(entry, RepoFile)})


def _is_same(remote: RepoFile | None, local: LocalFile) -> bool:
    if remote is None or remote.size != local.size:
        return False
    if remote.lfs is not None:
        return remote.lfs.sha256 == (local.recorded_sha256 or local.sha256())
    return remote.blob_id == git_blob_id(local.read())


def git_blob_id(content: bytes) -> str:
    """Return the id (hex SHA-1) that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _addition(name: str, file: LocalFile) -> CommitOperationAdd:
    addition = CommitOperationAdd(name, file.content if file.path is None else file.path)
    if file.recorded_sha256 is not None and addition.upload_info.sha256.hex() != file.recorded_sha256:
        raise SynthForgeError(f"{file.path} is damaged (another SHA-256 than recorded): run generate again to mend it")
    return addition


def _refuse_other_dataset(hub: Hub, manifest: Manifest, repo_id: str, branch: _Branch) -> None:
    """Raise UsageError when the branch shows a data set of another request, or more samples than we have."""
    with tempfile.TemporaryDirectory() as folder:
        there = hub.api.hf_hub_download(
            repo_id, MANIFEST_NAME, repo_type="dataset", revision=branch.commit, local_dir=folder
        )
        remote = json.loads(Path(there).read_bytes())
    here = {
        "recipe_sha256": manifest.recipe.content_hash(),
        "seed": manifest.seed,
        "resolution": manifest.resolution,
        "shard_size": manifest.shard_size,
    }
    for name, value in here.items():
        if remote.get(name) != value:
            raise UsageError(
                f"{repo_id} holds another data set ({name} is {remote.get(name)} there, {value} here): choose another "
                "name, or --replace to put this one in its place"
            )
    if int(remote.get("num_samples", 0)) > manifest.num_samples:
        raise UsageError(
            f"{repo_id} holds {remote['num_samples']} samples of this data set, more than the {manifest.num_samples} "
            "here: choose another name, or --replace to put this one in its place"
        )


def _tag(hub: Hub, kind: Kind, repo_id: str, tag: str, commit: str) -> None:
    """Give a commit its name. A tag that names this commit already is fine; one that names another is never moved."""
    tags = {each.name: each.target_commit for each in hub.api.list_repo_refs(repo_id, repo_type=kind).tags}
    if tag not in tags:
        hub.api.create_tag(repo_id, tag=tag, revision=commit, repo_type=kind)
    elif tags[tag] != commit:
        raise UsageError(f"the tag {tag} of {repo_id} names another commit ({tags[tag][:8]}): choose another tag")
