"""The version of this package, and of the packages that a result depends on."""

import platform
from collections.abc import Iterable

__version__ = "0.1.0"

PACKAGES = ("python", "pytorch-to-mlx", "pytorch-to-mlx-cpu", "mlx", "torch", "numpy")
"""What every comparison with PyTorch depends on."""


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the version of each package that is installed, in the order given; "python" counts as one."""
    from importlib.metadata import PackageNotFoundError, version

    known = {"python": platform.python_version(), "pytorch-to-mlx": __version__}
    for package in packages:
        if package not in known:
            try:
                known[package] = version(package)
            except PackageNotFoundError:
                continue
    return {package: known[package] for package in packages if package in known}
