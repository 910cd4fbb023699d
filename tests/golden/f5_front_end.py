"""Make f5_front_end.json: what f5-tts 1.1.22 makes of texts and recordings before its networks see them.

    python tests/golden/f5_front_end.py F5_TTS PYDUB

F5_TTS and PYDUB are the folders of those packages (f5-tts 1.1.22, pydub 0.25.1; Python 3.11, whose audioop it uses);
rjieba 0.2.2, pypinyin 0.55.0, torch and soundfile must be installed. Of F5_TTS only the functions named below are run.
"""

import ast
import hashlib
import json
import re
import sys
import tempfile
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

TEXTS = (
    "Hello, world! Don't stop; keep-going at 3.14 U.S.A.", "AT&T uses C++11 and c#; foo_bar x.com 50% e.g. GPT-4o",
    "“Quoted” ‘text’—fine… (really)", "Où est le café ? Ça va très bien, Ελλάδα и Россия.",
    "こんにちは、世界。カタカナ 한국어", "你好，世界。今天是2024年12月16日。", "我们一起去银行行走，长大后重重地说",
    "Mixed 中文 and English混合text here",
    "卡拉OK和T恤都不是AT&T的",
    "不是一个好人，一二三四五，我不知道。", "重庆的重量。她的了解，了不起！",
    "𠮷野家和〇〇七", "ㄅㄆㄇ 和 ㈱ ⅷ", "價格：¥100（約）；“引號”", "\u200e\u0301 \t\n  ", "",
)  # fmt: skip
CHUNKED = (
    "One. Two! Three? Four; five: six, seven.", "Dr. Smith paid 3.14 dollars.He left.  Then,\n\nnothing", "   ", "",
    "你好，世界。今天天气不错！我们去公园玩吧？好的，没问题；走。",
    "Mixed: 你好，hello. 再见！Bye. " * 5, "no stop at all " * 20, "a.b,c;d. e, f",
)  # fmt: skip
# Sample rate, channels, WAV codec, and parts: milliseconds and loudness of 32767.
SOUNDS: dict[str, tuple[int, int, str, tuple[tuple[float, int], ...]]] = {
    "silence around": (24000, 1, "PCM_16", ((730, 0), (3000, 9000), (905, 0))),
    "long pauses": (24000, 1, "PCM_16", ((5000, 9000), (1500, 3), (4000, 9000), (2300, 40), (4000, 9000))),
    "short pauses": (24000, 1, "PCM_16", ((4000, 9000), (300, 0), (3500, 9000), (200, 90), (7000, 9000))),
    "no pause": (22050, 1, "PCM_16", ((20000, 9000),)),
    "quiet ends": (16000, 1, "PCM_16", ((1000, 200), (2000, 9000), (1000, 440))),
    "stereo": (44100, 2, "PCM_16", ((333, 0), (6500, 9000), (150, 0), (6000, 20000))),
    "8 kHz": (8000, 1, "PCM_16", ((2000.5, 9000), (1100, 5), (5000, 300))),
    "8 bits": (6000, 2, "PCM_U8", ((500, 0), (3000, 20000), (250, 2000))),
    "24 bits": (48000, 1, "PCM_24", ((700, 0), (1234.5, 9000), (300, 1), (2000, 300))),
    "32 bits": (32000, 3, "PCM_32", ((1500, 9000), (120, 0), (900, 12))),
    "a tenth of a second": (24000, 1, "PCM_16", ((100, 9000),)),
    "nothing": (24000, 1, "PCM_16", ((3000, 0),)),
    "five minutes": (12000, 1, "PCM_16", ((7001, 9000), (130, 100), (6000, 500), (1010, 0)) * 21),
}


def sound(name: str) -> np.ndarray:
    """A sound of whole numbers alone: noise at the loudness of each part. Shapes: -> int32 [L, C], of 32 bits."""
    rate, channels, _, parts = SOUNDS[name]
    loudness = np.concatenate([np.full(int(rate * ms / 1000), level, np.int64) for ms, level in parts])
    noise = (np.arange(len(loudness), dtype=np.int64) * 1103515245 + 12345) % (1 << 31) // (1 << 15) - (1 << 15)
    shares = np.arange(channels, 0, -1)
    return (noise[:, None] * (2 * loudness[:, None] * shares // channels)).astype(np.int32)


SPOKEN = ("stereo", "a tenth of a second", "quiet ends")
# Transcript, text, and options of infer_process.
REQUESTS: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("Some call me nature, others call me mother nature.", "Hi", {}),
    ("Hello", "Hello you.", {"speed": 1.3}),
    ("Hi?  ", "I don't care; what, me? Never! " * 9, {"cross_fade_duration": 0.0}),
    ("Some call me nature.", "One sentence here. And a second one, longer than that. " * 6, {"fix_duration": 40.0}),
    ("Some call me nature.", "Only one chunk.", {"fix_duration": 3.0}),
    ("Привет。", "Ça va très bien, merci. Et toi ? " * 4, {"speed": 0.5}),
)


def planned(upstream: dict[str, Any], clip: str, transcript: str, text: str, options: dict[str, float]) -> list[Any]:
    """Return the finished transcript, the md5 of each chunk's tokens with its frames, and the samples of all speech."""
    import torch

    calls: list[list[Any]] = []

    class Model:
        def sample(self, cond: Any, text: Any, duration: int, **_: Any) -> tuple[Any, None]:
            calls.append([hashlib.md5(str(text[0]).encode()).hexdigest(), duration])
            frames = max(duration, max(len(text[0]), cond.shape[-1] // 256 + 1) + 1)
            return torch.zeros(1, frames, 100), None

    class Vocoder:
        def decode(self, mel: Any) -> Any:
            return torch.zeros(1, (mel.shape[-1] - 1) * 256)

    import soundfile

    def load(path: str) -> tuple[Any, int]:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return torch.from_numpy(audio.T.copy()), rate

    class Resample:  # the lengths of torchaudio's; tests/audio/test_resample.py compares its samples
        def __init__(self, rate: int, target: int) -> None:
            self.ratio = target / rate

        def __call__(self, audio: Any) -> Any:
            return torch.zeros(1, -int(-audio.shape[-1] * self.ratio // 1))

    transforms = types.SimpleNamespace(Resample=Resample)
    upstream |= {"torch": torch, "np": np, "torchaudio": types.SimpleNamespace(load=load, transforms=transforms)}
    upstream |= {"ThreadPoolExecutor": lambda: ThreadPoolExecutor(1)}
    _, finished = upstream["preprocess_ref_audio_text"](clip, transcript, show_info=lambda _: None)
    audio, _, _ = upstream["infer_process"](
        clip, finished, text, Model(), Vocoder(), progress=None, show_info=lambda _: None, **options
    )
    return [finished, calls, len(audio)]


def functions(path: Path, names: set[str], known: dict[str, Any]) -> dict[str, Any]:
    """Run the named functions of a file, and nothing else of it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    exec(compile(tree, str(path), "exec"), known)
    return known


def main(f5_tts: Path, pydub_folder: Path) -> None:
    sys.path.insert(0, str(pydub_folder.parent))
    import pydub
    import rjieba
    import soundfile
    from pydub import AudioSegment, silence
    from pypinyin import Style, lazy_pinyin

    model = functions(
        f5_tts / "model" / "utils.py",
        {"convert_char_to_pinyin"},
        {"rjieba": rjieba, "lazy_pinyin": lazy_pinyin, "Style": Style},
    )
    upstream: dict[str, Any] = {
        **{"re": re, "hashlib": hashlib, "tempfile": tempfile, "AudioSegment": AudioSegment, "silence": silence},
        **{"target_sample_rate": 24000, "hop_length": 256, "tqdm": None, "mel_spec_type": "vocos", "target_rms": 0.1},
        **{"cross_fade_duration": 0.15, "nfe_step": 32, "cfg_strength": 2.0, "sway_sampling_coef": -1.0, "speed": 1.0},
        **{"fix_duration": None, "device": None},
        **{"_ref_audio_cache": {}, "_ref_text_cache": {}, "tempfile_kwargs": {"delete": False}, "pydub": pydub},
    }
    names = {"chunk_text", "preprocess_ref_audio_text", "remove_silence_edges", "infer_process", "infer_batch_process"}
    functions(f5_tts / "infer" / "utils_infer.py", names, upstream)
    pinyin = [
        {"text": text, "segments": rjieba.cut(text.translate(str.maketrans(";“”‘’", ",\"\"''"))), "tokens": tokens}
        for text, tokens in zip(TEXTS, model["convert_char_to_pinyin"](list(TEXTS)), strict=True)
    ]
    chunks = [[text, limit, upstream["chunk_text"](text, limit)] for text in CHUNKED for limit in (-3, 12, 40, 135)]
    upstream |= {"convert_char_to_pinyin": model["convert_char_to_pinyin"]}
    clips: dict[str, list[Any]] = {}
    plans: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (rate, _, codec, _) in SOUNDS.items():
            path = Path(folder) / f"{name}.wav"
            soundfile.write(path, sound(name), rate, subtype=codec)
            clipped, _ = upstream["preprocess_ref_audio_text"](str(path), "Hello.", show_info=lambda _: None)
            result = AudioSegment.from_file(clipped)
            digest = hashlib.md5(result.raw_data).hexdigest()
            numbers = (result.frame_rate, 8 * result.sample_width, result.channels, int(result.frame_count()))
            clips[name] = [*numbers, digest]
            if name in SPOKEN:
                plans += [[name, *request, planned(upstream, clipped, *request)] for request in REQUESTS]
    golden = {"pinyin": pinyin, "chunks": chunks, "clips": clips, "plans": plans}
    written = json.dumps(golden, ensure_ascii=False, indent=0)
    Path(__file__).with_suffix(".json").write_text(written + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
