"""What models of transformers need to be exported."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, MixtralConfig, MixtralForCausalLM

from pytorch_to_mlx.codegen.capture.transformers_export import is_transformers, transformers_patches

TINY = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def test_models_of_transformers_are_recognised():
    assert is_transformers(BertModel(BertConfig(**TINY))) and not is_transformers(nn.Linear(2, 2))


def test_experts_are_batched_while_a_model_is_exported():
    config = MixtralConfig(**TINY, num_key_value_heads=2, num_local_experts=2, use_cache=False)
    model = MixtralForCausalLM(config).eval()
    model.set_experts_implementation("eager")
    inputs = {"input_ids": torch.arange(8).reshape(2, 4)}
    with pytest.raises(KeyError), transformers_patches(model, dict(inputs)):
        assert model.config._experts_implementation == "batched_mm"
        raise KeyError
    assert model.config._experts_implementation == "eager"
