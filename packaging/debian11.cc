// What this machine's compiler or Debian 11's libraries would ask for beyond glibc 2.28 and GCC 8,
// which torch's wheels need themselves. `debian11-cc` links it.

#include <new>
#include <sstream>
#include <sys/syscall.h>
#include <unistd.h>

#define HIDDEN __attribute__((visibility("hidden")))

// glibc 2.29 has these again, without an error handler of 1988 that nobody sets; what they return
// is the same.
#define SINCE_2_2_5(name, parameters, arguments)                                                                                       \
    __asm__(".symver " #name "_2_2_5," #name "@GLIBC_2.2.5");                                                                          \
    extern "C" double name##_2_2_5 parameters;                                                                                         \
    extern "C" HIDDEN double __wrap_##name parameters { return name##_2_2_5 arguments; }
SINCE_2_2_5(exp, (double x), (x))
SINCE_2_2_5(log, (double x), (x))
SINCE_2_2_5(log2, (double x), (x))
SINCE_2_2_5(pow, (double x, double y), (x, y))

// glibc 2.29 has it, and Rust's library has another way where it is null.
extern "C" HIDDEN __attribute__((weak)) int __wrap_posix_spawn_file_actions_addchdir_np(void *, const char *);

// glibc 2.30.
extern "C" HIDDEN pid_t gettid() noexcept { return static_cast<pid_t>(syscall(SYS_gettid)); }

// glibc 2.32. Zero says that there may be threads, which is always safe to believe.
extern "C" HIDDEN char __libc_single_threaded;
char __libc_single_threaded = 0;

// libstdc++ of GCC 9: the constructor of a stream without arguments, by the one with an argument.
HIDDEN void construct(std::ostringstream *stream) __asm__("_ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEEC1Ev");
void construct(std::ostringstream *stream) { new (stream) std::ostringstream(std::ios_base::out); }

// libstdc++ of GCC 11. What is thrown is older.
namespace std {
HIDDEN void __throw_bad_array_new_length() { throw bad_array_new_length(); }
}
