// Tensors of a device and of the host that share memory.

#pragma once

#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "devices.h"

namespace {

using at::Tensor;
using c10::Storage;

const c10::DispatchKeySet CUDA_KEY(c10::DispatchKey::CUDA);

// A tensor with the shape of `like` over other storage.
Tensor over(Storage storage, c10::DispatchKeySet keys, const Tensor& like) {
  Tensor made = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), keys, like.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  return made;
}

// The memory of `storage`, as that of another device, which keeps it alive.
c10::DataPtr lent(const Storage& storage, Device to) {
  const auto done = [](void* kept) { delete static_cast<Storage*>(kept); };
  return {storage.mutable_data(), new Storage(storage), done, to};
}

// The device's tensors among the arguments of one call, as tensors of the host over their memory.
class Shared {
 public:
  // A number of the host may be among them, since it travels with the call.
  Tensor to_host(const Tensor& tensor) {
    if (!tensor.defined() || (tensor.is_cpu() && tensor.dim() == 0)) return tensor;
    TORCH_CHECK(!where || *where == tensor.device(),
                "Expected all tensors to be on the same device, but found at least two devices, ",
                *where, " and ", tensor.device());
    where = tensor.device();
    if (tensor.is_cpu()) return tensor;
    for (const auto& known : tensors) {
      if (known.first.is_same(tensor)) return known.second;
    }
    tensors.emplace_back(tensor, over(storage_of(tensor), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor));
    return tensors.back().second;
  }

  // What the kernel returned, as the device's: an argument, a view of one, or something new.
  Tensor to_device(const Tensor& result) {
    if (!result.defined() || (where && where->is_cpu())) return result;
    for (const auto& known : tensors) {
      if (known.second.is_same(result)) return known.first;
    }
    return over(storage_for(result), CUDA_KEY, result);
  }

  // Gives arguments the shapes and the memory that a kernel gave to its outputs.
  void adopt() {
    for (const auto& [storage, host] : storages) {
      if (host.data() != storage.data()) {
        storage.unsafeGetStorageImpl()->set_data_ptr_noswap(lent(copied(host), *where));
        storage.unsafeGetStorageImpl()->set_nbytes(host.nbytes());
      }
    }
    for (const auto& [tensor, host] : tensors) {
      if (host.sizes() != tensor.sizes() || host.strides() != tensor.strides()) {
        tensor.unsafeGetTensorImpl()->set_sizes_and_strides(host.sizes(), host.strides(), host.storage_offset());
      }
    }
  }

  c10::optional<Device> where;

 private:
  Storage storage_of(const Tensor& tensor) {
    for (const auto& [storage, host] : storages) {
      if (storage.is_alias_of(tensor.storage())) return host;
    }
    const Storage& storage = tensor.storage();
    // A kernel may make it larger, in memory of the host.
    Storage host(Storage::use_byte_size_t(), storage.nbytes(), lent(storage, c10::kCPU),
                 c10::GetAllocator(c10::kCPU), true);
    storages.emplace_back(storage, host);
    return host;
  }

  Storage storage_for(const Tensor& result) {
    for (const auto& [storage, host] : storages) {
      if (host.unsafeGetStorageImpl() == result.storage().unsafeGetStorageImpl()) return storage;
    }
    return Storage(Storage::use_byte_size_t(), result.storage().nbytes(),
                   lent(result.storage(), where ? *where : device(current)), &device_memory, true);
  }

  // A storage of its own with the memory that a kernel gave to this one.
  static Storage copied(const Storage& host) {
    return Storage(Storage::use_byte_size_t(), host.nbytes(),
                   host.unsafeGetStorageImpl()->set_data_ptr(c10::DataPtr()), nullptr, false);
  }

  std::vector<std::pair<Tensor, Tensor>> tensors;
  std::vector<std::pair<Storage, Storage>> storages;
};

}  // namespace
