/* Writes down in which order a process changes files: loaded before libc, it sees each call on a path below $ORDER_ROOT
   and appends a line to $ORDER_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static void note(const char *what, const char *one, const char *two) {
    const char *log = getenv("ORDER_LOG"), *root = getenv("ORDER_ROOT");
    if (!log || !root || strncmp(one, root, strlen(root)) != 0) return;
    char line[3 * PATH_MAX];
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\n", what, one, two);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (fd >= 0) {
        syscall(SYS_write, fd, line, (size_t)length);
        syscall(SYS_close, fd);
    }
}

static void note_fd(const char *what, int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    note(what, path, "");
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t count) {
    NEXT(write);
    if (fd > 2) note_fd("write", fd);
    return next(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    NEXT(pwrite64);
    note_fd("write", fd);
    return next(fd, bytes, count, at);
}

int fsync(int fd) {
    NEXT(fsync);
    int done = next(fd);
    note_fd("sync", fd);
    return done;
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    note("name", from, to);
    return next(from, to);
}

int linkat(int a, const char *from, int b, const char *to, int flags) {
    NEXT(linkat);
    note("name", from, to);
    return next(a, from, b, to, flags);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(mkdir);
    int done = next(path, mode);
    if (done == 0) note("make", path, "");
    return done;
}
