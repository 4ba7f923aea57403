/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpecten: virtual machines as objects of the calling program.
 *
 *	struct pecten_vm *vm;
 *	struct pecten_cmd *cmd;
 *	struct pecten_exit how;
 *	const char *argv[] = { "uname", "-a", NULL };
 *
 *	if (pecten_vm_create(&vm) < 0 || pecten_cmd_create(argv, &cmd) < 0)
 *		return 1;
 *	if (pecten_vm_set_root(vm, "/srv/debian", 0) < 0 || pecten_vm_start(vm, cmd) < 0)
 *		fprintf(stderr, "%s\n", pecten_vm_error(vm));
 *	else if (pecten_cmd_wait(cmd, -1, &how) == 0)
 *		printf("exit status %d\n", how.status);
 *	pecten_cmd_destroy(cmd);
 *	pecten_vm_destroy(vm);
 *
 * A machine runs in a process of its own (libexec/pecten-vm), which ends with the caller; nothing
 * here ends the caller's process, changes its signal handlers or prints.  A program may have any
 * number of machines.  An object is used by one thread at a time, except that every function
 * marked "any thread" may be called whenever the object exists.
 *
 * Functions return 0 or a negative errno; *_error() then has a sentence for a person, valid until
 * the next call with that object.
 */
#ifndef PECTEN_H
#define PECTEN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PECTEN_API __attribute__((visibility("default")))

struct pecten_vm;  /* a machine: described, then started, then ended */
struct pecten_cmd; /* a command in a machine */

/* How a command or its machine ended. */
enum pecten_how {
	PECTEN_EXITED = 0,      /* value: the exit code */
	PECTEN_SIGNALED = 1,    /* value: Linux signal number */
	PECTEN_NOT_STARTED = 2, /* value: errno: it was never executed */
	PECTEN_VM_ENDED = 3,    /* the machine ended first: crash, reboot, stopped, killed */
};

struct pecten_exit {
	enum pecten_how how;
	int value;
	int status;      /* as a shell has it: 0 to 255; 125 to 127 if it did not run */
	char text[1024]; /* a sentence where there is something to explain, else "" */
};

/**
 * pecten_vm_create() - describe a machine with 1 CPU, 512 MiB of RAM and no network
 * @vm:		on success the caller owns it; pecten_vm_destroy()
 */
PECTEN_API int pecten_vm_create(struct pecten_vm **vm);

/* Ends the machine if it runs.  NULL is fine.  Commands of it must be destroyed before or after,
 * but not be in use meanwhile. */
PECTEN_API void pecten_vm_destroy(struct pecten_vm *vm);

/* The sentence of the last failure of this object. */
PECTEN_API const char *pecten_vm_error(const struct pecten_vm *vm);

/* The machine's name: what was set, or, once it was started, what was made up. */
PECTEN_API const char *pecten_vm_name(const struct pecten_vm *vm);

/*
 * The description; all before pecten_vm_start().  Strings are copied.  Mistakes that can be seen
 * at once are reported at once with -EINVAL, the rest by pecten_vm_start().
 */

/* Letters, digits, '.', '_' and '-', at most 63, beginning with a letter or digit. */
PECTEN_API int pecten_vm_set_name(struct pecten_vm *vm, const char *name);

#define PECTEN_ROOT_RW 1u /* changes go to the host's folder instead of to RAM */

/* The folder that becomes the root file system. */
PECTEN_API int pecten_vm_set_root(struct pecten_vm *vm, const char *path, unsigned flags);

PECTEN_API int pecten_vm_set_cpus(struct pecten_vm *vm, unsigned cpus);
PECTEN_API int pecten_vm_set_memory(struct pecten_vm *vm, uint64_t mib);

/* RAM for changes to the root, at most; the default is half of the machine's. */
PECTEN_API int pecten_vm_set_overlay(struct pecten_vm *vm, uint64_t mib);

#define PECTEN_SHARE_RO 1u

/* A folder of the host at an absolute path of the guest. */
PECTEN_API int pecten_vm_add_share(struct pecten_vm *vm, const char *host, const char *guest,
				   unsigned flags);

/* "NAME=value" for every command in the machine. */
PECTEN_API int pecten_vm_set_env(struct pecten_vm *vm, const char *assignment);

PECTEN_API int pecten_vm_set_hostname(struct pecten_vm *vm, const char *hostname);

enum pecten_net {
	PECTEN_NET_NONE = 0,
	PECTEN_NET_PASST = 1, /* the host's network through passt, without privilege */
};

PECTEN_API int pecten_vm_set_net(struct pecten_vm *vm, enum pecten_net net);

/* Forwards a TCP port of the host's loopback to the guest; needs a network. */
PECTEN_API int pecten_vm_add_port(struct pecten_vm *vm, uint16_t host, uint16_t guest);

/**
 * pecten_vm_add_socket() - join a vsock port of the guest and a unix socket of the host
 * @port:	2048 and above; lower ones are ours
 * @path:	of the socket
 * @listen:	non-zero: the library listens at @path, for its own user alone, and connects to the
 *		guest's @port; while the machine runs, a file @path.lock tells its socket from a
 *		dead machine's, which is replaced.  Zero: guest connections to the host's @port
 *		are connected to @path
 */
PECTEN_API int pecten_vm_add_socket(struct pecten_vm *vm, uint32_t port, const char *path,
				    int listen);

/* A raw disk image or block device as the next virtio-blk device. */
#define PECTEN_DISK_RO 1u
PECTEN_API int pecten_vm_add_disk(struct pecten_vm *vm, const char *path, unsigned flags);

enum pecten_gpu {
	PECTEN_GPU_AUTO = 0, /* if this host has a Vulkan driver (the default) */
	PECTEN_GPU_ON = 1,   /* or the machine does not start */
	PECTEN_GPU_OFF = 2,
};

/**
 * pecten_vm_set_gpu() - let the guest compute on the host's GPU, through Vulkan
 * @memory_mib:	GPU memory that all programs of the guest may have together, in MiB; 0: half of the
 *		host's RAM for what they can map, and no limit for what lies on the GPU alone
 *
 * Each Vulkan instance in the guest is served by a process of its own on the host.
 */
PECTEN_API int pecten_vm_set_gpu(struct pecten_vm *vm, enum pecten_gpu gpu, uint64_t memory_mib);

/**
 * pecten_vm_map_video_memory() - let the guest map video memory that only the driver can map
 *
 * Faster with NVIDIA's driver, which can neither import nor export that kind of memory.  A guest
 * that keeps its mapping after it has freed the memory sees, and can change, what the driver uses
 * the memory for next: for guests that you trust with the GPU.  Without a GPU it changes nothing.
 */
PECTEN_API int pecten_vm_map_video_memory(struct pecten_vm *vm);

enum pecten_engine {
	PECTEN_ENGINE_AUTO = 0, /* KVM, if a probe shows that it works; else QEMU, with a note */
	PECTEN_ENGINE_KVM = 1,  /* KVM without a question */
	PECTEN_ENGINE_QEMU = 2, /* QEMU >= 11 emulates the CPUs: everywhere, but slowly */
};

PECTEN_API int pecten_vm_set_engine(struct pecten_vm *vm, enum pecten_engine engine);

/* An ELF vmlinux or bzImage instead of libkrunfw's kernel (KVM) or that of tools/guest-kernel
 * (QEMU), and its initramfs (may be NULL). */
PECTEN_API int pecten_vm_set_kernel(struct pecten_vm *vm, const char *kernel,
				    const char *initramfs);

/* More words for the kernel's command line. */
PECTEN_API int pecten_vm_set_cmdline(struct pecten_vm *vm, const char *words);

/* A file that receives what the guest's kernel prints, for as long as it prints: it has no limit.
 */
PECTEN_API int pecten_vm_set_console(struct pecten_vm *vm, const char *path);

/* 0 off, 1 error, 2 warning (default), ... 5 trace: what the VM process writes to stderr. */
PECTEN_API int pecten_vm_set_log_level(struct pecten_vm *vm, unsigned level);

/* Remarks for the person in front, such as "the RAM for changes is full"; perhaps called
 * on another thread.  @text is valid during the call. */
typedef void pecten_note_fn(void *arg, const char *text);
PECTEN_API int pecten_vm_set_note(struct pecten_vm *vm, pecten_note_fn *fn, void *arg);

/**
 * pecten_vm_start() - start the machine
 * @cmd:	the workload, with which the machine ends; NULL: it runs until pecten_vm_stop()
 *
 * Returns when the guest is set up and the workload is on its way, or with the reason why not.
 * -EBUSY: the name is taken.  -ENOENT: root, kernel or helper not found.  -EACCES: /dev/kvm may not
 * be used.
 */
PECTEN_API int pecten_vm_start(struct pecten_vm *vm, struct pecten_cmd *cmd);

/**
 * pecten_vm_attach() - use a running machine of the same user, perhaps of another process
 * @vm:		on success the caller owns it; pecten_vm_exec(), pecten_vm_stop() and
 *		pecten_vm_destroy(), which leaves the machine alone, are all it can do
 * @why:	receives a sentence on failure; may be NULL
 * @len:	bytes at @why
 *
 * Return: 0; -ENOENT if no machine has that name
 */
PECTEN_API int pecten_vm_attach(const char *name, struct pecten_vm **vm, char *why, uint64_t len);

/**
 * pecten_vm_exec() - run one more command
 *
 * Return: 0 when it is on its way: whether it could be executed, pecten_cmd_wait() tells
 */
PECTEN_API int pecten_vm_exec(struct pecten_vm *vm, struct pecten_cmd *cmd);

/**
 * pecten_vm_wait() - wait for the machine's end
 * @timeout_ms:	-1: for ever
 * @how:	the workload's end, or the machine's; may be NULL
 *
 * Any thread, but not for attached machines.
 *
 * Return: 0, or -ETIMEDOUT
 */
PECTEN_API int pecten_vm_wait(struct pecten_vm *vm, int timeout_ms, struct pecten_exit *how);

/**
 * pecten_vm_stop() - end a machine
 * @grace_ms:	between SIGTERM to the workload and the end of everything; 0: now
 *
 * Any thread.  Returns when it has ended, and what the workload wrote has been read or has no
 * reader any more.  A machine that does not end is killed.
 */
PECTEN_API int pecten_vm_stop(struct pecten_vm *vm, unsigned grace_ms);

/**
 * pecten_vm_signal() - pass a signal on, as a program does that stands in for a workload
 * @signo:	of Linux, 1 to 64
 *
 * The workload gets it.  A machine that is still starting has nobody who could, and is ended; so is
 * one that is not even started, as soon as it is.
 *
 * Any thread, but not for attached machines.  Does not wait for anything.
 *
 * Return: 0; -EINVAL: no such signal; -ESRCH: the machine has ended
 */
PECTEN_API int pecten_vm_signal(struct pecten_vm *vm, int signo);

/**
 * pecten_cmd_create() - describe a command
 * @argv:	ended by NULL, at least one; copied
 *
 * Without more words: as root, in "/", with stdin from /dev/null and the caller's stdout and
 * stderr.
 */
PECTEN_API int pecten_cmd_create(const char *const *argv, struct pecten_cmd **cmd);

/* Hangs up a running command.  NULL is fine. */
PECTEN_API void pecten_cmd_destroy(struct pecten_cmd *cmd);

PECTEN_API const char *pecten_cmd_error(const struct pecten_cmd *cmd);
PECTEN_API int pecten_cmd_set_env(struct pecten_cmd *cmd, const char *assignment);
PECTEN_API int pecten_cmd_set_cwd(struct pecten_cmd *cmd, const char *path);
PECTEN_API int pecten_cmd_set_user(struct pecten_cmd *cmd, const char *user);

/* Linux RLIMIT_ number and values; UINT64_MAX is "unlimited". */
PECTEN_API int pecten_cmd_set_rlimit(struct pecten_cmd *cmd, int resource, uint64_t soft,
				     uint64_t hard);

/* Descriptors to take stdio from, duplicated by the call; -1: /dev/null. */
PECTEN_API int pecten_cmd_set_stdio(struct pecten_cmd *cmd, int in, int out, int err);

/* A terminal in the guest: stdin goes to it, stdout comes from it. */
PECTEN_API int pecten_cmd_set_tty(struct pecten_cmd *cmd, unsigned rows, unsigned columns);

/* Lets the command reboot the machine. */
PECTEN_API int pecten_cmd_allow_reboot(struct pecten_cmd *cmd);

/* Any thread, these three.  Signals have Linux's numbers. */
PECTEN_API int pecten_cmd_signal(struct pecten_cmd *cmd, int signo);
PECTEN_API int pecten_cmd_resize(struct pecten_cmd *cmd, unsigned rows, unsigned columns);
PECTEN_API int pecten_cmd_wait(struct pecten_cmd *cmd, int timeout_ms, struct pecten_exit *how);

/* A descriptor that becomes readable when the command has ended; the command's own.  -1 before it
 * was started. */
PECTEN_API int pecten_cmd_fd(const struct pecten_cmd *cmd);

/* A running machine, as `pecten ps` shows it. */
struct pecten_info {
	const char *name;
	const char *root;
	const char *command;
	int pid;         /* of the process that started it */
	int64_t started; /* seconds since 1970 */
	uint64_t ram_mib;
	unsigned cpus;
};

/**
 * pecten_list() - the caller's running machines, sorted by name
 * @fn:		called for each; a result other than 0 ends the list
 *
 * Return: 0, @fn's last result, or a negative errno
 */
PECTEN_API int pecten_list(int (*fn)(void *arg, const struct pecten_info *info), void *arg);

enum pecten_state { PECTEN_OK = 0, PECTEN_DEGRADED = 1, PECTEN_MISSING = 2 };

struct pecten_check {
	const char *id;   /* for programs: "kvm", "kernel", "net" ... */
	const char *what; /* for people */
	enum pecten_state state;
	const char *text;   /* what was found */
	const char *remedy; /* "" if nothing is to be done */
};

/**
 * pecten_doctor() - find out what this host can do
 * @fn:		called for each finding as soon as it is known
 *
 * Return: 0, @fn's last result, or a negative errno
 */
PECTEN_API int pecten_doctor(int (*fn)(void *arg, const struct pecten_check *check), void *arg);

#ifdef __cplusplus
}
#endif

#endif
