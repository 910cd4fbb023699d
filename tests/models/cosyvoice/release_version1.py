"""Write a CosyVoice 1 release folder with seeded random weights, in the layout and with the names of the original.

    PYTHONPATH=tests python -m models.cosyvoice.release_version1 FOLDER [--tiny]

The tensors are those of the packaged original's classes; the yaml is that of its recipe.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from pytorch_to_mlx.models.cosyvoice.config import Config1
from pytorch_to_mlx.models.cosyvoice.original.audio import build_hift
from pytorch_to_mlx.models.cosyvoice.original.version1 import build_regulated_flow, build_transformer_lm
from pytorch_to_mlx.models.cosyvoice.text.whisper_tokenizer import OWN_SIZE

from . import onnx_files, onnx_files_version1
from .release import random_state

SPEAKERS = ("中文女", "英文男")


def config_of(tiny: bool = True, rate: int = 50) -> Config1:
    """The sizes of a release with so many tokens a second."""
    config = Config1.tiny() if tiny else Config1()
    if rate == 50:
        return config
    return replace(
        config,
        lm=replace(config.lm, vocab_size=OWN_SIZE),
        flow=replace(config.flow, token_rate=25),
        speech_tokenizer=replace(config.speech_tokenizer, stride=2),
    )


def write_release(folder: Path, config: Config1, *, speakers: bool = True) -> Path:
    """Write the whole folder; its language model says end only rarely."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = "cosyvoice.tokenizer.tokenizer" if config.lm.vocab_size == OWN_SIZE else "whisper.tokenizer"
    text = YAML.format(lm=config.lm, flow=config.flow, hift=config.hift, tokenizer=tokenizer)
    (folder / "cosyvoice.yaml").write_text(text, encoding="utf-8")
    builders = (("llm", build_transformer_lm, config.lm), ("flow", build_regulated_flow, config.flow))
    for number, (part, build, sizes) in enumerate((*builders, ("hift", build_hift, config.hift))):
        with torch.device("meta"):
            shapes = [(name, tuple(value.shape)) for name, value in build(sizes).state_dict().items()]
        state = random_state(iter(shapes), np.random.default_rng(number))
        if part == "llm":
            state["llm_decoder.bias"][-1] -= 6
        if part == "hift":
            state["f0_predictor.classifier.bias"] += 180.0  # Hz
            state["conv_post.bias"][:9] -= 0.5  # the logarithm of the magnitudes
        torch.save({name: torch.from_numpy(array) for name, array in state.items()}, folder / f"{part}.pt")
    campplus, s3 = config.campplus, config.speech_tokenizer
    first, second, third = campplus.block_layers
    onnx_files.campplus(
        folder / "campplus.onnx",
        channels=campplus.head_channels,
        growth=campplus.growth_rate,
        layers=(first, second, third),
    )
    onnx_files_version1.speech_tokenizer(
        folder / "speech_tokenizer_v1.onnx",
        state=s3.n_audio_state,
        heads=s3.n_audio_head,
        layers=s3.n_audio_layer,
        rate=s3.token_rate,
    )
    if speakers:
        rng = np.random.default_rng(9)
        torch.save(
            {name: {"embedding": torch.from_numpy(rng.standard_normal((1, 192), np.float32))} for name in SPEAKERS},
            folder / "spk2info.pt",
        )
    return folder


YAML = """\
__set_seed1: !apply:random.seed [1986]
__set_seed2: !apply:numpy.random.seed [1986]
__set_seed3: !apply:torch.manual_seed [1986]
__set_seed4: !apply:torch.cuda.manual_seed_all [1986]

sample_rate: 22050
text_encoder_input_size: {lm.text_size}
llm_input_size: {lm.hidden_size}
llm_output_size: {lm.hidden_size}
spk_embed_dim: 192

llm: !new:cosyvoice.llm.llm.TransformerLM
    text_encoder_input_size: !ref <text_encoder_input_size>
    llm_input_size: !ref <llm_input_size>
    llm_output_size: !ref <llm_output_size>
    text_token_size: {lm.vocab_size}
    speech_token_size: 4096
    length_normalized_loss: True
    lsm_weight: 0
    spk_embed_dim: !ref <spk_embed_dim>
    text_encoder: !new:cosyvoice.transformer.encoder.ConformerEncoder
        input_size: !ref <text_encoder_input_size>
        output_size: {lm.text_encoder.hidden_size}
        attention_heads: {lm.text_encoder.num_attention_heads}
        linear_units: {lm.text_encoder.intermediate_size}
        num_blocks: {lm.text_encoder.num_hidden_layers}
        dropout_rate: 0.1
        positional_dropout_rate: 0.1
        attention_dropout_rate: 0.0
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        use_cnn_module: False
        macaron_style: False
        use_dynamic_chunk: False
        use_dynamic_left_chunk: False
        static_chunk_size: 1
    llm: !new:cosyvoice.transformer.encoder.TransformerEncoder
        input_size: !ref <llm_input_size>
        output_size: !ref <llm_output_size>
        attention_heads: {lm.num_attention_heads}
        linear_units: {lm.intermediate_size}
        num_blocks: {lm.num_hidden_layers}
        dropout_rate: 0.1
        positional_dropout_rate: 0.1
        attention_dropout_rate: 0.0
        input_layer: 'linear_legacy'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        static_chunk_size: 1
    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: 0.8
        top_k: 25
        win_size: 10
        tau_r: 0.1

flow: !new:cosyvoice.flow.flow.MaskedDiffWithXvec
    input_size: {flow.encoder.hidden_size}
    output_size: 80
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: 4096
    input_frame_rate: {flow.token_rate}
    only_mask_loss: True
    encoder: !new:cosyvoice.transformer.encoder.ConformerEncoder
        output_size: {flow.encoder.hidden_size}
        attention_heads: {flow.encoder.num_attention_heads}
        linear_units: {flow.encoder.intermediate_size}
        num_blocks: {flow.encoder.num_hidden_layers}
        dropout_rate: 0.1
        positional_dropout_rate: 0.1
        attention_dropout_rate: 0.1
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        input_size: {flow.encoder.hidden_size}
        use_cnn_module: False
        macaron_style: False
    length_regulator: !new:cosyvoice.flow.length_regulator.InterpolateRegulator
        channels: 80
        sampling_ratios: [1, 1, 1, 1]
    decoder: !new:cosyvoice.flow.flow_matching.ConditionalCFM
        in_channels: 240
        n_spks: 1
        spk_emb_dim: 80
        cfm_params: !new:omegaconf.DictConfig
            content:
                sigma_min: 1e-06
                solver: 'euler'
                t_scheduler: 'cosine'
                training_cfg_rate: 0.2
                inference_cfg_rate: 0.7
                reg_loss_type: 'l1'
        estimator: !new:cosyvoice.flow.decoder.ConditionalDecoder
            in_channels: 320
            out_channels: 80
            channels: [{flow.estimator.channels}, {flow.estimator.channels}]
            dropout: 0.0
            attention_head_dim: {flow.estimator.head_dim}
            n_blocks: {flow.estimator.num_transformer_layers}
            num_mid_blocks: {flow.estimator.num_mid_blocks}
            num_heads: {flow.estimator.num_attention_heads}
            act_fn: 'gelu'

hift: !new:cosyvoice.hifigan.generator.HiFTGenerator
    in_channels: 80
    base_channels: {hift.base_channels}
    nb_harmonics: 8
    sampling_rate: !ref <sample_rate>
    nsf_alpha: 0.1
    nsf_sigma: 0.003
    nsf_voiced_threshold: 10
    upsample_rates: [8, 8]
    upsample_kernel_sizes: [16, 16]
    istft_params:
        n_fft: 16
        hop_len: 4
    resblock_kernel_sizes: [3, 7, 11]
    resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    source_resblock_kernel_sizes: [7, 11]
    source_resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5]]
    lrelu_slope: 0.1
    audio_limit: 0.99
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor
        num_class: 1
        in_channels: 80
        cond_channels: {hift.f0_channels}

get_tokenizer: !name:{tokenizer}.get_tokenizer
    multilingual: True
    num_languages: 100
    language: 'en'
    task: 'transcribe'
allowed_special: 'all'
feat_extractor: !name:matcha.utils.audio.mel_spectrogram
    n_fft: 1024
    num_mels: 80
    sampling_rate: !ref <sample_rate>
    hop_size: 256
    win_size: 1024
    fmin: 0
    fmax: 8000
    center: False
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--rate", type=int, default=50)
    options = parser.parse_args()
    write_release(options.folder, config_of(options.tiny, options.rate))
