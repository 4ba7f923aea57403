/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a description to a running VM process: the name is claimed, files are opened by us so that
 * the VM process needs no right to, and everything is sent to it; see vmm/control.h.
 */
#include "api/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/cache.h"
#include "api/engine.h"
#include "api/init_image.h"
#include "api/launch.h"
#include "host/fd.h"

#define ROOT_NAME "root"
#define END_MS    3000

static struct ctl_msg *new_msg(struct pecten_vm *vm, enum ctl_type type)
{
	vm->msg = (struct ctl_msg){ .type = type };
	return &vm->msg;
}

static int send_msg(struct pecten_vm *vm, const int *fds, unsigned nfds)
{
	uint64_t begin = clock_now_ns();
	int r = ctl_send_until(vm->control, &vm->msg, fds, nfds, begin + vm->send_left_ns);
	uint64_t took = clock_now_ns() - begin;

	vm->send_left_ns -= took < vm->send_left_ns ? took : vm->send_left_ns;
	if (r == -ETIMEDOUT) {
		(void)launch_end(&vm->pid, 0);
		return err_set(&vm->err, r,
			       "the VM process does not read what it shall run, so it was killed; "
			       "try again when the host is less busy");
	}
	/* If it died at once its CTL_FAILED says why, and the thread will read it. */
	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

static int send_config(struct pecten_vm *vm)
{
	struct ctl_msg *m = new_msg(vm, CTL_CONFIG);

	(void)snprintf(m->u.config.name, sizeof(m->u.config.name), "%s", vm->reg.name);
	m->u.config.ram_mib = vm->conf.ram_mib;
	m->u.config.cpus = vm->conf.cpus;
	m->u.config.log_level = vm->conf.log_level;
	m->u.config.maps_owners = geteuid() != 0;
	(void)snprintf(m->u.config.cmdline, sizeof(m->u.config.cmdline), "%s",
		       vm->conf.cmdline ? vm->conf.cmdline : "");
	return send_msg(vm, NULL, 0);
}

static int send_qemu(struct pecten_vm *vm)
{
	struct ctl_msg *m = new_msg(vm, CTL_QEMU);

	if (!*vm->qemu.program)
		return 0;
	(void)snprintf(m->u.qemu.program, sizeof(m->u.qemu.program), "%s", vm->qemu.program);
	(void)snprintf(m->u.qemu.root, sizeof(m->u.qemu.root), "%s", vm->qemu.root);
	return send_msg(vm, NULL, 0);
}

/* The kernel that tools/guest-kernel has made. */
static int send_cached_kernel(struct pecten_vm *vm)
{
	AUTO_FD kernel = -1;
	AUTO_FD initrd = -1;
	int r = cache_kernel(&kernel, &initrd, &vm->err);

	if (r < 0)
		return r;

	const int fds[] = { kernel, initrd };
	struct ctl_msg *m = new_msg(vm, CTL_KERNEL);

	m->u.kernel.kind = CTL_KERNEL_FILE_INITRD;
	return send_msg(vm, fds, ARRAY_LEN(fds));
}

static int send_kernel(struct pecten_vm *vm)
{
	struct ctl_msg *m = new_msg(vm, CTL_KERNEL);
	const char *krunfw = getenv("PECTEN_KRUNFW");
	int fds[2];
	unsigned n = 0;

	if (!vm->conf.kernel && *vm->qemu.program)
		return send_cached_kernel(vm);
	m->u.kernel.kind = CTL_KERNEL_KRUNFW;
	if (!vm->conf.kernel) {
		(void)snprintf(m->u.kernel.path, sizeof(m->u.kernel.path), "%s",
			       krunfw ? krunfw : "");
		return send_msg(vm, NULL, 0);
	}

	AUTO_FD kernel = open(vm->conf.kernel, O_RDONLY | O_CLOEXEC);

	if (kernel < 0)
		return err_errno(&vm->err, "cannot open the kernel '%s'", vm->conf.kernel);

	AUTO_FD initramfs =
		vm->conf.initramfs ? open(vm->conf.initramfs, O_RDONLY | O_CLOEXEC) : -1;

	if (vm->conf.initramfs && initramfs < 0)
		return err_errno(&vm->err, "cannot open the initramfs '%s'", vm->conf.initramfs);
	fds[n++] = kernel;
	if (initramfs >= 0)
		fds[n++] = initramfs;
	m->u.kernel.kind = initramfs >= 0 ? CTL_KERNEL_FILE_INITRD : CTL_KERNEL_FILE;
	return send_msg(vm, fds, n);
}

/* pecten-init travels as a sealed memory file, so that no file of the host is needed. */
static int send_init(struct pecten_vm *vm)
{
	AUTO_FD fd = memfd_create("pecten-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_errno(&vm->err, "cannot make a memory file");

	int r = fd_write_full(fd, init_image, init_image_size);

	if (r < 0)
		return err_set(&vm->err, r, "cannot write a memory file");
	if (fchmod(fd, 0555) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_errno(&vm->err, "cannot seal a memory file");
	(void)new_msg(vm, CTL_INIT);
	return send_msg(vm, &fd, 1);
}

static int send_share(struct pecten_vm *vm, const char *name, const char *path, bool is_ro)
{
	struct ctl_msg *m = new_msg(vm, CTL_SHARE);
	AUTO_FD fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(&vm->err, "cannot open the folder '%s'", path);
	(void)snprintf(m->u.share.name, sizeof(m->u.share.name), "%s", name);
	m->u.share.is_ro = is_ro;
	m->u.share.takes_devices = strcmp(name, ROOT_NAME) == 0;
	return send_msg(vm, &fd, 1);
}

/* The share's name in the internal root, which is what the agent mounts from. */
static void share_name(char *name, size_t len, unsigned i)
{
	(void)snprintf(name, len, "share%u", i);
}

static int send_shares(struct pecten_vm *vm)
{
	char name[CTL_NAME_MAX];
	int r = send_share(vm, ROOT_NAME, vm->conf.root, !vm->conf.is_rw);

	for (unsigned i = 0; r == 0 && i < vm->conf.nshares; i++) {
		share_name(name, sizeof(name), i);
		r = send_share(vm, name, vm->conf.shares[i].host, vm->conf.shares[i].is_ro);
	}
	return r;
}

static int send_disks(struct pecten_vm *vm)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < vm->conf.ndisks; i++) {
		const struct vm_disk *d = &vm->conf.disks[i];
		struct ctl_msg *m = new_msg(vm, CTL_DISK);
		AUTO_FD fd = open(d->path, (d->is_ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);

		if (fd < 0)
			return err_errno(&vm->err, "cannot open the disk '%s'", d->path);
		m->u.disk.is_ro = d->is_ro;
		(void)snprintf(m->u.disk.serial, sizeof(m->u.disk.serial), "disk%u", i);
		r = send_msg(vm, &fd, 1);
	}
	return r;
}

static int send_vsock(struct pecten_vm *vm, enum ctl_vsock_kind kind, uint32_t port,
		      const char *path, int fd)
{
	struct ctl_msg *m = new_msg(vm, CTL_VSOCK);

	m->u.vsock.kind = kind;
	m->u.vsock.port = port;
	(void)snprintf(m->u.vsock.path, sizeof(m->u.vsock.path), "%s", path);
	return send_msg(vm, &fd, fd >= 0);
}

static int send_sockets(struct pecten_vm *vm, int agent)
{
	int r = send_vsock(vm, CTL_VSOCK_STREAM, AGENT_VSOCK_PORT, "", agent);

	if (r == 0)
		r = send_vsock(vm, CTL_VSOCK_LISTEN, AGENT_VSOCK_PORT, "", vm->reg.listener);
	for (unsigned i = 0; r == 0 && i < vm->conf.nsockets; i++) {
		struct vm_socket *s = &vm->conf.sockets[i];

		if (!s->is_listener) {
			r = send_vsock(vm, CTL_VSOCK_CONNECT, s->port, s->path, -1);
			continue;
		}

		/* The person's own: whoever may connect speaks to the guest. */
		r = listen_open(s->path, 0600, &s->bound, &vm->err);
		if (r == 0)
			r = send_vsock(vm, CTL_VSOCK_LISTEN, s->port, "", s->bound.fd);
		fd_drop(&s->bound.fd);
	}
	return r;
}

static int send_net(struct pecten_vm *vm)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x70, 0x65, 0x63 };
	struct ctl_msg *m;
	int sock;

	if (vm->conf.net == PECTEN_NET_NONE) {
		if (vm->conf.nports)
			return err_set(
				&vm->err, -EINVAL,
				"a port cannot be forwarded without a network; add --net passt");
		return 0;
	}
	vm->passt_log = memfd_create("passt", MFD_CLOEXEC);

	int r = passt_start(vm->conf.ports, vm->conf.nports, vm->passt_log, &sock, &vm->passt,
			    &vm->err);

	if (r < 0)
		return r;
	m = new_msg(vm, CTL_NET);
	memcpy(m->u.net.mac, mac, sizeof(mac));
	m->u.net.mtu = PASST_MTU;
	r = send_msg(vm, &sock, 1);
	(void)close(sock);
	return r;
}

static int send_gpu(struct pecten_vm *vm)
{
	const struct vm_conf *c = &vm->conf;
	struct gpu_spec spec = {
		.name = *c->name ? c->name : NULL,
		.memory = c->gpu_mib ? c->gpu_mib << 20 : gpu_default_memory(),
		.counts_all = c->gpu_mib > 0,
		.maps_driver = c->maps_video_memory,
		.log_level = c->log_level,
		.must_work = c->gpu == PECTEN_GPU_ON,
	};
	struct ctl_msg *m;

	if (c->gpu == PECTEN_GPU_OFF || (c->gpu == PECTEN_GPU_AUTO && !gpu_is_likely()))
		return 0;
	if (spec.memory > CTL_GPU_MEMORY_MAX)
		spec.memory = CTL_GPU_MEMORY_MAX;

	AUTO_FD sock = -1;
	int r = gpu_start(&spec, &sock, &vm->renderers, &vm->err);

	if (r < 0)
		return r;
	m = new_msg(vm, CTL_GPU);
	m->u.gpu.memory = spec.memory;
	m->u.gpu.contexts = GPU_CONTEXTS;
	m->u.gpu.flags = c->maps_video_memory ? CTL_GPU_MAP_DRIVER : 0;
	return send_msg(vm, &sock, 1);
}

static int send_console(struct pecten_vm *vm)
{

	if (!vm->conf.console)
		return 0;

	AUTO_FD fd = open(vm->conf.console, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_errno(&vm->err, "cannot open the console's file '%s'", vm->conf.console);
	(void)new_msg(vm, CTL_CONSOLE);
	return send_msg(vm, &fd, 1);
}

static int start_process(struct pecten_vm *vm, const char *program)
{
	const char *argv[] = { program, "3", NULL };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(&vm->err, "cannot make a socket pair");
	vm->control = pair[0];

	const struct launch_io io = { .fd = pair[1], .out = -1, .err = -1 };

	int r = launch(argv, &io, &vm->pid, &vm->err);

	(void)close(pair[1]);
	return r;
}

static int publish(struct pecten_vm *vm)
{
	char command[256] = "";
	size_t n = 0;

	for (size_t i = 0; vm->cmd && i < vm->cmd->argv.n && n < sizeof(command) - 1; i++) {
		int more = snprintf(command + n, sizeof(command) - n, "%s%s", i ? " " : "",
				    vm->cmd->argv.v[i]);

		n += more > 0 ? (size_t)more : 0;
	}

	const struct pecten_info info = {
		.name = vm->reg.name,
		.root = vm->conf.root,
		.command = command,
		.pid = (int)getpid(),
		.started = (int64_t)time(NULL),
		.ram_mib = vm->conf.ram_mib,
		.cpus = vm->conf.cpus,
	};

	return reg_publish(&vm->reg, &info, vm->pid, &vm->err);
}

/* KVM where it works; else QEMU, which a person should know of, because it is so much slower. */
static int choose_engine(struct pecten_vm *vm, const char *program, int names)
{
	struct err why = { 0 };
	char text[ERR_TEXT_MAX + 128];

	vm->qemu = (struct qemu_program){ 0 };
	if (vm->conf.engine == PECTEN_ENGINE_KVM ||
	    (vm->conf.engine == PECTEN_ENGINE_AUTO && engine_check(program, names, &why) == 0))
		return 0;

	int r = qemu_find(&vm->qemu, &vm->err);

	if (vm->conf.engine == PECTEN_ENGINE_QEMU)
		return r;
	why.text[strcspn(why.text, ";")] = '\0';
	if (r < 0)
		return err_prefix(&vm->err, "%.300s, and", why.text);
	(void)snprintf(text, sizeof(text), "%s; QEMU emulates the CPUs, which is much slower",
		       why.text);
	if (vm->note)
		vm->note(vm->note_arg, text);
	return 0;
}

int vm_launch(struct pecten_vm *vm)
{
	char program[LAUNCH_PATH_MAX];
	int pair[2];

	if (!vm->conf.root)
		return err_set(&vm->err, -EINVAL, "the machine has no root file system");

	/* A folder that cannot be used, or a program that is missing, says nothing about engines.
	 */
	AUTO_FD names = reg_open(&vm->err);
	int r = names < 0 ? names : launch_find("pecten-vm", program, &vm->err);

	if (r == 0)
		r = choose_engine(vm, program, names);
	if (r == 0)
		r = reg_claim(vm->conf.name, &vm->reg, &vm->err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(&vm->err, "cannot make a socket pair");
	vm->agent = pair[0];

	AUTO_FD agent = pair[1];

	vm->err.code = 0;
	r = start_process(vm, program);
	if (r == 0)
		r = send_config(vm);
	if (r == 0)
		r = send_qemu(vm);
	if (r == 0)
		r = send_kernel(vm);
	if (r == 0)
		r = send_init(vm);
	if (r == 0)
		r = send_shares(vm);
	if (r == 0)
		r = send_disks(vm);
	if (r == 0)
		r = send_net(vm);
	if (r == 0)
		r = send_gpu(vm);
	if (r == 0)
		r = send_sockets(vm, agent);
	if (r == 0)
		r = send_console(vm);
	if (r == 0) {
		(void)new_msg(vm, CTL_START);
		r = send_msg(vm, NULL, 0);
	}
	if (r == 0)
		r = publish(vm);
	if (r < 0 && vm->err.code == 0)
		return err_set(&vm->err, r, "cannot speak to the VM process: %s", strerror(-r));
	return r;
}

void vm_unlaunch(struct pecten_vm *vm)
{
	fd_drop(&vm->control); /* at which the VM process ends, whatever it does */
	fd_drop(&vm->agent);
	(void)launch_end(&vm->pid, END_MS);
	(void)launch_end(&vm->renderers,
			 END_MS); /* it and passt end when the VM process has gone */
	(void)launch_end(&vm->passt, END_MS);
	fd_drop(&vm->passt_log);
	for (unsigned i = 0; i < vm->conf.nsockets; i++)
		listen_close(&vm->conf.sockets[i].bound);
	reg_release(&vm->reg);
}

int vm_send_setup(struct pecten_vm *vm)
{
	const struct vm_conf *c = &vm->conf;
	struct timespec now;
	char name[CTL_NAME_MAX];
	char resolv[512];

	(void)clock_gettime(CLOCK_REALTIME, &now);

	uint64_t ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
	int r = session_send(&vm->session, &(struct agent_msg){ .type = AGENT_TIME,
								.num = { ns, AGENT_TIME_OLD } });

	if (r == 0)
		r = session_send(&vm->session,
				 &(struct agent_msg){ .type = AGENT_ROOT,
						      .num = { c->is_rw ? AGENT_ROOT_RW : 0,
							       c->overlay_mib ? c->overlay_mib
									      : c->ram_mib / 2 },
						      .str = { ROOT_NAME } });
	for (unsigned i = 0; r == 0 && i < c->nshares; i++) {
		share_name(name, sizeof(name), i);
		r = session_send(
			&vm->session,
			&(struct agent_msg){ .type = AGENT_SHARE,
					     .num = { c->shares[i].is_ro ? AGENT_SHARE_RO : 0 },
					     .str = { name, c->shares[i].guest } });
	}
	if (r == 0)
		r = session_send(
			&vm->session,
			&(struct agent_msg){ .type = AGENT_HOSTNAME,
					     .str = { c->hostname ? c->hostname : vm->reg.name } });
	if (r == 0 && c->net == PECTEN_NET_PASST) {
		passt_resolv(resolv, sizeof(resolv));
		r = session_send(&vm->session,
				 &(struct agent_msg){ .type = AGENT_NET,
						      .num = { PASST_ADDR, PASST_PREFIX,
							       PASST_GATEWAY, PASST_MTU },
						      .str = { resolv } });
	}
	for (size_t i = 0; r == 0 && i < c->env.n; i++)
		r = session_send(&vm->session,
				 &(struct agent_msg){ .type = AGENT_ENV, .str = { c->env.v[i] } });
	if (r == 0)
		r = session_send(&vm->session, &(struct agent_msg){ .type = AGENT_BOOT });
	return r < 0 ? err_set(&vm->err, r, "the machine's description is too long") : 0;
}
