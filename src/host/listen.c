/* SPDX-License-Identifier: Apache-2.0 */
/* Listening unix sockets: see listen.h. */
#include "host/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/fd.h"

#define BACKLOG       128
#define LOCK_ATTEMPTS 16

static void lock_path(const char *path, char *lock, size_t size)
{
	(void)snprintf(lock, size, "%s.lock", path);
}

static int in_use(const char *path, struct err *e)
{
	return err_set(e, -EADDRINUSE,
		       "another server is listening on '%s'; end it or choose another path", path);
}

/* Locks PATH.lock.  Return: its descriptor or -errno with a sentence */
static int take_lock(const char *path, struct err *e)
{
	char name[LISTEN_PATH_MAX + 8];

	lock_path(path, name, sizeof(name));
	for (int i = 0; i < LOCK_ATTEMPTS; i++) {
		struct stat held;
		struct stat named;

		AUTO_FD fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return err_errno(e,
					 "cannot create '%s'; choose a path in a folder that you "
					 "may write to",
					 name);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ? in_use(path, e)
						    : err_errno(e, "cannot lock '%s'", name);
		/* An owner that ended in between has removed the file that we hold. */
		if (fstat(fd, &held) == 0 && lstat(name, &named) == 0 &&
		    held.st_ino == named.st_ino && held.st_dev == named.st_dev)
			return take_fd(&fd);
	}
	return in_use(path, e);
}

/* Removes a socket that nobody listens on; we hold the lock.  Return: 0 or -errno with a sentence
 */
static int remove_stale(const char *path, const struct sockaddr_un *addr, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(e, "cannot examine '%s'", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST, "'%s' exists and is not a socket; choose another path",
			       path);

	/* A program that knows nothing of our lock may be listening. */
	AUTO_FD probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return err_errno(e, "cannot create a socket");
	if (connect(probe, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
		return in_use(path, e);
	if (errno != ECONNREFUSED)
		return err_errno(e, "cannot tell whether anybody listens on '%s'", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(e, "cannot remove the dead socket '%s'", path);
	return 0;
}

/* Return: a listening descriptor or -errno with a sentence; we hold the lock */
static int listen_locked(const char *path, const struct sockaddr_un *addr, mode_t mode,
			 struct err *e)
{
	int r = remove_stale(path, addr, e);
	if (r < 0)
		return r;

	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, "cannot create a socket");
	/*
	 * Nobody may slip in between bind() and chmod(): Linux makes the file with the socket's own
	 * mode.  The umask belongs to all threads of the program.
	 */
	if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return err_errno(e, "cannot create the socket '%s'", addr->sun_path);
	if (chmod(path, mode) < 0 || listen(fd, BACKLOG) < 0) {
		r = err_errno(e, "cannot listen on '%s'", addr->sun_path);
		(void)unlink(path);
		return r;
	}
	return take_fd(&fd);
}

/* While we hold it, so that no other owner's is meant. */
static void drop_lock(const char *path, int *lock)
{
	char name[LISTEN_PATH_MAX + 8];

	lock_path(path, name, sizeof(name));
	(void)unlink(name);
	fd_drop(lock);
}

int listen_open(const char *path, mode_t mode, struct listen_socket *s, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	*s = (struct listen_socket){ .fd = -1, .lock = -1 };
	if (len >= sizeof(addr.sun_path))
		return err_set(e, -ENAMETOOLONG,
			       "the socket path has %zu bytes, the system allows %zu; choose a "
			       "shorter one, for example in $XDG_RUNTIME_DIR",
			       len, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, len + 1);

	int lock = take_lock(path, e);
	if (lock < 0)
		return lock;
	int fd = listen_locked(path, &addr, mode, e);
	if (fd < 0) {
		drop_lock(path, &lock);
		return fd;
	}
	memcpy(s->path, path, len + 1);
	s->fd = fd;
	s->lock = lock;
	return 0;
}

void listen_close(struct listen_socket *s)
{
	if (s->lock < 0)
		return;
	fd_drop(&s->fd);
	(void)unlink(s->path);
	drop_lock(s->path, &s->lock);
}

int listen_accept(struct listen_socket *s)
{
	int fd;

	do {
		fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd < 0 ? -errno : fd;
}
