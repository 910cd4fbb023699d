"""Version 1 in the original: built with our sizes, and its values stage by stage."""

import warnings
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from ..conformer import ConformerConfig
from ..flow.regulated import LAYERS, RegulatedFlowConfig
from ..lm.transformer import TransformerLMConfig
from .imports import original
from .taps import Taps, masks_in_float64

ATTENTION = {"pos_enc_layer_type": "rel_pos_espnet", "selfattention_layer_type": "rel_selfattn"}


def build_transformer_lm(config: TransformerLMConfig) -> Any:
    """Build the original's TransformerLM, with random weights."""
    llm, encoders, common = original("cosyvoice.llm.llm", "cosyvoice.transformer.encoder", "cosyvoice.utils.common")
    size = config.hidden_size
    decoder = encoders.TransformerEncoder(
        size,
        size,
        config.num_attention_heads,
        config.intermediate_size,
        config.num_hidden_layers,
        input_layer="linear_legacy",
        static_chunk_size=1,
        **ATTENTION,
    )

    def sampling(scores: Any, decoded: Any, number: int) -> Any:
        return common.ras_sampling(scores, decoded, number, config.top_p, config.top_k, config.win_size, config.tau_r)

    return llm.TransformerLM(
        config.text_size,
        size,
        size,
        config.vocab_size,
        config.speech_token_size,
        _conformer(config.text_size, config.text_encoder, static_chunk_size=1),
        decoder,
        sampling,
        spk_embed_dim=config.speaker_dim,
    ).eval()


def build_regulated_flow(config: RegulatedFlowConfig) -> Any:
    """Build the original's MaskedDiffWithXvec, with random weights."""
    flow, matching, decoder, regulator = original(
        "cosyvoice.flow.flow", "cosyvoice.flow.flow_matching", "cosyvoice.flow.decoder",
        "cosyvoice.flow.length_regulator",
    )  # fmt: skip
    sizes, mels = config.estimator, config.n_mels
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`LoRACompatibleLinear`", FutureWarning)  # diffusers, about its own
        estimator = decoder.ConditionalDecoder(
            4 * mels,
            mels,
            channels=[sizes.channels] * 2,
            dropout=0.0,
            attention_head_dim=sizes.head_dim,
            n_blocks=sizes.num_transformer_layers,
            num_mid_blocks=sizes.num_mid_blocks,
            num_heads=sizes.num_attention_heads,
            act_fn="gelu",
        )
    cfm = SimpleNamespace(
        sigma_min=1e-6,
        solver="euler",
        t_scheduler="cosine",
        training_cfg_rate=0.2,
        inference_cfg_rate=config.guidance_rate,
        reg_loss_type="l1",
    )
    return flow.MaskedDiffWithXvec(
        config.encoder.hidden_size,
        mels,
        config.speaker_dim,
        vocab_size=config.vocab_size,
        input_frame_rate=config.token_rate,
        encoder=_conformer(config.encoder.hidden_size, config.encoder),
        length_regulator=regulator.InterpolateRegulator(mels, [1] * LAYERS),
        decoder=matching.ConditionalCFM(3 * mels, cfm, 1, mels, estimator),
    ).eval()


def _conformer(input_size: int, config: ConformerConfig, **options: Any) -> Any:
    (encoders,) = original("cosyvoice.transformer.encoder")
    return encoders.ConformerEncoder(
        input_size,
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        config.num_hidden_layers,
        input_layer="linear",
        use_cnn_module=False,
        macaron_style=False,
        **ATTENTION,
        **options,
    )


def lm_taps(model: Any, text: list[int], speech: list[int], speaker: np.ndarray | None) -> Taps:
    """Return hidden states and logits of the teacher-forced sequence sos, speaker, text, task, speech.

    Shapes: speaker [1, speaker_dim].
    """
    import torch

    dtype = model.llm_decoder.weight.dtype
    for encoder in (model.llm, model.text_encoder):
        encoder.embed.pos_enc.pe = encoder.embed.pos_enc.pe.to(dtype)
    with torch.no_grad():
        encoded, _ = model.encode(model.text_embedding(torch.tensor([text])), torch.tensor([len(text)]))
        rows = [model.llm_embedding.weight[None, :1], encoded, model.llm_embedding.weight[None, 1:]]
        if speaker is not None:
            voice = torch.nn.functional.normalize(torch.from_numpy(speaker).to(dtype), dim=1)
            rows.insert(1, model.spk_embed_affine_layer(voice)[None])
        rows.append(model.speech_embedding(torch.tensor([speech], dtype=torch.int64)))
        x = torch.cat(rows, dim=1)
        hidden, _ = model.llm(x, torch.tensor([x.shape[1]]))
        return {"lm_hidden": hidden.numpy(), "lm_logits": model.llm_decoder(hidden).numpy()}


def flow_taps(flow: Any, inputs: Mapping[str, Any], cache: Any = None) -> tuple[Taps, Any]:
    """Run the flow from the noise in `inputs`; return its taps, features last, and its cache for the next window.

    Shapes: tokens [1, L], prompt_tokens [1, P], prompt_mel [1, F, n_mels], speaker [1, speaker_dim], flow_noise
    [1, >= F + frames, n_mels].
    """
    import torch

    taps: Taps = {}
    dtype = flow.encoder_proj.weight.dtype
    flow.encoder.embed.pos_enc.pe = flow.encoder.embed.pos_enc.pe.to(dtype)
    tokens, prompt = (torch.from_numpy(np.asarray(inputs[name])) for name in ("tokens", "prompt_tokens"))
    prompt_mel, speaker = (torch.from_numpy(inputs[name]).to(dtype) for name in ("prompt_mel", "speaker"))
    noise = torch.from_numpy(inputs["flow_noise"]).transpose(1, 2)
    solve = flow.decoder.solve_euler

    def before_step(module: Any, args: Any) -> None:
        taps[f"step {sum(name.startswith('step') for name in taps)}"] = _features_last(args[0][:1])

    def in_dtype(x: Any, t_span: Any, mu: Any, mask: Any, spks: Any, cond: Any, **more: Any) -> Any:
        return solve(x.to(dtype), t_span.to(dtype), mu, mask, spks, cond, **more)

    hooks = [
        flow.encoder_proj.register_forward_hook(lambda _, args, y: taps.update(encoder=y.numpy())),
        flow.length_regulator.model.register_forward_hook(lambda _, a, y: taps.update(regulator=_features_last(y))),
        flow.decoder.estimator.register_forward_pre_hook(before_step),
        flow.decoder.register_forward_hook(lambda _, args, y: taps.update({"step 10": _features_last(y[0])})),
    ]
    lengths = [torch.tensor([x.shape[1]]) for x in (tokens, prompt, prompt_mel)]
    cache = torch.zeros(1, prompt_mel.shape[2], 0, 2) if cache is None else cache
    try:
        with (
            torch.inference_mode(),
            masks_in_float64(),
            patch.object(torch, "randn_like", lambda x: noise[:, :, : x.shape[2]].to(x.dtype).clone()),
            patch.object(flow.decoder, "solve_euler", in_dtype),
        ):
            mel, cache = flow.inference(
                tokens, lengths[0], prompt, lengths[1], prompt_mel, lengths[2], speaker, cache.to(dtype)
            )
    finally:
        for hook in hooks:
            hook.remove()
    del taps["step 0"]  # the noise
    return taps | {"mel": _features_last(mel)}, cache


def vocoder_taps(hift: Any, mel: np.ndarray, noise: np.ndarray, phases: np.ndarray, starts: Mapping[str, Any]) -> Taps:
    """Return pitch, source and audio. starts: taps of another precision, from which later stages start.

    Shapes: mel [1, T, n_mels], noise [1, L, harmonics + 1], phases [harmonics + 1] -> f0 [1, T], the others [1, L].
    """
    import torch

    with torch.inference_mode():
        x = torch.from_numpy(mel).transpose(1, 2).to(hift.conv_pre.bias.dtype)
        f0 = hift.f0_predictor(x)
        source = torch_source(hift, torch.from_numpy(starts.get("f0", f0.numpy())), noise, phases)
        taps = {"f0": f0.numpy(), "source": source.numpy()}
        start = torch.from_numpy(starts.get("source", taps["source"])).to(x)
        return taps | {"audio": hift.decode(x=x, s=start[:, None]).numpy()}


def torch_source(hift: Any, f0: Any, noise: np.ndarray, phases: np.ndarray) -> Any:
    """Return the harmonic source of a pitch. Shapes: f0 [1, T], noise [1, L, H], phases [H] -> [1, L]."""
    import torch

    (generator,) = original("cosyvoice.hifigan.generator")
    drawn = torch.from_numpy(noise).transpose(1, 2)
    initial = torch.from_numpy(phases)[None, :, None]

    def injected(like: Any) -> Any:
        return drawn.to(like) if like.shape == drawn.shape else torch.zeros_like(like)

    class Fixed:
        def __init__(self, low: float, high: float) -> None: ...

        def sample(self, sample_shape: Any) -> Any:
            return initial.clone()

    dtype = hift.conv_pre.bias.dtype
    with patch.object(torch, "randn_like", injected), patch.object(generator, "Uniform", Fixed):
        source, _, _ = hift.m_source.float()(hift.f0_upsamp(f0.float()[:, None]).transpose(1, 2))
    hift.m_source.to(dtype)  # which it cannot compute in: it makes float32 sines
    return source[..., 0]


def _features_last(x: Any) -> np.ndarray:
    return x.transpose(1, 2).clone().numpy()
