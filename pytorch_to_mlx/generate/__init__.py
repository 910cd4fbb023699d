"""Loops that call a model many times: sampling, search, solvers, streams."""
