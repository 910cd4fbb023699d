"""version.py: which versions a result notes."""

import platform
from importlib.metadata import version

from pytorch_to_mlx.version import PACKAGES, __version__, versions


def test_installed_packages_in_order():
    asked = ("numpy", "python", "no-such-package-of-ours", "pytorch-to-mlx")
    assert list(versions(asked).items()) == [
        ("numpy", version("numpy")),
        ("python", platform.python_version()),
        ("pytorch-to-mlx", __version__),
    ]


def test_comparisons_note_both_sides():
    assert {"python", "pytorch-to-mlx", "mlx", "torch", "numpy"} <= versions().keys() <= set(PACKAGES)
