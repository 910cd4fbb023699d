#include "ops/op.h"

#include "mlx/backend/common/unary.h"
#include "mlx/transforms.h"
#include "ops/bind.h"

namespace ptm {

namespace {

nb::handle plain_functions; // a dict that lives as long as the process

nb::object to_python(const Option& option) {
  return std::visit([](const auto& value) { return nb::object(nb::cast(value)); }, option);
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
  // MLX's own ops may answer in a wider dtype than a kernel, which keeps that of its first input.
  if (nb::isinstance<array>(result)) return {mx::astype(nb::cast<array>(result), inputs[0].dtype(), stream())};
  return nb::cast<Arrays>(result);
}

bool Op::is_equivalent(const Primitive& other) const {
  const auto* op = dynamic_cast<const Op*>(&other);
  return op && std::string(op->name_) == name_ && op->options_ == options_ && op->names_ == names_;
}

Arrays Op::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) {
  const auto grads = mx::vjp([this](const Arrays& in) { return plain(in); }, primals, cotangents).second;
  Arrays asked;
  for (int i : argnums) asked.push_back(grads[i]);
  return asked;
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
  auto& encoder = mx::cpu::get_command_encoder(stream());
  for (const auto& input : inputs) encoder.set_input_array(input);
  encoder.set_output_array(out);
  return encoder;
}

mx::cpu::CommandEncoder& Op::begin_in_place(const Arrays& inputs, array& out) {
  auto& encoder = mx::cpu::get_command_encoder(stream());
  for (const auto& input : inputs) encoder.set_input_array(input);
  mx::set_unary_output_data(inputs[0], out);
  encoder.set_output_array(out);
  return encoder;
}

const array* Op::named(const Arrays& inputs, const char* name) const {
  for (size_t i = 0; i < names_.size(); i++)
    if (names_[i] == name) return &inputs[i];
  return nullptr;
}

Dtype storage(const array& x) {
  return x.dtype() == mx::float32 ? Dtype::float32 : x.dtype() == mx::float16 ? Dtype::float16 : Dtype::bfloat16;
}

bool for_us(const Arrays& arrays) {
  for (const auto& a : arrays)
    if ((a.dtype() != mx::float32 && a.dtype() != mx::float16 && a.dtype() != mx::bfloat16) || a.size() == 0) return false;
  return true;
}

array single(const array& x, mx::Stream s) { return mx::astype(x, mx::float32, s); }
array dense(const array& x, mx::Stream s) { return mx::contiguous(single(x, s), false, s); }

void bind_op(nb::module_& m) {
  m.def("set_plain", [](nb::dict functions) { plain_functions = functions.release(); }, "functions"_a,
        "Give the functions written with MLX's own ops, by name: gradients are taken through them.");
}

} // namespace ptm
