"""Ops that are refused on purpose, with the reason that the user reads."""

from .op_table import refuse

_RANDOM = "it draws random numbers inside the model; pass the noise in as an input"
refuse(
    _RANDOM,
    *(
        "rand.default rand_like.default randn.default randn_like.default randint.default randint.low "
        "randint_like.default randint_like.low_dtype randperm.default bernoulli.default bernoulli.p bernoulli.Tensor "
        "cauchy.default exponential.default geometric.default log_normal.default multinomial.default "
        "normal.Tensor_Tensor normal.Tensor_float normal.float_Tensor normal.float_float normal_functional.default "
        "uniform.default poisson.default randn.generator rand.generator random.default random.from random.to"
    ).split(),
)
refuse(
    "sparse tensors do not exist in MLX",
    *"_to_sparse.default _to_sparse.sparse_dim _sparse_mm_reduce_impl.default sparse_sampled_addmm.default".split(),
)
