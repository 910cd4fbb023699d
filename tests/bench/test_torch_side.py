"""What is measured of PyTorch itself."""

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from pytorch_to_mlx.bench import torch_side

QWEN2 = {
    "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "num_attention_heads": 2,
    "num_key_value_heads": 1, "vocab_size": 50, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": True,
}  # fmt: skip


def test_an_op_runs_on_tensors_without_gradients():
    call = torch_side.op(lambda t, x, y: t.matmul(x, y), [np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)])
    result = call()
    assert result.tolist() == [[3, 3], [3, 3]] and result.is_inference()


def test_time_by_op_names_aten_ops():
    x = torch.ones(64, 64)
    seconds = torch_side.seconds_by_op(lambda: x @ x)
    assert "aten::mm" in seconds and list(seconds.values()) == sorted(seconds.values(), reverse=True)


@pytest.mark.parametrize("prompt", [[1, 2, 3], [4]])
def test_qwen2_decodes_as_the_whole_text_does(prompt):
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": QWEN2["rope_theta"]}
    model = Qwen2ForCausalLM(Qwen2Config(**QWEN2, rope_parameters=rope)).eval()
    weights = {name: value.numpy() for name, value in model.state_dict().items() if name != "lm_head.weight"}
    step = torch_side.qwen2(QWEN2, weights)()
    tokens = [step(prompt)]
    for _ in range(4):
        tokens.append(step(tokens[-1:]))
    text = list(prompt)
    with torch.inference_mode():
        for _ in range(5):
            text.append(int(model(torch.tensor([text])).logits[0, -1].argmax()))
    assert tokens == text[len(prompt) :]
