/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving a configuration: see config.h. */
#include "vmm/config.h"

#include <errno.h>

#include "hyp/hyp.h"

void config_destroy(struct vm_config *c)
{
	if (!c)
		return;
	fd_drop(&c->kernel_fd);
	fd_drop(&c->initrd_fd);
	fd_drop(&c->init_fd);
	fd_drop(&c->console_fd);
	fd_drop(&c->net_fd);
	fd_drop(&c->gpu_fd);
	for (unsigned i = 0; i < c->n_shares; i++)
		fd_drop(&c->shares[i].fd);
	for (unsigned i = 0; i < c->n_disks; i++)
		fd_drop(&c->disks[i].fd);
	for (unsigned i = 0; i < c->n_ports; i++)
		fd_drop(&c->ports[i].fd);
	free(c);
}

/* A descriptor of which there is one at most: moves it to @to. */
static int set_fd(int *to, int *from)
{
	if (*to >= 0)
		return -EPROTO;
	*to = take_fd(from);
	return 0;
}

static int take_config(struct vm_config *c, const struct ctl_msg *m)
{
	const struct ctl_config *in = &m->u.config;

	if (m->nfds != 0 || !ctl_str_ok(in->name) || !ctl_str_ok(in->cmdline) || in->cpus == 0 ||
	    in->cpus > CTL_CPUS_MAX || in->ram_mib == 0 || in->ram_mib > UINT64_C(1) << 24)
		return -EPROTO;
	c->c = *in;
	return 0;
}

static int take_kernel(struct vm_config *c, const struct ctl_msg *m, int *fds)
{
	const struct ctl_kernel *in = &m->u.kernel;
	unsigned want = in->kind == CTL_KERNEL_FILE_INITRD ? 2 : in->kind == CTL_KERNEL_FILE;

	if (m->nfds != want || !ctl_str_ok(in->path) || in->kind < CTL_KERNEL_KRUNFW ||
	    in->kind > CTL_KERNEL_FILE_INITRD || c->kernel.kind != 0)
		return -EPROTO;
	c->kernel = *in;
	if (want > 0)
		c->kernel_fd = take_fd(&fds[0]);
	if (want > 1)
		c->initrd_fd = take_fd(&fds[1]);
	return 0;
}

static int take_qemu(struct vm_config *c, const struct ctl_msg *m)
{
	const struct ctl_qemu *in = &m->u.qemu;

	if (m->nfds != 0 || !ctl_str_ok(in->program) || !ctl_str_ok(in->root) || !*in->program)
		return -EPROTO;
	c->qemu = *in;
	return 0;
}

/* One path component, so that it can neither leave the internal root nor hide in it. */
static bool is_name(const char *s)
{
	return *s && !strchr(s, '/') && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static int take_share(struct vm_config *c, const struct ctl_msg *m, int *fds)
{
	const struct ctl_share *in = &m->u.share;

	if (m->nfds != 1 || c->n_shares == CTL_SHARES_MAX || !ctl_str_ok(in->name) ||
	    !is_name(in->name))
		return -EPROTO;
	c->shares[c->n_shares++] = (struct vm_share){ .c = *in, .fd = take_fd(&fds[0]) };
	return 0;
}

static int take_disk(struct vm_config *c, const struct ctl_msg *m, int *fds)
{
	if (m->nfds != 1 || c->n_disks == CTL_DISKS_MAX)
		return -EPROTO;
	c->disks[c->n_disks++] = (struct vm_disk){ .c = m->u.disk, .fd = take_fd(&fds[0]) };
	return 0;
}

static int take_net(struct vm_config *c, const struct ctl_msg *m, int *fds)
{
	if (m->nfds != 1)
		return -EPROTO;
	c->net = m->u.net;
	return set_fd(&c->net_fd, &fds[0]);
}

static int take_gpu(struct vm_config *c, const struct ctl_msg *m, int *fds)
{
	const struct ctl_gpu *in = &m->u.gpu;

	if (m->nfds != 1 || in->memory == 0 || in->memory > CTL_GPU_MEMORY_MAX ||
	    in->contexts == 0 || in->contexts > CTL_GPU_CONTEXTS_MAX ||
	    (in->flags & ~CTL_GPU_MAP_DRIVER))
		return -EPROTO;
	c->gpu = *in;
	return set_fd(&c->gpu_fd, &fds[0]);
}

static int take_vsock(struct vm_config *c, const struct ctl_msg *m, int *fds)
{
	const struct ctl_vsock *in = &m->u.vsock;
	unsigned want = in->kind == CTL_VSOCK_CONNECT ? 0 : 1;

	if (m->nfds != want || c->n_ports == CTL_PORTS_MAX || !ctl_str_ok(in->path) ||
	    in->kind < CTL_VSOCK_LISTEN || in->kind > CTL_VSOCK_STREAM)
		return -EPROTO;
	c->ports[c->n_ports++] = (struct vm_port){ .c = *in, .fd = want ? take_fd(&fds[0]) : -1 };
	return 0;
}

static int take_msg(struct vm_config *c, const struct ctl_msg *m, int *fds)
{
	switch (m->type) {
	case CTL_CONFIG:
		return take_config(c, m);
	case CTL_KERNEL:
		return take_kernel(c, m, fds);
	case CTL_INIT:
		return m->nfds == 1 ? set_fd(&c->init_fd, &fds[0]) : -EPROTO;
	case CTL_SHARE:
		return take_share(c, m, fds);
	case CTL_DISK:
		return take_disk(c, m, fds);
	case CTL_NET:
		return take_net(c, m, fds);
	case CTL_GPU:
		return take_gpu(c, m, fds);
	case CTL_VSOCK:
		return take_vsock(c, m, fds);
	case CTL_QEMU:
		return take_qemu(c, m);
	case CTL_CONSOLE:
		return m->nfds == 1 ? set_fd(&c->console_fd, &fds[0]) : -EPROTO;
	default:
		return -EPROTO;
	}
}

static int config_recv(int sock, struct vm_config *c, struct err *e)
{
	struct ctl_msg m;
	int fds[CTL_FDS_MAX];

	for (;;) {
		int r = ctl_recv(sock, &m, fds);
		if (r < 0)
			return err_set(e, r, "the VM process lost its library");
		if (m.type == CTL_START && m.nfds == 0)
			break;
		r = take_msg(c, &m, fds);
		for (unsigned i = 0; i < m.nfds; i++)
			fd_drop(&fds[i]);
		if (r < 0)
			return err_set(e, r,
				       "the VM process does not understand its library (message "
				       "%u); are both of the same version?",
				       m.type);
	}
	if (*c->qemu.program && c->kernel_fd < 0)
		return err_set(e, -EPROTO, "QEMU needs a kernel in a file");
	if (c->c.cpus == 0 || c->kernel.kind == 0)
		return err_set(e, -EPROTO, "the library started a VM without vCPUs or kernel");
	return 0;
}

int config_create(int sock, struct vm_config **out, struct err *e)
{
	struct vm_config *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, -ENOMEM, "no memory for a configuration");
	c->kernel_fd = -1;
	c->initrd_fd = -1;
	c->init_fd = -1;
	c->console_fd = -1;
	c->net_fd = -1;
	c->gpu_fd = -1;

	int r = config_recv(sock, c, e);
	if (r < 0) {
		config_destroy(c);
		return r;
	}
	*out = c;
	return 0;
}
