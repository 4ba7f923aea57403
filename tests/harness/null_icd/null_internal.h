/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the null driver share; see null_icd.h. */
#ifndef PECTEN_NULL_INTERNAL_H
#define PECTEN_NULL_INTERNAL_H

#include <stdatomic.h>
#include <stddef.h>

#include "host/thread.h"
#include "null_icd.h"

#define NULL_RECS      (1U << 18) /* objects, counting those that are dead but not yet reused */
#define NULL_EXT_WORDS 16         /* 32 extensions each */
#define NULL_FAMILIES  2
#define NULL_OPS       64 /* buffer writes that a command buffer remembers */

enum null_state { NULL_UNUSED, NULL_ALIVE, NULL_DEAD };

enum null_op_kind { NULL_OP_FILL, NULL_OP_COPY, NULL_OP_UPDATE };

/* A write to a buffer, recorded to be carried out when submitted. */
struct null_op {
	enum null_op_kind kind;
	struct null_rec *src; /* buffer; of a copy */
	struct null_rec *dst;
	uint64_t src_off;
	uint64_t dst_off;
	uint64_t size;
	uint32_t data; /* of a fill; of an update its first word */
};

struct null_ops {
	uint32_t n;
	struct null_op op[NULL_OPS];
};

/*
 * An object.  Its address is its handle.  Records live in one region and are never unmapped; a
 * dead one is reused as late as possible, so a stale handle is recognised.
 */
struct null_rec {
	uintptr_t loader; /* the loader puts its dispatch table at the start of some objects */
	_Atomic(uint32_t) state;
	_Atomic(uint32_t) type;    /* VkObjectType */
	_Atomic(uint32_t) members; /* objects that must be gone before this one: its children */
	uint32_t next_dead;        /* index of the next dead record, under null.lock */
	struct null_rec *dev;      /* owner; NULL for instances, physical devices, devices */
	struct null_rec *pool;     /* or parent: pool, physical device, instance */
	struct null_rec *prev;     /* other members of the pool, under null.lock */
	struct null_rec *next;
	struct null_rec *first; /* members of this pool, under null.lock */
	union {
		struct {
			uint32_t index;
		} phys;
		struct {
			uint32_t ext[NULL_EXT_WORDS];
			uint32_t queues[NULL_FAMILIES]; /* created, by family */
			struct null_rec *queue[NULL_FAMILIES][2];
			_Atomic(uint32_t) submits;
			_Atomic(bool) is_lost;
			uint64_t idle_ns; /* when all work will be done, under null.sync */
		} device;
		struct {
			uint32_t family;
			uint32_t index;
		} queue;
		struct {
			uint64_t size;
			uint8_t *map; /* NULL for memory that the host cannot see */
			uint32_t type;
			int fd; /* the memfd behind map, or -1 */
			bool is_imported;
			bool is_mapped; /* by vkMapMemory, under null.lock */
		} memory;
		struct {
			uint64_t size;
			uint64_t offset;
			struct null_rec *memory; /* bound, or NULL; under null.lock */
		} buffer;                        /* images too */
		struct {
			uint64_t ready_ns; /* signalled from then on; UINT64_MAX: not */
		} fence;                   /* under null.sync */
		struct {
			bool is_timeline;
			uint64_t value;
			uint64_t next; /* value from next_ns on */
			uint64_t next_ns;
		} semaphore; /* under null.sync */
		struct {
			_Atomic(bool) is_set;
		} event;
		struct {
			bool is_free_ok; /* of a descriptor pool: single sets may be freed */
		} pool_of;
		struct {
			struct null_ops *ops; /* under null.lock */
		} cmdbuf;
	} u;
};

/* A call in progress. */
struct null_call {
	uint32_t cmd; /* enum null_cmd */
	const char *name;
	struct null_rec *self; /* the first parameter, NULL for global commands */
	struct null_rec *dev;  /* its device, or NULL */
	bool is_bad;           /* a breach, or something stale: do nothing */
};

/* How the driver misbehaves, see struct null_control. */
struct null_faults {
	_Atomic(uint32_t) lose_after;
	_Atomic(uint32_t) oom_left; /* creations until one fails; 0: none will */
	_Atomic(uint64_t) work_ns;
	_Atomic(uint64_t) wait_cap_ns;
	_Atomic(uint32_t) hang; /* 1 + enum null_cmd; 0: none */
	_Atomic(bool) has_dmabuf;
	_Atomic(bool) has_sync_fd;
	_Atomic(bool) counts_more;
	_Atomic(bool) is_stale_ok;
	_Atomic(bool) has_few_extensions;
	_Atomic(void (*)(const char *)) complain;
	char hide[256]; /* under null.lock */
};

struct null_driver {
	struct mutex lock; /* records' life, lists, bindings, faults.hide */
	struct mutex sync; /* signals; taken after lock where both are */
	struct cond wake;  /* with sync: something was signalled, released or lost */
	struct null_rec *recs;
	uint32_t used; /* records that were ever used */
	uint32_t dead_first;
	uint32_t dead_last;
	uint32_t dead;
	struct null_faults faults;
};

extern struct null_driver null;

/* Generated: everything about the registry's commands that does not need thought. */
struct null_command {
	const char *name;
	PFN_vkVoidFunction fn;
	uint16_t cmd;    /* enum null_cmd, the same for all names of one command */
	uint8_t level;   /* 0 global, 1 instance, 2 device */
	uint8_t is_core; /* else only with one of the extensions */
	int16_t ext[6];  /* index into null_extensions, -1 ends */
};
extern const struct null_command null_commands[]; /* sorted by name */
extern const uint32_t null_command_count;
extern const char *const null_command_names[];
extern const uint32_t null_cmd_count;

struct null_extension {
	const char *name;
	uint32_t version;
	bool has_functions;
};
extern const struct null_extension null_extensions[];
extern const uint32_t null_extension_count;

/* Calls by command, generated because only the generator knows how many there are. */
extern _Atomic(uint64_t) null_counts[];

/* handle.c */

/* Says what is wrong with the call and makes it do nothing; abort() unless a test listens. */
void null_complain(struct null_call *c, const char *fmt, ...) PRINTF_FMT(2, 3);

/**
 * null_enter() - begin a call: count it, hang if told to, check its first parameter
 * @self:	dispatchable handle; NULL for global commands
 */
struct null_call null_enter(uint32_t cmd, const void *self, VkObjectType type);

/**
 * null_check() - check a handle that the caller passed
 * @what:	the parameter or member, for the complaint
 *
 * Return: its record; NULL for a null handle and after a complaint
 */
struct null_rec *null_check(struct null_call *c, uint64_t handle, VkObjectType type,
			    const char *what);

/**
 * null_new() - make an object
 * @pool:	what it must not outlive, besides @dev; or NULL
 *
 * Return: its record, zeroed but for the head; NULL if memory is "out"
 */
struct null_rec *null_new(VkObjectType type, struct null_rec *dev, struct null_rec *pool);

/* Ends an object's life, and that of a pool's members.  NULL is fine. */
void null_end(struct null_rec *r);

/* Ends everything that a device owns. */
void null_end_owned(const struct null_rec *dev);

/* The record behind a handle that was checked before. */
static inline struct null_rec *null_rec_of(const void *handle)
{
	return (struct null_rec *)(uintptr_t)handle;
}

#define NULL_HANDLE(T, rec) ((T)(uintptr_t)(rec))

/* Reads @bytes bytes, so that a sanitizer sees when they are not there. */
void null_touch(const void *p, size_t bytes);
void null_touch_string(const char *s);

static inline bool null_is_lost(const struct null_call *c)
{
	return c->dev && atomic_load_explicit(&c->dev->u.device.is_lost, memory_order_relaxed);
}

/* What a count in an output struct is too high by, where there is an array. */
#define NULL_TOO_MANY (1U << 20)

static inline uint32_t null_too_many(void)
{
	return atomic_load_explicit(&null.faults.counts_more, memory_order_relaxed) ? NULL_TOO_MANY
										    : 0;
}

/* control.c */
const struct null_command *null_find_command(const char *name);
void null_control_from_env(void);
bool null_is_hidden(const struct null_extension *ext);
bool null_is_hidden_name(const char *ext);
void null_hang(uint32_t cmd);

/* Destroys what of an object is outside its record; called by null_end() under null.lock. */
void null_memory_fini(struct null_rec *r);
void null_cmdbuf_fini(struct null_rec *r);

/* physdev.c */
uint32_t null_family_queues(uint32_t family);
const VkPhysicalDeviceMemoryProperties *null_memories(const struct null_rec *dev);
uint32_t null_importable_types(const struct null_rec *dev);

/* buffer.c: carries out what a command buffer recorded, under null.lock. */
void null_ops_run(const struct null_rec *cmdbuf);

#include "null_gen.h" /* generated: enum null_cmd, walks, fills, prototypes of the hand-written */

#endif
