/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a renderer may still do: see confine.h.  The tables say for whom each row is there, because
 * nobody dares to remove a row without a reason.
 */
#include "vtest/confine.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/fd.h"
#include "host/proc.h"
#include "host/sandbox.h"
#include "util/ckd.h"
#include "util/log.h"
#include "venus/ctx.h"
#include "vtest/syscalls_renderer.h" /* generated: what the sources declare in comments */

/* clang-format off */
static const struct {
	const char *path;
	enum sandbox_access access;
} places[] = {
	/* libraries and what the dynamic loader and the C library read */
	{ "/usr", SANDBOX_READ }, { "/lib", SANDBOX_READ }, { "/lib[36x]*", SANDBOX_READ },
	{ "/opt/amdgpu*", SANDBOX_READ }, { "/opt/rocm*", SANDBOX_READ },
	{ "/nix/store", SANDBOX_READ }, { "/run/opengl-driver*", SANDBOX_READ },
	{ "/gnu/store", SANDBOX_READ },
	{ "/etc/ld.so.cache", SANDBOX_READ }, { "/etc/ld.so.conf*", SANDBOX_READ },
	{ "/etc/alternatives", SANDBOX_READ }, { "/etc/localtime", SANDBOX_READ },
	/* Vulkan's loader and the drivers' settings */
	{ "/etc/vulkan", SANDBOX_READ }, { "/etc/glvnd", SANDBOX_READ },
	{ "/etc/drirc", SANDBOX_READ }, { "/etc/nvidia", SANDBOX_READ },
	/* number of CPUs, memory, which GPUs there are */
	{ "/proc/cpuinfo", SANDBOX_READ }, { "/proc/meminfo", SANDBOX_READ },
	{ "/proc/stat", SANDBOX_READ }, { "/proc/version", SANDBOX_READ },
	{ "/proc/filesystems", SANDBOX_READ }, { "/proc/devices", SANDBOX_READ },
	{ "/proc/modules", SANDBOX_READ }, { "/proc/driver/nvidia*", SANDBOX_READ },
	{ "/proc/sys/kernel/osrelease", SANDBOX_READ }, { "/proc/sys/vm", SANDBOX_READ },
	{ "/proc/self", SANDBOX_READ },
	{ "/sys/devices", SANDBOX_READ }, { "/sys/dev", SANDBOX_READ },
	{ "/sys/bus", SANDBOX_READ }, { "/sys/class/drm", SANDBOX_READ },
	{ "/sys/class/kfd", SANDBOX_READ }, { "/sys/class/nvidia*", SANDBOX_READ },
	{ "/sys/module/nvidia*", SANDBOX_READ }, { "/sys/module/amdgpu", SANDBOX_READ },
	{ "/sys/module/i915", SANDBOX_READ }, { "/sys/module/xe", SANDBOX_READ },
	{ "/sys/kernel/mm/transparent_hugepage", SANDBOX_READ },
	/* devices */
	{ "/dev/null", SANDBOX_DEVICE }, { "/dev/zero", SANDBOX_DEVICE },
	{ "/dev/random", SANDBOX_DEVICE }, { "/dev/urandom", SANDBOX_DEVICE },
	{ "/dev/dri", SANDBOX_READ }, { "/dev/dri/card*", SANDBOX_DEVICE },
	{ "/dev/dri/renderD*", SANDBOX_DEVICE }, { "/dev/kfd", SANDBOX_DEVICE },
	{ "/dev/udmabuf", SANDBOX_DEVICE }, { "/dev/dma_heap/system", SANDBOX_DEVICE },
	{ "/dev/nvidia[0-9]*", SANDBOX_DEVICE }, { "/dev/nvidiactl", SANDBOX_DEVICE },
	{ "/dev/nvidia-uvm*", SANDBOX_DEVICE }, { "/dev/nvidia-modeset", SANDBOX_DEVICE },
	{ "/dev/nvidia-caps", SANDBOX_READ }, { "/dev/nvidia-caps/*", SANDBOX_DEVICE },
	{ "/dev/nvgpu*", SANDBOX_DEVICE },
};

/* Variables by which a user points the Vulkan loader at files or folders of their own. */
static const char *const path_variables[] = {
	"VK_DRIVER_FILES", "VK_ADD_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_LAYER_PATH",
	"VK_ADD_LAYER_PATH", "VK_EXPLICIT_LAYER_PATH", "VK_LAYER_SETTINGS_PATH", "LD_LIBRARY_PATH",
	"__EGL_VENDOR_LIBRARY_FILENAMES", "__EGL_VENDOR_LIBRARY_DIRS",
};
/* clang-format on */

/*
 * System calls that drivers and the C library need besides our own.  Found with strace over
 * vulkaninfo, llama.cpp and pipeline creation, without a sandbox.
 *
 * C library: memory, threads, time, files
 * #syscalls renderer: brk mmap munmap mprotect mremap madvise msync mincore mlock munlock
 *	membarrier futex futex_waitv set_robust_list get_robust_list rseq set_tid_address
 *	sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler
 *	sched_get_priority_max sched_get_priority_min getcpu exit exit_group
 *	gettid getpid getppid getuid geteuid getgid getegid getresuid getresgid getrusage
 *	getrlimit sysinfo uname times time clock_gettime clock_getres clock_nanosleep nanosleep
 *	gettimeofday restart_syscall rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack
 *	rt_sigtimedwait getrandom arch_prctl getpriority capget
 *	read write readv writev pread64 pwrite64 preadv pwritev openat open close close_range
 *	fstat stat lstat newfstatat statx fstatfs statfs access faccessat faccessat2
 *	readlink readlinkat getdents64 lseek getcwd flock dup dup2 dup3 pipe pipe2
 *	poll ppoll select pselect6 eventfd2 epoll_create1 epoll_ctl epoll_wait epoll_pwait
 *
 * shader caches (Mesa's and NVIDIA's write files)
 * #syscalls renderer: ftruncate fallocate fsync fdatasync fadvise64 mkdir mkdirat unlink
 *	unlinkat rename renameat renameat2 umask rmdir
 *
 * lavapipe, radv, anv: memory behind descriptors, NUMA
 * #syscalls renderer: memfd_create kcmp mbind get_mempolicy set_mempolicy
 *
 * NVIDIA: timers and event descriptors between its threads
 * #syscalls renderer: timerfd_create timerfd_settime timerfd_gettime sched_getattr
 *
 * the context (venus/): descriptors of blobs
 * #syscalls renderer: sendmsg recvmsg shutdown
 */

#define IOC_HEAD 0xc000ff00U /* of an ioctl's number: direction and type */

/* Newer than the headers of Debian 12. */
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif

/* clang-format off */
static const struct sandbox_rule rules[] = {
	/* threads, not processes; clone3() fails with ENOSYS and the C library falls back to this */
	{ "clone", 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM },
	{ "prctl", 0, UINT32_MAX, PR_SET_NAME },
	{ "prctl", 0, UINT32_MAX, PR_GET_NAME },
	{ "prctl", 0, UINT32_MAX, PR_SET_TIMERSLACK },
	{ "prctl", 0, UINT32_MAX, PR_GET_DUMPABLE },
	{ "prctl", 0, UINT32_MAX, PR_SET_VMA },
	/* lavapipe's shader threads: SCHED_OTHER, SCHED_BATCH, SCHED_IDLE; nothing real-time */
	{ "sched_setscheduler", 1, UINT32_MAX, 0 },
	{ "sched_setscheduler", 1, UINT32_MAX, 3 },
	{ "sched_setscheduler", 1, UINT32_MAX, 5 },
	/* of a descriptor: by path it would reach all files of this user, Landlock has no say */
	{ "utimensat", 1, UINT64_MAX, 0 },
	/* our own limits only */
	{ "prlimit64", 0, UINT32_MAX, 0 },
	/* priorities of rings: the calling thread's only, not those of all the user's processes */
	{ "setpriority", 0, UINT32_MAX, PRIO_PROCESS, 1, UINT32_MAX, 0 },
	/* not F_SETOWN and F_SETSIG: they make the kernel signal other processes of this user */
	{ "fcntl", 1, UINT32_MAX, F_DUPFD },
	{ "fcntl", 1, UINT32_MAX, F_DUPFD_CLOEXEC },
	{ "fcntl", 1, UINT32_MAX, F_DUPFD_QUERY },
	{ "fcntl", 1, UINT32_MAX, F_GETFD },
	{ "fcntl", 1, UINT32_MAX, F_SETFD },
	{ "fcntl", 1, UINT32_MAX, F_GETFL },
	{ "fcntl", 1, UINT32_MAX, F_SETFL },
	{ "fcntl", 1, UINT32_MAX, F_GETLK },
	{ "fcntl", 1, UINT32_MAX, F_SETLK },
	{ "fcntl", 1, UINT32_MAX, F_SETLKW },
	{ "fcntl", 1, UINT32_MAX, F_OFD_GETLK },
	{ "fcntl", 1, UINT32_MAX, F_OFD_SETLK },
	{ "fcntl", 1, UINT32_MAX, F_OFD_SETLKW },
	{ "fcntl", 1, UINT32_MAX, F_GETPIPE_SZ },
	{ "fcntl", 1, UINT32_MAX, F_SETPIPE_SZ },
	{ "fcntl", 1, UINT32_MAX, F_ADD_SEALS },
	{ "fcntl", 1, UINT32_MAX, F_GET_SEALS },
	/*
	 * By the type byte of the request.  Not 'T': TIOCSTI would type into the terminal that our
	 * stderr may be.
	 */
	{ "ioctl", 1, 0xff00, 'd' << 8 },      /* DRM */
	{ "ioctl", 1, 0xff00, 'b' << 8 },      /* dma-buf */
	{ "ioctl", 1, 0xff00, '>' << 8 },      /* sync_file */
	{ "ioctl", 1, 0xff00, 'u' << 8 },      /* udmabuf */
	{ "ioctl", 1, 0xff00, 'H' << 8 },      /* dma_heap */
	/* KFD: these read or write an argument; those of consoles, of the same type, say neither */
	{ "ioctl", 1, IOC_HEAD, _IOC_READ << 30 | 'K' << 8 },
	{ "ioctl", 1, IOC_HEAD, _IOC_WRITE << 30 | 'K' << 8 },
	{ "ioctl", 1, IOC_HEAD, (uint32_t)(_IOC_READ | _IOC_WRITE) << 30 | 'K' << 8 },
	{ "ioctl", 1, 0xff00, 'F' << 8 },      /* NVIDIA */
	{ "ioctl", 1, 0xff00, 'm' << 8 },      /* NVIDIA's modeset */
	{ "ioctl", 1, 0xff00, 0 },             /* NVIDIA's UVM: plain small numbers */
	{ "ioctl", 1, UINT32_MAX, FIOCLEX },
	{ "ioctl", 1, UINT32_MAX, FIONBIO },
	{ "ioctl", 1, UINT32_MAX, FIONREAD },
};
/* clang-format on */

#define STACK_MAX (UINT64_C(8) << 20) /* bytes; a user may have set gigabytes for each thread */

/*
 * Bytes of private memory beyond the client's, so that limits with an error of their own come
 * first: those of venus/ctx.h, a copy of venus/hostcopy.c; then compilers, and what a driver has
 * besides.
 */
#define DATA_COPY (UINT64_C(4) << 30)
#define DATA_EXTRA                                                                                 \
	(VENUS_MAX_SCRATCH_BYTES + VENUS_MAX_KEPT_BYTES + VENUS_MAX_RINGS * STACK_MAX +            \
	 DATA_COPY + (UINT64_C(8) << 30))
#define OOM_SCORE 500 /* of 1000: before programs that use half of the RAM */

static int set_environment(const struct render_config *cfg, struct err *e)
{
	char size[24];
	int r = 0;

	/* Layers that a desktop installs for everybody have no business in here. */
	r |= setenv("VK_LOADER_LAYERS_DISABLE", "~implicit~", 0);
	r |= setenv("NODEVICE_SELECT", "1", 1);
	if (cfg->cache_dir[0]) {
		(void)snprintf(size, sizeof(size), "%juM", (uintmax_t)(cfg->cache_max >> 20));
		/* Whoever named a folder wants it used, whatever is set for the user's other
		 * programs. */
		r |= setenv("MESA_SHADER_CACHE_DISABLE", "false", 1);
		r |= setenv("MESA_SHADER_CACHE_DIR", cfg->cache_dir, 1);
		r |= setenv("MESA_SHADER_CACHE_MAX_SIZE", size, 1);
		(void)snprintf(size, sizeof(size), "%ju", (uintmax_t)cfg->cache_max);
		r |= setenv("__GL_SHADER_DISK_CACHE", "1", 1);
		r |= setenv("__GL_SHADER_DISK_CACHE_PATH", cfg->cache_dir, 1);
		r |= setenv("__GL_SHADER_DISK_CACHE_SIZE", size, 1);
	} else {
		r |= setenv("MESA_SHADER_CACHE_DISABLE", "true", 1);
		r |= setenv("__GL_SHADER_DISK_CACHE", "0", 1);
	}
	return r ? err_set(e, -ENOMEM, "no memory for the environment") : 0;
}

/* Bytes of private memory that can be written.  Return: 0 if the kernel does not tell */
static uint64_t private_memory(void)
{
	char text[160] = { 0 };
	const char *at = text;
	AUTO_FD fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return 0;
	for (int i = 0; i < 5 && at; i++) { /* the sixth number, in pages */
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	return at ? strtoull(at, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/*
 * Objects that no client memory stands behind (pipelines, pools, images of a driver's own) cost
 * what the driver likes.  Shared memory is not in this limit.
 */
static void limit_memory(uint64_t max_memory)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * page;
	/* What a sanitizer has reserved by now may be terabytes. */
	uint64_t bytes = private_memory();

	if (bytes == 0 || ckd_add(&bytes, bytes, DATA_EXTRA) ||
	    ckd_add(&bytes, bytes, max_memory ? max_memory : ram / 4 * 3))
		return;
	struct rlimit data = { .rlim_cur = bytes, .rlim_max = bytes };
	if (setrlimit(RLIMIT_DATA, &data) < 0)
		log_debug(RENDERER, "private memory is not limited: %s", strerror(errno));
}

/* Stacks count in full in that limit, however little of them is used. */
static void limit_stacks(void)
{
	pthread_attr_t attr;
	size_t size;

	if (pthread_getattr_default_np(&attr) != 0)
		return;
	if (pthread_attr_getstacksize(&attr, &size) == 0 && size > STACK_MAX &&
	    pthread_attr_setstacksize(&attr, STACK_MAX) == 0)
		(void)pthread_setattr_default_np(&attr);
	(void)pthread_attr_destroy(&attr);
}

/* Rather a renderer than another program of the user, when the machine runs out of memory. */
static void be_ended_first(void)
{
	AUTO_FD fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char now[16] = { 0 };

	if (fd >= 0 && read(fd, now, sizeof(now) - 1) > 0 && strtol(now, NULL, 10) >= OOM_SCORE)
		return; /* our owner is to be ended even sooner */
	if (fd < 0 || dprintf(fd, "%d", OOM_SCORE) < 0)
		log_debug(RENDERER, "the kernel may end others first: %s", strerror(errno));
}

int sandbox_early(const struct render_config *cfg, struct err *e)
{
	struct rlimit files;

	if (proc_die_with_parent(cfg->parent) < 0)
		return err_set(e, -ESRCH, "the owner of this renderer is gone");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		/* Each host-visible memory of a guest holds a descriptor. */
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	limit_stacks();
	limit_memory(cfg->max_memory);
	be_ended_first();
	int r = set_environment(cfg, e);
	if (r < 0 || (cfg->flags & RENDER_NO_SANDBOX))
		return r;
	return sandbox_privileges(e);
}

/* Lets each part of a colon-separated list be seen; of a file the folder that it is in. */
static int add_list(struct sandbox_view *v, const char *list, bool is_files)
{
	while (*list) {
		const char *end = strchrnul(list, ':');
		char path[RENDER_PATH_SIZE];
		size_t len = (size_t)(end - list);
		int r = 0;

		if (*list == '/' && len < sizeof(path)) {
			memcpy(path, list, len);
			path[len] = '\0';
			if (is_files && strrchr(path, '/') != path)
				*strrchr(path, '/') = '\0';
			/* The root folder would be everything. */
			if (path[strspn(path, "/")] != '\0')
				r = sandbox_view_add(v, path, SANDBOX_READ);
		}
		if (r < 0)
			return r;
		list = *end ? end + 1 : end;
	}
	return 0;
}

/* Drivers and layers that the user has installed in their home. */
static int add_home(struct sandbox_view *v)
{
	static const char *const below[] = { ".local/share/vulkan", ".config/vulkan" };
	const char *home = getenv("HOME");
	char path[RENDER_PATH_SIZE];
	int r = 0;

	for (size_t i = 0; home && *home == '/' && r == 0 && i < ARRAY_LEN(below); i++) {
		if (snprintf(path, sizeof(path), "%s/%s", home, below[i]) < (int)sizeof(path))
			r = sandbox_view_add(v, path, SANDBOX_READ);
	}
	return r;
}

int sandbox_opened(const struct render_config *cfg, struct err *e)
{
	CLEANUP(sandbox_view_fini) struct sandbox_view v = { 0 };
	char own[32];
	int r;

	/*
	 * NVIDIA's driver names the files of its shader cache after the program, whose path it asks
	 * for by process number.  Without an answer all have one name, only one process at a time
	 * can lock it, and the others compile everything anew.
	 */
	(void)snprintf(own, sizeof(own), "/proc/%d", (int)getpid());
	r = sandbox_view_add(&v, own, SANDBOX_READ);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(places); i++)
		r = sandbox_view_add(&v, places[i].path, places[i].access);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(path_variables); i++) {
		const char *list = getenv(path_variables[i]);

		if (list)
			r = add_list(&v, list, strstr(path_variables[i], "FILE") != NULL);
	}
	if (r == 0)
		r = add_home(&v);
	if (r == 0 && cfg->cache_dir[0])
		r = sandbox_view_add(&v, cfg->cache_dir, SANDBOX_WRITE);
	if (r < 0)
		return err_set(e, r, "too many driver files and device nodes (more than %d)",
			       SANDBOX_PATHS_MAX);
	return sandbox_enter_view(&v, e);
}

int sandbox_running(struct err *e)
{
	const struct sandbox_rule own_threads = { "tgkill", 0, UINT32_MAX, (uint32_t)getpid() };
	/* Between a driver's threads. */
	static const struct sandbox_rule pairs = { "socketpair", 0, UINT32_MAX, AF_UNIX };
	struct sandbox_rule all[ARRAY_LEN(rules) + 2];
	size_t n = ARRAY_LEN(rules);

	memcpy(all, rules, sizeof(rules));
	all[n++] = own_threads;
	/*
	 * NVIDIA's driver makes pairs of sockets, and nobody has told of which type.  Others do
	 * not; pairs can be filled with descriptors on their way until the user's other processes
	 * cannot pass any, and one of datagrams sends to any socket that has a name.
	 */
	if (access("/dev/nvidiactl", F_OK) == 0)
		all[n++] = pairs;
	return sandbox_syscalls(syscalls_renderer, all, n, e);
}
