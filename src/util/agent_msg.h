/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between the library and the agent in the guest: docs/guest-protocol.md.  Both ends
 * use this encoder and decoder; each trusts the other no further than the decoder's checks.
 *
 * A message is a header of 8 bytes (payload length le32, type le16, stream le16) and a payload of
 * numbers (le64 each), then strings (each ended by NUL) or raw bytes.  A table says how many
 * numbers and strings each type has; nothing else is accepted.
 */
#ifndef PECTEN_UTIL_AGENT_MSG_H
#define PECTEN_UTIL_AGENT_MSG_H

#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

#define AGENT_VERSION    1
#define AGENT_VSOCK_PORT 1024 /* the guest connects to the host's, and listens on its own */

#define AGENT_HEADER_SIZE 8
#define AGENT_DATA_MAX    ((size_t)64 << 10) /* bytes in one AGENT_DATA */
#define AGENT_PAYLOAD_MAX                                                                          \
	(((size_t)128 << 10) + 256) /* one argument may be as long as Linux allows */
#define AGENT_MSG_MAX (AGENT_HEADER_SIZE + AGENT_PAYLOAD_MAX)
#define AGENT_WINDOW  ((size_t)256 << 10) /* bytes a stream may carry before it is given credit */

#define AGENT_SPEC_MAX   (2u << 20) /* bytes of arguments and environment of one command */
#define AGENT_ITEMS_MAX  16384      /* arguments and variables of one command */
#define AGENT_PEERS_MAX  64 /* connections at one time, thus commands, the workload included */
#define AGENT_SHARES_MAX 64

#define AGENT_NUMS 4
#define AGENT_STRS 2

enum agent_type {
	/* from the guest */
	AGENT_HELLO = 1,   /* version; kernel release */
	AGENT_READY = 2,   /* root, shares and network are in place */
	AGENT_FAILED = 3,  /* errno; sentence: the guest cannot be set up, it ends */
	AGENT_STARTED = 4, /* pid in the guest */
	AGENT_EXIT = 5,    /* enum agent_how, value, AGENT_EXIT_ flags; sentence or "" */
	AGENT_NOTE = 6,    /* sentence for the user */

	/* both ways */
	AGENT_DATA = 16,   /* bytes of a stream */
	AGENT_CLOSE = 17,  /* the sender neither sends nor takes more of a stream */
	AGENT_CREDIT = 18, /* bytes that may be sent in addition */

	/* from the host: the guest's set-up, ended by AGENT_BOOT */
	AGENT_TIME = 32,     /* ns since 1970, AGENT_TIME_; at any time */
	AGENT_ROOT = 33,     /* AGENT_ROOT_ flags, size of the RAM overlay in MiB; source */
	AGENT_SHARE = 34,    /* AGENT_SHARE_ flags; source, target */
	AGENT_HOSTNAME = 35, /* name */
	AGENT_NET = 36,      /* IPv4 address, prefix length, gateway, MTU; resolv.conf's text */
	AGENT_BOOT = 37,

	/* from the host: a command, one for each connection, ended by AGENT_START */
	AGENT_CMD = 48,    /* AGENT_CMD_ flags, rows, columns */
	AGENT_ARG = 49,    /* argument */
	AGENT_ENV = 50,    /* NAME=value; before AGENT_BOOT the default of all commands */
	AGENT_CWD = 51,    /* absolute path */
	AGENT_USER = 52,   /* user[:group], names or numbers */
	AGENT_RLIMIT = 53, /* Linux RLIMIT_ number, soft, hard */
	AGENT_START = 54,
	AGENT_SIGNAL = 55, /* Linux signal number */
	AGENT_RESIZE = 56, /* rows, columns */

	AGENT_STOP = 57, /* ms between SIGTERM to the workload and the end */
	AGENT_ACK = 58,  /* the workload's AGENT_EXIT has arrived */
};

enum agent_how {
	AGENT_HOW_CODE = 0,   /* value: exit code */
	AGENT_HOW_SIGNAL = 1, /* value: Linux signal number */
	AGENT_HOW_FAILED = 2, /* value: errno; it was never executed */
};

enum {
	AGENT_EXIT_OOM = 1 << 0,  /* the guest ran out of memory and killed it or a child */
	AGENT_EXIT_EXEC = 1 << 1, /* with AGENT_HOW_FAILED: execve() failed, not the set-up */

	AGENT_TIME_OLD = 1 << 0, /* it waited for the guest to boot */

	AGENT_ROOT_RW = 1 << 0, /* no overlay: changes go to the host */
	AGENT_SHARE_RO = 1 << 0,

	AGENT_CMD_TTY = 1 << 0,
	AGENT_CMD_REBOOT = 1 << 1, /* keeps CAP_SYS_BOOT */
	AGENT_CMD_NO_STDIN = 1 << 2,
};

/* Streams of a command: numbers as in the process.  A terminal has no AGENT_STDERR. */
enum { AGENT_STDIN = 0, AGENT_STDOUT = 1, AGENT_STDERR = 2, AGENT_STREAMS = 3 };

struct agent_msg {
	uint16_t type;   /* enum agent_type */
	uint16_t stream; /* AGENT_STDIN... */
	uint64_t num[AGENT_NUMS];
	const char *str[AGENT_STRS]; /* NULL counts as "" when encoding */
	const void *data;            /* AGENT_DATA only */
	size_t len;                  /* of data, bytes */
};

/**
 * agent_encode() - write a message
 * @buf:	room for @len bytes; AGENT_MSG_MAX always suffices
 * @m:		message; only what its type has is looked at
 *
 * Return: bytes written; -EMSGSIZE if it exceeds AGENT_PAYLOAD_MAX (or AGENT_DATA_MAX), -ENOBUFS
 *	   if it exceeds @len, -EINVAL for an unknown type or an empty AGENT_DATA
 */
int agent_encode(void *buf, size_t len, const struct agent_msg *m) MUST_CHECK;

/**
 * agent_decode() - read the first message of a buffer
 * @buf:	bytes from the peer, not trusted
 * @m:		its strings and data point into @buf
 *
 * Return: bytes consumed; 0 if the message is not complete yet; -EPROTO if the bytes are not a
 *	   message: the connection is useless then
 */
int agent_decode(const void *buf, size_t len, struct agent_msg *m) MUST_CHECK;

/* Name of a type for logs; "?" if there is none. */
const char *agent_type_name(unsigned type);

#endif
