"""The checks that generated source makes of its sizes and values."""

import mlx.core as mx
import pytest

from pytorch_to_mlx.codegen.lowering.functions.checks import check_shape, check_size, check_value


def test_a_size_of_another_branch_is_refused_with_its_line():
    check_size(True, "x.shape[1] <= 6", "model.py:7")
    with pytest.raises(ValueError, match=r"x\.shape\[1\] <= 6 only, .*another branch \(model\.py:7\)"):
        check_size(False, "x.shape[1] <= 6", "model.py:7")


def test_an_axis_that_the_source_was_not_written_for_is_refused():
    check_shape("x", mx.ones([3, 5]), (None, 5))
    with pytest.raises(ValueError, match="axis 1 of x is 5 only, not 6: convert again with an example of that size"):
        check_shape("x", mx.ones([3, 6]), (None, 5))
    with pytest.raises(ValueError, match="x has 1 axes, but this source is for 2"):
        check_shape("x", mx.ones([5]), (None, 5))


def test_a_value_that_the_source_was_not_written_for_is_refused():
    check_value("scale", 2.5, 2.5)
    with pytest.raises(ValueError, match=r"scale is 2\.5 only, not 3: convert again with an example of that value"):
        check_value("scale", 3, 2.5)
