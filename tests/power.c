/*
 * Records what a program does to the files of one folder, for tests/power.py: a library for LD_PRELOAD.
 *
 * POWER_ROOT is the folder, POWER_LOG the file of the record. A call takes effect, and is then recorded, while a lock
 * is held: the order of the record is that of the calls. Those that the C library makes by itself (stdio) are not seen;
 * power.py finds out, since the files then differ from what the record leads to.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static int record = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("POWER_LOG");
    root = getenv("POWER_ROOT");
    if (path && root)
        record = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Whether `path` is the folder, or in it. */
static int within(const char *path)
{
    size_t length = root ? strlen(root) : 0;
    return record >= 0 && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

/* Store the path of an open file; return whether it is in the folder. */
static int path_of(int file, char *path)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = record < 0 ? -1 : readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return within(path);
}

/* Store `path`, relative to an open folder or the current one, in full; return whether it is in the folder. */
static int full(int folder, const char *path, char *out)
{
    char start[PATH_MAX] = "";
    if (record < 0)
        return 0;
    if (path[0] != '/') {
        if (folder != AT_FDCWD)
            path_of(folder, start);
        else if (!getcwd(start, sizeof start))
            return 0;
        strcat(start, "/");
    }
    snprintf(out, PATH_MAX, "%s%s", start, path);
    return within(out);
}

/* One entry: the name of the call and four numbers, of which the last two are the lengths of what follows. */
static void note(const char *call, uint64_t file, int64_t number, const char *path, const void *data, size_t size)
{
    struct {
        char call[8];
        uint64_t file;
        int64_t number;
        uint64_t path, data;
    } head = {{0}, file, number, strlen(path), size};
    memcpy(head.call, call, strlen(call));
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)data, size}};
    if (syscall(SYS_writev, record, parts, 3) != (ssize_t)(sizeof head + head.path + size))
        abort();
}

static uint64_t number_of(int file)
{
    struct stat found;
    return fstat(file, &found) ? 0 : found.st_ino;
}

/* Called by the program itself: what it wrote to `path` (relative to the folder) is reported as saved. */
void power_saved(const char *path)
{
    pthread_mutex_lock(&lock);
    note("saved", 0, 0, path, "", 0);
    pthread_mutex_unlock(&lock);
}

static int opened(int folder, const char *path, int flags, mode_t mode)
{
    char name[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !full(folder, path, name))
        return syscall(SYS_openat, folder, path, flags, mode);
    pthread_mutex_lock(&lock);
    int was = !syscall(SYS_faccessat, folder, path, F_OK);
    int file = syscall(SYS_openat, folder, path, flags, mode);
    if (file >= 0 && !was)
        note("create", number_of(file), 0, name, "", 0);
    else if (file >= 0 && flags & O_TRUNC)
        note("size", number_of(file), 0, name, "", 0);
    pthread_mutex_unlock(&lock);
    return file;
}

#define OPEN(name, folder, ...)                                                                                        \
    int name(__VA_ARGS__ const char *path, int flags, ...)                                                             \
    {                                                                                                                  \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;                                                      \
        va_end(more);                                                                                                  \
        return opened(folder, path, flags, mode);                                                                      \
    }
#define FOLDER int folder,
OPEN(open, AT_FDCWD)
OPEN(open64, AT_FDCWD)
OPEN(openat, folder, FOLDER)
OPEN(openat64, folder, FOLDER)

static ssize_t written(int file, const void *data, size_t size, off_t offset)
{
    char name[PATH_MAX];
    int seen = path_of(file, name);
    if (seen)
        pthread_mutex_lock(&lock);
    ssize_t done = offset < 0 ? syscall(SYS_write, file, data, size) : syscall(SYS_pwrite64, file, data, size, offset);
    if (seen) {
        if (done > 0)
            note("write", number_of(file), offset < 0 ? lseek(file, 0, SEEK_CUR) - done : offset, name, data, done);
        pthread_mutex_unlock(&lock);
    }
    return done;
}

ssize_t write(int file, const void *data, size_t size) { return written(file, data, size, -1); }
ssize_t pwrite(int file, const void *data, size_t size, off_t offset) { return written(file, data, size, offset); }
ssize_t pwrite64(int file, const void *data, size_t size, off_t offset) { return written(file, data, size, offset); }

static int resized(int file, off_t size)
{
    char name[PATH_MAX];
    int seen = path_of(file, name);
    if (seen)
        pthread_mutex_lock(&lock);
    int failed = syscall(SYS_ftruncate, file, size);
    if (seen) {
        if (!failed)
            note("size", number_of(file), size, name, "", 0);
        pthread_mutex_unlock(&lock);
    }
    return failed;
}

int ftruncate(int file, off_t size) { return resized(file, size); }
int ftruncate64(int file, off_t size) { return resized(file, size); }

static int synced(int file, long call)
{
    char name[PATH_MAX];
    int seen = path_of(file, name), failed;
    if (seen)
        pthread_mutex_lock(&lock);
    failed = syscall(call, file);
    if (seen) {
        if (!failed)
            note("sync", number_of(file), 0, name, "", 0);
        pthread_mutex_unlock(&lock);
    }
    return failed;
}

int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }

/* The calls on names: the number of the system call, and its arguments. */
typedef struct {
    long number, a, b, c, d, e;
} Call;

static int done(const Call *call)
{
    return syscall(call->number, call->a, call->b, call->c, call->d, call->e);
}

/* `other` is the new name, or empty. */
static int named(const char *kind, const Call *call, const char *name, const char *other)
{
    pthread_mutex_lock(&lock);
    int failed = done(call);
    if (!failed)
        note(kind, 0, 0, name, other, strlen(other));
    pthread_mutex_unlock(&lock);
    return failed;
}

static int one(const char *kind, Call call)
{
    char name[PATH_MAX];
    return full(call.a, (const char *)call.b, name) ? named(kind, &call, name, "") : done(&call);
}

static int two(const char *kind, Call call)
{
    char name[PATH_MAX], other[PATH_MAX];
    int from = full(call.a, (const char *)call.b, name), to = full(call.c, (const char *)call.d, other);
    if (from != to)
        abort(); /* power.py knows one folder only */
    return from ? named(kind, &call, name, other) : done(&call);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    return two("rename", (Call){SYS_renameat2, a, (long)from, b, (long)to, flags});
}

int linkat(int a, const char *from, int b, const char *to, int flags)
{
    return two("link", (Call){SYS_linkat, a, (long)from, b, (long)to, flags});
}

int unlinkat(int folder, const char *path, int flags)
{
    return one("unlink", (Call){SYS_unlinkat, folder, (long)path, flags, 0, 0});
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    return one("mkdir", (Call){SYS_mkdirat, folder, (long)path, mode, 0, 0});
}

int renameat(int a, const char *from, int b, const char *to) { return renameat2(a, from, b, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
