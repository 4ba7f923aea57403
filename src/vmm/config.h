/* SPDX-License-Identifier: Apache-2.0 */
/* What the library has asked for, received and checked. */
#ifndef PECTEN_VMM_CONFIG_H
#define PECTEN_VMM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "vmm/control.h"

struct vm_share {
	struct ctl_share c;
	int fd;
};

struct vm_disk {
	struct ctl_disk c;
	int fd;
};

struct vm_port {
	struct ctl_vsock c;
	int fd; /* -1 for CTL_VSOCK_CONNECT */
};

struct vm_config {
	struct ctl_config c;
	struct ctl_kernel kernel;
	struct ctl_qemu qemu; /* ->program is "": KVM */
	int kernel_fd;        /* -1 where there is none; so are the others */
	int initrd_fd;
	int init_fd;
	int console_fd;
	int net_fd;
	struct ctl_net net;
	int gpu_fd;
	struct ctl_gpu gpu;
	struct vm_share shares[CTL_SHARES_MAX];
	unsigned n_shares;
	struct vm_disk disks[CTL_DISKS_MAX];
	unsigned n_disks;
	struct vm_port ports[CTL_PORTS_MAX];
	unsigned n_ports;
};

/**
 * config_create() - receive a configuration, up to CTL_START
 * @sock:	borrowed
 *
 * Return: 0; -ENODATA if the library hung up; -EPROTO with a sentence if it sent nonsense
 */
int config_create(int sock, struct vm_config **out, struct err *e) MUST_CHECK;

/* Closes what is left in it; NULL is fine. */
void config_destroy(struct vm_config *c);

#endif
