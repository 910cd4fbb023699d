// Scaled dot-product attention that holds the scores of one block only. Source: Dao et al. 2022 (FlashAttention).
#include "simd/attention.h"

#include <cmath>
#include <memory>
#include <new>

#include "matmul.h"
#include "ops/bind.h"
#include "ops/op.h"
#include "pool.h"

namespace ptm {

namespace {

using Optional = std::optional<array>;

constexpr int64_t block_rows = 84; // whole tiles of 14 or 6 rows
constexpr int64_t block_keys = 256;
constexpr int64_t max_few_rows = 16; // of queries for each head of keys: up to here keys and values are read in place

struct Aligned {
  explicit Aligned(int64_t floats) : data((float*)::operator new(floats * sizeof(float), std::align_val_t{64})) {}
  Aligned(const Aligned&) = delete;
  ~Aligned() { ::operator delete(data, std::align_val_t{64}); }
  float* const data;
};

// A strided array [B, H, L, D] in memory.
struct Heads {
  const char* data;
  Dtype dtype;
  int64_t bytes, stride[4];

  explicit Heads(const array& x) : data(x.data<char>()), dtype(storage(x)), bytes(x.itemsize()) {
    for (int i = 0; i < 4; i++) stride[i] = x.strides(i);
  }
  const void* at(int64_t b, int64_t h, int64_t l) const { return data + (b * stride[0] + h * stride[1] + l * stride[2]) * bytes; }
};

struct Problem {
  Heads q, k, v;
  char* out;
  int64_t out_bytes, batch, heads, kv_heads, length, keys, size, value_size;
  float scale;
  bool causal;
  const char* mask;
  bool boolean;
  int64_t mask_stride[4];

  int64_t group() const { return heads / kv_heads; }
  ScoreMask mask_at(int64_t b, int64_t h, int64_t row, int64_t key) const {
    const int64_t offset = b * mask_stride[0] + h * mask_stride[1] + row * mask_stride[2] + key * mask_stride[3];
    return {mask ? mask + offset * (boolean ? 1 : 4) : nullptr, boolean, mask_stride[2], mask_stride[3]};
  }
  // How many of the keys from `key` on the row may attend to.
  int64_t limit(int64_t row, int64_t key) const { return causal ? keys - length + row + 1 - key : keys; }
  // The memory is [B, L, H, D], so that joining the heads of each step afterwards copies nothing.
  char* out_at(int64_t b, int64_t h, int64_t row) const { return out + ((b * length + row) * heads + h) * value_size * out_bytes; }
};


// Many queries: each job takes a block of them. Keys and values are packed into panels (simd/gemm.h) once for each head.
void many_queries(const Problem& p) {
  const int64_t blocks = ceil_div(p.keys, block_keys), k_panel = panels_size(p.size, block_keys), v_panel = panels_size(block_keys, p.value_size);
  float* packed = scratch(panels_slot, p.batch * p.kv_heads * blocks * (k_panel + v_panel)); // new memory costs its pages
  auto panels = [&](int64_t b, int64_t kv, int64_t block) { return packed + ((b * p.kv_heads + kv) * blocks + block) * (k_panel + v_panel); };
  parallel(p.batch * p.kv_heads * blocks, [&](int64_t job) {
    const int64_t block = job % blocks, kv = job / blocks % p.kv_heads, b = job / blocks / p.kv_heads;
    const int64_t first = block * block_keys, count = std::min(block_keys, p.keys - first);
    float* to = panels(b, kv, block);
    auto pack = [&](const Heads& x, int64_t size, bool turn, float* panel) {
      const float* from = (const float*)x.at(b, kv, first);
      int64_t row = x.stride[2], col = x.stride[3];
      if (x.dtype != Dtype::float32) {
        float* copy = scratch(rows_slot, count * size);
        copy_as_float32(x.dtype, from, row, col, count, size, 1, copy, size);
        from = copy, row = size, col = 1;
      }
      if (turn)
        pack_panels(from, col, row, size, count, 1, panel);
      else
        pack_panels(from, row, col, count, size, 1, panel);
    };
    pack(p.k, p.size, true, to);
    pack(p.v, p.value_size, false, to + k_panel);
  });

  const int64_t row_blocks = ceil_div(p.length, block_rows);
  const int64_t q_ld = p.size % 512 ? p.size : p.size + 16, score_ld = block_keys + 16, out_ld = p.value_size;
  parallel(p.batch * p.heads * row_blocks, [&](int64_t job) {
    const int64_t first = job % row_blocks * block_rows, h = job / row_blocks % p.heads, b = job / row_blocks / p.heads;
    const int64_t rows = std::min(block_rows, p.length - first);
    float* q = scratch(rows_slot, block_rows * (q_ld + score_ld + out_ld + 2));
    float *scores = q + block_rows * q_ld, *out = scores + block_rows * score_ld, *top = out + block_rows * out_ld, *sum = top + block_rows;
    copy_as_float32(p.q.dtype, p.q.at(b, h, first), p.q.stride[2], p.q.stride[3], rows, p.size, p.scale, q, q_ld);
    std::fill(out, out + rows * out_ld, 0.0f);
    std::fill(top, top + rows, -INFINITY);
    std::fill(sum, sum + rows, 0.0f);
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t key = block * block_keys, limit = p.limit(first, key);
      if (limit + rows <= 1) break; // causal: nothing here, and nothing later
      const int64_t count = std::min(block_keys, p.keys - key), seen = p.causal ? std::min(count, limit + rows - 1) : count;
      const float* panel = panels(b, h / p.group(), block);
      multiply_rows({q, q_ld, &no_offset, 1, p.size, panel, scores, score_ld, rows, seen, nullptr, false});
      softmax_step({scores, score_ld, rows, count, p.mask_at(b, h, first, key), limit, p.causal, top, sum, out, out_ld, p.value_size});
      multiply_rows({scores, score_ld, &no_offset, 1, count, panel + k_panel, out, out_ld, rows, p.value_size, nullptr, true});
    }
    divide_rows(p.q.dtype, out, out_ld, sum, p.out_at(b, h, first), p.heads * p.value_size, rows, p.value_size);
  });
}

// A few queries for each head of keys, as in decoding: each job takes a block of keys, then the blocks are joined.
void few_queries(const Problem& p) {
  const int64_t blocks = ceil_div(p.keys, block_keys), rows = p.group() * p.length, record = rows * (p.value_size + 2);
  const Aligned all(p.batch * p.kv_heads * blocks * record);
  parallel(p.batch * p.kv_heads * blocks, [&](int64_t job) {
    const int64_t block = job % blocks, kv = job / blocks % p.kv_heads, b = job / blocks / p.kv_heads;
    const int64_t key = block * block_keys, count = std::min(block_keys, p.keys - key);
    float *out = all.data + job * record, *top = out + rows * p.value_size, *sum = top + rows;
    float* q = scratch(rows_slot, rows * (p.size + block_keys));
    float* scores = q + rows * p.size;
    for (int64_t g = 0; g < p.group(); g++)
      copy_as_float32(p.q.dtype, p.q.at(b, kv * p.group() + g, 0), p.q.stride[2], p.q.stride[3], p.length, p.size, p.scale,
                q + g * p.length * p.size, p.size);
    std::fill(out, out + rows * p.value_size, 0.0f);
    std::fill(top, top + rows, -INFINITY);
    std::fill(sum, sum + rows, 0.0f);
    auto dense = [&](const Heads& x, int64_t size, Dtype& dtype, int64_t& stride) {
      dtype = x.dtype, stride = x.stride[2];
      if (x.stride[3] == 1 || size == 1) return x.at(b, kv, key);
      float* copy = scratch(panels_slot, count * size);
      copy_as_float32(x.dtype, x.at(b, kv, key), x.stride[2], x.stride[3], count, size, 1, copy, size);
      dtype = Dtype::float32, stride = size;
      return (const void*)copy;
    };
    Dtype dtype;
    int64_t stride;
    const void* k = dense(p.k, p.size, dtype, stride);
    few_scores(dtype, q, rows, k, stride, count, p.size, scores, block_keys);
    for (int64_t g = 0; g < p.group(); g++) {
      const int64_t at = g * p.length;
      softmax_step({scores + at * block_keys, block_keys, p.length, count, p.mask_at(b, kv * p.group() + g, 0, key),
                    p.limit(0, key), p.causal, top + at, sum + at, out + at * p.value_size, p.value_size, p.value_size});
    }
    const void* v = dense(p.v, p.value_size, dtype, stride);
    few_values(dtype, scores, block_keys, rows, v, stride, count, p.value_size, out, p.value_size);
  });
  parallel_ranges(p.batch * p.heads * p.length, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t row = i % p.length, h = i / p.length % p.heads, b = i / p.length / p.heads;
      const int64_t r = h % p.group() * p.length + row;
      const float* first = all.data + (b * p.kv_heads + h / p.group()) * blocks * record;
      auto block = [&](int64_t n) { return first + n * record; };
      auto top_of = [&](int64_t n) { return block(n)[rows * p.value_size + r]; };
      float top = top_of(0);
      for (int64_t n = 1; n < blocks; n++) top = std::max(top, top_of(n));
      const float from = top == -INFINITY ? 0.0f : top;
      float sum = 0, *out = scratch(rows_slot, p.value_size);
      std::fill(out, out + p.value_size, 0.0f);
      for (int64_t n = 0; n < blocks; n++) {
        const float share = std::exp(top_of(n) - from);
        const float* part = block(n) + r * p.value_size;
        sum += share * block(n)[rows * (p.value_size + 1) + r];
        for (int64_t d = 0; d < p.value_size; d++) out[d] += share * part[d];
      }
      divide_rows(p.q.dtype, out, p.value_size, &sum, p.out_at(b, h, row), p.value_size, 1, p.value_size);
    }
  });
}

class Attention : public Op {
 public:
  Attention(mx::Stream s, double scale, bool causal, Options options, Names names)
      : Op(s, "attention", std::move(options), std::move(names)), scale_(scale), causal_(causal) {}

  std::vector<Shape> output_shapes(const Arrays& inputs) override {
    auto shape = inputs[0].shape();
    shape.back() = inputs[2].shape(-1);
    return {shape};
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const auto &q = inputs[0], &k = inputs[1], &v = inputs[2];
    auto& out = outputs[0];
    const int64_t B = q.shape(0), H = q.shape(1), L = q.shape(2), D = v.shape(3);
    auto flags = out.flags();
    flags.contiguous = true;
    flags.row_contiguous = H == 1 || L == 1;
    flags.col_contiguous = out.size() <= 1 || (int64_t)out.size() == std::max({B, H, L, D});
    out.set_data(mx::allocator::malloc(out.nbytes()), out.size(), {L * H * D, D, H * D, 1}, flags);
    auto& encoder = mx::cpu::get_command_encoder(stream());
    for (const auto& input : inputs) encoder.set_input_array(input);
    encoder.set_output_array(out);
    Problem p{Heads(q), Heads(k), Heads(v), out.data<char>(), (int64_t)out.itemsize(), B, H, k.shape(1), L, k.shape(2),
              q.shape(3), D, scale_, causal_, nullptr, false, {}};
    if (const array* mask = named(inputs, "mask")) {
      p.mask = mask->data<char>();
      p.boolean = mask->dtype() == mx::bool_;
      for (int i = 0; i < 4; i++) p.mask_stride[i] = mask->strides(i);
    }
    encoder.dispatch([p] { p.group() * p.length <= max_few_rows ? few_queries(p) : many_queries(p); });
  }

 private:
  float scale_;
  bool causal_;
};

Optional attention(const array& q, const array& k, const array& v, double scale,
                   const std::variant<std::monostate, std::string, array>& mask, mx::StreamOrDevice where) {
  const auto* word = std::get_if<std::string>(&mask);
  const auto* added = std::get_if<array>(&mask);
  if (!supported({q, k, v}) || q.ndim() != 4 || k.ndim() != 4 || v.ndim() != 4 || (word && *word != "causal")) return {};
  if (q.dtype() != k.dtype() || q.dtype() != v.dtype()) return {};
  if (k.shape(0) != q.shape(0) || v.shape(0) != q.shape(0) || k.shape(1) != v.shape(1) || q.shape(1) % k.shape(1) ||
      k.shape(2) != v.shape(2) || k.shape(3) != q.shape(3))
    throw std::invalid_argument("attention: q must be [B, H, L, D] and k, v [B, Hkv, S, D], with H a multiple of Hkv");
  if (word && q.shape(2) > k.shape(2)) return {}; // some rows attend to nothing: left to MLX
  const auto s = mx::to_stream(where);
  Arrays inputs{q, k, v};
  Names names{"q", "k", "v"};
  Options options{{"scale", scale}};
  if (word) options.push_back({"mask", *word});
  if (added) {
    const bool boolean = added->dtype() == mx::bool_;
    if (!boolean && !supported({*added})) return {};
    const auto m = boolean || added->dtype() == mx::float32 ? *added : mx::astype(*added, mx::float32, s);
    inputs.push_back(mx::broadcast_to(m, {q.shape(0), q.shape(1), q.shape(2), k.shape(2)}, s));
    names.push_back("mask");
  }
  auto shape = q.shape();
  shape.back() = v.shape(3);
  return array(shape, q.dtype(), std::make_shared<Attention>(s, scale, word != nullptr, std::move(options), std::move(names)),
               std::move(inputs));
}

class AttentionByRows : public Op {
 public:
  AttentionByRows(mx::Stream s, int64_t heads, double scale, Names names)
      : Op(s, "attention_by_rows", {{"heads", heads}, {"scale", scale}}, std::move(names)), heads_(heads), scale_(scale) {}
  DEFINE_INPUT_OUTPUT_SHAPE()

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    const Arrays dense = row_major(inputs);
    const array* mask = named(dense, "mask");
    auto& encoder = begin(inputs, outputs[0]);
    encoder.dispatch([=, heads = heads_, scale = (float)scale_, q = dense[0].data<float>(), all = dense[1].data<float>(),
                      rows = dense[2].data<int32_t>(), count = (int64_t)dense[0].shape(0), width = (int64_t)dense[0].shape(1),
                      all_rows = (int64_t)dense[1].shape(1), keys = (int64_t)dense[2].shape(1),
                      mask = mask ? mask->data<float>() : nullptr, out = outputs[0].data<float>()] {
      parallel_ranges(count, 1 + 65536 / (keys * width), [&](int64_t begin, int64_t end) {
        float* scores = scratch(rows_slot, keys);
        for (int64_t i = begin; i < end; i++)
          attend_by_rows(q + i * width, all, all_rows, rows + i * keys, keys, heads, width / heads, scale, mask, scores, out + i * width);
      });
    });
  }

 private:
  int64_t heads_;
  double scale_;
};

Optional attention_by_rows(const array& q, const array& keys_values, const array& rows, const Optional& mask, int64_t heads,
                           double scale, mx::StreamOrDevice where) {
  if (q.ndim() != 2 || keys_values.ndim() != 3 || rows.ndim() != 2 || heads < 1 || q.shape(1) % heads ||
      keys_values.shape(2) != 2 * q.shape(1) || rows.shape(0) != q.shape(0) || rows.shape(1) > keys_values.shape(0) ||
      (mask && (mask->ndim() != 2 || mask->shape(0) != heads || mask->shape(1) != rows.shape(1))))
    throw std::invalid_argument("attention_by_rows: q must be [R, M], keys_values [T, N, 2 M], rows [R, S] with S <= T, mask [H, S]");
  if (q.dtype() != mx::float32 || keys_values.dtype() != mx::float32 || rows.dtype() != mx::int32 || !rows.size() ||
      !supported({q, keys_values}) || (mask && !supported({*mask})))
    return {};
  const auto s = mx::to_stream(where);
  Arrays inputs{q, keys_values, rows};
  Names names{"q", "keys_values", "rows"};
  if (mask) inputs.push_back(as_float32(*mask, s)), names.push_back("mask");
  return array(q.shape(), mx::float32, std::make_shared<AttentionByRows>(s, heads, scale, std::move(names)), std::move(inputs));
}

} // namespace

void bind_attention(nb::module_& m) {
  m.def("attention_by_rows", &attention_by_rows, "q"_a, "keys_values"_a, "rows"_a, "mask"_a = nb::none(), nb::kw_only(), "heads"_a,
        "scale"_a, "stream"_a = nb::none());
  m.def("attention", &attention, "q"_a, "k"_a, "v"_a, nb::kw_only(), "scale"_a, "mask"_a = nb::none(), "stream"_a = nb::none());
}

} // namespace ptm
