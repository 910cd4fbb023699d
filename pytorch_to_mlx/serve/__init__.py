"""Serve models to many clients over HTTP: one thread owns MLX, and the protocols that clients speak stand around it."""
