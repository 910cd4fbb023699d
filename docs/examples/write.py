"""Write the examples again: `python docs/examples/write.py`, from the root of the repository. A test compares them."""

import shutil
import sys
import tempfile
from pathlib import Path

from pytorch_to_mlx import convert

NAMES = ("llama", "bert", "whisper", "vit", "convnext", "t5")
KEPT = ("model.py", "config.json", "report.md", "README.md")

if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            made = convert(f"docs/examples/tiny.py:{name}", Path(folder) / name)
            made.check()
            target = Path("docs/examples") / name
            target.mkdir(exist_ok=True)
            for file in KEPT:
                shutil.copyfile(Path(made.folder) / file, target / file)
