"""Download the files of a repository on the Hugging Face hub, or find them in its cache."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import FormatError, MachineError, UsageError
from .files import quote

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def download(
    repository: str,
    choose: Callable[[list[str]], list[str]],
    *,
    revision: str | None = None,
    offline: bool | None = None,
) -> Path:
    """Return the local snapshot of a repository, with the files that `choose` picks from their list.

    offline: use the hub's cache only (by default as HF_HUB_OFFLINE says).
    Raises: UsageError for a repository or revision that does not exist; MachineError without network, access or disk.
    """
    if revision is not None and not re.fullmatch(r"[\w./-]{1,200}", revision):
        raise UsageError(f"{quote(revision)} is not a revision")
    if offline is None:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return _snapshot(repository, choose, revision, offline)


def _snapshot(repo: str, choose: Callable[[list[str]], list[str]], revision: str | None, offline: bool) -> Path:
    from huggingface_hub import HfApi, errors, snapshot_download
    from huggingface_hub.utils import HFValidationError

    try:
        if offline:
            return Path(snapshot_download(repo, revision=revision, local_files_only=True))
        info = HfApi().model_info(repo, revision=revision, timeout=10)
        names = choose([item.rfilename for item in info.siblings or []])
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
        raise UsageError(f"{quote(repo)} is not a hub id") from None
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
