"""Ask other machines over ssh what they have of what several machines need together."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import CheckError, MachineError, UsageError

TIMEOUT_S = 10
PACKAGES = ("mlx", "mlx-lm", "pytorch-to-mlx")
# It is run on the other machine: versions of installed packages, as JSON.
_QUESTION = (
    "import json, platform\nfrom importlib import metadata\nversions = {'python': platform.python_version()}\n"
    f"for name in {PACKAGES!r}:\n    try:\n        versions[name] = metadata.version(name)\n"
    "    except metadata.PackageNotFoundError:\n        versions[name] = None\nprint(json.dumps(versions))"
)


@dataclass(frozen=True)
class Host:
    """One machine. versions: of Python and PACKAGES, None for what is not installed. problem: why there are none."""

    name: str
    versions: dict[str, str | None] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Hosts:
    """What `doctor --hosts` shows."""

    hosts: tuple[Host, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return a line for each machine."""
        names = ("python", *PACKAGES)
        return [
            {"host": host.name, **{name: host.versions.get(name) for name in names}, "problem": host.problem}
            for host in self.hosts
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)

    def check(self) -> "Hosts":
        """Return self. Raises: CheckError where a machine does not answer, lacks a package, or has another version."""
        problems = [f"{host.name}: {host.problem}" for host in self.hosts if host.problem]
        for name in PACKAGES:
            versions = {host.name: host.versions.get(name) for host in self.hosts if not host.problem}
            problems += [f"{host}: {name} is not installed" for host, version in versions.items() if version is None]
            if len(set(versions.values()) - {None}) > 1:
                problems.append(f"{name}: {', '.join(f'{version} on {host}' for host, version in versions.items())}")
        if problems:
            raise CheckError(
                "the machines cannot work together", fix="install the same versions on each", details=problems
            )
        return self


def ask_hosts(names: Sequence[str]) -> Hosts:
    """Ask each machine, all at once, with the path of this Python, which is what mlx.launch starts there.

    names: as ssh takes them, also several with commas between.
    Raises: UsageError for what is no name of a machine; MachineError without ssh.
    """
    hosts = [host for name in names for host in name.split(",") if host]
    if wrong := [host for host in hosts if not re.fullmatch(r"[A-Za-z0-9_][\w.@-]*", host)]:
        raise UsageError(f"{wrong[0]!r:.60} is not the name of a machine", fix="give names as ssh takes them: a,b")
    if not hosts:
        raise UsageError("no machine is named", fix="--hosts a,b")
    command = shutil.which("ssh")
    if command is None:
        raise MachineError("there is no ssh", fix="Debian: apt install openssh-client")
    with ThreadPoolExecutor(len(hosts)) as pool:
        return Hosts(tuple(pool.map(lambda host: _ask(command, host), hosts)))


def _ask(command: str, host: str) -> Host:
    question = shlex.join([sys.executable, "-c", _QUESTION])
    options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={TIMEOUT_S}"]
    try:
        done = subprocess.run(
            [command, *options, "--", host, question],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=2 * TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Host(host, problem=f"no answer within {2 * TIMEOUT_S} s")
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
    if done.returncode == 255:
        return Host(host, problem=f"ssh: {last}")
    try:
        versions = json.loads(done.stdout.strip().splitlines()[-1])
        return Host(host, {name: versions[name] for name in ("python", *PACKAGES)})
    except (ValueError, KeyError, TypeError, IndexError):
        return Host(host, problem=f"{sys.executable} does not answer there: {last}")
