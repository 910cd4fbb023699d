"""The ONNX reader against the `onnx` package's writer, torch's own modules, and the packaged Kokoro."""

import mlx.core as mx
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from pytorch_to_mlx.checkpoint import open_checkpoint, packaged
from pytorch_to_mlx.checkpoint.onnx import module_path

DTYPES = [np.float32, np.float16, np.float64, np.int64, np.int32, np.int16, np.int8]
DTYPES += [np.uint8, np.uint16, np.uint32, np.uint64, np.bool_, np.complex64]


def save(tmp_path, nodes, initializers, **kwargs):
    graph = helper.make_graph(nodes, "g", [], [], initializers)
    path = tmp_path / "x.onnx"
    onnx.save(helper.make_model(graph), path, **kwargs)
    return path


def arrays(path):
    with open_checkpoint(path) as ckpt:
        return {name: np.array(ckpt[name]) for name in ckpt}


def named(array, name):
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bit_exact(tmp_path, dtype, raw):
    values = np.array([[0, 1, 2], [3, 100, 1]]).astype(dtype)
    if np.issubdtype(dtype, np.signedinteger):
        values = -values
    if np.issubdtype(dtype, np.floating):
        values = (values / 3 - 7).astype(np.float32).astype(dtype)
    if raw:
        tensor = named(values, "a.w")
    else:
        stored = values.view(np.uint16) if dtype == np.float16 else values
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        if dtype == np.float16:
            tensor = TensorProto(name="a.w", data_type=kind, dims=values.shape, int32_data=stored.reshape(-1).tolist())
        else:
            tensor = helper.make_tensor("a.w", kind, values.shape, values.reshape(-1).tolist())
    path = save(tmp_path, [], [tensor])
    with open_checkpoint(path) as ckpt:
        array = ckpt["a.w"] if "a.w" in ckpt else ckpt.constants["a.w"]
        np.testing.assert_array_equal(np.array(array), values.astype(np.float32) if dtype == np.float64 else values)


def test_bfloat16(tmp_path):
    bits = np.array([0x3F80, 0x7F80, 0x8001], np.uint16)
    path = save(tmp_path, [], [TensorProto(name="a.w", data_type=16, dims=[3], raw_data=bits.tobytes())])
    with open_checkpoint(path) as ckpt:
        assert ckpt["a.w"].dtype == mx.bfloat16
        np.testing.assert_array_equal(np.array(ckpt["a.w"].view(mx.uint16)), bits)


def test_module_path():
    assert module_path("/encoder/cnn.0/cnn.0.1/Conv_quant") == ("encoder.cnn.0.1", "Conv_quant")
    assert module_path("/decoder/decoder/encode/Conv") == ("decoder.decoder.encode", "Conv")
    assert module_path("model/conv2d_9/Conv2D") == ("model.conv2d_9", "Conv2D")
    assert module_path("Gemm_1") == ("", "Gemm_1")


def test_names_and_layouts_of_linear_layers(tmp_path):
    w = np.random.randn(3, 5).astype(np.float32)  # torch's [out, in]
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_1"], ["y"], name="/enc/fc/MatMul"),
        helper.make_node("Add", ["onnx::Add_2", "y"], ["z"], name="/enc/fc/Add"),
        helper.make_node("MatMul", ["x", "onnx::MatMul_1"], ["y2"], name="/enc/again/MatMul"),
        helper.make_node("Gemm", ["x", "onnx::Gemm_3"], ["g"], name="/enc/gemm/Gemm"),
        helper.make_node("Gemm", ["x", "own.weight", "own.bias"], ["h"], name="/own/Gemm", transB=1),
        helper.make_node("MatMul", ["x", "table.basis"], ["t"], name="/table/MatMul"),
        helper.make_node("Mul", ["x", "onnx::Mul_4"], ["m"], name="/enc/Mul"),
        helper.make_node("MatMul", ["x", "onnx::MatMul_5"], ["q"], name="/enc/fc/MatMul_1"),
    ]
    bias = np.arange(3, dtype=np.float32)
    initializers = [named(w.T, "onnx::MatMul_1"), named(bias, "onnx::Add_2"), named(w.T * 2, "onnx::Gemm_3")]
    initializers += [named(w * 3, "own.weight"), named(bias * 3, "own.bias"), named(w.T * 4, "table.basis")]
    initializers += [named(np.ones(1, np.float32), "onnx::Mul_4"), named(w.T * 5, "onnx::MatMul_5")]
    path = save(tmp_path, nodes, initializers)
    expected = {"enc.fc.weight": w, "enc.fc.bias": bias, "enc.gemm.weight": w * 2, "own.weight": w * 3}
    expected |= {"own.bias": bias * 3, "table.basis": w.T * 4, "enc.fc.MatMul_1.weight": w * 5}
    loaded = arrays(path)
    assert sorted(loaded) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(loaded[name], array)
    with open_checkpoint(path) as ckpt:
        assert list(ckpt.constants) == ["onnx::Mul_4"]


def quantize(array, axis, dtype):
    info = np.iinfo(dtype)
    reduce = tuple(index for index in range(array.ndim) if index != axis) if axis is not None else None
    low = np.minimum(array.min(axis=reduce, keepdims=axis is not None), 0)
    high = np.maximum(array.max(axis=reduce, keepdims=axis is not None), 0)
    scale = ((high - low) / (info.max - info.min)).astype(np.float32)
    zero = np.round(info.min - low / scale).astype(dtype)
    q = np.clip(np.round(array / scale) + zero, info.min, info.max).astype(dtype)
    return q, scale, zero, (q.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale


@pytest.mark.parametrize("per_channel", [True, False])
def test_matmul_integer_and_conv_integer(tmp_path, per_channel):
    w = np.random.randn(6, 4).astype(np.float32)
    conv = np.random.randn(5, 4, 3).astype(np.float32)
    q, scale, zero, back = quantize(w, 1 if per_channel else None, np.int8)  # [in, out]: a channel is a column
    cq, cscale, czero, cback = quantize(conv, 0 if per_channel else None, np.uint8)
    nodes = [
        helper.make_node("MatMulInteger", ["x", "onnx::MatMul_1_quantized", "xz", "z"], ["i"], name="/fc/MatMul_quant"),
        helper.make_node("Cast", ["i"], ["c"], to=1),
        helper.make_node("Mul", ["xs", "s"], ["ss"]),
        helper.make_node("Mul", ["c", "ss"], ["y"]),
        helper.make_node("ConvInteger", ["x", "conv_q", "xz", "cz"], ["ci"], name="/net/net.0/Conv_quant"),
        helper.make_node("Add", ["ci", "bias"], ["cb"]),
        helper.make_node("Cast", ["cb"], ["cc"], to=1),
        helper.make_node("Mul", ["cs", "xs"], ["css"]),
        helper.make_node("Mul", ["css", "cc"], ["cy"]),
    ]
    shape = (lambda a: a.reshape(-1)) if per_channel else (lambda a: a.reshape(()))
    initializers = [named(q, "onnx::MatMul_1_quantized"), named(shape(scale), "s"), named(shape(zero), "z")]
    initializers += [named(cq, "conv_q"), named(shape(cscale), "cs"), named(shape(czero), "cz")]
    path = save(tmp_path, nodes, initializers)
    loaded = arrays(path)
    assert sorted(loaded) == ["fc.weight", "net.0.weight"]
    np.testing.assert_array_equal(loaded["fc.weight"], back.T)
    np.testing.assert_array_equal(loaded["net.0.weight"], cback)
    assert np.abs(back - w).max() <= np.max(scale) and np.abs(cback - conv).max() <= np.max(cscale)
    with open_checkpoint(path) as ckpt:
        assert ckpt.infos()["fc.weight"].stored_dtype == "int8" and ckpt.infos()["net.0.weight"].stored_dtype == "uint8"


def test_quantized_embedding_and_qdq(tmp_path):
    table = np.random.randn(7, 3).astype(np.float32)
    q, scale, zero, back = quantize(table, None, np.int8)
    w = np.random.randn(4, 3, 2).astype(np.float32)
    wq, wscale, wzero, wback = quantize(w, 0, np.int8)
    nodes = [
        helper.make_node("Gather", ["emb.weight_quantized", "ids"], ["r"], name="/emb/Gather_quant"),
        helper.make_node("DequantizeLinear", ["r", "s", "z"], ["e"]),
        helper.make_node("DequantizeLinear", ["w_q", "ws", "wz"], ["w_dq"], axis=0),
        helper.make_node("Conv", ["x", "w_dq"], ["y"], name="/conv/Conv"),
    ]
    initializers = [named(q, "emb.weight_quantized"), named(scale.reshape(()), "s"), named(zero.reshape(()), "z")]
    initializers += [named(wq, "w_q"), named(wscale.reshape(-1), "ws"), named(wzero.reshape(-1), "wz")]
    loaded = arrays(save(tmp_path, nodes, initializers))
    assert sorted(loaded) == ["conv.weight", "emb.weight"]
    np.testing.assert_array_equal(loaded["emb.weight"], back)
    np.testing.assert_array_equal(loaded["conv.weight"], wback)


ONNX_GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}  # torch's i f g o -> i o f c; r z n -> z r n


def to_onnx_recurrent(module, kind):
    """torch's recurrent parameters as ONNX wants them, gates in ONNX's order."""
    hidden = module.hidden_size

    def turn(tensor):
        parts = tensor.detach().numpy().reshape(-1, hidden, *tensor.shape[1:])
        return parts[ONNX_GATES[kind]].reshape(tensor.shape)

    suffixes = ["", "_reverse"] if module.bidirectional else [""]
    w = np.stack([turn(getattr(module, f"weight_ih_l0{s}")) for s in suffixes])
    r = np.stack([turn(getattr(module, f"weight_hh_l0{s}")) for s in suffixes])
    b = [np.concatenate([turn(getattr(module, f"bias_{x}_l0{s}")) for x in ("ih", "hh")]) for s in suffixes]
    return w, r, np.stack(b)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_recurrent_layers_come_back_as_torch_has_them(tmp_path, kind, bidirectional):
    module = getattr(torch.nn, kind)(5, 4, bidirectional=bidirectional)
    w, r, b = to_onnx_recurrent(module, kind)
    direction = "bidirectional" if bidirectional else "forward"
    node = helper.make_node(
        kind, ["x", "onnx::W", "onnx::R", "onnx::B"], ["y"], name=f"/enc/rnn/{kind}", direction=direction
    )
    node.attribute.append(helper.make_attribute("hidden_size", 4))
    loaded = arrays(save(tmp_path, [node], [named(w, "onnx::W"), named(r, "onnx::R"), named(b, "onnx::B")]))
    expected = {f"enc.rnn.{name}": tensor.detach().numpy() for name, tensor in module.named_parameters()}
    assert sorted(loaded) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(loaded[name], array)
    # The order really is ONNX's: onnxruntime must compute what torch computes.
    x = torch.randn(6, 1, 5)
    node.output.append("h")
    if kind == "GRU":
        node.attribute.append(helper.make_attribute("linear_before_reset", 1))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", 1, [6, 1, 5])],
        [helper.make_tensor_value_info("h", 1, None)],
        [named(w, "onnx::W"), named(r, "onnx::R"), named(b, "onnx::B")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (h,) = session.run(["h"], {"x": x.numpy()})
    state = module(x)[1]
    np.testing.assert_allclose(h, (state[0] if kind == "LSTM" else state).detach().numpy(), atol=1e-6)


def test_dynamic_quantize_lstm(tmp_path):
    module = torch.nn.LSTM(5, 4, bidirectional=True)
    w, r, b = to_onnx_recurrent(module, "LSTM")
    quantized = {}
    for name, array in {"W": w, "R": r}.items():
        parts = [quantize(part.T, None, np.int8) for part in array]  # stored as [directions, in, 4H]
        quantized[name] = [np.stack([part[index] for part in parts]) for index in range(4)]
    inputs = ["x", "W_q", "R_q", "B", "", "h0", "h0", "", "W_s", "W_z", "R_s", "R_z"]
    node = helper.make_node(
        "DynamicQuantizeLSTM", inputs, ["y"], name="/l/LSTM_quant", domain="com.microsoft", direction="bidirectional"
    )
    node.attribute.append(helper.make_attribute("hidden_size", 4))
    initializers = [named(b, "B"), named(np.zeros((2, 1, 4), np.float32), "h0")]
    for name, (q, scale, zero, _) in quantized.items():
        initializers += [
            named(q, f"{name}_q"),
            named(scale.reshape(2), f"{name}_s"),
            named(zero.reshape(2), f"{name}_z"),
        ]
    loaded = arrays(save(tmp_path, [node], initializers))
    assert sorted(loaded) == sorted(f"l.{name}" for name, _ in module.named_parameters())
    for name, tensor in module.named_parameters():
        np.testing.assert_allclose(loaded[f"l.{name}"], tensor.detach().numpy(), atol=0 if "bias" in name else 5e-3)
    back = quantized["W"][3][1].T.reshape(4, 4, 5)[[0, 2, 3, 1]].reshape(16, 5)
    np.testing.assert_array_equal(loaded["l.weight_ih_l0_reverse"], back)


def test_constant_nodes_and_nested_graphs(tmp_path):
    w = np.random.randn(4, 3).astype(np.float32)
    constant = helper.make_node("Constant", [], ["k"], value=named(w, "v"))
    inner = helper.make_graph([helper.make_node("MatMul", ["x", "k"], ["y"], name="/in/MatMul")], "b", [], [])
    other = helper.make_graph([], "b2", [], [], [named(w * 2, "k"), named(w * 3, "in.other")])
    node = helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=other)
    path = save(tmp_path, [constant, node], [])
    loaded = arrays(path)
    np.testing.assert_array_equal(loaded["in.weight"], w.T)
    np.testing.assert_array_equal(loaded["in.other"], w * 3)
    with open_checkpoint(path) as ckpt:
        np.testing.assert_array_equal(np.array(ckpt.constants["k'2"]), w * 2)


def test_external_data(tmp_path):
    w = np.random.randn(40, 30).astype(np.float32)
    b = np.random.randn(40, 3).astype(np.float32)
    options = dict(save_as_external_data=True, location="x.data", size_threshold=0)
    path = save(tmp_path, [], [named(w, "a.w"), named(b, "b.w")], **options)
    assert (tmp_path / "x.data").stat().st_size >= w.nbytes + b.nbytes
    loaded = arrays(path)
    np.testing.assert_array_equal(loaded["a.w"], w)
    np.testing.assert_array_equal(loaded["b.w"], b)


# --- the packaged Kokoro, complete ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kokoro():
    with open_checkpoint(packaged.find("kokoro-82m-int8")) as ckpt:
        yield ckpt


def torch_name(name: str) -> str:
    """This test's own idea of which Kokoro module a node path means."""
    name = name.removeprefix("encoder.") if name.startswith("encoder.") else name.removeprefix("decoder.")
    first = name.split(".")[0]
    return f"predictor.{name}" if first in {"F0", "N", "F0_proj", "N_proj", "shared"} else name


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_kokoro_is_complete(kokoro):
    """Every parameter of kokoro 0.9.4's KModel is there, with its shape, but for what an int8 export cannot hold."""
    from kokoro.istftnet import Decoder
    from kokoro.modules import CustomAlbert, ProsodyPredictor, TextEncoder
    from transformers import AlbertConfig

    istft = dict(
        upsample_kernel_sizes=[20, 12],
        upsample_rates=[10, 6],
        gen_istft_hop_size=5,
        gen_istft_n_fft=20,
        resblock_dilation_sizes=[[1, 3, 5]] * 3,
        resblock_kernel_sizes=[3, 7, 11],
        upsample_initial_channel=512,
    )
    albert = dict(hidden_size=768, num_attention_heads=12, intermediate_size=2048, max_position_embeddings=512)
    with torch.device("meta"):
        bert = CustomAlbert(AlbertConfig(vocab_size=178, num_hidden_layers=12, dropout=0.1, **albert))
        modules = {
            "bert": bert,
            "bert_encoder": torch.nn.Linear(768, 512),
            "predictor": ProsodyPredictor(style_dim=128, d_hid=512, nlayers=3, max_dur=50, dropout=0.0),
            "text_encoder": TextEncoder(channels=512, kernel_size=5, depth=3, n_symbols=178),
            "decoder": Decoder(dim_in=512, style_dim=128, dim_out=80, disable_complex=False, **istft),
        }
    shapes = {f"{k}.{n}": tuple(t.shape) for k, module in modules.items() for n, t in module.state_dict().items()}
    ours = {torch_name(name): info.shape for name, info in kokoro.infos().items()}
    missing, covered = [], 0
    for name, shape in shapes.items():
        if name.endswith(("weight_g", "parametrizations.weight.original0")):
            covered += 1  # folded into the weight by the export
            continue
        folded = name.replace("parametrizations.weight.original1", "weight").replace("weight_v", "weight")
        if ours.get(folded) == shape:
            covered += 1
        else:
            missing.append(name)
    identity = [name for name in missing if ".norm." in name or ("adain" in name and ".norm" in name)]
    rest = [name for name in missing if name not in identity and not name.startswith("bert.pooler")]
    assert not rest, rest
    assert covered >= 546


def test_kokoro_values_are_the_dequantized_ones(kokoro):
    """Two tensors recomputed with the `onnx` package from the same file."""
    model = onnx.load(packaged.find("kokoro-82m-int8") / "model.onnx")
    raw = {tensor.name: tensor for tensor in model.graph.initializer}
    conv = numpy_helper.to_array(raw["/encoder/text_encoder/cnn.0/Mul_output_0_quantized"]).astype(np.int32)
    zero = numpy_helper.to_array(raw["/encoder/text_encoder/cnn.0/Mul_output_0_zero_point"]).astype(np.int32)
    scale = numpy_helper.to_array(raw["/encoder/text_encoder/cnn.0/Mul_output_0_scale"])
    expected = (conv - zero).astype(np.float32) * scale
    np.testing.assert_array_equal(np.array(kokoro["encoder.text_encoder.cnn.0.0.weight"]), expected)
    matrix = numpy_helper.to_array(raw["onnx::MatMul_6559_3_quantized"]).astype(np.float32)
    scale = numpy_helper.to_array(raw["onnx::MatMul_6559_3_scale"])
    name = "encoder.bert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"
    np.testing.assert_array_equal(np.array(kokoro[name]), (matrix * scale).T)
    assert all(bool(mx.all(mx.isfinite(kokoro[name]))) for name in kokoro)


# --- real writers: torch's exporter and onnxruntime's quantizer ---------------------------------------------------


class Net(torch.nn.Module):
    """One of each layer that carries weights."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Sequential(torch.nn.Conv1d(4, 8, 3, padding=1), torch.nn.ReLU())
        self.lstm = torch.nn.LSTM(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.fc = torch.nn.Linear(12, 5)
        self.emb = torch.nn.Embedding(10, 5)
        self.ln = torch.nn.LayerNorm(5)
        self.up = torch.nn.ConvTranspose1d(5, 3, 4, 2)
        self.gru = torch.nn.GRU(3, 2)

    def forward(self, x, ids):
        y, _ = self.lstm(self.conv(x).transpose(1, 2))
        y = self.up(self.ln(self.fc(y) + self.emb(ids)).transpose(1, 2))
        return self.gru(y.transpose(1, 2))[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    import warnings

    net, path = Net().eval(), tmp_path_factory.mktemp("onnx") / "net.onnx"
    example = (torch.randn(1, 4, 7), torch.zeros(1, 7, dtype=torch.long))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(net, example, path, dynamo=False)
    return net, path


def test_an_exported_module_comes_back_as_its_state_dict(exported):
    net, path = exported
    loaded, expected = arrays(path), {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    assert sorted(loaded) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(loaded[name], array, err_msg=name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:onnxruntime")
def test_a_module_quantized_by_onnxruntime_comes_back(exported, tmp_path):
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    net, path = exported
    logging.disable()
    quantize_dynamic(path, tmp_path / "q.onnx", weight_type=QuantType.QInt8)
    logging.disable(logging.NOTSET)
    expected = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    with open_checkpoint(tmp_path / "q.onnx") as ckpt:
        assert sorted(ckpt) == sorted(expected)
        stored = {name: info.stored_dtype for name, info in ckpt.infos().items()}
        for name, array in expected.items():
            step = 2 * np.abs(array).max() / 254 if stored[name] in ("int8", "uint8") else 0
            assert np.abs(np.array(ckpt[name]) - array).max() <= 1.01 * step, name
    quantized = {name for name, dtype in stored.items() if dtype in ("int8", "uint8")}
    assert quantized >= {"fc.weight", "emb.weight", "lstm.weight_ih_l1_reverse", "lstm.weight_hh_l0"}


@pytest.mark.parametrize("anonymous", [True, False], ids=["anonymous", "own names"])
def test_a_layer_norm_in_single_steps(tmp_path, anonymous):
    """As PyTorch exported it before opset 17: recognised, with its epsilon; also the stride of a convolution."""
    names = ("onnx::Mul_7", "onnx::Add_8") if anonymous else ("enc.ln.weight", "enc.ln.bias")
    weight, bias = np.arange(1, 5, dtype=np.float32), np.arange(4, dtype=np.float32)
    node = lambda op, name, *inputs: helper.make_node(op, inputs, [f"{name}_out"], f"/enc/ln/{name}")  # noqa: E731
    nodes = [
        node("Add", "Add", "variance", "epsilon"),
        node("Sqrt", "Sqrt", "Add_out"),
        node("Div", "Div", "away", "Sqrt_out"),
        node("Mul", "Mul", "Div_out", names[0]),
        node("Add", "Add_1", "Mul_out", names[1]),
        node("Div", "Div_1", "Add_1_out", "Sqrt_out"),  # no norm: nothing scales it
        helper.make_node("Conv", ["Add_1_out", "enc.conv.weight"], ["y"], "/enc/conv/Conv", strides=[3]),
    ]
    tensors = [named(np.float32(1e-4), "epsilon"), named(weight, names[0]), named(bias, names[1])]
    path = save(tmp_path, nodes, [*tensors, named(np.ones((2, 4, 3), np.float32), "enc.conv.weight")])
    with open_checkpoint(path) as ckpt:
        np.testing.assert_array_equal(np.array(ckpt["enc.ln.weight"]), weight)
        np.testing.assert_array_equal(np.array(ckpt["enc.ln.bias"]), bias)
        assert ckpt.extra == {"enc.ln.epsilon": pytest.approx(1e-4), "enc.conv.stride": 3}
