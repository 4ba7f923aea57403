/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM backend: running vCPUs.
 *
 * A kick sets run->immediate_exit and then sends a signal: if the thread is in the guest the signal
 * gets it out; if it is on its way in, the flag does.
 */
#include "hyp/kvm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "host/fd.h"
#include "hyp/kvm/kvm_internal.h"

/* Nothing else of ours uses real-time signals. */
#define KICK_SIGNAL SIGRTMIN

static void on_kick(int sig)
{
	(void)sig; /* its arrival is all that matters */
}

static int accept_kicks(void)
{
	struct sigaction sa = { .sa_handler = on_kick };
	sigset_t set;

	(void)sigemptyset(&sa.sa_mask);
	if (sigaction(KICK_SIGNAL, &sa, NULL) < 0)
		return -errno;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, KICK_SIGNAL);
	return -pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void kvm_vcpu_destroy(struct hyp_vcpu *cpu)
{
	if (!cpu)
		return;
	if (cpu->run)
		(void)munmap(cpu->run, cpu->run_len);
	fd_drop(&cpu->fd);
	free(cpu);
}

int kvm_vcpu_create(struct hyp_vm *vm, unsigned id, struct hyp_vcpu **out, struct err *e)
{
	struct hyp_vcpu *cpu = calloc(1, sizeof(*cpu));

	if (!cpu)
		return err_set(e, -ENOMEM, "no memory for vCPU %u", id);
	cpu->vm = vm;
	cpu->id = id;
	cpu->thread = pthread_self();
	cpu->run_len = vm->run_len;
	cpu->fd = kvm_call_int(vm->vm_fd, KVM_CREATE_VCPU, id);
	if (cpu->fd < 0) {
		int r = cpu->fd;

		kvm_vcpu_destroy(cpu);
		return err_set(e, r, "KVM cannot create vCPU %u: %s", id, strerror(-r));
	}

	void *run = mmap(NULL, cpu->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	int r = run == MAP_FAILED ? -errno : 0;
	if (r == 0) {
		cpu->run = run;
		r = accept_kicks();
	}
	if (r < 0) {
		kvm_vcpu_destroy(cpu);
		return err_set(e, r, "cannot prepare vCPU %u: %s", id, strerror(-r));
	}
	*out = cpu;
	return 0;
}

void kvm_vcpu_kick(struct hyp_vcpu *cpu)
{
	/* Before the signal; the kernel looks at it after the signal can no longer be missed. */
	__atomic_store_n(&cpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	(void)pthread_kill(cpu->thread, KICK_SIGNAL);
}

static uint64_t low_bytes(const void *from, uint8_t len)
{
	uint64_t v = 0;

	memcpy(&v, from, len);
	return v;
}

/* Element of a port access that is being dealt with; string instructions have several. */
static uint8_t *pio_data(const struct hyp_vcpu *cpu)
{
	struct kvm_run *run = cpu->run;

	return (uint8_t *)run + run->io.data_offset + (size_t)cpu->io_at * run->io.size;
}

static void report_pio(struct hyp_vcpu *cpu, struct hyp_exit *ex)
{
	const struct kvm_run *run = cpu->run;

	ex->kind = run->io.direction == KVM_EXIT_IO_IN ? HYP_EXIT_PIO_READ : HYP_EXIT_PIO_WRITE;
	ex->addr = run->io.port;
	ex->len = run->io.size;
	ex->data = ex->kind == HYP_EXIT_PIO_WRITE ? low_bytes(pio_data(cpu), ex->len) : 0;
	cpu->io_more = cpu->io_at + 1 < run->io.count;
}

static void report_mmio(const struct kvm_run *run, struct hyp_exit *ex)
{
	ex->kind = run->mmio.is_write ? HYP_EXIT_MMIO_WRITE : HYP_EXIT_MMIO_READ;
	ex->addr = run->mmio.phys_addr;
	ex->len = (uint8_t)run->mmio.len;
	ex->data = run->mmio.is_write ? low_bytes(run->mmio.data, ex->len) : 0;
}

static void report_fault(struct hyp_vcpu *cpu, struct hyp_exit *ex, const char *what)
{
	char state[160];

	kvm_arch_describe(cpu, state, sizeof(state));
	ex->kind = HYP_EXIT_FAULT;
	(void)snprintf(ex->text, sizeof(ex->text), "vCPU %u: %s; %s", cpu->id, what, state);
}

static void report(struct hyp_vcpu *cpu, struct hyp_exit *ex)
{
	const struct kvm_run *run = cpu->run;
	char what[64];

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		cpu->io_at = 0;
		report_pio(cpu, ex);
		break;
	case KVM_EXIT_MMIO:
		report_mmio(run, ex);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		ex->kind = HYP_EXIT_KICKED;
		break;
	case KVM_EXIT_SHUTDOWN: /* x86: a triple fault, which is also how some kernels reset */
		ex->kind = HYP_EXIT_RESET;
		kvm_arch_describe(cpu, ex->text, sizeof(ex->text));
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		ex->kind = run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN ? HYP_EXIT_POWEROFF
									       : HYP_EXIT_RESET;
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		(void)snprintf(what, sizeof(what), "KVM gave up (internal error %u)",
			       run->internal.suberror);
		report_fault(cpu, ex, what);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		(void)snprintf(what, sizeof(what), "the CPU refuses to enter the guest (0x%llx)",
			       run->fail_entry.hardware_entry_failure_reason);
		report_fault(cpu, ex, what);
		break;
	default:
		(void)snprintf(what, sizeof(what), "unexpected exit %u", run->exit_reason);
		report_fault(cpu, ex, what);
		break;
	}
}

/* Takes the answer to a read, if the last exit was one. */
static void take_answer(struct hyp_vcpu *cpu, const struct hyp_exit *ex)
{
	if (ex->kind == HYP_EXIT_PIO_READ)
		memcpy(pio_data(cpu), &ex->data, ex->len);
	else if (ex->kind == HYP_EXIT_MMIO_READ)
		memcpy(cpu->run->mmio.data, &ex->data, ex->len);
}

int kvm_vcpu_run(struct hyp_vcpu *cpu, struct hyp_exit *ex)
{
	take_answer(cpu, ex);
	if (cpu->io_more) {
		cpu->io_at++;
		report_pio(cpu, ex);
		return 0;
	}

	int r = kvm_call_int(cpu->fd, KVM_RUN, 0);
	if (r == -EINTR || r == -EAGAIN) {
		__atomic_store_n(&cpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		ex->kind = HYP_EXIT_KICKED;
		return 0;
	}
	if (r < 0 && r != -EFAULT)
		return r;
	if (r < 0)
		report_fault(cpu, ex, "guest memory cannot be accessed (bad address)");
	else
		report(cpu, ex);
	return 0;
}
