"""Put a fast BLAS under MLX on a Linux CPU.

MLX's Linux wheel contains netlib's reference BLAS, 30 to 100 times slower than an optimised one. `libmlx.so` calls
`cblas_sgemm` through the dynamic linker, so a library with that symbol, opened globally before it, takes its place.
"""

import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REFERENCE = "reference BLAS"


@dataclass(frozen=True)
class Blas:
    """The library that multiplies MLX's matrices on this CPU; if it is slow, the problem and how to fix it."""

    name: str
    path: Path | None = None
    problem: str | None = None
    fix: str | None = None


class _BeforeMlx:
    """An import hook that opens the BLAS just before MLX, so that programs without MLX never wait for it."""

    def find_spec(self, name, path=None, target=None):
        if name == "mlx.core":
            sys.meta_path.remove(self)
            _set(choose())
        return None  # the usual finders find the module


_chosen: Blas | None = None


def prepare() -> None:
    """Arrange for a fast BLAS to be opened before `mlx.core` is imported, where MLX needs one."""
    if not _has_reference_blas() and _setting() is None:
        _set(Blas("MLX's own"))
    elif "mlx.core" in sys.modules:
        _set(
            Blas(
                REFERENCE,
                problem="mlx.core was imported before pytorch_to_mlx.backend, so the BLAS could not be replaced",
                fix="import pytorch_to_mlx.backend first",
            )
        )
    elif not any(isinstance(finder, _BeforeMlx) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BeforeMlx())  # pyright: ignore[reportArgumentType]


def current() -> Blas:
    """Return the BLAS under MLX; before MLX is imported, open and return the one that will be."""
    return _chosen or choose()


def choose() -> Blas:
    """Open the best BLAS on this machine and return it.

    PYTORCH_TO_MLX_BLAS=off leaves MLX alone; any other value is the path of a library with cblas_sgemm or sgemm_.
    """
    setting = _setting()
    if setting == "off":
        return Blas(REFERENCE, problem="PYTORCH_TO_MLX_BLAS=off", fix="unset PYTORCH_TO_MLX_BLAS")
    failures = []
    for name, path in [(setting, Path(setting))] if setting else _candidates():
        problem = _open(path)
        if problem is None:
            return Blas(name, path)
        failures.append(f"{name}: {problem}")
    slow = "MLX multiplies matrices 30 to 100 times too slowly"
    problem = f"could not open {'; '.join(failures)}" if failures else slow
    return Blas(REFERENCE, problem=problem, fix="pip install ./csrc  (with a C++ compiler), or: pip install mkl")


def _setting() -> str | None:
    return os.environ.get("PYTORCH_TO_MLX_BLAS") or None


def _set(blas: Blas) -> None:
    global _chosen
    _chosen = blas


def _has_reference_blas() -> bool:
    """Return whether the installed MLX is the Linux wheel with the reference BLAS inside."""
    if not sys.platform.startswith("linux"):
        return False
    spec = importlib.util.find_spec("mlx")
    folders = spec.submodule_search_locations if spec else None
    return any(True for folder in folders or () for _ in Path(folder).parent.glob("mlx_cpu.libs/libblas*"))


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)  # finds a top-level package without importing it
    return Path(spec.origin).parent if spec and spec.origin else None


def _candidates() -> Iterator[tuple[str, Path]]:
    """Yield the libraries to try, fastest first."""
    own = _package("pytorch_to_mlx_cpu")
    if own and (own / "libptm_blas.so").exists():
        yield "pytorch-to-mlx-cpu", own / "libptm_blas.so"
    for path in sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so.*")):
        yield "MKL", path
    try:
        ctypes.CDLL("libopenblas.so.0")
    except OSError:
        pass
    else:
        yield "OpenBLAS (system)", Path("libopenblas.so.0")
    torch = _package("torch")
    if torch and (torch / "lib" / "libtorch_cpu.so").exists():  # 0.2 s to open, so only where there is nothing else
        yield "MKL (PyTorch's libtorch_cpu)", torch / "lib" / "libtorch_cpu.so"


def _open(path: Path) -> str | None:
    """Open a library for the whole process; return what is wrong with it, or None."""
    try:
        library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return str(error)
    # MLX's bundled cblas_sgemm calls sgemm_, so either symbol is enough.
    if hasattr(library, "cblas_sgemm") or hasattr(library, "sgemm_"):
        return None
    return "it has no cblas_sgemm and no sgemm_"
