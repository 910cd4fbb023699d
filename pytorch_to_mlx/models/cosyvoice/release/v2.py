"""What the yaml of version 2 says, under which names, and what the port relies on."""

YAML, BLANK = "cosyvoice2.yaml", "CosyVoice-BlankEN"


# What the yaml asks to build where: the classes that the port was made for.
CLASSES = {
    "llm": "cosyvoice.llm.llm.Qwen2LM",
    "llm.llm": "cosyvoice.llm.llm.Qwen2Encoder",
    "llm.sampling": "cosyvoice.utils.common.ras_sampling",
    "flow": "cosyvoice.flow.flow.CausalMaskedDiffWithXvec",
    "flow.encoder": "cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder",
    "flow.decoder": "cosyvoice.flow.flow_matching.CausalConditionalCFM",
    "flow.decoder.estimator": "cosyvoice.flow.decoder.CausalConditionalDecoder",
    "hift": "cosyvoice.hifigan.generator.HiFTGenerator",
    "hift.f0_predictor": "cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor",
    "feat_extractor": "matcha.utils.audio.mel_spectrogram",
}


# Our field <- the yaml's.
FIELDS = {
    "sample_rate": "sample_rate",
    "lm.speech_token_size": "llm.speech_token_size",
    "lm.mix_ratio": "llm.mix_ratio",
    "lm.top_p": "llm.sampling.top_p",
    "lm.top_k": "llm.sampling.top_k",
    "lm.win_size": "llm.sampling.win_size",
    "lm.tau_r": "llm.sampling.tau_r",
    "flow.vocab_size": "flow.vocab_size",
    "flow.speaker_dim": "flow.spk_embed_dim",
    "flow.n_mels": "flow.output_size",
    "flow.token_mel_ratio": "flow.token_mel_ratio",
    "flow.chunk_size": "flow.encoder.static_chunk_size",
    "flow.guidance_rate": "flow.decoder.cfm_params.content.inference_cfg_rate",
    "flow.encoder.hidden_size": "flow.encoder.output_size",
    "flow.encoder.num_attention_heads": "flow.encoder.attention_heads",
    "flow.encoder.intermediate_size": "flow.encoder.linear_units",
    "flow.encoder.num_hidden_layers": "flow.encoder.num_blocks",
    "flow.encoder.lookahead": "flow.pre_lookahead_len",
    "flow.estimator.channels": "flow.decoder.estimator.channels.0",
    "flow.estimator.num_attention_heads": "flow.decoder.estimator.num_heads",
    "flow.estimator.head_dim": "flow.decoder.estimator.attention_head_dim",
    "flow.estimator.num_mid_blocks": "flow.decoder.estimator.num_mid_blocks",
    "flow.estimator.num_transformer_layers": "flow.decoder.estimator.n_blocks",
    "hift.sample_rate": "hift.sampling_rate",
    "hift.n_mels": "hift.in_channels",
    "hift.n_fft": "hift.istft_params.n_fft",
    "hift.hop_length": "hift.istft_params.hop_len",
    "hift.f0_channels": "hift.f0_predictor.cond_channels",
    "mel.n_fft": "feat_extractor.n_fft",
    "mel.hop_length": "feat_extractor.hop_size",
    "mel.n_mels": "feat_extractor.num_mels",
    "mel.f_min": "feat_extractor.fmin",
    "mel.f_max": "feat_extractor.fmax",
}


FIELDS |= {f"hift.{name}": f"hift.{name}" for name in (
    "base_channels nb_harmonics nsf_alpha nsf_sigma nsf_voiced_threshold upsample_rates upsample_kernel_sizes "
    "resblock_kernel_sizes resblock_dilation_sizes source_resblock_kernel_sizes source_resblock_dilation_sizes "
    "lrelu_slope audio_limit"
).split()}  # fmt: skip


# What the port relies on. A text is the name of another value that must be equal.
EXPECTED = {
    "token_frame_rate": 25,
    "llm.llm_input_size": "=lm.hidden_size",
    "llm.llm_output_size": "=lm.hidden_size",
    "flow.output_type": "mel",
    "flow.input_size": "=flow.encoder.hidden_size",
    "flow.encoder.input_size": "=flow.encoder.hidden_size",
    "flow.encoder.normalize_before": True,
    "flow.encoder.input_layer": "linear",
    "flow.encoder.pos_enc_layer_type": "rel_pos_espnet",
    "flow.encoder.selfattention_layer_type": "rel_selfattn",
    "flow.encoder.use_cnn_module": False,
    "flow.encoder.macaron_style": False,
    "flow.decoder.cfm_params.content.solver": "euler",
    "flow.decoder.cfm_params.content.t_scheduler": "cosine",
    "flow.decoder.estimator.act_fn": "gelu",
    "flow.decoder.estimator.num_decoding_left_chunks": -1,
    "feat_extractor.win_size": "=mel.n_fft",
    "feat_extractor.center": False,
    "feat_extractor.sampling_rate": "=sample_rate",
    "hift.f0_predictor.num_class": 1,
}


QWEN = (
    "hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads vocab_size "
    "rms_norm_eps rope_theta"
).split()


QWEN_EXPECTED = {"model_type": "qwen2", "hidden_act": "silu", "use_sliding_window": False, "rope_scaling": None}
