#include "ops/op.h"

#include "mlx/transforms.h"

namespace ptm {

Arrays Op::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) {
  auto grads = mx::vjp(fallback_, primals, cotangents).second;
  Arrays asked;
  for (int i : argnums) asked.push_back(grads[i]);
  return asked;
}

Arrays Op::jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& argnums) {
  Arrays all;
  for (size_t i = 0, next = 0; i < primals.size(); i++)
    all.push_back(next < argnums.size() && argnums[next] == (int)i ? tangents[next++] : mx::zeros_like(primals[i], stream()));
  return mx::jvp(fallback_, primals, all).second;
}

std::pair<Arrays, std::vector<int>> Op::vmap(const Arrays& inputs, const std::vector<int>& axes) {
  auto outputs = mx::vmap(fallback_, axes)(inputs);
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

mx::cpu::CommandEncoder& Op::begin(const Arrays& inputs, array& out) {
  out.set_data(mx::allocator::malloc(out.nbytes()));
  auto& encoder = mx::cpu::get_command_encoder(stream());
  for (const auto& input : inputs) encoder.set_input_array(input);
  encoder.set_output_array(out);
  return encoder;
}

array dense(const array& x, mx::StreamOrDevice s) {
  return mx::contiguous(mx::astype(x, mx::float32, s), false, s);
}

} // namespace ptm
