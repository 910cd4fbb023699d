"""Public repositories of images, graphs, points and scenes."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from . import torchvision_import  # noqa: F401  its wheel is made for CUDA
from .packages import noise
from .wild import repository


@repository(
    "meijieru/crnn.pytorch",
    commit="3cc7904c5ba20b18fcdc2d02ac2b24a9be9eafaf",
    kind="reader of text in images, by a BiLSTM",
)
def crnn(folder: Path) -> Any:
    """Read lines of text in images of any width."""
    from models.crnn import CRNN

    return CRNN(32, 1, 37, 32), noise((2, 1, 32, 100), (1, 1, 32, 63), (3, 1, 32, 161))


@repository(
    "clovaai/deep-text-recognition-benchmark",
    commit="e2117f2fb882b3c6085030500a260c113be27a63",
    kind="reader of text in scenes, by rectification, BiLSTM and attention",
)
def scene_text(folder: Path) -> Any:
    """Read words in images of 32 · 100: TPS, ResNet, BiLSTM and an attention decoder, an eighth of the channels."""
    from model import Model

    sizes = {"num_fiducial": 20, "imgH": 32, "imgW": 100, "input_channel": 1, "output_channel": 64, "hidden_size": 32}
    stages = {
        "Transformation": "TPS",
        "FeatureExtraction": "ResNet",
        "SequenceModeling": "BiLSTM",
        "Prediction": "Attn",
    }
    model = Model(SimpleNamespace(**sizes, **stages, num_class=38, batch_max_length=25))
    images = [torch.randn(b, 1, 32, 100) for b in (2, 1, 5)]
    cases = [((x, torch.zeros(len(x), 26, dtype=torch.long)), {"is_train": False}) for x in images]
    return model, cases


@repository(
    "Megvii-BaseDetection/YOLOX",
    commit="6ddff4824372906469a7fae2dc3206c7aa4bbaee",
    kind="detector that decodes its boxes",
    needs=("torchvision", "opencv-python-headless", "loguru", "psutil", "thop", "tabulate"),
)
def yolox(folder: Path) -> Any:
    """Find objects in images whose sides are multiples of 32: its nano width, three classes."""
    from yolox.models import YOLOPAFPN, YOLOX, YOLOXHead

    return YOLOX(YOLOPAFPN(0.33, 0.125), YOLOXHead(3, 0.125)), noise((2, 3, 64, 96), (1, 3, 160, 64), (3, 3, 96, 96))


@repository(
    "ultralytics/yolov5",
    commit="5081342f04fb287fc2e5f2b5a4e06752b7937b1c",
    kind="detector that decodes its boxes in place",
    needs=(
        "torchvision",
        "opencv-python-headless",
        "ultralytics",
        "pandas",
        "requests",
        "psutil",
        "py-cpuinfo",
        "polars",
    ),
)
def yolov5(folder: Path) -> Any:
    """Find objects in images whose sides are multiples of 32: its nano model, five classes."""
    from models.yolo import DetectionModel

    model = DetectionModel(folder / "models" / "yolov5n.yaml", nc=5)
    return model, noise((2, 3, 64, 96), (1, 3, 160, 64), (3, 3, 96, 96))


@repository(
    "openai/guided-diffusion",
    commit="22e0df8183507e13a7813f8d38d51b072ca1e67c",
    kind="diffusion U-Net",
    needs=("blobfile", "mpi4py"),
)
def guided_diffusion(folder: Path) -> Any:
    """Estimate the noise in images at a step of the diffusion: attention at two of three resolutions."""
    from guided_diffusion.script_util import create_model

    model = create_model(
        64, 32, 1, channel_mult="1,2,2", learn_sigma=True, attention_resolutions="32,16", num_heads=2,
        use_scale_shift_norm=True, resblock_updown=True,
    )  # fmt: skip
    sizes = (2, 16, 24), (1, 32, 32), (3, 8, 12)
    return model, [((torch.randn(b, 3, h, w), torch.randint(0, 1000, (b,))), {}) for b, h, w in sizes]


@repository(
    "lucidrains/denoising-diffusion-pytorch",
    commit="faed4db28e724735323fa91c70aa9b28a6e1cbac",
    kind="diffusion U-Net with linear attention",
    needs=("einops", "torchvision", "ema-pytorch", "accelerate", "pytorch-fid"),
)
def denoising_diffusion(folder: Path) -> Any:
    """Estimate the noise in images at a step of the diffusion."""
    from denoising_diffusion_pytorch import Unet

    model = Unet(dim=16, dim_mults=(1, 2), flash_attn=False)
    sizes = (2, 16, 24), (1, 32, 32), (3, 8, 12)
    return model, [((torch.randn(b, 3, h, w), torch.randint(0, 1000, (b,))), {}) for b, h, w in sizes]


@repository(
    "facebookresearch/segment-anything",
    commit="dca509fe793f601edb92606367a655c15ac00fdf",
    kind="segmenter with a prompt encoder",
    needs=("torchvision",),
)
def segment_anything(folder: Path) -> Any:
    """Cut out what points in an image name: image encoder, prompt encoder, mask decoder, masks at the image's size."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    side, patch, width = 64, 8, 32
    encoder = ImageEncoderViT(
        side, patch, embed_dim=width, depth=2, num_heads=2, out_chans=width, use_rel_pos=True, window_size=5,
        global_attn_indexes=(1,), norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    prompts = PromptEncoder(width, (side // patch, side // patch), (side, side), mask_in_chans=8)
    transformer = TwoWayTransformer(depth=2, embedding_dim=width, num_heads=4, mlp_dim=64)
    model = Sam(encoder, prompts, MaskDecoder(transformer_dim=width, transformer=transformer, iou_head_hidden_dim=32))
    cases = []
    for n_prompts, n_points, height, length in ((2, 3, 50, 64), (1, 1, 64, 40), (3, 5, 33, 35)):
        image = {"image": torch.rand(3, height, length) * 255, "original_size": (100, 120)}
        image["point_coords"] = torch.rand(n_prompts, n_points, 2) * 60
        image["point_labels"] = torch.randint(0, 2, (n_prompts, n_points))
        cases.append((([image], True), {}))
    return model, cases


@repository(
    "DepthAnything/Depth-Anything-V2",
    commit="a561b849ebae10a6f5ef49e26c83cbbcd36c71bf",
    kind="depth estimator",
    needs=("torchvision", "opencv-python-headless"),
)
def depth_anything(folder: Path) -> Any:
    """Estimate the depth of images whose sides are multiples of 14, but for the square that it was trained on."""
    from depth_anything_v2 import dpt
    from depth_anything_v2.dinov2 import DinoVisionTransformer
    from depth_anything_v2.dinov2_layers import MemEffAttention, NestedTensorBlock

    block = partial(NestedTensorBlock, attn_class=MemEffAttention)
    sizes = {"img_size": 56, "patch_size": 14, "embed_dim": 32, "depth": 4, "num_heads": 2, "init_values": 1.0}
    dpt.DINOv2 = lambda model_name: DinoVisionTransformer(**sizes, block_chunks=0, block_fn=block)
    model = dpt.DepthAnythingV2("vits", features=16, out_channels=[8, 16, 24, 32])
    model.intermediate_layer_idx = {"vits": [0, 1, 2, 3]}
    nn.init.ones_(model.depth_head.scratch.output_conv2[2].bias)  # else all depths are negative, and cut to 0
    return model, noise((2, 3, 56, 70), (1, 3, 84, 42), (3, 3, 98, 126))


@repository(
    "nianticlabs/monodepth2",
    commit="b676244e5a1ca55564eb5d16ab521a48f823af31",
    kind="depth estimator by convolutions",
    needs=("torchvision", "scikit-image"),
)
def monodepth(folder: Path) -> Any:
    """Estimate the disparity of images at four scales: a ResNet-18 and its decoder."""
    from networks import DepthDecoder, ResnetEncoder

    encoder = ResnetEncoder(18, pretrained=False)
    model = nn.Sequential(encoder, DepthDecoder(encoder.num_ch_enc))
    return model, noise((2, 3, 64, 96), (1, 3, 96, 64), (3, 3, 64, 128))


@repository("tkipf/pygcn", commit="1600b5b748b3976413d1e307540ccc62605b4d6d", kind="graph network")
def gcn(folder: Path) -> Any:
    """Classify the nodes of a graph, given as a matrix."""
    from pygcn.models import GCN

    return GCN(7, 8, 3, 0.5), [((torch.randn(n, 7), torch.rand(n, n)), {}) for n in (5, 9, 1)]


@repository(
    "gordicaleksa/pytorch-GAT",
    commit="39c8f0ee634477033e8b1a6e9a6da3c7ed71bbd1",
    kind="graph network with attention over edges",
    needs=("tensorboard",),
)
def gat(folder: Path) -> Any:
    """Classify the nodes of a graph, given as a list of edges."""
    from models.definitions.GAT import GAT

    sizes = (6, 11), (9, 30), (20, 7)
    cases = [(((torch.randn(n, 7), torch.randint(0, n, (2, e))),), {}) for n, e in sizes]
    return GAT(2, [3, 2], [7, 4, 5]), cases


@repository("milesial/Pytorch-UNet", commit="21d7850f2af30a9695bbeea75f3136aa538cfc4a", kind="segmentation U-Net")
def unet(folder: Path) -> Any:
    """Segment images of any size."""
    from unet import UNet

    return UNet(3, 2), noise((2, 3, 32, 48), (1, 3, 37, 51), (3, 3, 16, 17))


@repository("xinntao/ESRGAN", commit="73e9b634cf987f5996ac2dd33f4050922398a921", kind="super-resolution")
def esrgan(folder: Path) -> Any:
    """Enlarge images four times: two of its 23 blocks."""
    from RRDBNet_arch import RRDBNet

    return RRDBNet(3, 3, 16, 2, gc=8), noise((2, 3, 12, 17), (1, 3, 21, 9), (3, 3, 5, 5))


@repository(
    "yanx27/Pointnet_Pointnet2_pytorch",
    commit="eb64fe0b4c24055559cea26299cb485dcb43d8dd",
    kind="classifier of point clouds",
    path=("models",),
)
def pointnet(folder: Path) -> Any:
    """Classify clouds of any number of points."""
    from pointnet_cls import get_model

    return get_model(10, False), noise((2, 3, 33), (1, 3, 150), (5, 3, 8))


@repository("yenchenlin/nerf-pytorch", commit="63a5a630c9abd62b0f21c08703d0ac2ea7d4b9dd", kind="radiance field")
def nerf(folder: Path) -> Any:
    """Colour and density at encoded places and directions: half of its eight layers."""
    from run_nerf_helpers import NeRF

    return NeRF(D=4, W=32, input_ch=63, input_ch_views=27, skips=[2], use_viewdirs=True), noise(
        (33, 90), (1, 90), (257, 90)
    )


@repository(
    "princeton-vl/RAFT",
    commit="2888e15a51fa41140771d3f498ed8023cff098d1",
    kind="optical flow",
    needs=("scipy",),
    path=("core",),
)
def raft(folder: Path) -> Any:
    """Estimate how the pixels of two images moved: its small model, two rounds."""
    from argparse import Namespace

    from raft import RAFT

    model = RAFT(Namespace(small=True, mixed_precision=False))
    sizes = (1, 128, 136), (2, 136, 128), (1, 160, 192)
    pairs = [(torch.rand(b, 3, h, w) * 255, torch.rand(b, 3, h, w) * 255) for b, h, w in sizes]
    return model, [(pair, {"iters": 2, "test_mode": True}) for pair in pairs]
