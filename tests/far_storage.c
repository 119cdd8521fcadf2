/* A TensorFlow file system that behaves as an object store does.

   It is registered as s3:// and keeps s3://X in the folder $FAR_ROOT/X. A file
   appears when its writer is flushed or closed, whole; nothing can be appended
   to; a folder is there while something is in it, or if it was made. Renaming
   a folder renames its files, one after the other.

   FAR_FAULT="OPERATION PART CODE FIRST" makes an operation (read, write,
   delete, rename, list or stat) fail with a TF_Code from its FIRST call on,
   counted over those paths that contain PART. CODE 0 kills the process there
   instead. */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The header is C but for this word. */
#define constexpr static const
#include "tensorflow/c/experimental/filesystem/filesystem_interface.h"

#define MADE "/.made"     /* In folders that were made. */
#define SENDING ".sending." /* Not yet there for anyone. */

typedef struct {
  char path[PATH_MAX];
  char* data;
  size_t size, room;
  bool changed;
} Upload;

static void* allocate(size_t size) { return calloc(1, size); }

static void release(void* memory) { free(memory); }

static void ok(TF_Status* status) { TF_SetStatus(status, TF_OK, ""); }

static void failed(TF_Status* status, const char* path) {
  /* Folders in place of files are a failed precondition to TensorFlow. */
  if (errno == EISDIR || errno == ENOTDIR || errno == ENOTEMPTY)
    TF_SetStatus(status, TF_FAILED_PRECONDITION, strerror(errno));
  else
    TF_SetStatusFromIOError(status, errno, path);
}

static void local(const char* uri, char* path) {
  const char* root = getenv("FAR_ROOT");
  const char* rest = strstr(uri, "://");
  size_t end;
  if (!root || !*root) {
    fprintf(stderr, "far_storage: FAR_ROOT is not set\n");
    abort();
  }
  snprintf(path, PATH_MAX, "%s/%s", root, rest ? rest + 3 : uri);
  for (end = strlen(path); end > 1 && path[end - 1] == '/'; end--)
    path[end - 1] = 0;
}

/* Returns whether FAR_FAULT wants this call to fail, and says so. */
static bool fault(const char* operation, const char* path, TF_Status* status) {
  static int calls;
  static char before[512];
  const char* wanted = getenv("FAR_FAULT");
  char name[16], part[256];
  int code, first;
  if (!wanted) wanted = "";
  /* One process may run several tests, each with faults of its own. */
  if (strcmp(wanted, before)) {
    snprintf(before, sizeof before, "%s", wanted);
    calls = 0;
  }
  if (sscanf(wanted, "%15s %255s %d %d", name, part, &code, &first) != 4)
    return false;
  if (strcmp(name, operation) || !strstr(path, part)) return false;
  if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) < first) return false;
  if (!code) kill(getpid(), SIGKILL);
  char message[512];
  snprintf(message, sizeof message, "the store refused to %s %.300s",
           operation, path);
  TF_SetStatus(status, (TF_Code)code, message);
  return true;
}

static bool is_folder(const char* path) {
  struct stat about;
  return !stat(path, &about) && S_ISDIR(about.st_mode);
}

static int make_parents(const char* path) {
  char part[PATH_MAX];
  snprintf(part, sizeof part, "%s", path);
  for (char* at = part + 1; (at = strchr(at, '/')); at++) {
    *at = 0;
    if (mkdir(part, 0777) && errno != EEXIST) return -1;
    *at = '/';
  }
  return 0;
}

/* What held nothing but the deleted file is gone, as in a store. */
static void forget_empty(const char* path) {
  char part[PATH_MAX];
  const char* root = getenv("FAR_ROOT");
  snprintf(part, sizeof part, "%s", path);
  for (char* at; (at = strrchr(part, '/')); ) {
    *at = 0;
    if (strlen(part) <= strlen(root) || rmdir(part)) return;
  }
}

/* Files. */

static void read_cleanup(TF_RandomAccessFile* file) {
  close((int)(intptr_t)file->plugin_file);
}

static int64_t read_at(const TF_RandomAccessFile* file, uint64_t offset,
                       size_t size, char* buffer, TF_Status* status) {
  size_t done = 0;
  while (done < size) {
    ssize_t got = pread((int)(intptr_t)file->plugin_file, buffer + done,
                        size - done, (off_t)(offset + done));
    if (got < 0) return failed(status, "read"), -1;
    if (!got) {
      TF_SetStatus(status, TF_OUT_OF_RANGE, "end of file");
      return (int64_t)done;
    }
    done += (size_t)got;
  }
  ok(status);
  return (int64_t)done;
}

static void new_reader(const TF_Filesystem* system, const char* uri,
                       TF_RandomAccessFile* file, TF_Status* status) {
  char path[PATH_MAX];
  local(uri, path);
  if (fault("read", path, status)) return;
  errno = EISDIR;
  int handle = is_folder(path) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (handle < 0) return failed(status, uri);
  file->plugin_file = (void*)(intptr_t)handle;
  ok(status);
}

static void write_cleanup(TF_WritableFile* file) {
  Upload* upload = file->plugin_file;
  free(upload->data);
  free(upload);
}

static void append(const TF_WritableFile* file, const char* data, size_t size,
                   TF_Status* status) {
  Upload* upload = file->plugin_file;
  if (upload->size + size > upload->room) {
    upload->room = 2 * (upload->size + size);
    upload->data = realloc(upload->data, upload->room);
    if (!upload->data) abort();
  }
  if (size) memcpy(upload->data + upload->size, data, size);
  upload->size += size;
  upload->changed = true;
  ok(status);
}

static int64_t tell(const TF_WritableFile* file, TF_Status* status) {
  ok(status);
  return (int64_t)((Upload*)file->plugin_file)->size;
}

static void publish(const TF_WritableFile* file, TF_Status* status) {
  Upload* upload = file->plugin_file;
  char sending[PATH_MAX + 32], folder[PATH_MAX];
  static int number;
  ok(status);
  if (!upload->changed) return;
  if (fault("write", upload->path, status)) return;
  if (make_parents(upload->path)) return failed(status, upload->path);
  snprintf(folder, sizeof folder, "%s", upload->path);
  *strrchr(folder, '/') = 0;
  snprintf(sending, sizeof sending, "%s/" SENDING "%d.%d", folder, getpid(),
           __atomic_add_fetch(&number, 1, __ATOMIC_SEQ_CST));
  FILE* out = fopen(sending, "wb");
  if (!out) return failed(status, upload->path);
  size_t written = fwrite(upload->data, 1, upload->size, out);
  if (fclose(out) || written < upload->size ||
      rename(sending, upload->path)) {
    failed(status, upload->path);
    unlink(sending);
    return;
  }
  upload->changed = false;
}

static void new_writer(const TF_Filesystem* system, const char* uri,
                       TF_WritableFile* file, TF_Status* status) {
  Upload* upload = calloc(1, sizeof *upload);
  local(uri, upload->path);
  upload->changed = true; /* An empty file is a file. */
  if (is_folder(upload->path)) {
    free(upload);
    errno = EISDIR;
    return failed(status, uri);
  }
  file->plugin_file = upload;
  ok(status);
}

static void new_appender(const TF_Filesystem* system, const char* uri,
                         TF_WritableFile* file, TF_Status* status) {
  TF_SetStatus(status, TF_UNIMPLEMENTED, "nothing can be appended to a file");
}

/* Folders. */

static void init(TF_Filesystem* system, TF_Status* status) { ok(status); }

static void cleanup(TF_Filesystem* system) {}

static void make_folder(const TF_Filesystem* system, const char* uri,
                        TF_Status* status) {
  char path[PATH_MAX];
  local(uri, path);
  if (!access(path, F_OK)) {
    errno = is_folder(path) ? EEXIST : ENOTDIR;
    return failed(status, uri);
  }
  strcat(path, MADE);
  int handle = -1;
  if (make_parents(path) || (handle = open(path, O_CREAT, 0666)) < 0)
    return failed(status, uri);
  close(handle);
  ok(status);
}

static void make_folders(const TF_Filesystem* system, const char* uri,
                         TF_Status* status) {
  make_folder(system, uri, status);
  if (TF_GetCode(status) == TF_ALREADY_EXISTS) ok(status);
}

static void delete_file(const TF_Filesystem* system, const char* uri,
                        TF_Status* status) {
  char path[PATH_MAX];
  local(uri, path);
  if (fault("delete", path, status)) return;
  if (unlink(path)) return failed(status, uri);
  forget_empty(path);
  ok(status);
}

static void delete_folder(const TF_Filesystem* system, const char* uri,
                          TF_Status* status) {
  char path[PATH_MAX], made[PATH_MAX + 8];
  local(uri, path);
  snprintf(made, sizeof made, "%s" MADE, path);
  unlink(made);
  /* ENOENT: it went with the last thing in it. */
  if (rmdir(path) && errno != ENOENT) return failed(status, uri);
  forget_empty(path);
  ok(status);
}

static int rename_all(const char* source, const char* target) {
  char from[PATH_MAX], to[PATH_MAX];
  if (!is_folder(source)) {
    if (make_parents(target) || rename(source, target)) return -1;
    forget_empty(source);
    return 0;
  }
  struct dirent** entries;
  int count = scandir(source, &entries, NULL, alphasort), result = 0;
  for (int i = 0; i < count; i++) {
    const char* name = entries[i]->d_name;
    if (strcmp(name, ".") && strcmp(name, "..") && !result) {
      snprintf(from, sizeof from, "%s/%s", source, name);
      snprintf(to, sizeof to, "%s/%s", target, name);
      result = rename_all(from, to);
    }
    free(entries[i]);
  }
  if (count >= 0) free(entries);
  return count < 0 ? -1 : result;
}

static void rename_file(const TF_Filesystem* system, const char* source,
                        const char* target, TF_Status* status) {
  char from[PATH_MAX], to[PATH_MAX];
  local(source, from);
  local(target, to);
  if (fault("rename", from, status)) return;
  if (rename_all(from, to)) return failed(status, source);
  ok(status);
}

static void path_exists(const TF_Filesystem* system, const char* uri,
                        TF_Status* status) {
  char path[PATH_MAX];
  local(uri, path);
  if (fault("stat", path, status)) return;
  if (access(path, F_OK))
    TF_SetStatus(status, TF_NOT_FOUND, uri);
  else
    ok(status);
}

static void stat_path(const TF_Filesystem* system, const char* uri,
                      TF_FileStatistics* about, TF_Status* status) {
  char path[PATH_MAX];
  struct stat found;
  local(uri, path);
  if (fault("stat", path, status)) return;
  if (stat(path, &found)) return TF_SetStatus(status, TF_NOT_FOUND, uri);
  about->is_directory = S_ISDIR(found.st_mode);
  about->length = about->is_directory ? 0 : found.st_size;
  about->mtime_nsec =
      found.st_mtim.tv_sec * 1000000000LL + found.st_mtim.tv_nsec;
  ok(status);
}

static char* translate_name(const TF_Filesystem* system, const char* uri) {
  /* TensorFlow's own way drops the bucket. */
  char* name = allocate(strlen(uri) + 1);
  return strcpy(name, uri);
}

static int list_folder(const TF_Filesystem* system, const char* uri,
                       char*** names, TF_Status* status) {
  char path[PATH_MAX];
  struct dirent** entries;
  int found = 0;
  local(uri, path);
  if (fault("list", path, status)) return -1;
  int count = scandir(path, &entries, NULL, alphasort);
  if (count < 0) return failed(status, uri), -1;
  *names = allocate((size_t)count * sizeof(char*));
  for (int i = 0; i < count; i++) {
    const char* name = entries[i]->d_name;
    if (strcmp(name, ".") && strcmp(name, "..") && strcmp(name, MADE + 1) &&
        strncmp(name, SENDING, strlen(SENDING)))
      (*names)[found++] = translate_name(system, name);
    free(entries[i]);
  }
  free(entries);
  ok(status);
  return found;
}

void TF_InitPlugin(TF_FilesystemPluginInfo* info) {
  info->plugin_memory_allocate = allocate;
  info->plugin_memory_free = release;
  info->num_schemes = 1;
  TF_FilesystemPluginOps* ops = info->ops = allocate(sizeof *ops);
  TF_SetFilesystemVersionMetadata(ops);
  ops->scheme = translate_name(NULL, "s3");
  ops->random_access_file_ops = allocate(TF_RANDOM_ACCESS_FILE_OPS_SIZE);
  ops->random_access_file_ops->cleanup = read_cleanup;
  ops->random_access_file_ops->read = read_at;
  ops->writable_file_ops = allocate(TF_WRITABLE_FILE_OPS_SIZE);
  ops->writable_file_ops->cleanup = write_cleanup;
  ops->writable_file_ops->append = append;
  ops->writable_file_ops->tell = tell;
  ops->writable_file_ops->flush = publish;
  ops->writable_file_ops->sync = publish;
  ops->writable_file_ops->close = publish;
  TF_FilesystemOps* system = allocate(TF_FILESYSTEM_OPS_SIZE);
  ops->filesystem_ops = system;
  system->init = init;
  system->cleanup = cleanup;
  system->new_random_access_file = new_reader;
  system->new_writable_file = new_writer;
  system->new_appendable_file = new_appender;
  system->create_dir = make_folder;
  system->recursively_create_dir = make_folders;
  system->delete_file = delete_file;
  system->delete_dir = delete_folder;
  system->rename_file = rename_file;
  system->path_exists = path_exists;
  system->stat = stat_path;
  system->translate_name = translate_name;
  system->get_children = list_folder;
}
