"""codegen/folder.py: a generated folder is told from others."""

import json

from pytorch_to_mlx.codegen.folder import KIND, is_generated


def test_both_files_and_the_mark(tmp_path):
    assert not is_generated(tmp_path / "missing") and not is_generated(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"kind": KIND}))
    assert not is_generated(tmp_path)
    (tmp_path / "model.py").write_text("")
    assert is_generated(tmp_path) and is_generated(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert not is_generated(tmp_path)
