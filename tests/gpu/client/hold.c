/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocates memory in blocks, until it has as much as it shall or gets an error; says how much it
 * has, and keeps it until its input ends.  With VN_PERF=no_async_mem_alloc in a guest, as Mesa does
 * not wait for the result of an allocation otherwise.
 *
 * usage: gpu_hold MIB
 */
#include "vk.h"

#define BLOCK_MIB  16U
#define BLOCKS_MAX 256U

int main(int argc, char **argv)
{
	static VkDeviceMemory blocks[BLOCKS_MAX];
	const VkMemoryAllocateInfo info = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.allocationSize = BLOCK_MIB << 20,
	};
	unsigned long want = argc > 1 ? strtoul(argv[1], NULL, 10) / BLOCK_MIB : 0;
	VkResult r = VK_SUCCESS;
	struct vkc c = { 0 };
	unsigned n = 0;

	REQUIRE(want > 0 && want <= BLOCKS_MAX);
	vkc_open(&c, false);
	while (n < want && (r = c.AllocateMemory(c.dev, &info, NULL, &blocks[n])) == VK_SUCCESS)
		n++;
	printf("holds %u MiB: %d\n", n * BLOCK_MIB, (int)r);
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	while (n > 0)
		c.FreeMemory(c.dev, blocks[--n], NULL);
	vkc_close(&c);
	return 0;
}
