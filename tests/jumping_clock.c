/* The day and time jump by up to 11 days, three times a second; the rest of
   the machine's clocks do not. Loaded by LD_PRELOAD, see jumping_clock.py.

   What waits until a moment of CLOCK_REALTIME asks the kernel, whose clock does
   not jump: such moments are brought back. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real(#name))
#define DAY 86400
#define SOME_DATE 1000000000 /* Monotonic clocks count from the last boot. */

static void* real(const char* name) {
  /* The first version of pthread_cond_timedwait is another function. */
  void* found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
  return found ? found : dlsym(RTLD_NEXT, name);
}

static int (*now)(clockid_t, struct timespec*);

static time_t shift(void) {
  static const int days[] = {0, 11, -11, 3, -1, 9, -7, 1};
  struct timespec up;
  if (!now) now = REAL(clock_gettime);
  now(CLOCK_MONOTONIC, &up);
  return DAY * days[(up.tv_sec * 3 + up.tv_nsec / 333333334) & 7];
}

int clock_gettime(clockid_t clock, struct timespec* out) {
  time_t by = shift();
  int failed = now(clock, out);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    out->tv_sec += by;
  return failed;
}

int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  struct timespec found;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &found);
  out->tv_sec = found.tv_sec;
  out->tv_usec = found.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) {
  struct timespec found;
  clock_gettime(CLOCK_REALTIME, &found);
  if (out) *out = found.tv_sec;
  return found.tv_sec;
}

static const struct timespec* back(const struct timespec* until,
                                   struct timespec* room) {
  if (!until || until->tv_sec < SOME_DATE) return until;
  *room = *until;
  room->tv_sec -= shift();
  return room;
}

int pthread_cond_timedwait(pthread_cond_t* restrict one,
                           pthread_mutex_t* restrict lock,
                           const struct timespec* restrict until) {
  struct timespec room;
  return REAL(pthread_cond_timedwait)(one, lock, back(until, &room));
}

int sem_timedwait(sem_t* restrict one, const struct timespec* restrict until) {
  struct timespec room;
  return REAL(sem_timedwait)(one, back(until, &room));
}

/* What Abseil and nsync, both in TensorFlow, wait by. */
long syscall(long number, ...) {
  long given[6];
  struct timespec room;
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) given[i] = va_arg(list, long);
  va_end(list);
  if (number == SYS_futex && (given[1] & FUTEX_CLOCK_REALTIME))
    given[3] = (long)back((const struct timespec*)given[3], &room);
  return ((long (*)(long, ...))real("syscall"))(
      number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
