"""The machine: BLAS under MLX, devices, threads, dtype policy. Importing this puts a fast BLAS under MLX on Linux."""
