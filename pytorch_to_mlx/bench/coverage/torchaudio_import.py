"""Import torchaudio where its Linux wheel needs CUDA: without its native libraries, which it then does not look for."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ...codegen.capture.patches import patch_attribute

if find_spec("torchaudio") is not None:
    try:
        import_module("torchaudio")
    except OSError:
        for _name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[_name]
        with patch_attribute(Path, "glob", lambda folder, pattern: []):
            import_module("torchaudio")
