// How numbers are stored; kernels always compute in float32.
#pragma once

namespace ptm {
enum class Dtype { float32, float16, bfloat16 };
} // namespace ptm
