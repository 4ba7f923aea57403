/* SPDX-License-Identifier: Apache-2.0 */
/* Ends the emulated machine through QEMU's isa-debug-exit: its status becomes (code << 1) | 1. */
#include <sys/io.h>

int main(int argc, char **argv)
{
	if (iopl(3) < 0)
		return 1;
	outb((unsigned char)(argc > 1 ? strtoul(argv[1], NULL, 10) : 0), 0x501);
	return 1;
}
