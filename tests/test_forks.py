"""A child that was forked after MLX ran is refused at every entry point: there MLX would wait for ever."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import importlib, os, sys
import pytorch_to_mlx
from pytorch_to_mlx import forks
from pytorch_to_mlx.errors import MachineError

ENTRIES = {
    "kokoro.pipeline": {"KokoroPipeline": ["generate", "speak"]},
    "cosyvoice.pipeline": {"CosyVoicePipeline": ["generate", "inference_sft", "inference_zero_shot", "inference_vc",
        "inference_cross_lingual", "inference_instruct2", "add_zero_shot_spk"]},
    "whisper.pipeline": {"WhisperPipeline": ["transcribe", "segments", "stream", "listen", "detect_language"]},
    "whisper.stream": {"WhisperStream": ["feed"]},
    "vad.pipeline": {"VADPipeline": ["detect", "probabilities", "stream"], "VADStream": ["feed"]},
    "wakeword.pipeline": {"WakewordPipeline": ["detect", "listen", "stream"], "Stream": ["feed"]},
}

def calls():
    yield "load", lambda: pytorch_to_mlx.load("packaged:silero-vad")
    yield "convert", lambda: pytorch_to_mlx.convert("packaged:silero-vad", "nowhere")
    yield "validate", lambda: pytorch_to_mlx.validate("packaged:silero-vad")
    for module, classes in ENTRIES.items():
        for name, methods in classes.items():
            cls = getattr(importlib.import_module("pytorch_to_mlx.models." + module), name)
            for method in methods:
                pipeline = object.__new__(cls)
                blank = [None] * (getattr(cls, method).__code__.co_argcount - 1)
                def call(pipeline=pipeline, method=method, blank=blank):
                    result = getattr(pipeline, method)(*blank)
                    return next(result) if hasattr(result, "__next__") else result
                yield f"{name}.{method}", call

def wrong():
    for name, call in calls():
        try:
            call()
            yield f"{name}: no error"
        except MachineError as error:
            if "forked after MLX ran" not in str(error):
                yield f"{name}: {error}"
        except Exception as error:
            yield f"{name}: {error!r}"

def in_a_child(act):
    child = os.fork()
    if child == 0:
        print(act(), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

in_a_child(lambda: forks.require_own_threads() or "before: may run")
model = pytorch_to_mlx.load("packaged:silero-vad")
in_a_child(lambda: "after: " + ("; ".join(wrong()) or "refused everywhere"))
import numpy
print("parent:", model.probabilities(numpy.zeros(512, numpy.float32)).shape)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_refused_and_its_parent_goes_on():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == ["before: may run", "after: refused everywhere", "parent: (1,)"], done
