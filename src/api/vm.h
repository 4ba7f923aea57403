/* SPDX-License-Identifier: Apache-2.0 */
/* struct pecten_vm inside the library: a description, and while it runs a thread and a process. */
#ifndef PECTEN_API_VM_H
#define PECTEN_API_VM_H

#include "api/cmd.h"
#include "api/gpu.h"
#include "api/passt.h"
#include "api/qemu.h"
#include "api/registry.h"
#include "api/session.h"
#include "host/listen.h"
#include "host/thread.h"
#include "pecten.h"
#include "util/err.h"
#include "vmm/control.h"

#define VM_SOCKETS_MAX (CTL_PORTS_MAX - 2) /* two are the agent's */
#define VM_PORT_MIN    2048

struct vm_share {
	char *host;
	char *guest;
	bool is_ro;
};

struct vm_socket {
	uint32_t port;
	char *path;
	bool is_listener;
	struct listen_socket bound; /* the VM process has its descriptor */
};

struct vm_disk {
	char *path;
	bool is_ro;
};

/* What was asked for. */
struct vm_conf {
	char name[REG_NAME_MAX + 1]; /* "": make one up */
	char *root;
	bool is_rw;
	unsigned cpus;
	uint64_t ram_mib;
	uint64_t overlay_mib;                       /* 0: half of the RAM */
	struct vm_share shares[CTL_SHARES_MAX - 1]; /* the root is one too */
	unsigned nshares;
	struct words env;
	char *hostname;
	enum pecten_net net;
	struct passt_port ports[PASST_PORTS_MAX];
	unsigned nports;
	struct vm_socket sockets[VM_SOCKETS_MAX];
	unsigned nsockets;
	struct vm_disk disks[CTL_DISKS_MAX];
	unsigned ndisks;
	enum pecten_gpu gpu;
	uint64_t gpu_mib; /* 0: half of the host's RAM */
	bool maps_video_memory;
	enum pecten_engine engine;
	char *kernel;
	char *initramfs;
	char *cmdline;
	char *console;
	unsigned log_level;
};

enum vm_phase {
	VM_DESCRIBED,
	VM_STARTING, /* the thread runs; the guest is not set up yet */
	VM_RUNS,
	VM_ENDED,
};

struct vm_run;

struct pecten_vm {
	struct vm_conf conf;
	struct err err;
	bool is_attached; /* a machine of somebody else: only conf.name is meaningful */
	pecten_note_fn *note;
	void *note_arg;

	struct qemu_program qemu; /* the engine, if ->program is not "" */
	struct reg_entry reg;
	struct session session; /* the agent's first connection; the machine's thread's */
	int agent;              /* our end of it */
	int control;            /* socket to the VM process */
	struct ctl_msg msg;     /* scratch: too large for a stack */
	uint64_t send_left_ns;  /* waiting for the VM process to read, in all, before the start */
	unsigned end_ms;        /* for it, and for the agent, to do what has to be done at once */
	pid_t pid;              /* VM process; 0: none */
	pid_t passt;
	pid_t renderers;    /* the broker of the guest's GPU */
	int passt_log;      /* what passt says on stderr; -1 */
	struct vm_run *run; /* the thread's own */
	bool has_thread;
	pthread_t thread;

	struct mutex lock;
	struct cond changed;
	enum vm_phase phase;    /* lock */
	struct pecten_cmd *cmd; /* lock; the workload while it runs */
	struct pecten_exit how; /* lock; from VM_ENDED on */
	struct err start_err;   /* lock; why the start failed */
	bool wants_stop;        /* lock: the agent shall end the machine */
	bool wants_kill;        /* lock: end it now */
	unsigned grace_ms;      /* lock */
	uint64_t signals;       /* lock; bit N-1: N is to be passed on */
};

/**
 * vm_launch() - make everything outside the guest: name, helpers, VM process
 *
 * Return: 0, or -errno with a sentence in vm->err; vm_unlaunch() in both cases
 */
int vm_launch(struct pecten_vm *vm) MUST_CHECK;

/* Ends processes and gives the name back; harmless if nothing was launched. */
void vm_unlaunch(struct pecten_vm *vm);

/* Queues the guest's set-up on the session. Return: 0 or -errno */
int vm_send_setup(struct pecten_vm *vm) MUST_CHECK;

/* The machine's thread. */
void *vm_thread(void *arg);

#endif
