"""Proof that generated source computes what PyTorch computes: outputs, submodules, other sizes."""
