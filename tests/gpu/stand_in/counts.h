// What was asked of each device, in a file.

#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <string>
#include <unistd.h>

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

namespace {

using c10::Device;

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

}  // namespace
