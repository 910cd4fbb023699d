"""`benchmark decoding`: names of GGUF tensors, and what each step of a text is given."""

from pytorch_to_mlx.bench import decoding


def test_names_of_gguf_tensors():
    assert decoding.mlx_lm_name("token_embd.weight") == "model.embed_tokens.weight"
    assert decoding.mlx_lm_name("blk.7.attn_q.weight") == "model.layers.7.self_attn.q_proj.weight"
    assert decoding.mlx_lm_name("output_norm.weight") == "model.norm.weight"


def test_a_text_is_decoded_token_by_token():
    inputs, seconds = [], []

    def step(ids):
        inputs.append(ids)
        return len(inputs)

    tokens = decoding._decode(step, [5, 6, 7], seconds)
    assert inputs[:3] == [[5, 6, 7], [1], [2]]
    assert tokens == list(range(1, decoding.N_TOKENS + 2)) and len(seconds) == decoding.N_TOKENS
