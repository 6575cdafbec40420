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

#include <cstdlib>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unistd.h>

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace {

using at::Tensor;
using c10::Device;
using c10::DeviceIndex;
using c10::IValue;
using c10::Storage;
using c10::Stream;

// --- counts -------------------------------------------------------------------------------------

// One line of the file a count, rewritten in place: the file is whole however the process ends.
class Counts {
 public:
  Counts() {
    if (const char* path = std::getenv("MICROCLIP_STAND_IN_COUNTS")) {
      file = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
      if (file < 0) fail();
    }
  }

  void add(const char* kind, const std::string& name, Device device, uint64_t bytes = 0) {
    static const char* refused = std::getenv("MICROCLIP_STAND_IN_REFUSES");
    const std::string what = std::string(kind) + " " + name;
    TORCH_CHECK(!refused || what != refused, what, " is refused");
    std::lock_guard<std::mutex> held(lock);
    const auto at = counts.emplace(what + " " + device.str(), Count{counts.size(), 0, 0}).first;
    Count& count = at->second;
    count.times += 1;
    count.bytes += bytes;
    char line[WIDTH + 1];
    std::snprintf(line, sizeof line, "%-70.70s %12llu %14llu\n", at->first.c_str(),
                  (unsigned long long)count.times, (unsigned long long)count.bytes);
    if (file >= 0 && pwrite(file, line, WIDTH, (off_t)(count.line * WIDTH)) != (ssize_t)WIDTH) fail();
  }

 private:
  [[noreturn]] static void fail() {
    std::perror("the counts of the stand-in for CUDA");
    std::abort();
  }
  struct Count {
    size_t line;
    uint64_t times, bytes;
  };
  static constexpr size_t WIDTH = 99;
  std::mutex lock;
  std::map<std::string, Count> counts;
  int file = -1;
};

// It is never destroyed, since threads may still compute while the process ends.
Counts& counts = *new Counts;

// --- devices ------------------------------------------------------------------------------------

DeviceIndex devices() {
  static const char* asked = std::getenv("MICROCLIP_STAND_IN_DEVICES");
  return (DeviceIndex)(asked ? std::atoi(asked) : 1);
}

thread_local DeviceIndex current = 0;

Device device(DeviceIndex index) { return Device(c10::kCUDA, index < 0 ? current : index); }

// Every device has one stream, which is done as soon as it is asked to do something.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::kCUDA; }
  Device getDevice() const override { return device(current); }
  void uncheckedSetDevice(Device next) const noexcept override {
    if (next.has_index()) current = next.index();
  }
  void setDevice(Device next) const override {
    TORCH_CHECK(next.is_cuda() && next.index() < devices(), "CUDA error: invalid device ordinal");
    if (next.has_index()) current = next.index();
  }
  Device exchangeDevice(Device next) const override {
    const Device before = getDevice();
    setDevice(next);
    return before;
  }
  Stream getStream(Device of) const override { return Stream(Stream::DEFAULT, device(of.index())); }
  Stream getDefaultStream(Device of) const override { return getStream(of); }
  Stream exchangeStream(Stream next) const override { return getStream(next.device()); }
  DeviceIndex deviceCount() const noexcept override { return devices(); }
  void record(void**, const Stream&, DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeEvent(void*) const override { counts.add("sync", "event", device(current)); }
  void synchronizeStream(const Stream& of) const override { counts.add("sync", "stream", of.device()); }
  void synchronizeDevice(DeviceIndex of) const override { counts.add("sync", "device", device(of)); }
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard)

struct DeviceMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* at = bytes ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    TORCH_CHECK(at || !bytes, "CUDA out of memory. Tried to allocate ", bytes, " bytes");
    return {at, at, &std::free, device(current)};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};
DeviceMemory& device_memory = *new DeviceMemory;
REGISTER_ALLOCATOR(c10::kCUDA, &device_memory)

// Memory of the host that a GPU copies from and to by itself.
struct PinnedMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    c10::DataPtr made = device_memory.allocate(std::max<size_t>(bytes, 1));
    std::lock_guard<std::mutex> held(lock());
    ends()[(char*)made.get()] = (char*)made.get() + std::max<size_t>(bytes, 1);
    void* at = made.release_context();
    return {at, at, &free, c10::kCPU};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  static bool has(const void* at) {
    std::lock_guard<std::mutex> held(lock());
    const auto after = ends().upper_bound((char*)at);
    return after != ends().begin() && at < std::prev(after)->second;
  }

 private:
  static void free(void* at) {
    std::lock_guard<std::mutex> held(lock());
    ends().erase((char*)at);
    std::free(at);
  }
  static std::mutex& lock() {
    static std::mutex& lock = *new std::mutex;
    return lock;
  }
  // The end of each piece, by its beginning.
  static std::map<char*, char*>& ends() {
    static auto& ends = *new std::map<char*, char*>;
    return ends;
  }
};

struct Hooks final : at::CUDAHooksInterface {
  explicit Hooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return devices() > 0; }
  bool hasCUDA() const override { return devices() > 0; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  int getNumGPUs() const override { return devices(); }
  DeviceIndex deviceCount() const override { return devices(); }
  DeviceIndex current_device() const override { return current; }
  DeviceIndex getCurrentDevice() const override { return current; }
  void setCurrentDevice(DeviceIndex next) const override { current = next; }
  DeviceIndex exchangeDevice(DeviceIndex next) const override { return std::exchange(current, next); }
  DeviceIndex maybeExchangeDevice(DeviceIndex next) const override { return exchangeDevice(next); }
  bool isPinnedPtr(const void* at) const override { return PinnedMemory::has(at); }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    static PinnedMemory& pinned = *new PinnedMemory;
    return &pinned;
  }
  c10::Allocator* getCUDADeviceAllocator() const override { return &device_memory; }
  void deviceSynchronize(DeviceIndex of) const override { counts.add("sync", "device", device(of)); }
};

}  // namespace

namespace at {
C10_REGISTER_TYPED_CLASS(CUDAHooksRegistry, "CUDAHooks", Hooks)
}

namespace {

// --- tensors ------------------------------------------------------------------------------------

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

// --- kernels ------------------------------------------------------------------------------------

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

// --- attention ----------------------------------------------------------------------------------

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
