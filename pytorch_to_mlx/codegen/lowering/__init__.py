"""From an op of PyTorch to its MLX form: the table of ops, and the functions that MLX lacks. Free of torch."""
