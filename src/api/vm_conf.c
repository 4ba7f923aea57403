/* SPDX-License-Identifier: Apache-2.0 */
/* Describing a machine: the setters of pecten.h. */
#include "api/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RAM_MIB_MIN    64
#define HOSTNAME_BYTES 63
#define GPU_MIB_MIN    16
/* A machine may have more RAM than the host, for it takes only what it touches; but not absurdly.
 */
#define RAM_OVERCOMMIT 4
/* A VM process reads, and ends, at once, unless the host is overloaded. */
#define SEND_NS UINT64_C(60000000000)
#define END_MS  10000

int pecten_vm_create(struct pecten_vm **out)
{
	struct pecten_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return -ENOMEM;
	mutex_init(&vm->lock);
	cond_init(&vm->changed);
	vm->conf.cpus = 1;
	vm->conf.ram_mib = 512;
	vm->conf.log_level = 2;
	vm->send_left_ns = SEND_NS;
	vm->end_ms = END_MS;
	vm->agent = vm->control = vm->passt_log = -1;
	vm->reg.lock = vm->reg.dir_lock = vm->reg.listener = -1;
	*out = vm;
	return 0;
}

void pecten_vm_destroy(struct pecten_vm *vm)
{
	if (!vm)
		return;
	if (vm->has_thread) {
		(void)pecten_vm_stop(vm, 0);
		(void)pthread_join(vm->thread, NULL);
	}
	free(vm->run);
	free(vm->conf.root);
	for (unsigned i = 0; i < vm->conf.nshares; i++) {
		free(vm->conf.shares[i].host);
		free(vm->conf.shares[i].guest);
	}
	for (unsigned i = 0; i < vm->conf.nsockets; i++)
		free(vm->conf.sockets[i].path);
	for (unsigned i = 0; i < vm->conf.ndisks; i++)
		free(vm->conf.disks[i].path);
	words_fini(&vm->conf.env);
	free(vm->conf.hostname);
	free(vm->conf.kernel);
	free(vm->conf.initramfs);
	free(vm->conf.cmdline);
	free(vm->conf.console);
	cond_fini(&vm->changed);
	mutex_fini(&vm->lock);
	free(vm);
}

const char *pecten_vm_error(const struct pecten_vm *vm)
{
	return vm->err.text;
}

const char *pecten_vm_name(const struct pecten_vm *vm)
{
	return *vm->reg.name ? vm->reg.name : vm->conf.name;
}

static int no_memory(struct pecten_vm *vm)
{
	return err_set(&vm->err, -ENOMEM, "out of memory");
}

static int set_string(struct pecten_vm *vm, char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return no_memory(vm);
	free(*field);
	*field = copy;
	return 0;
}

int pecten_vm_set_name(struct pecten_vm *vm, const char *name)
{
	if (!reg_name_ok(name))
		return err_set(
			&vm->err, -EINVAL,
			"'%.80s' is no name for a machine; use letters, digits, '.', '_' and "
			"'-', at most %d",
			name, REG_NAME_MAX);
	(void)snprintf(vm->conf.name, sizeof(vm->conf.name), "%s", name);
	return 0;
}

/* A folder with a name that does not depend on the working directory. */
static int set_folder(struct pecten_vm *vm, char **field, const char *path, const char *what)
{
	struct stat st;
	char *real = realpath(path, NULL);

	if (!real) {
		if (errno == ENOENT)
			return err_set(&vm->err, -ENOENT, "%s '%s' does not exist", what, path);
		return err_errno(&vm->err, "cannot use %s '%s'", what, path);
	}
	if (stat(real, &st) < 0 || !S_ISDIR(st.st_mode)) {
		free(real);
		return err_set(&vm->err, -ENOTDIR, "%s '%s' is not a folder", what, path);
	}
	free(*field);
	*field = real;
	return 0;
}

int pecten_vm_set_root(struct pecten_vm *vm, const char *path, unsigned flags)
{
	if (flags & ~PECTEN_ROOT_RW)
		return err_set(&vm->err, -EINVAL, "unknown flag for the root file system");
	vm->conf.is_rw = flags & PECTEN_ROOT_RW;
	return set_folder(vm, &vm->conf.root, path, "the root file system");
}

int pecten_vm_set_cpus(struct pecten_vm *vm, unsigned cpus)
{
	if (cpus < 1 || cpus > CTL_CPUS_MAX)
		return err_set(&vm->err, -EINVAL, "a machine has 1 to %d CPUs, not %u",
			       CTL_CPUS_MAX, cpus);
	vm->conf.cpus = cpus;
	return 0;
}

int pecten_vm_set_memory(struct pecten_vm *vm, uint64_t mib)
{
	uint64_t have = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;

	if (mib < RAM_MIB_MIN)
		return err_set(&vm->err, -EINVAL, "a machine needs at least %d MiB of RAM, not %ju",
			       RAM_MIB_MIN, (uintmax_t)mib);
	if (mib / RAM_OVERCOMMIT > have)
		return err_set(&vm->err, -EINVAL,
			       "the machine cannot have %ju MiB of RAM, because this host has only "
			       "%ju MiB; ask for less with --memory",
			       (uintmax_t)mib, (uintmax_t)have);
	vm->conf.ram_mib = mib;
	return 0;
}

int pecten_vm_set_overlay(struct pecten_vm *vm, uint64_t mib)
{
	if (mib < 1)
		return err_set(&vm->err, -EINVAL, "the overlay needs at least 1 MiB");
	vm->conf.overlay_mib = mib;
	return 0;
}

int pecten_vm_add_share(struct pecten_vm *vm, const char *host, const char *guest, unsigned flags)
{
	struct vm_share *s = &vm->conf.shares[vm->conf.nshares];

	if (flags & ~PECTEN_SHARE_RO)
		return err_set(&vm->err, -EINVAL, "unknown flag for a volume");
	if (vm->conf.nshares == ARRAY_LEN(vm->conf.shares))
		return err_set(&vm->err, -E2BIG, "a machine has at most %zu volumes",
			       ARRAY_LEN(vm->conf.shares));
	if (*guest != '/' || strcmp(guest, "/") == 0 || strstr(guest, "/../"))
		return err_set(
			&vm->err, -EINVAL,
			"'%s' cannot be a volume's place in the guest; give an absolute path",
			guest);
	*s = (struct vm_share){ .is_ro = flags & PECTEN_SHARE_RO };
	vm->conf.nshares++;

	int r = set_folder(vm, &s->host, host, "the volume");

	return r < 0 ? r : set_string(vm, &s->guest, guest);
}

int pecten_vm_set_env(struct pecten_vm *vm, const char *assignment)
{
	const char *eq = strchr(assignment, '=');

	if (!eq || eq == assignment)
		return err_set(&vm->err, -EINVAL, "'%s' is not NAME=VALUE", assignment);

	int r = words_add(&vm->conf.env, assignment);

	return r < 0 ? err_set(&vm->err, r, "too many environment variables") : 0;
}

int pecten_vm_set_hostname(struct pecten_vm *vm, const char *hostname)
{
	size_t len = strlen(hostname);

	if (len < 1 || len > HOSTNAME_BYTES || strpbrk(hostname, " \t\n/"))
		return err_set(&vm->err, -EINVAL, "'%.80s' is no host name", hostname);
	return set_string(vm, &vm->conf.hostname, hostname);
}

int pecten_vm_set_net(struct pecten_vm *vm, enum pecten_net net)
{
	if (net != PECTEN_NET_NONE && net != PECTEN_NET_PASST)
		return err_set(&vm->err, -EINVAL, "unknown kind of network");
	vm->conf.net = net;
	return 0;
}

int pecten_vm_add_port(struct pecten_vm *vm, uint16_t host, uint16_t guest)
{
	if (host == 0 || guest == 0)
		return err_set(&vm->err, -EINVAL, "a port is a number from 1 to 65535");
	if (vm->conf.nports == PASST_PORTS_MAX)
		return err_set(&vm->err, -E2BIG, "at most %d ports can be forwarded",
			       PASST_PORTS_MAX);
	vm->conf.ports[vm->conf.nports++] = (struct passt_port){ host, guest };
	return 0;
}

int pecten_vm_add_socket(struct pecten_vm *vm, uint32_t port, const char *path, int listen)
{
	struct vm_socket *s = &vm->conf.sockets[vm->conf.nsockets];

	if (port < VM_PORT_MIN)
		return err_set(&vm->err, -EINVAL,
			       "vsock ports below %d are reserved; use a higher one", VM_PORT_MIN);
	if (vm->conf.nsockets == VM_SOCKETS_MAX)
		return err_set(&vm->err, -E2BIG, "at most %d sockets can be joined",
			       VM_SOCKETS_MAX);
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_set(&vm->err, -ENAMETOOLONG, "the socket's path '%s' is too long", path);
	*s = (struct vm_socket){ .port = port,
				 .is_listener = listen != 0,
				 .bound = { .fd = -1, .lock = -1 } };
	vm->conf.nsockets++;
	return set_string(vm, &s->path, path);
}

int pecten_vm_add_disk(struct pecten_vm *vm, const char *path, unsigned flags)
{
	struct vm_disk *d = &vm->conf.disks[vm->conf.ndisks];

	if (vm->conf.ndisks == CTL_DISKS_MAX)
		return err_set(&vm->err, -E2BIG, "a machine has at most %d disks", CTL_DISKS_MAX);
	*d = (struct vm_disk){ .is_ro = flags & PECTEN_DISK_RO };
	vm->conf.ndisks++;
	return set_string(vm, &d->path, path);
}

int pecten_vm_set_gpu(struct pecten_vm *vm, enum pecten_gpu gpu, uint64_t memory_mib)
{
	if (gpu != PECTEN_GPU_AUTO && gpu != PECTEN_GPU_ON && gpu != PECTEN_GPU_OFF)
		return err_set(&vm->err, -EINVAL, "unknown kind of GPU");
	if (memory_mib > CTL_GPU_MEMORY_MAX >> 20 || (memory_mib > 0 && memory_mib < GPU_MIB_MIN))
		return err_set(&vm->err, -EINVAL,
			       "a GPU's memory is from %d MiB to %ju MiB, not %ju MiB", GPU_MIB_MIN,
			       (uintmax_t)(CTL_GPU_MEMORY_MAX >> 20), (uintmax_t)memory_mib);
	vm->conf.gpu = gpu;
	vm->conf.gpu_mib = memory_mib;
	return 0;
}

int pecten_vm_map_video_memory(struct pecten_vm *vm)
{
	vm->conf.maps_video_memory = true;
	return 0;
}

int pecten_vm_set_engine(struct pecten_vm *vm, enum pecten_engine engine)
{
	if (engine != PECTEN_ENGINE_AUTO && engine != PECTEN_ENGINE_KVM &&
	    engine != PECTEN_ENGINE_QEMU)
		return err_set(&vm->err, -EINVAL, "unknown engine");
	vm->conf.engine = engine;
	return 0;
}

int pecten_vm_set_kernel(struct pecten_vm *vm, const char *kernel, const char *initramfs)
{
	int r = set_string(vm, &vm->conf.kernel, kernel);

	return r < 0 || !initramfs ? r : set_string(vm, &vm->conf.initramfs, initramfs);
}

int pecten_vm_set_cmdline(struct pecten_vm *vm, const char *words)
{
	if (strlen(words) >= sizeof(((struct ctl_config *)0)->cmdline))
		return err_set(&vm->err, -E2BIG, "the kernel's command line is too long");
	return set_string(vm, &vm->conf.cmdline, words);
}

int pecten_vm_set_console(struct pecten_vm *vm, const char *path)
{
	return set_string(vm, &vm->conf.console, path);
}

int pecten_vm_set_log_level(struct pecten_vm *vm, unsigned level)
{
	if (level > 5)
		return err_set(&vm->err, -EINVAL, "the log level is 0 to 5, not %u", level);
	vm->conf.log_level = level;
	return 0;
}

int pecten_vm_set_note(struct pecten_vm *vm, pecten_note_fn *fn, void *arg)
{
	vm->note = fn;
	vm->note_arg = arg;
	return 0;
}
