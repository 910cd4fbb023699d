// What every file with Python bindings needs. Each kernel family has one bind_… function.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

namespace nb = nanobind;
using namespace nb::literals;

namespace ptm {
void bind_arithmetic(nb::module_& m);
void bind_attention(nb::module_& m);
void bind_channels(nb::module_& m);
void bind_conv1d(nb::module_& m);
void bind_conv2d(nb::module_& m);
void bind_linear(nb::module_& m);
void bind_lstm(nb::module_& m);
void bind_op(nb::module_& m);
void bind_rotate(nb::module_& m);
void bind_rows(nb::module_& m);
void bind_snake(nb::module_& m);
void bind_topk(nb::module_& m);
void bind_unary(nb::module_& m);
} // namespace ptm
