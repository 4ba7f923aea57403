/* SPDX-License-Identifier: Apache-2.0 */
/* The KVM probe: see probe.h. */
#include "hyp/kvm/probe.h"

#include <errno.h>
#include <time.h>

#include "host/ram.h"
#include "hyp/kvm/kvm_internal.h"

#define ROUNDS       2000000 /* of a loop of two instructions */
#define RUNS         3
#define PATIENCE_NS  UINT64_C(100000000) /* for all runs in the guest */
#define USABLE_SPEED (1.0 / 20)
#define END_PORT     0x80

/* The guest's memory, at gpa 0. */
#define PROBE_RAM  0x10000U
#define AT_PML4    0x1000U
#define AT_PDPT    0x2000U
#define AT_PD      0x3000U
#define AT_GDT     0x4000U
#define AT_DATA    0x8000U
#define AT_CODE    0x9000U
#define PTE_RW     UINT64_C(3)
#define PTE_LARGE  UINT64_C(0x80)
#define SEGMENTS   4
#define GDT_CODE64 UINT64_C(0x00af9b000000ffff)
#define GDT_DATA   UINT64_C(0x00cf93000000ffff)

static const uint8_t code[] = {
	0xb9,
	ROUNDS & 0xff,
	ROUNDS >> 8 & 0xff,
	ROUNDS >> 16,
	0, /* mov ecx, ROUNDS */
	0xff,
	0xc9, /* dec ecx */
	0x75,
	0xfc, /* jnz the dec */
	0x31,
	0xc0,
	0x31,
	0xd2, /* xor eax, eax; xor edx, edx */
	0xbb,
	0x07,
	0,
	0,
	0, /* mov ebx, 7 */
	0xbf,
	AT_DATA & 0xff,
	AT_DATA >> 8,
	0,
	0, /* mov edi, AT_DATA */
	0xf0,
	0x48,
	0x0f,
	0xc7,
	0x0f, /* lock cmpxchg16b [rdi] */
	0xe6,
	END_PORT, /* out END_PORT, al */
	0xf4,     /* hlt */
};

static uint64_t cpu_time_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* The guest's loop, here: nanoseconds of the best of RUNS. */
static uint64_t run_native(void)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < RUNS; i++) {
		uint32_t n = ROUNDS;
		uint64_t start = cpu_time_ns();

		__asm__ volatile("1: decl %0\n\tjnz 1b" : "+r"(n) : : "cc");
		uint64_t took = cpu_time_ns() - start;
		if (took < best)
			best = took;
	}
	return best > 0 ? best : 1;
}

static void fill_memory(uint8_t *ram)
{
	const uint64_t pml4 = AT_PDPT | PTE_RW;
	const uint64_t pdpt = AT_PD | PTE_RW;
	const uint64_t pd = PTE_RW | PTE_LARGE; /* 0 ... 2 MiB, of which PROBE_RAM exists */
	const uint64_t gdt[SEGMENTS] = { 0, 0, GDT_CODE64, GDT_DATA };

	memcpy(ram + AT_PML4, &pml4, sizeof(pml4));
	memcpy(ram + AT_PDPT, &pdpt, sizeof(pdpt));
	memcpy(ram + AT_PD, &pd, sizeof(pd));
	memcpy(ram + AT_GDT, gdt, sizeof(gdt));
	memset(ram + AT_DATA, 0, 16);
	memcpy(ram + AT_CODE, code, sizeof(code));
}

/* Ends the guest's run when time is up. */
struct watchdog {
	struct hyp_vcpu *cpu;
	uint64_t deadline_ns;
	struct mutex lock;
	struct cond cond;
	bool is_done;    /* lock */
	bool is_expired; /* lock */
};

static void *watch(void *arg)
{
	struct watchdog *w = arg;
	int r = 0;

	mutex_lock(&w->lock);
	while (!w->is_done && r != -ETIMEDOUT)
		r = cond_wait_until(&w->cond, &w->lock, w->deadline_ns);
	if (!w->is_done) {
		w->is_expired = true;
		hyp_kvm.vcpu_kick(w->cpu);
	}
	mutex_unlock(&w->lock);
	return NULL;
}

static bool watch_expired(struct watchdog *w)
{
	mutex_lock(&w->lock);
	bool r = w->is_expired;
	mutex_unlock(&w->lock);
	return r;
}

/* Speed from how far the loop came before it was stopped. */
static double partial_speed(struct hyp_vcpu *cpu, uint64_t took, uint64_t native)
{
	struct kvm_regs regs;

	if (kvm_call(cpu->fd, KVM_GET_REGS, &regs) < 0 || regs.rcx >= ROUNDS)
		return 0;
	return (double)(ROUNDS - regs.rcx) / ROUNDS * (double)native / (double)(took ? took : 1);
}

/* One run; 1 if the guest came to its end, 0 if it was stopped. */
static int run_guest(struct hyp_vcpu *cpu, struct watchdog *w, uint8_t *ram, uint64_t native,
		     struct kvm_probe *p, struct err *e)
{
	const struct hyp_boot boot = { .is_boot_cpu = true,
				       .entry = AT_CODE,
				       .page_table = AT_PML4,
				       .gdt = AT_GDT,
				       .gdt_len = SEGMENTS * 8 };
	struct hyp_exit ex = { 0 };
	double speed;

	fill_memory(ram);
	int r = hyp_kvm.vcpu_set_boot(cpu, &boot);
	if (r < 0)
		return err_set(e, r, "KVM of this host refuses a 64-bit CPU: %s", strerror(-r));
	uint64_t start = cpu_time_ns();
	do {
		r = hyp_kvm.vcpu_run(cpu, &ex);
	} while (r == 0 && ex.kind == HYP_EXIT_KICKED && !watch_expired(w));
	uint64_t took = cpu_time_ns() - start;

	if (r < 0)
		return err_set(e, r, "KVM of this host fails to run a guest: %s", strerror(-r));
	if (ex.kind == HYP_EXIT_KICKED) {
		speed = partial_speed(cpu, took, native);
	} else if (ex.kind == HYP_EXIT_PIO_WRITE && ex.addr == END_PORT && ram[AT_DATA] == 7) {
		speed = (double)native / (double)(took ? took : 1);
		p->runs++;
	} else {
		return err_set(e, -ENOTSUP,
			       "KVM of this host stops at an ordinary instruction (it emulates "
			       "them, and not all); use --engine qemu, or a host with hardware "
			       "virtualization");
	}
	if (speed > p->speed)
		p->speed = speed;
	return ex.kind != HYP_EXIT_KICKED;
}

static int run_guests(struct hyp_vcpu *cpu, uint8_t *ram, struct kvm_probe *p, struct err *e)
{
	uint64_t native = run_native();
	struct watchdog w = { .cpu = cpu, .lock = MUTEX_INIT };
	pthread_t t;

	cond_init(&w.cond);
	w.deadline_ns = clock_now_ns() + PATIENCE_NS;
	int r = thread_start(&t, "probe", watch, &w);
	if (r < 0)
		return err_set(e, r, "cannot start a thread: %s", strerror(-r));

	r = 1;
	for (int i = 0; i < RUNS && r == 1; i++)
		r = run_guest(cpu, &w, ram, native, p, e);
	mutex_lock(&w.lock);
	w.is_done = true;
	cond_signal(&w.cond);
	mutex_unlock(&w.lock);
	(void)pthread_join(t, NULL);
	cond_fini(&w.cond);
	mutex_fini(&w.lock);
	return r < 0 ? r : 0;
}

static int probe_vm(struct hyp_vm *vm, uint8_t *ram, struct kvm_probe *p, struct err *e)
{
	struct hyp_vcpu *cpu = NULL;
	int r = hyp_kvm.vm_map(vm, 0, ram, PROBE_RAM);

	if (r < 0)
		return err_set(e, r, "KVM of this host refuses guest memory: %s", strerror(-r));
	r = hyp_kvm.vcpu_create(vm, 0, &cpu, e);
	if (r == 0)
		r = run_guests(cpu, ram, p, e);
	hyp_kvm.vcpu_destroy(cpu);
	return r;
}

int kvm_probe(struct kvm_probe *p, struct err *e)
{
	const struct hyp_vm_config cfg = { .cpus = 1 };
	struct hyp_vm *vm = NULL;
	void *ram = NULL;

	*p = (struct kvm_probe){ 0 };
	int r = hyp_kvm.vm_create(&cfg, &vm, e);
	if (r < 0)
		return r;
	r = ram_alloc(PROBE_RAM, &ram);
	r = r < 0 ? err_set(e, r, "no memory for a test guest") : probe_vm(vm, ram, p, e);
	hyp_kvm.vm_destroy(vm);
	ram_free(ram, PROBE_RAM);
	if (r < 0 || p->speed >= USABLE_SPEED)
		return r;
	return err_set(e, -ENOTSUP,
		       "KVM of this host emulates instructions (about %.0f times slower than "
		       "native) and is unusable; use --engine qemu, or a host with hardware "
		       "virtualization",
		       1 / (p->speed > 1e-6 ? p->speed : 1e-6));
}
