/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU as CPU engine: see qemu.h.  The command line is what notes of measurements led to. */
#include "vmm/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/fd.h"
#include "host/loop.h"
#include "host/proc.h"
#include "host/shm.h"
#include "mem/gm.h"
#include "util/log.h"
#include "vhost/vhost.h"
#include "virtio/virtio_dev.h"
#include "vmm/config.h"

#define MIB         (UINT64_C(1) << 20)
#define RAM_MIN_MIB 64
/* q35 puts at least this much of the RAM at gpa 0; Linux's log is in there. */
#define LOW_RAM (UINT64_C(1) << 30)

#define ARGS_MAX  256
#define TEXT_MAX  16384 /* bytes of all arguments */
#define SAY_MAX   512   /* bytes of QEMU's last line */
#define FDS_FIXED 5
#define WORD_MAX  32 /* bytes of a string of QMP that we want to know */
#define MAX_FDS   (FDS_FIXED + VHOST_DEVICES_MAX)

/* Numbers of descriptors in the child. */
enum { FD_SAY = PROC_FD_BASE, FD_RAM, FD_KERNEL, FD_INITRD, FD_QMP, FD_DEVICES };

_Static_assert(MAX_FDS <= PROC_FDS_MAX, "all of them can be handed over");

struct qemu {
	const struct vm_config *c; /* until launched */
	struct loop *loop;
	void (*end)(void *arg, enum ctl_end how, const char *text);
	void *arg;
	struct vhost_ram ram;
	struct vhost *vhost;
	const struct virtio_dev *dev[VHOST_DEVICES_MAX];
	int sock[VHOST_DEVICES_MAX]; /* QEMU's ends, until launched */
	unsigned n;

	struct proc proc;
	struct loop_fd end_src; /* ->fd is proc's */
	struct loop_fd say_src; /* ->fd: what QEMU prints; owned */
	char say[SAY_MAX];      /* its last line */
	size_t say_len;
	bool say_is_full; /* the line goes on */

	struct loop_fd qmp_src; /* ->fd: QEMU's monitor; owned */
	char word[WORD_MAX];    /* since the last quotation mark */
	size_t word_len;
	bool is_off; /* the guest has switched the machine off */

	/* Command line. */
	const char *argv[ARGS_MAX + 1];
	unsigned argc;
	char text[TEXT_MAX];
	size_t text_len;
	bool is_cut;
};

static void on_lost(void *arg, const char *why)
{
	struct qemu *q = arg;

	if (why)
		q->end(q->arg, CTL_END_FAULT, why);
}

int qemu_create(const struct vm_config *c, struct loop *main_loop,
		void (*end)(void *arg, enum ctl_end how, const char *text), void *arg,
		struct qemu **out, struct err *e)
{
	if (c->c.ram_mib < RAM_MIN_MIB || c->c.ram_mib % 2 != 0)
		return err_set(e, -EINVAL,
			       "a guest needs at least 64 MiB of memory, in steps of 2 MiB");

	struct qemu *q = calloc(1, sizeof(*q));
	if (!q)
		return err_set(e, -ENOMEM, "no memory for an engine");
	*q = (struct qemu){ .c = c, .loop = main_loop, .end = end, .arg = arg };
	q->proc = PROC_NONE;
	q->say_src.fd = -1;
	q->qmp_src.fd = -1;
	q->ram = (struct vhost_ram){ .fd = -1, .len = c->c.ram_mib * MIB };

	struct vhost_conf conf = { .lost = on_lost, .arg = q };
	int r = shm_create("guest-ram", q->ram.len, &q->ram.fd);
	if (r == 0)
		r = shm_map(q->ram.fd, q->ram.len, &q->ram.host);
	if (r == 0) {
		conf.ram = q->ram;
		r = vhost_create(&conf, &q->vhost);
	}
	if (r < 0) {
		qemu_destroy(q);
		return err_set(e, r,
			       "the host has no %llu MiB of memory for the guest; use less "
			       "(--memory)",
			       (unsigned long long)c->c.ram_mib);
	}
	*out = q;
	return 0;
}

void qemu_destroy(struct qemu *q)
{
	if (!q)
		return;
	loop_del(&q->end_src);
	loop_del(&q->say_src);
	loop_del(&q->qmp_src);
	fd_drop(&q->proc.pidfd);
	vhost_destroy(q->vhost);
	for (unsigned i = 0; i < q->n; i++)
		fd_drop(&q->sock[i]);
	fd_drop(&q->say_src.fd);
	fd_drop(&q->qmp_src.fd);
	shm_unmap(q->ram.host, q->ram.len);
	fd_drop(&q->ram.fd);
	free(q);
}

int qemu_add(struct qemu *q, struct virtio_dev *dev, struct vhost_window *w)
{
	if (q->n == VHOST_DEVICES_MAX)
		return -ENOSPC;
	q->sock[q->n] = -1;
	int r = vhost_add(q->vhost, dev, w, &q->sock[q->n]);
	q->dev[q->n++] = dev;
	return r;
}

int qemu_map(const struct qemu *q, struct gm *gm)
{
	return gm_add(gm, 0, q->ram.host, q->ram.len < LOW_RAM ? q->ram.len : LOW_RAM);
}

static void PRINTF_FMT(2, 3) arg(struct qemu *q, const char *fmt, ...)
{
	size_t room = sizeof(q->text) - q->text_len;
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(q->text + q->text_len, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room || q->argc == ARGS_MAX) {
		q->is_cut = true;
		return;
	}
	q->argv[q->argc++] = q->text + q->text_len;
	q->text_len += (size_t)n + 1;
}

static void args(struct qemu *q, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		arg(q, "%s", words[i]);
}

/* The path behind a descriptor, for those who confine themselves to paths; "" if it has none. */
static void path_of(int fd, char *path, size_t size)
{
	char link[64];
	struct stat at[2];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, size - 1);
	path[n > 0 ? n : 0] = '\0';
	if (fstat(fd, &at[0]) < 0 || stat(path, &at[1]) < 0 || at[0].st_ino != at[1].st_ino)
		*path = '\0';
}

/* What QEMU may see, and what it is started as. */
static void add_program(struct qemu *q, const char *kernel)
{
	static const char *const system[] = {
		"x:/usr",
		"x:/bin",
		"x:/lib",
		"x:/lib64",
		"r:/etc/ld.so.cache",
		"r:/etc/alternatives",
	};
	static const char *const always[] = { "r:/proc/self/fd", "d:/dev/null", "r:/dev/urandom" };
	const struct ctl_qemu *c = &q->c->qemu;

	arg(q, "pecten-vm");
	arg(q, "--qemu");
	arg(q, "%d", (int)getpid());
	args(q, always, ARRAY_LEN(always));
	if (*kernel)
		arg(q, "r:%s", kernel);
	if (!*c->root) {
		args(q, system, ARRAY_LEN(system));
		arg(q, "x:%s", c->program);
		arg(q, "--");
		arg(q, "%s", c->program);
		return;
	}
	/* A private folder's program runs with that folder's libraries and firmware. */
	arg(q, "x:%s", c->root);
	arg(q, "--");
	arg(q, "%s/lib64/ld-linux-x86-64.so.2", c->root);
	arg(q, "--library-path");
	arg(q, "%s/usr/lib/x86_64-linux-gnu", c->root);
	arg(q, "%s", c->program);
	arg(q, "-L");
	arg(q, "%s/usr/share/seabios", c->root);
	arg(q, "-L");
	arg(q, "%s/usr/share/qemu", c->root);
}

static void add_devices(struct qemu *q)
{
	for (unsigned i = 0; i < q->n; i++) {
		arg(q, "-chardev");
		arg(q, "socket,id=c%u,fd=%u", i, FD_DEVICES + i);
		arg(q, "-device");
		arg(q,
		    "vhost-user-test-device-pci,virtio-id=%u,num_vqs=%u,vq_size=%u,"
		    "config_size=%u,chardev=c%u",
		    q->dev[i]->type, vhost_queues(q->dev[i]), vhost_ring(q->dev[i]),
		    vhost_config_len(q->dev[i]), i);
	}
}

static void build(struct qemu *q, const char *cmdline)
{
	/* clang-format off */
	static const char *const fixed[] = {
		"-machine", "q35,accel=tcg,memory-backend=ram,usb=off,vmport=off",
		"-cpu", "max",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "none",
		"-monitor", "none", "-no-reboot",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
	};
	/* clang-format on */
	char kernel[1024];

	path_of(q->c->kernel_fd, kernel, sizeof(kernel));
	add_program(q, kernel);
	args(q, fixed, ARRAY_LEN(fixed));
	arg(q, "-chardev");
	arg(q, "socket,id=qmp,fd=%d", FD_QMP);
	arg(q, "-mon");
	arg(q, "chardev=qmp,mode=control");
	arg(q, "-name");
	arg(q, "%s", q->c->c.name);
	arg(q, "-smp");
	arg(q, "%u", q->c->c.cpus);
	arg(q, "-m");
	arg(q, "%lluM", (unsigned long long)q->c->c.ram_mib);
	arg(q, "-object");
	arg(q, "memory-backend-file,id=ram,size=%lluM,mem-path=/proc/self/fd/%d,share=on",
	    (unsigned long long)q->c->c.ram_mib, FD_RAM);
	arg(q, "-kernel");
	if (*kernel)
		arg(q, "%s", kernel);
	else
		arg(q, "/proc/self/fd/%d", FD_KERNEL);
	if (q->c->initrd_fd >= 0) {
		arg(q, "-initrd");
		arg(q, "/proc/self/fd/%d", FD_INITRD);
	}
	arg(q, "-append");
	arg(q, "%s", cmdline);
	add_devices(q);
	q->argv[q->argc] = NULL;
}

static void say_line(struct qemu *q, const char *p, size_t len)
{
	const size_t room = sizeof(q->say) - 1;

	if (len == 0)
		return;
	len = len < room ? len : room;
	memcpy(q->say, p, len);
	q->say[len] = '\0';
	log_debug(QEMU, "%s", q->say);
}

/*
 * Takes some of what QEMU prints; the last line may explain its end.  Never all: one that is the
 * guest's prints without end.  Return: whether there was any
 */
static bool read_say(struct qemu *q)
{
	char buf[SAY_MAX];
	ssize_t n = read(q->say_src.fd, buf, sizeof(buf));
	const char *end = buf + (n > 0 ? n : 0);

	for (const char *p = buf; p < end;) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));

		say_line(q, p, (size_t)((eol ? eol : end) - p));
		p = eol ? eol + 1 : end;
	}
	return n > 0;
}

static void on_say(struct loop_fd *src, unsigned events)
{
	struct qemu *q = container_of(src, struct qemu, say_src);

	if (!read_say(q) && events & LOOP_HUP)
		loop_del(src);
}

/*
 * QEMU ends with status 0 whether the guest reset the machine or switched it off; its monitor says
 * which, as the reason of the event SHUTDOWN.  No other string of QMP is that word.
 */
static void heed_qmp(struct qemu *q, const char *p, size_t len)
{
	static const char off[] = "guest-shutdown";

	for (size_t i = 0; i < len; i++) {
		if (p[i] != '"') {
			if (q->word_len < sizeof(q->word))
				q->word[q->word_len++] = p[i];
			continue;
		}
		if (q->word_len == strlen(off) && memcmp(q->word, off, q->word_len) == 0)
			q->is_off = true;
		q->word_len = 0;
	}
}

/* As read_say(). */
static bool read_qmp(struct qemu *q)
{
	char buf[SAY_MAX];
	ssize_t n = read(q->qmp_src.fd, buf, sizeof(buf));

	if (n > 0)
		heed_qmp(q, buf, (size_t)n);
	return n > 0;
}

static void on_qmp(struct loop_fd *src, unsigned events)
{
	struct qemu *q = container_of(src, struct qemu, qmp_src);

	if (!read_qmp(q) && events & LOOP_HUP)
		loop_del(src);
}

static void on_end(struct loop_fd *src, unsigned events)
{
	struct qemu *q = container_of(src, struct qemu, end_src);
	char how[128];
	char text[SAY_MAX + sizeof(how) + 16];
	int status = 0;

	(void)events;
	loop_del(src);
	/* It has ended, so that what the pipes hold is all there will be. */
	while (read_say(q)) {
	}
	while (read_qmp(q)) {
	}
	if (proc_reap(&q->proc, -1, &status) < 0)
		return;
	if (status == 0) {
		q->end(q->arg, q->is_off ? CTL_END_POWEROFF : CTL_END_RESET, NULL);
		return;
	}
	proc_describe(status, how, sizeof(how));
	(void)snprintf(text, sizeof(text), "QEMU %s%s%s", how, *q->say ? ": " : "", q->say);
	q->end(q->arg, CTL_END_FAULT, text);
}

/* Our environment's entry that begins with @name, or NULL. */
static const char *variable(const char *name)
{
	for (char **v = environ; *v; v++) {
		if (strncmp(*v, name, strlen(name)) == 0)
			return *v;
	}
	return NULL;
}

static int spawn(struct qemu *q, int say, int qmp, struct err *e)
{
	/* The child is pecten-vm first, whose libraries may lie in a folder of their own. */
	const char *const env[] = { "LC_ALL=C", variable("LD_LIBRARY_PATH="), NULL };
	int fds[MAX_FDS] = { say, q->ram.fd, q->c->kernel_fd };
	const struct proc_spec spec = { .path = "/proc/self/exe",
					.argv = q->argv,
					.envp = env,
					.fds = fds,
					.nfds = FDS_FIXED + q->n };

	fds[FD_QMP - PROC_FD_BASE] = qmp;
	/* A number has to be taken even where there is no initramfs. */
	fds[FD_INITRD - PROC_FD_BASE] = q->c->initrd_fd >= 0 ? q->c->initrd_fd : q->c->kernel_fd;
	for (unsigned i = 0; i < q->n; i++)
		fds[FDS_FIXED + i] = q->sock[i];
	return proc_spawn(&spec, &q->proc, e);
}

int qemu_launch(struct qemu *q, const char *cmdline, struct err *e)
{
	/* Said before QEMU is there to hear it: events come only after it. */
	static const char hello[] = "{\"execute\": \"qmp_capabilities\"}\n";
	int qmp[2];
	int say[2];

	build(q, cmdline);
	if (q->is_cut)
		return err_set(e, -E2BIG, "the machine has too many devices for QEMU");
	if (pipe2(say, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_errno(e, "cannot make a pipe");
	q->say_src = (struct loop_fd){ .fd = say[0], .fn = on_say };

	AUTO_FD say_theirs = say[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp) < 0)
		return err_errno(e, "cannot make a socket pair");
	q->qmp_src = (struct loop_fd){ .fd = qmp[0], .fn = on_qmp };
	AUTO_FD qmp_theirs = qmp[1];
	int r = fd_write_full(qmp[0], hello, sizeof(hello) - 1);
	if (r == 0)
		r = fd_set_nonblock(qmp[0]);
	if (r < 0)
		return err_set(e, r, "cannot speak to QEMU: %s", strerror(-r));

	r = spawn(q, say_theirs, qmp_theirs, e);
	for (unsigned i = 0; i < q->n; i++)
		fd_drop(&q->sock[i]);
	q->c = NULL;
	return r;
}

int qemu_start(struct qemu *q, struct err *e)
{
	int r = vhost_start(q->vhost);

	q->end_src = (struct loop_fd){ .fd = q->proc.pidfd, .fn = on_end };
	if (r == 0)
		r = loop_add(q->loop, &q->say_src, LOOP_READ);
	if (r == 0)
		r = loop_add(q->loop, &q->qmp_src, LOOP_READ);
	if (r == 0)
		r = loop_add(q->loop, &q->end_src, LOOP_READ);
	return r < 0 ? err_set(e, r, "cannot serve QEMU: %s", strerror(-r)) : 0;
}
