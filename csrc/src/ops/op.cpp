#include "ops/op.h"

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "mlx/backend/common/unary.h"
#include "mlx/transforms.h"
#include "ops/bind.h"
#include "pool.h"
#include "simd/unary.h"

namespace ptm {

namespace {

constexpr size_t mmap_threshold = 32 << 20; // bytes: the largest that glibc accepts

nb::handle plain_functions; // the functions of backend/plain.py by name: a dict that lives as long as the process

nb::object to_python(const Option& option) {
  return std::visit([](const auto& value) { return nb::object(nb::cast(value)); }, option);
}

// malloc maps the memory of a large array anew at each call: with pages of 4 KB, half of an op's time would go into fetching
// them.
void use_huge_pages(array& out) {
#if defined(__linux__)
  constexpr uintptr_t page = 2 << 20;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(out.data<char>()) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(out.data<char>()) + out.nbytes()) / page * page;
  if (out.nbytes() >= (4 << 20) && end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

} // namespace

Arrays Op::plain(const Arrays& inputs) {
  const nb::gil_scoped_acquire lock;
  if (!plain_functions.is_valid()) throw std::runtime_error("pytorch_to_mlx_cpu: set_plain() was not called");
  nb::list positional;
  nb::dict keywords;
  for (size_t i = 0; i < inputs.size(); i++)
    if (names_.empty())
      positional.append(nb::cast(inputs[i]));
    else
      keywords[names_[i].c_str()] = nb::cast(inputs[i]);
  for (const auto& [key, value] : options_) keywords[key.c_str()] = to_python(value);
  const nb::object result = plain_functions[name_](*positional, **keywords);
  // MLX's own ops may return a wider dtype than a kernel, which keeps that of its first input.
  if (nb::isinstance<array>(result)) return {mx::astype(nb::cast<array>(result), inputs[0].dtype(), stream())};
  return nb::cast<Arrays>(result);
}

bool Op::is_equivalent(const Primitive& other) const {
  const auto* op = dynamic_cast<const Op*>(&other);
  return op && std::string(op->name_) == name_ && op->options_ == options_ && op->names_ == names_;
}

Arrays Op::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) {
  Arrays inputs;
  for (int i : argnums) inputs.push_back(primals[i]);
  const auto function = [&](const Arrays& some) { // of these inputs only: quantized weights have no gradient
    Arrays all = primals;
    for (size_t i = 0; i < some.size(); i++) all[argnums[i]] = some[i];
    return plain(all);
  };
  return mx::vjp(function, inputs, cotangents).second;
}

Arrays Op::jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) {
  Arrays all;
  for (size_t i = 0, next = 0; i < primals.size(); i++) {
    const bool given = next < argnums.size() && argnums[next] == (int)i;
    all.push_back(given ? tangents[next++] : mx::zeros_like(primals[i], stream()));
  }
  return mx::jvp([this](const Arrays& in) { return plain(in); }, primals, all).second;
}

std::pair<Arrays, std::vector<int>> Op::vmap(const Arrays& inputs, const std::vector<int>& axes) {
  auto outputs = mx::vmap([this](const Arrays& in) { return plain(in); }, axes)(inputs);
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

mx::cpu::CommandEncoder& Op::begin(const Arrays& inputs, array& out) {
  out.set_data(mx::allocator::malloc(out.nbytes()));
  use_huge_pages(out);
  auto& encoder = mx::cpu::get_command_encoder(stream());
  for (const auto& input : inputs) encoder.set_input_array(input);
  encoder.set_output_array(out);
  return encoder;
}

mx::cpu::CommandEncoder& Op::begin_in_place(const Arrays& inputs, array& out, bool any_layout) {
  auto& encoder = mx::cpu::get_command_encoder(stream());
  for (const auto& input : inputs) encoder.set_input_array(input);
  if (any_layout || inputs[0].flags().row_contiguous)
    mx::set_unary_output_data(inputs[0], out);
  else
    out.set_data(mx::allocator::malloc(out.nbytes()));
  use_huge_pages(out);
  encoder.set_output_array(out);
  return encoder;
}

mx::cpu::CommandEncoder& Op::begin_in_layout(const Arrays& inputs, const array& x, array& out) {
  auto& encoder = mx::cpu::get_command_encoder(stream());
  for (const auto& input : inputs) encoder.set_input_array(input);
  if (x.shape() == out.shape() && x.flags().contiguous && x.data_size() == x.size())
    mx::set_unary_output_data(x, out);
  else {
    mx::Strides strides(out.ndim(), 1);
    int64_t step = 1;
    const auto order = memory_order(x);
    for (auto axis = order.rbegin(); axis != order.rend(); step *= out.shape(*axis), axis++) strides[*axis] = step;
    auto [_, is_row_major, is_column_major] = mx::check_contiguity(out.shape(), strides);
    out.set_data(mx::allocator::malloc(out.nbytes()), out.size(), strides, {true, is_row_major, is_column_major});
  }
  use_huge_pages(out);
  encoder.set_output_array(out);
  return encoder;
}

const array* Op::named(const Arrays& inputs, const char* name) const {
  for (size_t i = 0; i < names_.size(); i++)
    if (names_[i] == name) return &inputs[i];
  return nullptr;
}

std::vector<int> memory_order(const array& x) {
  std::vector<int> order;
  bool is_broadcast = false;
  for (int i = 0; i < (int)x.ndim(); i++)
    if (x.shape(i) > 1) {
      order.push_back(i);
      is_broadcast |= x.strides(i) == 0;
    }
  if (!is_broadcast)
    std::stable_sort(order.begin(), order.end(), [&](int i, int j) { return x.strides(i) > x.strides(j); });
  return order;
}

Options joined(Options first, const Options& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

Options Activation::options() const {
  if (!slope) return {};
  return {{"slope", *slope}, {"floor", floor}};
}

void Activation::operator()(float* y, int64_t n) const {
  if (!slope) return;
  parallel_ranges(n, 16384, [&](int64_t begin, int64_t end) { leaky_relu_above(*slope, floor, y + begin, end - begin); });
}

Dtype storage(const array& x) {
  return x.dtype() == mx::float32 ? Dtype::float32 : x.dtype() == mx::float16 ? Dtype::float16 : Dtype::bfloat16;
}

bool supported(const Arrays& arrays) {
  for (const auto& a : arrays)
    if ((a.dtype() != mx::float32 && a.dtype() != mx::float16 && a.dtype() != mx::bfloat16) || a.size() == 0) return false;
  return true;
}

array as_float32(const array& x, mx::Stream s) { return mx::astype(x, mx::float32, s); }

namespace {

// Copies to row-major order; `item` is the size of an element in bytes.
struct Copy {
  const char* from;
  char* to;
  std::vector<int64_t> shape, strides;
  int64_t item;

  // A row is along the last axis. In parallel, because transposing a large array touches each cache line many times.
  void operator()() const {
    const int64_t n = shape.back(), step = strides.back() * item;
    int64_t rows = 1;
    for (size_t d = 0; d + 1 < shape.size(); d++) rows *= shape[d];
    parallel_ranges(rows, 1 + 16384 / n, [&](int64_t first, int64_t end) {
      for (int64_t row = first; row < end; row++) {
        const char* p = from;
        int64_t index = row;
        for (size_t d = shape.size() - 1; d-- > 0; index /= shape[d]) p += index % shape[d] * strides[d] * item;
        char* q = to + row * n * item;
        if (step == item)
          std::memcpy(q, p, n * item);
        else if (item == 4)
          for (int64_t i = 0; i < n; i++) std::memcpy(q + i * 4, p + i * step, 4);
        else
          for (int64_t i = 0; i < n; i++) std::memcpy(q + i * item, p + i * step, item);
      }
    });
  }
};

} // namespace

array Op::row_major(const array& x) {
  if (x.flags().row_contiguous) return x;
  array copy(x.shape(), x.dtype(), nullptr, {});
  copy.set_data(mx::allocator::malloc(copy.nbytes()));
  auto& encoder = mx::cpu::get_command_encoder(stream());
  encoder.set_input_array(x);
  encoder.set_output_array(copy);
  encoder.dispatch(Copy{x.data<char>(), copy.data<char>(), {x.shape().begin(), x.shape().end()},
                        {x.strides().begin(), x.strides().end()}, (int64_t)x.itemsize()});
  encoder.add_temporary(copy);
  return copy;
}

Arrays Op::row_major(const Arrays& x) {
  Arrays copies;
  copies.reserve(x.size());
  for (const auto& one : x) copies.push_back(row_major(one));
  return copies;
}

// malloc returns the memory of each large array to the system, and fetches it page by page for the next one: keep some of
// it. This holds for the whole process, so a policy that the user has set stays.
static void keep_memory() {
#if defined(__GLIBC__)
  for (const char* name : {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"})
    if (std::getenv(name)) return;
  mallopt(M_MMAP_THRESHOLD, mmap_threshold);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
#endif
}

void bind_op(nb::module_& m) {
  keep_memory();
  m.def("set_plain", [](nb::dict functions) { plain_functions = functions.release(); }, "functions"_a,
        "Give the functions written with MLX's own ops, by name: gradients are taken through them.");
}

} // namespace ptm
