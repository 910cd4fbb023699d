"""Ops that are refused on purpose, with the reason that the user reads."""

from .op_table import refuse

refuse(
    "it draws random numbers inside the model, which are not computed from noise here; pass them in as an input",
    *"poisson.default random.default random.from random.to".split(),
)
refuse(
    "sparse tensors do not exist in MLX",
    *"_to_sparse.default _to_sparse.sparse_dim _sparse_mm_reduce_impl.default sparse_sampled_addmm.default".split(),
)
