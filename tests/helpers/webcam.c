/* A webcam for machines that have none: preloaded, it answers what V4L2 would on /dev/zero, and
   delivers the JPEG files 0.jpg, 1.jpg ... of the folder WEBCAM_PICTURES, over and over.

   The program under test, its library and its calls are the real ones; the kernel's driver alone is
   played. It offers MJPEG at 320x240, refuses other formats by answering with this one, as drivers
   do, and delivers a picture every 20 ms. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "/dev/zero"
#define BUFFERS_MAX 32
#define BUFFER_BYTES (256 * 1024)

static int camera = -1;
static unsigned picture, buffers, queued[BUFFERS_MAX], head, tail;
static char *memory[BUFFERS_MAX];

static int opened(int fd, const char *path) {
  if (fd >= 0 && strcmp(path, DEVICE) == 0) camera = fd;
  return fd;
}

#define OPEN(name)                                                     \
  int name(const char *path, int flags, ...) {                         \
    static int (*real)(const char *, int, ...);                        \
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
    va_list rest;                                                      \
    va_start(rest, flags);                                             \
    int fd = real(path, flags, va_arg(rest, int));                     \
    va_end(rest);                                                      \
    return opened(fd, path);                                           \
  }
OPEN(open)
OPEN(open64)

#define MMAP(name, offset_t)                                                          \
  void *name(void *at, size_t size, int prot, int flags, int fd, offset_t offset) {   \
    static void *(*real)(void *, size_t, int, int, int, offset_t);                    \
    if (!real) real = (void *(*)(void *, size_t, int, int, int, offset_t))dlsym(RTLD_NEXT, #name); \
    if (fd < 0 || fd != camera) return real(at, size, prot, flags, fd, offset);       \
    void *made = real(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);          \
    memory[offset / BUFFER_BYTES] = made;                                             \
    return made;                                                                      \
  }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

static size_t take(char *into) {
  for (int tries = 0; tries < 2; tries++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%u.jpg", getenv("WEBCAM_PICTURES"), picture++);
    FILE *file = fopen(path, "rb");
    if (file) {
      size_t size = fread(into, 1, BUFFER_BYTES, file);
      fclose(file);
      return size;
    }
    picture = 0;
  }
  return 0;
}

static void describe(struct v4l2_format *format) {
  format->fmt.pix.width = 320;
  format->fmt.pix.height = 240;
  format->fmt.pix.pixelformat = V4L2_PIX_FMT_MJPEG;
  format->fmt.pix.field = V4L2_FIELD_NONE;
  format->fmt.pix.sizeimage = BUFFER_BYTES;
}

static int refuse(int why) {
  errno = why;
  return -1;
}

static int answer(unsigned long request, void *argument) {
  struct v4l2_capability *capability = argument;
  struct v4l2_requestbuffers *asked = argument;
  struct v4l2_buffer *buffer = argument;
  struct v4l2_fmtdesc *kind = argument;
  struct v4l2_streamparm *rate = argument;
  switch ((unsigned)request) {
    case VIDIOC_QUERYCAP:
      memset(capability, 0, sizeof *capability);
      strcpy((char *)capability->card, "test");
      capability->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
      return 0;
    case VIDIOC_G_INPUT:
      *(int *)argument = 0;
      return 0;
    case VIDIOC_ENUMINPUT:
      if (((struct v4l2_input *)argument)->index) return refuse(EINVAL);
      ((struct v4l2_input *)argument)->std = 0;
      return 0;
    case VIDIOC_ENUM_FMT:
      if (kind->index) return refuse(EINVAL);
      kind->pixelformat = V4L2_PIX_FMT_MJPEG;
      return 0;
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT:
      describe(argument);
      return 0;
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
      rate->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
      rate->parm.capture.timeperframe = (struct v4l2_fract){1, 50};
      return 0;
    case VIDIOC_REQBUFS:
      buffers = asked->count = asked->count < BUFFERS_MAX ? asked->count : BUFFERS_MAX;
      return 0;
    case VIDIOC_QUERYBUF:
      if (buffer->index >= buffers) return refuse(EINVAL);
      buffer->length = BUFFER_BYTES;
      buffer->m.offset = buffer->index * BUFFER_BYTES;
      return 0;
    case VIDIOC_QBUF:
      queued[tail++ % BUFFERS_MAX] = buffer->index;
      return 0;
    case VIDIOC_DQBUF: {
      if (head == tail) return refuse(EAGAIN);
      usleep(20000);
      struct timespec now;
      clock_gettime(CLOCK_MONOTONIC, &now);
      buffer->index = queued[head++ % BUFFERS_MAX];
      buffer->bytesused = take(memory[buffer->index]);
      buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
      buffer->timestamp.tv_sec = now.tv_sec;
      buffer->timestamp.tv_usec = now.tv_nsec / 1000;
      return 0;
    }
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
      return 0;
    default:
      return refuse(ENOTTY);
  }
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, ...);
  if (!real) real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return fd >= 0 && fd == camera ? answer(request, argument) : real(fd, request, argument);
}
