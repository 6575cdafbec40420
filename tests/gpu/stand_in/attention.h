// Attention, for which GPUs have operators of their own.

#pragma once

#include <array>
#include <tuple>

#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>

#include "tensors.h"

namespace {

// Which kernel a GPU would choose, by the numbers of at::SDPBackend: flash attention for half
// precision without a mask, the memory-efficient one otherwise.
int64_t choose_attention(const Tensor& query, const Tensor&, const Tensor&, const c10::optional<Tensor>& mask,
                         double, bool, c10::optional<double>, bool) {
  const bool half = query.scalar_type() == at::kBFloat16 || query.scalar_type() == at::kHalf;
  return half && !mask ? 1 : 2;
}

std::tuple<Tensor, Tensor> attend(const Tensor& query, const Tensor& key, const Tensor& value,
                                  const c10::optional<Tensor>& mask, double dropout, bool causal,
                                  c10::optional<double> scale) {
  Shared shared;
  const Tensor q = shared.to_host(query), k = shared.to_host(key), v = shared.to_host(value);
  const auto m = mask ? c10::optional<Tensor>(shared.to_host(*mask)) : c10::nullopt;
  const auto [out, sums] = at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, dropout, causal, m, scale);
  return {shared.to_device(out), shared.to_device(sums)};
}

std::tuple<Tensor, Tensor, Tensor> attend_backward(
    const Tensor& gradient, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out,
    const Tensor& sums, const Tensor& mask, double dropout, bool causal, c10::optional<double> scale) {
  Shared shared;
  const auto host = [&](const Tensor& tensor) { return shared.to_host(tensor); };
  const auto m = mask.defined() ? c10::optional<Tensor>(host(mask)) : c10::nullopt;
  const auto [q, k, v] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      host(gradient), host(query), host(key), host(value), host(out), host(sums), dropout, causal, m, scale);
  return {shared.to_device(q), shared.to_device(k), shared.to_device(v)};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, c10::SymInt, c10::SymInt, Tensor, Tensor, Tensor> flash(
    const Tensor& query, const Tensor& key, const Tensor& value, double dropout, bool causal, bool,
    c10::optional<double> scale) {
  counts.add("launch", "_scaled_dot_product_flash_attention", query.device());
  auto [out, sums] = attend(query, key, value, c10::nullopt, dropout, causal, scale);
  return {out, sums, Tensor(), Tensor(), query.size(2), key.size(2), Tensor(), Tensor(), Tensor()};
}

std::tuple<Tensor, Tensor, Tensor> flash_backward(
    const Tensor& gradient, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& out,
    const Tensor& sums, const Tensor&, const Tensor&, c10::SymInt, c10::SymInt, double dropout, bool causal,
    const Tensor&, const Tensor&, c10::optional<double> scale) {
  counts.add("launch", "_scaled_dot_product_flash_attention_backward", query.device());
  return attend_backward(gradient, query, key, value, out, sums, Tensor(), dropout, causal, scale);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> efficient(
    const Tensor& query, const Tensor& key, const Tensor& value, const c10::optional<Tensor>& bias, bool,
    double dropout, bool causal, c10::optional<double> scale) {
  counts.add("launch", "_scaled_dot_product_efficient_attention", query.device());
  auto [out, sums] = attend(query, key, value, bias, dropout, causal, scale);
  return {out, sums, Tensor(), Tensor()};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> efficient_backward(
    const Tensor& gradient, const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& bias,
    const Tensor& out, const Tensor& sums, const Tensor&, const Tensor&, double dropout, std::array<bool, 4>,
    bool causal, c10::optional<double> scale) {
  counts.add("launch", "_scaled_dot_product_efficient_attention_backward", query.device());
  auto [q, k, v] = attend_backward(gradient, query, key, value, out, sums, bias, dropout, causal, scale);
  return {q, k, v, Tensor()};
}

}  // namespace
