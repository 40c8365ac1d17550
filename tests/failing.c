/*
 * Lets the n-th allocation or the n-th system call of a program fail, once or from then on: LD_PRELOAD for Linux.
 *
 * The program arms it around what is attacked, so that the interpreter itself can start. Allocations are those of the C
 * library's heap and anonymous mappings; system calls are those that read and write files and folders.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { NOTHING, ALLOCATIONS, CALLS };

static atomic_int armed = NOTHING;
static atomic_long count;
static long first, last;
static size_t least;
static int with;

/*
 * From now on, call number `n` (from 1) of a kind fails with the error code; all after it, too, if `forever`. Of the
 * allocations, those of `size` bytes and more are counted.
 */
void failing_arm(int kind, long n, int forever, int error, size_t size)
{
    least = size;
    first = n;
    last = forever ? (long)((~0ul) >> 1) : n;
    with = error;
    count = 0;
    armed = kind;
}

/* Returns how many calls there were. */
long failing_disarm(void)
{
    armed = NOTHING;
    return count;
}

static int fails(int kind, size_t size)
{
    if (armed != kind || size < least)
        return 0;
    const long n = ++count;
    if (n < first || n > last)
        return 0;
    errno = with;
    return 1;
}

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) { return fails(ALLOCATIONS, size) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return fails(ALLOCATIONS, n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { return fails(ALLOCATIONS, size) ? NULL : __libc_realloc(p, size); }
void *memalign(size_t to, size_t size) { return fails(ALLOCATIONS, size) ? NULL : __libc_memalign(to, size); }
void *aligned_alloc(size_t to, size_t size) { return memalign(to, size); }

int posix_memalign(void **p, size_t to, size_t size)
{
    void *found = memalign(to, size);
    if (!found)
        return ENOMEM;
    *p = found;
    return 0;
}

void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    if (flags & MAP_ANONYMOUS ? fails(ALLOCATIONS, size) : fails(CALLS, least))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int file, off64_t offset)
{
    return mmap(at, size, protection, flags, file, offset);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CALL(result, name, declared, ...)                     \
    result name declared                                      \
    {                                                         \
        static __typeof__(&name) next;                        \
        if (!next)                                            \
            next = NEXT(name);                                \
        return fails(CALLS, least) ? (result)-1 : next(__VA_ARGS__); \
    }

CALL(ssize_t, read, (int f, void *to, size_t n), f, to, n)
CALL(ssize_t, pread, (int f, void *to, size_t n, off_t at), f, to, n, at)
CALL(ssize_t, pread64, (int f, void *to, size_t n, off64_t at), f, to, n, at)
CALL(ssize_t, write, (int f, const void *from, size_t n), f, from, n)
CALL(ssize_t, pwrite, (int f, const void *from, size_t n, off_t at), f, from, n, at)
CALL(int, fsync, (int f), f)
CALL(int, fdatasync, (int f), f)
CALL(int, ftruncate, (int f, off_t n), f, n)
CALL(int, ftruncate64, (int f, off64_t n), f, n)
CALL(int, rename, (const char *from, const char *to), from, to)
CALL(int, mkdir, (const char *path, mode_t mode), path, mode)
CALL(int, unlink, (const char *path), path)
CALL(off_t, lseek, (int f, off_t at, int whence), f, at, whence)
CALL(off64_t, lseek64, (int f, off64_t at, int whence), f, at, whence)

static int opened(const char *path, int flags, va_list more)
{
    const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
    return fails(CALLS, least) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPEN(name)                                 \
    int name(const char *path, int flags, ...)     \
    {                                              \
        va_list more;                              \
        va_start(more, flags);                     \
        const int found = opened(path, flags, more); \
        va_end(more);                              \
        return found;                              \
    }

OPEN(open)
OPEN(open64)
