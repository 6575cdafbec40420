// The devices, their memory, and what libtorch asks about them.

#pragma once

#include <map>
#include <mutex>
#include <utility>

#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "counts.h"

namespace {

using c10::DeviceIndex;
using c10::Stream;

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
