"""Blocks with weights that several models share: one equation each, plain numbers in, no model names."""
