"""What cosyvoice.yaml says: the classes it builds, where our numbers stand, and what the port relies on."""

from . import v2

CLASSES = v2.CLASSES | {
    "llm": "cosyvoice.llm.llm.TransformerLM",
    "llm.text_encoder": "cosyvoice.transformer.encoder.ConformerEncoder",
    "llm.llm": "cosyvoice.transformer.encoder.TransformerEncoder",
    "flow": "cosyvoice.flow.flow.MaskedDiffWithXvec",
    "flow.encoder": "cosyvoice.transformer.encoder.ConformerEncoder",
    "flow.length_regulator": "cosyvoice.flow.length_regulator.InterpolateRegulator",
    "flow.decoder": "cosyvoice.flow.flow_matching.ConditionalCFM",
    "flow.decoder.estimator": "cosyvoice.flow.decoder.ConditionalDecoder",
}

_ONLY_LATER = ("lm.mix_ratio", "flow.token_mel_ratio", "flow.chunk_size", "flow.encoder.lookahead")

FIELDS = {ours: theirs for ours, theirs in v2.FIELDS.items() if ours not in _ONLY_LATER} | {
    "lm.vocab_size": "llm.text_token_size",
    "lm.num_languages": "get_tokenizer.num_languages",
    "lm.text_size": "llm.text_encoder_input_size",
    "lm.speaker_dim": "llm.spk_embed_dim",
    "lm.hidden_size": "llm.llm.output_size",
    "lm.num_attention_heads": "llm.llm.attention_heads",
    "lm.intermediate_size": "llm.llm.linear_units",
    "lm.num_hidden_layers": "llm.llm.num_blocks",
    "lm.text_encoder.hidden_size": "llm.text_encoder.output_size",
    "lm.text_encoder.num_attention_heads": "llm.text_encoder.attention_heads",
    "lm.text_encoder.intermediate_size": "llm.text_encoder.linear_units",
    "lm.text_encoder.num_hidden_layers": "llm.text_encoder.num_blocks",
    "flow.token_rate": "flow.input_frame_rate",
    "flow.sample_rate": "sample_rate",
    "flow.hop_length": "feat_extractor.hop_size",
}


def _attention(where: str, input_layer: str) -> dict[str, object]:
    return {
        f"{where}.input_layer": input_layer,
        f"{where}.pos_enc_layer_type": "rel_pos_espnet",
        f"{where}.selfattention_layer_type": "rel_selfattn",
    }


EXPECTED = {where: value for where, value in v2.EXPECTED.items() if not where.endswith("num_decoding_left_chunks")} | {
    "sample_rate": 22050,  # the vocoder of another rate has another source
    "llm.text_encoder.input_size": "=lm.text_size",
    **_attention("llm.text_encoder", "linear"),
    "llm.text_encoder.normalize_before": True,
    "llm.text_encoder.use_cnn_module": False,
    "llm.text_encoder.macaron_style": False,
    "llm.text_encoder.use_dynamic_chunk": False,
    "llm.text_encoder.static_chunk_size": 1,
    "llm.llm.input_size": "=lm.hidden_size",
    **_attention("llm.llm", "linear_legacy"),
    "llm.llm.static_chunk_size": 1,
    "flow.length_regulator.channels": "=flow.n_mels",
    "flow.length_regulator.sampling_ratios": [1, 1, 1, 1],
    "flow.decoder.estimator.channels": ["=flow.estimator.channels", "=flow.estimator.channels"],
    "get_tokenizer.multilingual": True,
}
