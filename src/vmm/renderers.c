/* SPDX-License-Identifier: Apache-2.0 */
/* The process that executes renderers: see renderers.h. */
#include "vmm/renderers.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/fd.h"
#include "render/broker.h"
#include "util/log.h"

#define BROKER_FD   3
#define CACHE_BYTES (UINT64_C(1) << 30)

static void on_first(void *arg, int code, const char *text)
{
	(void)arg;
	(void)code;
	(void)dprintf(STDOUT_FILENO, "%s\n", text);
	fd_drop(&(int){ STDOUT_FILENO });
}

static bool read_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end = NULL;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && end != text && !*end && *out <= max;
}

static bool is_socket(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

int renderers_main(int argc, char *const *argv)
{
	uint64_t memory = 0;
	uint64_t contexts = 0;
	uint64_t level = 0;
	struct err e = { 0 };

	if (argc != 8 || !read_number(argv[1], UINT64_MAX, &memory) ||
	    !read_number(argv[2], 1024, &contexts) || !read_number(argv[3], LOG_TRACE, &level) ||
	    !is_socket(BROKER_FD)) {
		(void)fprintf(stderr, "pecten-vm: this program is started by pecten; "
				      "try: pecten run --help\n");
		return 2;
	}
	log_set_level((enum log_level)level);

	const struct broker_config cfg = {
		.sock = BROKER_FD,
		.log_level = (uint32_t)level,
		.memory = memory,
		.counts_all = strcmp(argv[6], "all") == 0,
		.maps_driver = strcmp(argv[7], "driver") == 0,
		.contexts = (unsigned)contexts,
		.cache = *argv[5] ? argv[5] : NULL,
		.cache_bytes = CACHE_BYTES,
		.first = strcmp(argv[4], "eager") == 0 ? on_first : NULL,
	};
	if (broker_run(&cfg, &e) == 0)
		return 0;
	if (cfg.first)
		on_first(NULL, e.code, e.text);
	log_error(GPU, "%s", e.text);
	return 1;
}
