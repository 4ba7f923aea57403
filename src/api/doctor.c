/* SPDX-License-Identifier: Apache-2.0 */
/* What this host can do for machines, found out by trying rather than by looking at names. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cache.h"
#include "api/engine.h"
#include "api/launch.h"
#include "api/passt.h"
#include "api/qemu.h"
#include "host/fd.h"
#include "pecten.h"

#define KRUNFW     "libkrunfw.so.5"
#define TEXT_BYTES LAUNCH_PATH_MAX

/* What later findings depend on. */
struct examined {
	bool has_kvm;
	bool has_qemu;
	struct qemu_program qemu; /* meaningful with has_qemu */
	struct err qemu_err;      /* meaningful without */
};

struct finding {
	bool is_idle; /* nothing to report */
	enum pecten_state state;
	char text[TEXT_BYTES];
	char remedy[TEXT_BYTES];
};

static void find(struct finding *f, enum pecten_state state, const char *text, const char *remedy)
{
	f->state = state;
	(void)snprintf(f->text, sizeof(f->text), "%s", text);
	(void)snprintf(f->remedy, sizeof(f->remedy), "%s", state == PECTEN_OK ? "" : remedy);
}

/* A sentence with its remedy behind the last ';', as a helper says it. */
static void find_split(struct finding *f, char *text)
{
	char *remedy = strrchr(text, ';');

	if (remedy)
		*remedy++ = '\0';
	while (remedy && *remedy == ' ')
		remedy++;
	find(f, PECTEN_MISSING, text, remedy ? remedy : "use a host with hardware virtualisation");
}

/* Without KVM machines run all the same where there is a QEMU, only slowly. */
static void check_kvm(struct examined *x, struct finding *f)
{
	char program[LAUNCH_PATH_MAX];
	struct err e = { 0 };
	int r = launch_find("pecten-vm", program, &e);

	if (r == 0)
		r = engine_probe_kvm(program, f->text, sizeof(f->text), &e);
	x->has_kvm = r == 0;
	x->has_qemu = qemu_find(&x->qemu, &x->qemu_err) == 0;
	f->state = PECTEN_OK;
	if (r == 0)
		return;
	find_split(f, e.text);
	if (x->has_qemu)
		f->state = PECTEN_DEGRADED;
}

static void check_qemu(struct examined *x, struct finding *f)
{
	f->is_idle = x->has_kvm && !x->has_qemu; /* nobody needs it */
	if (!x->has_qemu) {
		find_split(f, x->qemu_err.text);
		return;
	}
	f->state = PECTEN_OK;
	(void)snprintf(f->text, sizeof(f->text), "QEMU %u.%u (%.900s)", x->qemu.major,
		       x->qemu.minor, x->qemu.program);
}

static void check_cached_kernel(struct finding *f)
{
	char version[128];
	char text[256];
	struct err e = { 0 };

	if (cache_kernel_version(version, sizeof(version), &e) < 0) {
		find_split(f, e.text);
		return;
	}
	(void)snprintf(text, sizeof(text), "Linux %s", version);
	find(f, PECTEN_OK, text, "");
}

static void check_kernel(struct examined *x, struct finding *f)
{
	if (!x->has_kvm && x->has_qemu) {
		check_cached_kernel(f);
		return;
	}

	const char *given = getenv("PECTEN_KRUNFW");
	void *lib = dlopen(given ? given : KRUNFW, RTLD_LAZY | RTLD_LOCAL);

	if (lib) {
		find(f, PECTEN_OK, given ? given : KRUNFW, "");
		(void)dlclose(lib);
		return;
	}
	find(f, PECTEN_MISSING, KRUNFW " with its kernel is not installed",
	     "install libkrunfw5, or give a kernel with --kernel");
}

static void check_net(struct examined *x UNUSED, struct finding *f)
{
	f->state = PECTEN_OK;
	if (passt_find(f->text, sizeof(f->text)) < 0)
		find(f, PECTEN_MISSING, "passt is not installed", "install the package passt");
	else if (!passt_has_route())
		find(f, PECTEN_DEGRADED, "passt is installed, but this host has no default route",
		     "connect the host, or use --net none");
}

/* Memory that machines can have; a host with huge pages switched off boots them much slower. */
static void check_memory(struct examined *x UNUSED, struct finding *f)
{
	char mode[64] = "";
	char text[128];
	uint64_t mib = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;
	AUTO_FD fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, mode, sizeof(mode) - 1) : 0;
	bool is_off = n <= 0 || strstr(mode, "[never]");

	(void)snprintf(text, sizeof(text), "%ju MiB, %ld CPUs%s", (uintmax_t)mib,
		       sysconf(_SC_NPROCESSORS_ONLN),
		       is_off ? ", but transparent huge pages are off" : "");
	find(f, is_off ? PECTEN_DEGRADED : PECTEN_OK, text,
	     "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

int pecten_doctor(int (*fn)(void *arg, const struct pecten_check *check), void *arg)
{
	static const struct {
		const char *id;
		const char *what;
		void (*check)(struct examined *x, struct finding *f);
	} checks[] = {
		{ "kvm", "CPU engine (KVM)", check_kvm },
		{ "qemu", "CPU engine (QEMU)", check_qemu },
		{ "memory", "memory", check_memory },
		{ "kernel", "guest kernel", check_kernel },
		{ "net", "network helper", check_net },
	};
	AUTO_FREE struct examined *x = calloc(1, sizeof(*x));
	int r = x ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(checks); i++) {
		struct finding f = { 0 };

		checks[i].check(x, &f);
		if (f.is_idle)
			continue;

		const struct pecten_check check = { .id = checks[i].id,
						    .what = checks[i].what,
						    .state = f.state,
						    .text = f.text,
						    .remedy = f.remedy };

		r = fn(arg, &check);
	}
	return r;
}
