/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library and a VM process say to each other, over a stream socketpair: messages of one
 * fixed size, with descriptors attached.  The only header that api/ and vmm/ share.
 *
 * The library executes `pecten-vm CONTROL-FD`, sends CTL_CONFIG, CTL_KERNEL and then any number of
 * CTL_SHARE ... CTL_CONSOLE, each kind in the order in which the guest shall see them, and
 * CTL_START.  Nothing of that is answered, except by CTL_FAILED.  The VM process answers
 * CTL_STARTED when the guest begins to run, and later CTL_ENDED; then it exits with status 0.  If
 * it dies without CTL_ENDED, that is a bug of ours or somebody killed it.  When the library's end
 * is closed, for whatever reason, the VM ends at once.
 *
 * The VM process knows nothing of agents, commands and exit statuses: those travel through vsock
 * connections of which the library holds the other end.
 */
#ifndef PECTEN_VMM_CONTROL_H
#define PECTEN_VMM_CONTROL_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "host/fd.h"
#include "util/compiler.h"

#define CTL_MAGIC    0x6d766372U /* "rcvm"; changes whenever a struct below does */
#define CTL_FDS_MAX  4
#define CTL_NAME_MAX 64

#define CTL_CPUS_MAX   64
#define CTL_SHARES_MAX 64
#define CTL_DISKS_MAX  16
#define CTL_PORTS_MAX  64 /* CTL_VSOCK messages */

#define CTL_GPU_MEMORY_MAX   (UINT64_C(1) << 40)
#define CTL_GPU_CONTEXTS_MAX 1024

enum ctl_type {
	/* library to VM process, before CTL_START */
	CTL_CONFIG = 1,
	CTL_KERNEL,  /* fds: kernel file, initramfs (see kind) */
	CTL_INIT,    /* fds: file served as /init of the internal root; once */
	CTL_SHARE,   /* fds: directory (O_PATH will do) */
	CTL_DISK,    /* fds: raw image or block device, open as it shall be used */
	CTL_NET,     /* fds: stream socket that speaks length-prefixed frames (passt) */
	CTL_VSOCK,   /* fds: see kind */
	CTL_QEMU,    /* the engine is QEMU, not KVM; once, no fds */
	CTL_CONSOLE, /* fds: receives the kernel's console; may be any writable file */
	CTL_GPU,     /* fds: socket to a broker of renderers (render/broker.h) */
	CTL_START,

	/* library to VM process, while running */
	CTL_STOP = 32, /* end the VM now, whatever the guest does; answered by CTL_ENDED */

	/* VM process to library */
	CTL_STARTED = 64,
	CTL_FAILED, /* could not start; then the process exits */
	CTL_ENDED,
};

enum ctl_kernel_kind {
	CTL_KERNEL_KRUNFW = 1,  /* no fds; the kernel inside the library at path, "" = search */
	CTL_KERNEL_FILE,        /* fd: ELF vmlinux or bzImage */
	CTL_KERNEL_FILE_INITRD, /* fds: the same and an initramfs */
};

enum ctl_vsock_kind {
	/*
	 * fd: listening unix socket.  Each connection accepted there becomes a connection to the
	 * guest's port.
	 */
	CTL_VSOCK_LISTEN = 1,
	/* No fd: a guest's connection to the port is connected to the unix socket at path. */
	CTL_VSOCK_CONNECT,
	/* fd: connected stream socket, handed to the guest's first connection to the port. */
	CTL_VSOCK_STREAM,
};

/* How the machine ended; what it means for the workload, the library knows from the agent. */
enum ctl_end {
	CTL_END_RESET = 1, /* the guest reset or rebooted the machine */
	CTL_END_POWEROFF,  /* ... or switched it off */
	CTL_END_PANIC,     /* the guest's kernel panicked; text says how */
	CTL_END_FAULT,     /* a vCPU cannot go on (triple fault and the like); text says what */
	CTL_END_STOPPED,   /* CTL_STOP */
};

struct ctl_config {
	char name[CTL_NAME_MAX]; /* for logs and process lists */
	uint64_t ram_mib;
	uint32_t cpus;
	uint32_t log_level; /* enum log_level */
	/*
	 * Whether files in shares belong to whom the host says (a VM process of root), or to our
	 * user, shown as root, with other owners kept in extended attributes.
	 */
	uint32_t maps_owners;
	uint32_t pad;
	char cmdline[2048]; /* appended to the kernel's command line */
};

struct ctl_kernel {
	uint32_t kind; /* enum ctl_kernel_kind */
	char path[1024];
};

struct ctl_qemu {
	char program[1024]; /* QEMU >= 11 */
	char root[1024]; /* private folder with libraries and firmware for it; "": the system's */
};

struct ctl_share {
	char name[CTL_NAME_MAX]; /* one path component: where the internal root shows it */
	uint8_t is_ro;
	uint8_t takes_devices; /* whether the guest may make device nodes in it */
};

struct ctl_disk {
	char serial[20];
	uint8_t is_ro;
};

struct ctl_net {
	uint8_t mac[6];
	uint16_t mtu; /* bytes; 0: do not say */
};

#define CTL_GPU_MAP_DRIVER 1U /* see maps_driver_memory in gpu/gpu.h */

struct ctl_gpu {
	uint64_t memory;   /* bytes of blobs at most */
	uint32_t contexts; /* at a time; each is a process */
	uint32_t flags;    /* CTL_GPU_ */
	uint32_t pad;
};

struct ctl_vsock {
	uint32_t kind; /* enum ctl_vsock_kind */
	uint32_t port; /* the guest's for LISTEN, otherwise the one it connects to on the host */
	char path[108];
};

struct ctl_failed {
	int32_t code;   /* -errno */
	char text[768]; /* a sentence for the user */
};

struct ctl_ended {
	uint32_t how;    /* enum ctl_end */
	char text[1024]; /* CTL_END_PANIC, _FAULT: what the console or the CPU said; else "" */
};

/* Zero everything that has no meaning; strings end with a NUL inside their array. */
struct ctl_msg {
	uint32_t magic;
	uint32_t type;
	uint32_t nfds;
	uint32_t pad;
	union {
		struct ctl_config config;
		struct ctl_kernel kernel;
		struct ctl_qemu qemu;
		struct ctl_share share;
		struct ctl_disk disk;
		struct ctl_net net;
		struct ctl_gpu gpu;
		struct ctl_vsock vsock;
		struct ctl_failed failed;
		struct ctl_ended ended;
		uint8_t size[3056];
	} u;
};

_Static_assert(sizeof(struct ctl_msg) == 3072, "part of the protocol");

/**
 * ctl_send() - send one message
 * @m:		->type and ->u filled in
 * @fds:	borrowed, @nfds at most CTL_FDS_MAX
 *
 * Return: 0, -EPIPE if the peer is gone, or -errno
 */
static inline MUST_CHECK int ctl_send(int sock, struct ctl_msg *m, const int *fds, unsigned nfds)
{
	m->magic = CTL_MAGIC;
	m->nfds = nfds;
	return fd_send(sock, m, sizeof(*m), fds, nfds);
}

/* The same with fd_send_until(). */
static inline MUST_CHECK int ctl_send_until(int sock, struct ctl_msg *m, const int *fds,
					    unsigned nfds, uint64_t until_ns)
{
	m->magic = CTL_MAGIC;
	m->nfds = nfds;
	return fd_send_until(sock, m, sizeof(*m), fds, nfds, until_ns);
}

/**
 * ctl_recv() - receive one message
 * @fds:	room for CTL_FDS_MAX; @m->nfds of them are filled, the caller owns them
 *
 * Return: 0; -ENODATA if the peer has closed; -EPROTO if it speaks something else; or -errno
 */
static inline MUST_CHECK int ctl_recv(int sock, struct ctl_msg *m, int *fds)
{
	unsigned n = CTL_FDS_MAX;
	ssize_t got = fd_recv(sock, m, sizeof(*m), fds, &n);
	int r = got < 0 ? (int)got : got == 0 ? -ENODATA : 0;

	if (r == 0 && (size_t)got < sizeof(*m))
		r = fd_read_full(sock, (uint8_t *)m + got, sizeof(*m) - (size_t)got);
	if (r == 0 && (m->magic != CTL_MAGIC || m->nfds != n))
		r = -EPROTO;
	if (r < 0) {
		for (unsigned i = 0; got >= 0 && i < n; i++)
			(void)close(fds[i]);
	}
	return r;
}

/* Whether a string of a message ends inside its array. */
#define ctl_str_ok(a) (memchr((a), 0, sizeof(a)) != NULL)

#endif
