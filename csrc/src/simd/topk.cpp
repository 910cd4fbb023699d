#include "simd/topk.h"

#include "simd/math.h"
#include "simd/vec.h"

namespace ptm::PTM_ISA {

void greatest_of_row(const float* y, int64_t n, int32_t first, int64_t count, float bound, float* values, int32_t* places,
                     float* top, float* sum) {
  int64_t filled = 0;
  auto insert = [&](int64_t place) {
    const float v = y[place] == y[place] ? y[place] : -INFINITY;
    int64_t at = filled < count ? filled++ : count - 1;
    for (; at > 0 && values[at - 1] < v; at--) {
      values[at] = values[at - 1];
      places[at] = places[at - 1];
    }
    values[at] = v;
    places[at] = first + (int32_t)place;
  };
  int64_t i = 0;
  if (bound == -INFINITY)
    for (; i < count && i < n; i++) insert(i);
  // Whether a number belongs to the list as it is now: equal ones do while it is not full, for their places may be lower.
  auto belongs = [&](float v) { return filled < count ? v >= bound : v > values[count - 1]; };
  for (; i + W <= n; i += W) {
    const F v = load(y + i);
    if (any(v >= bound) && (filled < count || any(v > values[count - 1])))
      for (int64_t lane = i; lane < i + W; lane++)
        if (belongs(y[lane])) insert(lane);
  }
  for (; i < n; i++)
    if (belongs(y[i])) insert(i);
  for (; filled < count; filled++) {
    values[filled] = -INFINITY;
    places[filled] = -1;
  }

  F tops[4] = {splat(-INFINITY), splat(-INFINITY), splat(-INFINITY), splat(-INFINITY)}, sums[4] = {};
  for (i = 0; i + 4 * W <= n; i += 4 * W)
#pragma GCC unroll 4
    for (int part = 0; part < 4; part++) tops[part] = max(load(y + i + part * W), tops[part]);
  for (; i < n; i += W) tops[0] = max(n - i < W ? select(inside(n - i), load(y + i, n - i), splat(-INFINITY)) : load(y + i), tops[0]);
  *top = greatest(max(max(tops[0], tops[1]), max(tops[2], tops[3])));
  const float from = *top == -INFINITY ? 0.0f : *top; // nothing but -Inf: e^(-Inf) is 0, not NaN
  for (i = 0; i + 4 * W <= n; i += 4 * W)
#pragma GCC unroll 4
    for (int part = 0; part < 4; part++) sums[part] += exp(load(y + i + part * W) - from);
  for (; i < n; i += W) sums[0] += n - i < W ? select(inside(n - i), exp(load(y + i, n - i) - from), F{}) : exp(load(y + i) - from);
  *sum = total((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

} // namespace ptm::PTM_ISA
