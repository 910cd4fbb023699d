#include "ops/op.h"

#include "mlx/transforms.h"
#include "ops/bind.h"

namespace ptm {

namespace {

nb::handle plain_functions; // a dict that lives as long as the process

nb::object to_python(const Option& option) {
  return std::visit([](const auto& value) { return nb::object(nb::cast(value)); }, option);
}

} // namespace

Arrays Op::plain(const Arrays& inputs) const {
  const nb::gil_scoped_acquire lock;
  if (!plain_functions.is_valid()) throw std::runtime_error("pytorch_to_mlx_cpu: set_plain() was not called");
  nb::list positional;
  for (const auto& input : inputs) positional.append(nb::cast(input));
  nb::dict keywords;
  for (const auto& [key, value] : options_) keywords[key.c_str()] = to_python(value);
  const nb::object result = plain_functions[name_](*positional, **keywords);
  if (nb::isinstance<array>(result)) return {nb::cast<array>(result)};
  return nb::cast<Arrays>(result);
}

bool Op::is_equivalent(const Primitive& other) const {
  const auto* op = dynamic_cast<const Op*>(&other);
  return op && std::string(op->name_) == name_ && op->options_ == options_;
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
