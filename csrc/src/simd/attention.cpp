#include "simd/attention.h"
#include "simd/math.h"
#include "simd/storage.h"

namespace ptm::PTM_ISA {

void copy_as_float32(Dtype dtype, const void* from, int64_t row_stride, int64_t col_stride, int64_t rows, int64_t cols, float scale,
               float* to, int64_t ld) {
  with_type(dtype, [&](auto* type) {
    auto* x = (decltype(type))from;
    for (int64_t i = 0; i < rows; i++, x += row_stride, to += ld) {
      if (col_stride == 1) {
        auto one = [&](int64_t j, int64_t n) { store_some(to + j, load_some(x + j, n) * scale, n); };
        each(cols, [&](int64_t j) { one(j, W); }, one);
      } else {
        for (int64_t j = 0; j < cols; j++) to[j] = load(x + j * col_stride, 1)[0] * scale;
      }
    }
  });
}

// Adds the mask to a row, or sets a score to the lowest float32 where the mask is False, as MLX does.
INLINE void add_mask(const ScoreMask& mask, int64_t row, float* scores, int64_t count) {
  if (mask.boolean) {
    const uint8_t* m = (const uint8_t*)mask.data + row * mask.row_stride;
    for (int64_t j = 0; j < count; j++) scores[j] = m[j * mask.col_stride] ? scores[j] : -3.4028234663852886e38f;
  } else {
    const float* m = (const float*)mask.data + row * mask.row_stride;
    if (mask.col_stride == 1)
      for (int64_t j = 0; j < count; j++) scores[j] += m[j];
    else
      for (int64_t j = 0; j < count; j++) scores[j] += m[j * mask.col_stride];
  }
}

void softmax_step(const SoftmaxStep& s) {
  for (int64_t row = 0; row < s.rows; row++) {
    float *scores = s.scores + row * s.ld, *out = s.out + row * s.out_ld;
    int64_t count = s.limit + row * s.limit_step;
    count = count < s.cols ? count : s.cols;
    for (int64_t j = count > 0 ? count : 0; j < s.cols; j++) scores[j] = 0;
    if (count <= 0) continue;
    if (s.mask.data) add_mask(s.mask, row, scores, count);
    F tops[2] = {splat(s.top[row]), splat(s.top[row])};
    each(
        count, [&](int64_t j) { tops[j / W & 1] = max(load(scores + j), tops[j / W & 1]); },
        [&](int64_t j, int64_t n) {
          tops[0] = max(select(inside(n), load(scores + j, n), splat(-INFINITY)), tops[0]);
        });
    const float top = greatest(max(tops[0], tops[1]));
    const float from = top == -INFINITY ? 0.0f : top; // nothing but -Inf so far: e^(-Inf) is 0, not NaN
    F sums[2] = {};
    each(
        count,
        [&](int64_t j) {
          const F e = exp(load(scores + j) - from);
          store(scores + j, e);
          sums[j / W & 1] += e;
        },
        [&](int64_t j, int64_t n) {
          const F e = exp(load(scores + j, n) - from);
          store(scores + j, e, n);
          sums[0] += select(inside(n), e, F{});
        });
    if (top != s.top[row] && s.top[row] != -INFINITY) { // before the first score, sum and out are zero
      const float factor = exp(splat(s.top[row] - from))[0];
      s.sum[row] *= factor;
      for (int64_t j = 0; j < s.size; j++) out[j] *= factor;
    }
    s.top[row] = top;
    s.sum[row] += total(sums[0] + sums[1]);
  }
}

void divide_rows(Dtype dtype, const float* from, int64_t from_ld, const float* sum, void* to, int64_t ld, int64_t rows,
                 int64_t cols) {
  with_type(dtype, [&](auto* type) {
    auto* y = (decltype(type))to;
    for (int64_t i = 0; i < rows; i++, from += from_ld, y += ld) {
      const float factor = 1.0f / sum[i];
      auto one = [&](int64_t j, int64_t n) { store_some(y + j, load_some(from + j, n) * factor, n); };
      each(cols, [&](int64_t j) { one(j, W); }, one);
    }
  });
}

void few_scores(Dtype dtype, const float* q, int64_t rows, const void* k, int64_t k_stride, int64_t keys, int64_t size,
                float* scores, int64_t ld) {
  with_type(dtype, [&](auto* type) {
    auto* key = (decltype(type))k;
    for (int64_t s = 0; s < keys; s += W, key += W * k_stride) {
      const int64_t count = keys - s < W ? keys - s : W;
      for (int64_t r = 0; r < rows; r++) {
        F sums[W] = {};
        for (int64_t n = 0; n < count; n++) {
          F sum{};
          auto one = [&](int64_t i, int64_t m) { sum += load_some(q + r * size + i, m) * load_some(key + n * k_stride + i, m); };
          each(size, [&](int64_t i) { one(i, W); }, one);
          sums[n] = sum;
        }
        store_some(scores + r * ld + s, totals(sums), count);
      }
    }
  });
}

// R rows of weights at a time, so that the values are read once for all R.
template <int R, class T>
static void some_values(const float* weight, int64_t ld, const T* values, int64_t v_stride, int64_t keys, int64_t size,
                        float* y, int64_t out_ld) {
  constexpr int N = W == 16 ? 4 : 2;
  int64_t i = 0;
  for (; i + N * W <= size; i += N * W) {
    F sums[R][N];
    for (int r = 0; r < R; r++)
      for (int n = 0; n < N; n++) sums[r][n] = load(y + r * out_ld + i + n * W);
    for (int64_t s = 0; s < keys; s++)
#pragma GCC unroll 4
      for (int n = 0; n < N; n++) {
        const F value = load(values + s * v_stride + i + n * W);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) sums[r][n] += weight[r * ld + s] * value;
      }
    for (int r = 0; r < R; r++)
      for (int n = 0; n < N; n++) store(y + r * out_ld + i + n * W, sums[r][n]);
  }
  for (; i < size; i += W) {
    const int64_t n = size - i < W ? size - i : W;
    for (int r = 0; r < R; r++) {
      F sum = load_some(y + r * out_ld + i, n);
      for (int64_t s = 0; s < keys; s++) sum += weight[r * ld + s] * load_some(values + s * v_stride + i, n);
      store_some(y + r * out_ld + i, sum, n);
    }
  }
}

void few_values(Dtype dtype, const float* scores, int64_t ld, int64_t rows, const void* v, int64_t v_stride, int64_t keys,
                int64_t size, float* out, int64_t out_ld) {
  with_type(dtype, [&](auto* type) {
    auto* values = (decltype(type))v;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) some_values<4>(scores + r * ld, ld, values, v_stride, keys, size, out + r * out_ld, out_ld);
    for (; r < rows; r++) some_values<1>(scores + r * ld, ld, values, v_stride, keys, size, out + r * out_ld, out_ld);
  });
}

void attend_by_rows(const float* q, const float* keys_values, int64_t all_rows, const int32_t* rows, int64_t keys, int64_t heads,
                    int64_t size, float scale, const float* mask, float* scores, float* out) {
  const int64_t width = heads * size;
  auto at = [&](int64_t s) {
    const int64_t row = (uint32_t)rows[s] < all_rows ? rows[s] : all_rows - 1;
    return keys_values + (s * all_rows + row) * 2 * width;
  };
  for (int64_t h = 0; h < heads; h++, q += size, out += size) {
    F tops = splat(-INFINITY);
    for (int64_t s = 0; s < keys; s += W) {
      const int64_t count = keys - s < W ? keys - s : W;
      F sums[W] = {};
      for (int64_t n = 0; n < count; n++) {
        const float* key = at(s + n) + h * size;
        F sum{};
        auto one = [&](int64_t i, int64_t m) { sum += load_some(q + i, m) * load_some(key + i, m); };
        each(size, [&](int64_t i) { one(i, W); }, one);
        sums[n] = sum;
      }
      F score = totals(sums) * scale;
      if (mask) score += load_some(mask + h * keys + s, count);
      tops = max(select(inside(count), score, splat(-INFINITY)), tops);
      store_some(scores + s, score, count);
    }
    const float top = greatest(tops), from = top == -INFINITY ? 0.0f : top; // nothing but -Inf: e^(-Inf) is 0, not NaN
    F sums{};
    for (int64_t s = 0; s < keys; s += W) {
      const int64_t count = keys - s < W ? keys - s : W;
      const F e = exp(load_some(scores + s, count) - from);
      store_some(scores + s, e, count);
      sums += select(inside(count), e, F{});
    }
    const float factor = 1.0f / total(sums);
    constexpr int N = W == 16 ? 4 : 2; // a head of 64 in one pass over the values with AVX-512
    int64_t i = 0;
    for (; i + N * W <= size; i += N * W) {
      F sum[N] = {};
      for (int64_t s = 0; s < keys; s++) {
        const float* value = at(s) + width + h * size + i;
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) sum[n] += scores[s] * load(value + n * W);
      }
      for (int n = 0; n < N; n++) store(out + i + n * W, sum[n] * factor);
    }
    for (; i < size; i += W) {
      const int64_t n = size - i < W ? size - i : W;
      F sum{};
      for (int64_t s = 0; s < keys; s++) sum += scores[s] * load_some(at(s) + width + h * size + i, n);
      store_some(out + i, sum * factor, n);
    }
  }
}

} // namespace ptm::PTM_ISA
