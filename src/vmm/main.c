/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libexec/pecten-vm: the process of one virtual machine, executed by the library (see control.h).
 *
 *	pecten-vm CONTROL-FD	receive a configuration there, run the machine, report its end
 *	pecten-vm --qemu ...	confine itself and become QEMU (see qemu.h)
 *	pecten-vm --probe	say in one line whether this host's KVM is usable; status 0 or 1
 *	pecten-vm --renderers ...	be the broker of a VM's renderers; see renderers.h
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "host/loop.h"
#include "host/thread.h"
#include "hyp/kvm/probe.h"
#include "util/log.h"
#include "vmm/config.h"
#include "vmm/qemu.h"
#include "vmm/renderers.h"
#include "vmm/sandbox.h"
#include "vmm/vm.h"

#define FILES_MAX 65536
#define END_MS    3000 /* for the devices of a QEMU to stop */

struct session {
	int sock;
	struct loop *loop;
	struct loop_fd src;
	struct vm *vm;
	bool is_orphan; /* the library is gone */
};

static int probe(void)
{
	struct kvm_probe p;
	struct err e = { 0 };

	if (kvm_probe(&p, &e) < 0) {
		(void)printf("%s\n", e.text);
		return 1;
	}
	/* More than native is noise: the host was busy while we measured natively. */
	(void)printf("KVM works (guest code runs at %.0f %% of native speed)\n",
		     100 * (p.speed < 1 ? p.speed : 1));
	return 0;
}

static void on_control(struct loop_fd *src, unsigned events)
{
	struct session *s = container_of(src, struct session, src);
	struct ctl_msg m;
	int fds[CTL_FDS_MAX];

	(void)events;
	int r = ctl_recv(s->sock, &m, fds);
	for (unsigned i = 0; r == 0 && i < m.nfds; i++)
		fd_drop(&fds[i]);
	if (r == 0 && m.type != CTL_STOP)
		return;
	if (r < 0) {
		s->is_orphan = true;
		loop_del(src);
	}
	vm_end(s->vm, CTL_END_STOPPED, NULL);
}

static int run(struct session *s, struct vm_config *c, struct err *e)
{
	struct ctl_msg m = { .type = CTL_STARTED };

	sandbox_shares(c);
	int r = vm_create(c, s->loop, &s->vm, e);

	if (r == 0)
		r = sandbox_early(c, e);
	if (r == 0)
		r = vm_prepare(s->vm, e);
	if (r == 0)
		r = sandbox_running(c, e);
	if (r < 0)
		return r;

	s->src = (struct loop_fd){ .fd = s->sock, .fn = on_control };
	r = loop_add(s->loop, &s->src, LOOP_READ);
	if (r == 0)
		r = ctl_send(s->sock, &m, NULL, 0);
	if (r < 0)
		return err_set(e, r, "the VM process lost its library");
	loop_bind(s->loop);
	vm_go(s->vm);
	loop_run(s->loop);
	loop_del(&s->src);

	m = (struct ctl_msg){ .type = CTL_ENDED };
	vm_finish(s->vm, &m.u.ended);
	if (!s->is_orphan && ctl_send(s->sock, &m, NULL, 0) < 0)
		log_debug(VMM, "nobody wants to know how the machine ended");
	return 0;
}

/*
 * Each file that the guest has open in a share, and each blob of its GPU, holds a descriptor; the
 * usual limit is for programs that may use select().
 */
static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= FILES_MAX)
		return;
	files.rlim_cur = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

static void *end_anyway(void *status)
{
	(void)poll(NULL, 0, END_MS);
	_exit((int)(intptr_t)status); /* no word of it: that may block as well */
}

/*
 * A QEMU that was taken over can keep devices from stopping (vhost.h).  All that matters is done by
 * now, and QEMU ends with us.
 */
static void end_in_time(int status)
{
	pthread_t t;

	if (thread_start(&t, "end", end_anyway, (void *)(intptr_t)status) < 0)
		_exit(status);
	(void)pthread_detach(t);
}

static int session(int sock)
{
	struct session s = { .sock = sock };
	struct vm_config *c = NULL;
	struct err e = { 0 };
	int r = loop_create(&s.loop);

	raise_limits();
	if (r < 0)
		(void)err_set(&e, r, "no memory for an event loop");
	else
		r = config_create(sock, &c, &e);
	if (r == 0) {
		log_set_level((enum log_level)c->c.log_level);
		r = run(&s, c, &e);
	}
	/* A library that leaves before the start has told its user why. */
	if (r < 0 && (c || r != -ENODATA)) {
		struct ctl_msg m = { .type = CTL_FAILED, .u.failed.code = r };

		(void)snprintf(m.u.failed.text, sizeof(m.u.failed.text), "%s", e.text);
		if (ctl_send(sock, &m, NULL, 0) < 0)
			log_error(VMM, "%s", e.text);
	}
	if (c && *c->qemu.program)
		end_in_time(r < 0);
	vm_destroy(s.vm);
	config_destroy(c);
	loop_destroy(s.loop);
	return r < 0;
}

/* A socket the library has left open for us; anything else was typed by hand. */
static int control_fd(const char *arg)
{
	char *end = NULL;

	errno = 0;
	long n = strtol(arg, &end, 10);
	if (errno != 0 || end == arg || *end || n < 3 || n > 1 << 20)
		return -1;

	struct stat st;
	return fstat((int)n, &st) == 0 && S_ISSOCK(st.st_mode) ? (int)n : -1;
}

int main(int argc, char **argv)
{
	log_set_name("pecten-vm");
	(void)signal(SIGPIPE, SIG_IGN);
	/* A guest's write past our user's limit (ulimit -f) fails with EFBIG, and that is all. */
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN); /* Ctrl-C on our terminal is for the workload */
	if (argc == 2 && strcmp(argv[1], "--probe") == 0)
		return probe();
	if (argc > 1 && strcmp(argv[1], "--renderers") == 0)
		return renderers_main(argc - 1, argv + 1);

	if (argc > 2 && strcmp(argv[1], "--qemu") == 0)
		return qemu_stage(argc - 2, argv + 2);

	int sock = argc == 2 ? control_fd(argv[1]) : -1;
	if (sock < 0) {
		(void)fprintf(stderr, "pecten-vm: this program is started by pecten; "
				      "try: pecten run --help\n");
		return 2;
	}
	return session(sock);
}
