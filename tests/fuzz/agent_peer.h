/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PECTEN_FUZZ_AGENT_PEER_H
#define PECTEN_FUZZ_AGENT_PEER_H

/**
 * agent_peer_hear() - read what one end of the agent's stream says
 * @fd:		the other end, non-blocking; -1 begins anew
 *
 * All of it must be messages that the other end's decoder takes: else abort().  One thread.
 */
void agent_peer_hear(int fd);

#endif
