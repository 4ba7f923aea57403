/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker of a VM's renderers, a process of its own beside the VM process, because that one is
 * confined:
 *
 *	pecten-vm --renderers MEMORY CONTEXTS LOG-LEVEL lazy|eager CACHE
 *
 * with the socket to the VM process as descriptor 3 (render/broker.h).  MEMORY is in bytes, CACHE a
 * folder for shader caches or "".  An eager one writes a line to its stdout when the first renderer
 * has loaded the host's Vulkan drivers: empty, or a sentence on why it could not.
 */
#ifndef PECTEN_VMM_RENDERERS_H
#define PECTEN_VMM_RENDERERS_H

/* Return: the process's status */
int renderers_main(int argc, char *const *argv);

#endif
