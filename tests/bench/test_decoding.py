"""`benchmark decoding`: what each step of a text is given."""

from pytorch_to_mlx.bench import decoding


def test_a_text_is_decoded_token_by_token():
    inputs, seconds = [], []

    def step(ids):
        inputs.append(ids)
        return len(inputs)

    tokens = decoding._decode(step, [5, 6, 7], seconds)
    assert inputs[:3] == [[5, 6, 7], [1], [2]]
    assert tokens == list(range(1, decoding.N_TOKENS + 2)) and len(seconds) == decoding.N_TOKENS
