"""Sources that are not there, and a hub that cannot be reached (faults 55 and 82)."""

import pytest
from checkpoint.hostile import assert_refused

from pytorch_to_mlx.checkpoint import locate
from pytorch_to_mlx.errors import MachineError, UsageError


@pytest.mark.parametrize(
    "source", ["https://x.invalid/model", "file:///etc/passwd", "a/b/c", "../../a/b", "~nobody/x/y", "a b/c"]
)
def test_url_or_missing_path_is_never_fetched(source, monkeypatch):
    """Fault 55."""
    import socket

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("network"))
    error = assert_refused(lambda: locate(source, offline=False).path, UsageError, source[:20], limit_s=1.0)
    assert error.exit_code == 2


def test_offline(tmp_path):
    """Fault 82, in a fresh process: a hub id without network answers at once; a local path imports no hub client."""
    import resource
    import subprocess
    import sys

    script = (
        "import sys\nfrom pytorch_to_mlx.checkpoint import locate\nfrom pytorch_to_mlx.errors import MachineError\n"
        f"assert str(locate({str(tmp_path)!r}).path) == {str(tmp_path)!r}\n"
        "assert 'huggingface_hub' not in sys.modules\n"
        "try:\n    locate('org/model-that-is-not-cached').path\n"
        "except MachineError as error:\n    print(error.exit_code, error)\n"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "PATH": "", "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = ":".join(path for path in sys.path if path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert child.returncode == 0, child.stderr
    assert child.stdout.startswith(
        "6 org/model-that-is-not-cached: no such folder; as a hub id: is not in the hub's cache"
    ), child.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 4.0  # of the processor, the process's own start included


def test_no_network(monkeypatch, tmp_path):
    """Fault 82."""
    import socket

    def unreachable(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    error = assert_refused(
        lambda: locate("org/model", offline=False).path, MachineError, "org/model", "cannot be reached", limit_s=2.0
    )
    assert error.exit_code == 6
