/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/agent_peer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/agent_msg.h"

void agent_peer_hear(int fd)
{
	static uint8_t said[AGENT_MSG_MAX * 4];
	static size_t len;
	struct agent_msg m;
	ssize_t n = read(fd, said + len, sizeof(said) - len);
	size_t at = 0;
	int r;

	if (n <= 0) {
		len = 0;
		return;
	}
	len += (size_t)n;
	while ((r = agent_decode(said + at, len - at, &m)) > 0)
		at += (size_t)r;
	if (r < 0)
		abort();
	len -= at;
	memmove(said, said + at, len);
}
