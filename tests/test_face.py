"""`import pytorch_to_mlx`: the public names are functions, whatever has been imported before."""

import importlib

import pytorch_to_mlx


def test_public_names_stay_functions():
    importlib.import_module("pytorch_to_mlx.validate.run")
    importlib.import_module("pytorch_to_mlx.models")
    for name in set(pytorch_to_mlx.__all__) - {"__version__"}:
        for _ in range(2):
            assert callable(getattr(pytorch_to_mlx, name)), name
