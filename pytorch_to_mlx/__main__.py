"""`python -m pytorch_to_mlx` is the command `pytorch-to-mlx`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
