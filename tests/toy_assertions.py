"""Assertions about values of tensors, in a file whose assertions pytest does not rewrite."""

import torch


def negated(x):
    assert not torch.isnan(x).any(), "nan"
    return x * 2


def mixed(x):
    assert x.max() < 1e5 and not (x.abs().sum() == 0), "zero"
    return x * 2
