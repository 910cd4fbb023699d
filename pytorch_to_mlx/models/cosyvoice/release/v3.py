"""What cosyvoice3.yaml says: the classes it builds, where our numbers stand, and what the port relies on."""

from . import v2

FLOW = {
    "flow.encoder.channels": "flow.pre_lookahead_layer.channels",
    "flow.encoder.lookahead": "flow.pre_lookahead_len",
    "flow.estimator.hidden_size": "flow.decoder.estimator.dim",
    "flow.estimator.num_hidden_layers": "flow.decoder.estimator.depth",
    "flow.estimator.num_attention_heads": "flow.decoder.estimator.heads",
    "flow.estimator.head_dim": "flow.decoder.estimator.dim_head",
    "flow.estimator.ff_mult": "flow.decoder.estimator.ff_mult",
    "flow.chunk_size": "chunk_size",
}
_OTHER_FLOW = ("flow.encoder", "flow.estimator", "flow.chunk_size")

CLASSES = {where: name for where, name in v2.CLASSES.items() if where != "flow.encoder"} | {
    "llm": "cosyvoice.llm.llm.CosyVoice3LM",
    "flow": "cosyvoice.flow.flow.CausalMaskedDiffWithDiT",
    "flow.pre_lookahead_layer": "cosyvoice.transformer.upsample_encoder.PreLookaheadLayer",
    "flow.decoder.estimator": "cosyvoice.flow.DiT.dit.DiT",
    "hift": "cosyvoice.hifigan.generator.CausalHiFTGenerator",
    "hift.f0_predictor": "cosyvoice.hifigan.f0_predictor.CausalConvRNNF0Predictor",
}

FIELDS = {ours: theirs for ours, theirs in v2.FIELDS.items() if not ours.startswith(_OTHER_FLOW)} | {
    **FLOW,
    "hift.lookahead": "hift.conv_pre_look_right",
}

EXPECTED = {
    where: value
    for where, value in v2.EXPECTED.items()
    if not where.startswith(("flow.input_size", "flow.encoder", "flow.decoder.estimator"))
} | {
    "flow.input_size": "=flow.n_mels",
    "flow.pre_lookahead_layer.in_channels": "=flow.n_mels",
    "flow.pre_lookahead_layer.pre_lookahead_len": "=flow.encoder.lookahead",
    "flow.decoder.estimator.mel_dim": "=flow.n_mels",
    "flow.decoder.estimator.mu_dim": "=flow.n_mels",
    "flow.decoder.estimator.spk_dim": "=flow.n_mels",
    "flow.decoder.estimator.long_skip_connection": False,
    "flow.decoder.estimator.num_decoding_left_chunks": -1,
}
