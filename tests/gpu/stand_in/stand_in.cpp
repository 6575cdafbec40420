// A stand-in for libtorch's CUDA library, for machines without a GPU. Its devices compute on the
// host, and it counts what a GPU would have been asked to do.
//
// A tensor of such a device has ordinary memory. A kernel is the CPU's, on tensors that share that
// memory. As on a GPU, a kernel refuses tensors of different devices.
//
// MICROCLIP_STAND_IN_COUNTS   the file that has the counts at every moment; none without it
// MICROCLIP_STAND_IN_DEVICES  how many devices there are; 1 without it
// MICROCLIP_STAND_IN_REFUSES  what fails, such as "sync nonzero": the panic tells who asked for it
//
// Lines of the counts, in the order in which something first happened:
//
//     launch NAME DEVICE COUNT 0           kernels, by the operator that needs them
//     sync NAME DEVICE COUNT 0             calls for which the host waits until the device is done
//     copy DIRECTION DEVICE COUNT BYTES    to_device, to_host, between_devices

#include <set>
#include <string>
#include <vector>

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/native/transformers/attention.h>
#include <torch/library.h>

#include "attention.h"
#include "counts.h"
#include "devices.h"
#include "tensors.h"

namespace {

using c10::IValue;

// The host waits for these: it needs a value to know the shape of the result, or to return it.
const std::set<std::string>& synchronising() {
  static const auto& names = *new std::set<std::string>{
      "_linalg_eigh", "_linalg_svd", "_local_scalar_dense", "_unique", "_unique2", "bincount", "equal",
      "linalg_eig", "masked_select", "nonzero", "repeat_interleave", "unique_consecutive", "unique_dim",
  };
  return names;
}

bool is_view(const c10::FunctionSchema& schema) {
  for (const auto& result : schema.returns()) {
    if (result.alias_info() && !result.alias_info()->isWrite()) return true;
  }
  return schema.name() == "aten::resize_" || schema.name() == "aten::set_";
}

// A copy that does not change the type between the host and a device is no kernel.
void count_copy(const Tensor& to, const Tensor& from, bool non_blocking) {
  if (from.numel() == 0) return;
  if (to.is_cuda() && from.is_cuda()) {
    if (to.device() == from.device()) return counts.add("launch", "copy_", to.device());
    return counts.add("copy", "between_devices", to.device(), from.nbytes());
  }
  const Device device = to.is_cuda() ? to.device() : from.device();
  const Tensor& on_host = to.is_cuda() ? from : to;
  counts.add("copy", to.is_cuda() ? "to_device" : "to_host", device, from.nbytes());
  if (to.scalar_type() != from.scalar_type()) counts.add("launch", "copy_", device);
  // Without pinned memory, the copy goes through a buffer of the driver, and this thread waits.
  if (!non_blocking || !PinnedMemory::has(on_host.data_ptr())) {
    counts.add("sync", to.is_cuda() ? "copy_to_device" : "copy_to_host", device);
  }
}

// Counts an operator on `device`, whose name is without its namespace.
void count(const std::string& name, Device device, at::ArrayRef<IValue> arguments) {
  bool waits = synchronising().count(name) > 0;
  // More values than one are given to the places that are true, which are counted first.
  if (name == "_index_put_impl_" && arguments[2].toTensor().numel() > 1) {
    for (const IValue& places : arguments[1].toListRef()) {
      waits = waits || (places.isTensor() && places.toTensor().scalar_type() == at::kBool);
    }
  }
  if (name != "_local_scalar_dense") counts.add("launch", name, device);
  if (waits) counts.add("sync", name, device);
}

// Runs any operator on the host, over the device's memory.
void on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const std::string name = schema.name().substr(schema.name().find("::") + 2);
  const size_t first = stack->size() - schema.arguments().size();
  const std::vector<IValue> given(stack->begin() + first, stack->end());
  // Only a copy may go from one device to another.
  Shared shared, source;
  for (size_t at = first; at < stack->size(); ++at) {
    IValue& value = (*stack)[at];
    if (value.isTensor()) {
      Shared& of_this = name == "copy_" && at == first + 1 ? source : shared;
      value = of_this.to_host(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> hosts;
      for (const Tensor& tensor : value.toTensorList()) hosts.push_back(shared.to_host(tensor));
      value = hosts;
    } else if (value.isOptionalTensorList()) {
      c10::List<c10::optional<Tensor>> hosts;
      // Indices of the host were copied to the device before this call, and counted there.
      for (const IValue& places : value.toListRef()) {
        if (places.isNone()) hosts.push_back(c10::nullopt);
        else hosts.push_back(places.toTensor().is_cpu() ? places.toTensor() : shared.to_host(places.toTensor()));
      }
      value = hosts;
    } else if (value.isDevice() && value.toDevice().is_cuda()) {
      shared.where = device(value.toDevice().index());
      value = Device(c10::kCPU);
    }
  }
  if (name == "copy_") {
    count_copy(given[0].toTensor(), given[1].toTensor(), given[2].toBool());
  } else if (!is_view(schema)) {
    count(name, shared.where ? *shared.where : device(current), given);
  }
  {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    op.callBoxed(stack);
  }
  shared.adopt();
  for (size_t at = stack->size() - schema.returns().size(); at < stack->size(); ++at) {
    IValue& value = (*stack)[at];
    if (value.isTensor()) {
      value = shared.to_device(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> results;
      for (const Tensor& tensor : value.toTensorList()) results.push_back(shared.to_device(tensor));
      value = results;
    }
  }
}

Tensor empty(c10::IntArrayRef size, c10::optional<c10::ScalarType> type, c10::optional<c10::Layout>,
             c10::optional<Device> on, c10::optional<bool>, c10::optional<c10::MemoryFormat> format) {
  c10::DeviceGuard guard(on ? *on : device(current));
  return at::detail::empty_generic(size, &device_memory, CUDA_KEY, c10::dtype_or_default(type), format);
}

Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, c10::optional<c10::ScalarType> type,
                     c10::optional<c10::Layout>, c10::optional<Device> on, c10::optional<bool>) {
  c10::DeviceGuard guard(on ? *on : device(current));
  return at::detail::empty_strided_generic(size, stride, &device_memory, CUDA_KEY, c10::dtype_or_default(type));
}

TORCH_LIBRARY_IMPL(_, CUDA, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&on_host>()); }

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  at::native::_fused_sdp_choice_stub.set_cuda_dispatch_ptr(&choose_attention);
  library.impl("_scaled_dot_product_flash_attention", &flash);
  library.impl("_scaled_dot_product_flash_attention_backward", &flash_backward);
  library.impl("_scaled_dot_product_efficient_attention", &efficient);
  library.impl("_scaled_dot_product_efficient_attention_backward", &efficient_backward);
  // What has a kernel of its own for the CPU has one for GPUs, and there too it comes before a
  // definition by other operators. Operators on many tensors have theirs for GPUs alone.
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const auto& name : dispatcher.getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0) continue;
    const auto op = dispatcher.findSchema(name);
    const auto has = [&](c10::DispatchKey key) { return op->hasKernelForDispatchKey(key); };
    const bool own = op && !has(c10::DispatchKey::CUDA) && has(c10::DispatchKey::CPU) &&
        (has(c10::DispatchKey::CompositeExplicitAutograd) || has(c10::DispatchKey::CompositeImplicitAutograd));
    const bool of_many = name.name.rfind("aten::_foreach_", 0) == 0;
    if (own || of_many || name.name == "aten::copy_") {
      library.impl(c10::toString(name).c_str(), torch::CppFunction::makeFromBoxedFunction<&on_host>());
    }
  }
}

}  // namespace
