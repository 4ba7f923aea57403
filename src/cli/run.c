/* SPDX-License-Identifier: Apache-2.0 */
/* pecten run: a command in a machine of its own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/attend.h"
#include "cli/cli.h"
#include "cli/cmds.h"
#include "pecten.h"

#define STATUS_NOT_STARTED 125
#define PATH_BYTES         4096

struct conf {
	uint32_t cpus;
	uint32_t ram_mib;
	uint32_t overlay_mib;
	bool is_rw;
	bool is_tty;
	bool allow_reboot;
	struct opt_list volumes;
	struct opt_list env;
	struct opt_list ports;
	struct opt_list disks;
	struct opt_list vsocks;
	struct opt_list limits;
	const char *cwd;
	const char *user;
	const char *hostname;
	const char *net;
	const char *name;
	const char *engine;
	const char *gpu;
	uint32_t gpu_mib;
	bool maps_video_memory;
	const char *kernel;
	const char *initramfs;
	const char *cmdline;
	const char *console;
	uint64_t timeout_ns;
	uint32_t log_level;
};

/* clang-format off */
static const struct opt opts[] = {
	{ "cpus",         'c', "N",     "number of CPUs (1)",                     opt_u32,     OPT_FIELD(struct conf, cpus),         0 },
	{ "memory",       'm', "SIZE",  "RAM: 512M (the default), 4G",            opt_mib,     OPT_FIELD(struct conf, ram_mib),      0 },
	{ "volume",       'v', "HOST:GUEST[:ro]", "show a folder of the host in the guest", opt_strings, OPT_FIELD(struct conf, volumes), OPT_REPEAT },
	{ "env",          'e', "K=V",   "environment variable; K alone copies yours", opt_strings, OPT_FIELD(struct conf, env),      OPT_REPEAT },
	{ "workdir",      'w', "DIR",   "working directory (/)",                  opt_string,  OPT_FIELD(struct conf, cwd),          0 },
	{ "user",         'u', "USER",  "user[:group], names or numbers (root)",  opt_string,  OPT_FIELD(struct conf, user),         0 },
	{ "tty",          't', NULL,    "give the command a terminal",            opt_flag,    OPT_FIELD(struct conf, is_tty),       0 },
	{ "rw",           0,   NULL,    "write changes to ROOTFS, not to RAM",    opt_flag,    OPT_FIELD(struct conf, is_rw),        0 },
	{ "overlay-size", 0,   "SIZE",  "RAM for changes at most (half of --memory)", opt_mib, OPT_FIELD(struct conf, overlay_mib),  0 },
	{ "hostname",     0,   "NAME",  "host name of the guest (--name)",        opt_string,  OPT_FIELD(struct conf, hostname),     0 },
	{ "net",          0,   "KIND",  "none (the default) or passt",            opt_string,  OPT_FIELD(struct conf, net),          0 },
	{ "publish",      'p', "HOST:GUEST", "forward a TCP port of 127.0.0.1; implies --net passt", opt_strings, OPT_FIELD(struct conf, ports), OPT_REPEAT },
	{ "name",         0,   "NAME",  "name for exec, ps and stop",             opt_string,  OPT_FIELD(struct conf, name),         0 },
	{ "timeout",      0,   "TIME",  "stop after a time: 30, 5m (status 124)", opt_seconds, OPT_FIELD(struct conf, timeout_ns),   0 },
	{ "ulimit",       0,   "NAME=SOFT[:HARD]", "resource limit, such as nofile=1024", opt_strings, OPT_FIELD(struct conf, limits), OPT_REPEAT },
	{ "disk",         0,   "FILE[:ro]", "raw disk image, as /dev/vda...",     opt_strings, OPT_FIELD(struct conf, disks),        OPT_REPEAT },
	{ "vsock",        0,   "PORT:SOCKET[:listen]", "join a vsock port of the guest and a unix socket", opt_strings, OPT_FIELD(struct conf, vsocks), OPT_REPEAT },
	{ "allow-reboot", 0,   NULL,    "let the command reboot the guest",       opt_flag,    OPT_FIELD(struct conf, allow_reboot), 0 },
	{ "gpu",          0,   "WHEN",  "auto (the default: if the host has a Vulkan driver), on, off", opt_string, OPT_FIELD(struct conf, gpu), 0 },
	{ "gpu-memory",   0,   "SIZE",  "GPU memory of the guest at most (default: half of the host's RAM, for what it maps)", opt_mib, OPT_FIELD(struct conf, gpu_mib), 0 },
	{ "map-video-memory", 0, NULL,  "let the guest map video memory that only the driver can map: faster with NVIDIA, for guests that you trust with the GPU", opt_flag, OPT_FIELD(struct conf, maps_video_memory), 0 },
	{ "engine",       0,   "ENGINE", "auto (the default), kvm or qemu",             opt_string,  OPT_FIELD(struct conf, engine),       0 },
	{ "kernel",       0,   "FILE",  "vmlinux or bzImage instead of the usual one", opt_string, OPT_FIELD(struct conf, kernel),     0 },
	{ "initramfs",    0,   "FILE",  "from tools/mkinitramfs, for --kernel",   opt_string,  OPT_FIELD(struct conf, initramfs),    0 },
	{ "console",      0,   "FILE",  "append what the guest's kernel prints, without a limit", opt_string,  OPT_FIELD(struct conf, console),      OPT_DEBUG },
	{ "cmdline",      0,   "WORDS", "more words for the kernel's command line", opt_string, OPT_FIELD(struct conf, cmdline),     OPT_DEBUG },
	{ "log-level",    0,   "0-5",   "of the VM process: 1 error, 5 trace (2)", opt_u32,    OPT_FIELD(struct conf, log_level),    OPT_DEBUG },
	{ 0 },
};
/* clang-format on */

static const struct opt_cmd help = {
	.name = "pecten run",
	.synopsis = "ROOTFS [--] COMMAND [ARG...]",
	.about =
		"Runs a command in a virtual machine whose root file system is the folder ROOTFS.\n"
		"Changes to it go to RAM and vanish, unless --rw is given.  stdin, stdout and\n"
		"stderr are yours, signals are passed on, and the exit status is the command's:\n"
		"125 if it could not be started, 126 if it is not executable, 127 if it was not\n"
		"found, 128+N if signal N ended it.",
	.example = "  pecten run -v .:/src -w /src /srv/debian -- make check",
	.opts = opts,
};

/* A copy of the text before the last ':' if that is followed by @word. */
static bool cut_word(char *text, const char *word)
{
	char *colon = strrchr(text, ':');

	if (!colon || strcmp(colon + 1, word) != 0)
		return false;
	*colon = '\0';
	return true;
}

static int copy_arg(const char *arg, char *text, size_t len, struct err *e)
{
	if (snprintf(text, len, "%s", arg) >= (int)len)
		return err_set(e, -EINVAL, "'%.100s...' is too long", arg);
	return 0;
}

/* The sentence of a setter of the library. */
static int vm_error(struct pecten_vm *vm, int r, struct err *e)
{
	return r < 0 ? err_set(e, r, "%s", pecten_vm_error(vm)) : 0;
}

static int cmd_error(struct pecten_cmd *cmd, int r, struct err *e)
{
	return r < 0 ? err_set(e, r, "%s", pecten_cmd_error(cmd)) : 0;
}

static int add_volume(struct pecten_vm *vm, const char *arg, struct err *e)
{
	char text[PATH_BYTES / 2];
	int r = copy_arg(arg, text, sizeof(text), e);

	if (r < 0)
		return r;

	bool is_ro = cut_word(text, "ro");

	if (!is_ro)
		(void)cut_word(text, "rw");

	char *colon = strchr(text, ':');

	if (!colon || colon == text)
		return err_set(e, -EINVAL, "the volume '%s' is not HOST:GUEST or HOST:GUEST:ro",
			       arg);
	*colon = '\0';
	return vm_error(vm, pecten_vm_add_share(vm, text, colon + 1, is_ro ? PECTEN_SHARE_RO : 0),
			e);
}

static int add_port(struct pecten_vm *vm, const char *arg, struct err *e)
{
	char text[32];
	uint64_t host;
	uint64_t guest;
	char *colon = NULL;

	if (strlen(arg) < sizeof(text)) {
		(void)snprintf(text, sizeof(text), "%s", arg);
		colon = strchr(text, ':');
	}
	if (colon)
		*colon = '\0';
	if (!colon || opt_parse_u64(text, UINT16_MAX, &host) < 0 ||
	    opt_parse_u64(colon + 1, UINT16_MAX, &guest) < 0)
		return err_set(e, -EINVAL, "the port '%.40s' is not HOST:GUEST, such as 8080:80",
			       arg);
	return vm_error(vm, pecten_vm_add_port(vm, (uint16_t)host, (uint16_t)guest), e);
}

static int add_vsock(struct pecten_vm *vm, const char *arg, struct err *e)
{
	char text[PATH_BYTES / 2];
	uint64_t port;
	int r = copy_arg(arg, text, sizeof(text), e);

	if (r < 0)
		return r;

	bool is_listen = cut_word(text, "listen");
	char *colon = strchr(text, ':');

	if (colon)
		*colon = '\0';
	if (!colon || opt_parse_u64(text, UINT32_MAX, &port) < 0)
		return err_set(e, -EINVAL, "'%s' is not PORT:SOCKET or PORT:SOCKET:listen", arg);
	return vm_error(vm, pecten_vm_add_socket(vm, (uint32_t)port, colon + 1, is_listen), e);
}

static int add_disk(struct pecten_vm *vm, const char *arg, struct err *e)
{
	char text[PATH_BYTES / 2];
	int r = copy_arg(arg, text, sizeof(text), e);

	if (r < 0)
		return r;

	bool is_ro = cut_word(text, "ro");

	return vm_error(vm, pecten_vm_add_disk(vm, text, is_ro ? PECTEN_DISK_RO : 0), e);
}

static int set_env(struct pecten_vm *vm, const char *arg, struct err *e)
{
	char text[PATH_BYTES / 2];

	if (strchr(arg, '='))
		return vm_error(vm, pecten_vm_set_env(vm, arg), e);

	const char *value = getenv(arg);

	if (!value)
		return 0; /* as docker does: not set here, not set there */
	if (snprintf(text, sizeof(text), "%s=%s", arg, value) >= (int)sizeof(text))
		return err_set(e, -EINVAL, "the value of %s is too long to be copied", arg);
	return vm_error(vm, pecten_vm_set_env(vm, text), e);
}

static int set_limit(struct pecten_cmd *cmd, const char *arg, struct err *e)
{
	static const struct {
		const char *name;
		int resource; /* Linux's number, whatever the host is */
	} names[] = {
		{ "cpu", 0 },   { "fsize", 1 },  { "data", 2 },    { "stack", 3 }, { "core", 4 },
		{ "nproc", 6 }, { "nofile", 7 }, { "memlock", 8 }, { "as", 9 },
	};
	char text[64];
	uint64_t soft;
	uint64_t hard;
	char *eq = NULL;

	if (strlen(arg) < sizeof(text)) {
		(void)snprintf(text, sizeof(text), "%s", arg);
		eq = strchr(text, '=');
	}
	if (eq) {
		char *colon = strchr(eq, ':');

		*eq = '\0';
		if (colon)
			*colon = '\0';
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			if (strcmp(names[i].name, text) != 0 ||
			    opt_parse_u64(eq + 1, UINT64_MAX, &soft) < 0 ||
			    opt_parse_u64(colon ? colon + 1 : eq + 1, UINT64_MAX, &hard) < 0)
				continue;
			return cmd_error(
				cmd, pecten_cmd_set_rlimit(cmd, names[i].resource, soft, hard), e);
		}
	}
	return err_set(e, -EINVAL, "'%.80s' is no limit such as nofile=1024 or nproc=100:200", arg);
}

typedef int add_fn(struct pecten_vm *vm, const char *arg, struct err *e);

static int add_all(struct pecten_vm *vm, const struct opt_list *l, add_fn *add, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < l->n; i++)
		r = add(vm, l->v[i], e);
	return r;
}

static int set_net(struct pecten_vm *vm, const struct conf *c, struct err *e)
{
	const char *net = c->net ? c->net : c->ports.n ? "passt" : "none";

	if (strcmp(net, "passt") == 0)
		return vm_error(vm, pecten_vm_set_net(vm, PECTEN_NET_PASST), e);
	if (strcmp(net, "none") != 0)
		return err_set(e, -EINVAL, "--net is none or passt, not '%s'", net);
	return 0;
}

static int set_gpu(struct pecten_vm *vm, const struct conf *c, struct err *e)
{
	static const char *const names[] = {
		[PECTEN_GPU_AUTO] = "auto",
		[PECTEN_GPU_ON] = "on",
		[PECTEN_GPU_OFF] = "off",
	};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(c->gpu ? c->gpu : "auto", names[i]) == 0)
			return vm_error(vm, pecten_vm_set_gpu(vm, (enum pecten_gpu)i, c->gpu_mib),
					e);
	}
	return err_set(e, -EINVAL, "--gpu is auto, on or off, not '%s'", c->gpu);
}

static int describe(struct pecten_vm *vm, const struct conf *c, const char *root, struct err *e)
{
	int r = vm_error(vm, pecten_vm_set_root(vm, root, c->is_rw ? PECTEN_ROOT_RW : 0), e);

	if (r == 0)
		r = vm_error(vm, pecten_vm_set_cpus(vm, c->cpus), e);
	if (r == 0)
		r = vm_error(vm, pecten_vm_set_memory(vm, c->ram_mib), e);
	if (r == 0 && c->overlay_mib)
		r = vm_error(vm, pecten_vm_set_overlay(vm, c->overlay_mib), e);
	if (r == 0 && c->name)
		r = vm_error(vm, pecten_vm_set_name(vm, c->name), e);
	if (r == 0 && c->hostname)
		r = vm_error(vm, pecten_vm_set_hostname(vm, c->hostname), e);
	if (r == 0 && c->kernel)
		r = vm_error(vm, pecten_vm_set_kernel(vm, c->kernel, c->initramfs), e);
	if (r == 0 && c->engine && strcmp(c->engine, "kvm") == 0)
		r = vm_error(vm, pecten_vm_set_engine(vm, PECTEN_ENGINE_KVM), e);
	if (r == 0 && c->engine && strcmp(c->engine, "qemu") == 0)
		r = vm_error(vm, pecten_vm_set_engine(vm, PECTEN_ENGINE_QEMU), e);
	if (r == 0 && c->cmdline)
		r = vm_error(vm, pecten_vm_set_cmdline(vm, c->cmdline), e);
	if (r == 0 && c->console)
		r = vm_error(vm, pecten_vm_set_console(vm, c->console), e);
	if (r == 0)
		r = vm_error(vm, pecten_vm_set_log_level(vm, c->log_level), e);
	if (r == 0)
		r = set_net(vm, c, e);
	if (r == 0)
		r = set_gpu(vm, c, e);
	if (r == 0 && c->maps_video_memory)
		r = vm_error(vm, pecten_vm_map_video_memory(vm), e);
	if (r == 0)
		r = add_all(vm, &c->volumes, add_volume, e);
	if (r == 0)
		r = add_all(vm, &c->env, set_env, e);
	if (r == 0)
		r = add_all(vm, &c->ports, add_port, e);
	if (r == 0)
		r = add_all(vm, &c->disks, add_disk, e);
	if (r == 0)
		r = add_all(vm, &c->vsocks, add_vsock, e);
	return r;
}

static int describe_cmd(struct pecten_cmd *cmd, const struct conf *c, struct err *e)
{
	int r = cmd_error(cmd,
			  pecten_cmd_set_stdio(cmd, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO), e);

	if (r == 0 && c->cwd)
		r = cmd_error(cmd, pecten_cmd_set_cwd(cmd, c->cwd), e);
	if (r == 0 && c->user)
		r = cmd_error(cmd, pecten_cmd_set_user(cmd, c->user), e);
	if (r == 0 && c->allow_reboot)
		r = cmd_error(cmd, pecten_cmd_allow_reboot(cmd), e);
	for (size_t i = 0; r == 0 && i < c->limits.n; i++)
		r = set_limit(cmd, c->limits.v[i], e);
	return r;
}

/* On another thread while the command runs: one write, so that lines are not mixed. */
static void note(void *arg, const char *text)
{
	(void)arg;
	(void)fprintf(stderr, "pecten: %s\n", text);
}

static int run(const struct conf *c, const char *root, char *const *argv)
{
	struct pecten_vm *vm = NULL;
	struct pecten_cmd *cmd = NULL;
	struct attend a = { 0 };
	struct err e = { 0 };
	int status = STATUS_NOT_STARTED;

	if (pecten_vm_create(&vm) < 0 || pecten_cmd_create((const char *const *)argv, &cmd) < 0) {
		(void)err_set(&e, -ENOMEM, "out of memory");
	} else if (describe(vm, c, root, &e) == 0 && describe_cmd(cmd, c, &e) == 0 &&
		   vm_error(vm, pecten_vm_set_note(vm, note, NULL), &e) == 0) {
		if (attend_begin(&a, vm, cmd, true, c->is_tty) < 0)
			(void)err_set(&e, -EIO, "cannot use the terminal");
		else if (vm_error(vm, pecten_vm_start(vm, cmd), &e) == 0)
			status = attend_wait(&a, c->timeout_ns);
	}
	attend_end(&a);
	if (e.code)
		status = cli_fail(&e, STATUS_NOT_STARTED);
	pecten_vm_destroy(vm);
	pecten_cmd_destroy(cmd);
	return status;
}

int cmd_run(int argc, char *const *argv)
{
	struct conf c = { .cpus = 1, .ram_mib = 512, .log_level = 2 };
	struct err e = { 0 };
	int used = 0;
	int status = cli_options(&help, argc, argv, &c, -1, &used);

	if (status < 0 && c.engine && strcmp(c.engine, "auto") != 0 &&
	    strcmp(c.engine, "kvm") != 0 && strcmp(c.engine, "qemu") != 0) {
		(void)err_set(&e, -EINVAL, "--engine is auto, kvm or qemu, not '%s'", c.engine);
		status = cli_fail(&e, CLI_USAGE);
	}
	if (status < 0 && c.initramfs && !c.kernel) {
		(void)err_set(&e, -EINVAL, "--initramfs needs --kernel");
		status = cli_fail(&e, CLI_USAGE);
	}
	if (status < 0) {
		int left = argc - used;
		int at = used + 1;

		if (left > 1 && strcmp(argv[at], "--") == 0)
			at++;
		if (left < 1 || at >= argc) {
			(void)err_set(&e, -EINVAL, "%s is missing; see 'pecten run --help'",
				      left < 1 ? "the root file system" : "the command");
			status = cli_fail(&e, CLI_USAGE);
		} else {
			status = run(&c, argv[used], argv + at);
		}
	}
	opt_list_fini(&c.volumes);
	opt_list_fini(&c.env);
	opt_list_fini(&c.ports);
	opt_list_fini(&c.disks);
	opt_list_fini(&c.vsocks);
	opt_list_fini(&c.limits);
	return status;
}
