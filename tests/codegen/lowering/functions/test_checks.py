"""The check that generated source makes of its sizes."""

import pytest

from pytorch_to_mlx.codegen.lowering.functions.checks import check_size


def test_a_size_of_another_branch_is_refused_with_its_line():
    check_size(True, "model.py:7")
    with pytest.raises(ValueError, match=r"another branch \(model\.py:7\)"):
        check_size(False, "model.py:7")
