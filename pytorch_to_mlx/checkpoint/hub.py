"""From what a user types to a local path: a path, a hub id, or the name of packaged weights."""

import os
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

from ..errors import FormatError, MachineError, UsageError
from . import packaged
from .files import quote

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Never *.py: code from a repository is not even downloaded.
TEXT_PATTERNS = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.yaml", "*.yml", "README.md", "LICENSE*")
WEIGHT_PATTERNS = (("*.safetensors",), ("*.bin", "*.pt", "*.pth"), ("*.onnx", "*.onnx_data"), ("*.npz",), ("*.gguf",))


def resolve(
    source: str | Path,
    *,
    revision: str | None = None,
    offline: bool | None = None,
    patterns: list[str] | None = None,
) -> Path:
    """A local path for a source: a path (no network), "org/name" on the hub, or "packaged:NAME".

    `patterns` are the files to download (default: configs, tokenizers, and safetensors, else PyTorch, else ONNX files);
    `offline` uses the hub's cache only (default: as HF_HUB_OFFLINE says).
    Raises: UsageError if nothing of that name exists; MachineError without network, access or disk.
    """
    text = str(source)
    if text.startswith("packaged:"):
        return packaged.find(text.removeprefix("packaged:"))
    path = Path(text).expanduser()
    try:
        if text and path.exists():
            return path
    except (OSError, ValueError):
        raise UsageError(f"{quote(text)} is no usable path") from None
    if isinstance(source, Path) or not _HUB_ID.fullmatch(text):
        raise UsageError(
            "no such file or folder", where=quote(text), fix="give a path, a hub id such as org/name, or packaged:NAME"
        )
    if revision is not None and not re.fullmatch(r"[\w./-]{1,200}", revision):
        raise UsageError(f"{quote(revision)} is no revision")
    if offline is None:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return _snapshot(text, revision, offline, patterns)


def _snapshot(repo: str, revision: str | None, offline: bool, patterns: list[str] | None) -> Path:
    from huggingface_hub import HfApi, errors, snapshot_download
    from huggingface_hub.utils import HFValidationError

    try:
        if offline:
            return Path(snapshot_download(repo, revision=revision, local_files_only=True))
        info = HfApi().model_info(repo, revision=revision, timeout=10)
        names = choose([item.rfilename for item in info.siblings or []], patterns)
        if not names:
            raise FormatError("the repository holds no checkpoint files", where=repo)
        return Path(snapshot_download(repo, revision=info.sha, allow_patterns=names))
    except errors.GatedRepoError:
        raise MachineError(
            "access must be asked for on the model's page", where=repo, fix="then: hf auth login"
        ) from None
    except errors.RevisionNotFoundError:
        raise UsageError(f"no revision {quote(revision)}", where=repo) from None
    except errors.RepositoryNotFoundError:
        raise UsageError("no such path, and no such model on the hub (or it is private)", where=repo) from None
    except HFValidationError:
        raise UsageError(f"{quote(repo)} is no hub id") from None
    except errors.LocalEntryNotFoundError:
        raise MachineError(
            "is not in the hub's cache, and offline mode is on" if offline else "could not be downloaded",
            where=repo,
            fix="unset HF_HUB_OFFLINE to download it, or give a local path" if offline else "check the network",
        ) from None
    except (errors.OfflineModeIsEnabled, errors.HfHubHTTPError, OSError, *_transport_errors()) as error:
        raise MachineError(
            f"the hub cannot be reached: {quote(str(error).splitlines()[0] if str(error) else type(error).__name__)}",
            where=repo,
            fix="check the network; if it was downloaded before, set HF_HUB_OFFLINE=1",
        ) from None


def _transport_errors() -> list[type[BaseException]]:
    """huggingface_hub lets its HTTP library's own errors through, and has changed that library twice."""
    names = {"httpx2": "TransportError", "httpx": "TransportError", "requests": "RequestException"}
    return [getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules]


def choose(names: list[str], patterns: list[str] | None) -> list[str]:
    """The files of a repository to download: texts, and the safest kind of weights that is there."""
    if patterns is not None:
        return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]
    texts = [name for name in names if any(fnmatch(name, pattern) for pattern in TEXT_PATTERNS)]
    for kind in WEIGHT_PATTERNS:
        weights = [name for name in names if any(fnmatch(name, pattern) for pattern in kind)]
        if weights:
            return texts + weights
    return []
