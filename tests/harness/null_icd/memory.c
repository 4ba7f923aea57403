/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the null driver: real where the host can see it, nothing where it cannot. */
#include <sys/mman.h>
#include <unistd.h>

#include "host/mapwatch.h"
#include "null_internal.h"

void null_memory_fini(struct null_rec *r)
{
	if (r->u.memory.map && !r->u.memory.is_imported)
		(void)munmap(r->u.memory.map, r->u.memory.size);
	if (r->u.memory.fd >= 0)
		(void)close(r->u.memory.fd);
	r->u.memory.map = NULL;
	r->u.memory.fd = -1;
}

/* Memory of our own, in a memfd so that it can be exported. */
static bool back(struct null_rec *r)
{
	r->u.memory.fd = memfd_create("null-memory", MFD_CLOEXEC);
	if (r->u.memory.fd < 0 || ftruncate(r->u.memory.fd, (off_t)r->u.memory.size) < 0)
		return false;
	void *p =
		mmap(NULL, r->u.memory.size, PROT_READ | PROT_WRITE, MAP_SHARED, r->u.memory.fd, 0);
	if (p == MAP_FAILED)
		return false;
	/* What the mmap() of a whole program would do; see host/mapwatch.h. */
	mapwatch_note(p, r->u.memory.size, MAP_SHARED, r->u.memory.fd, 0);
	r->u.memory.map = p;
	return true;
}

/* Uses the caller's memory; whether that is a good idea was the caller's to find out. */
static void import_host_pointer(struct null_call *c, struct null_rec *r,
				const VkImportMemoryHostPointerInfoEXT *imp)
{
	uint8_t *p = imp->pHostPointer;

	if (!(null_importable_types(c->dev) & (1U << r->u.memory.type)))
		null_complain(c, "imports a pointer into memory type %u", r->u.memory.type);
	else if (!p || (uintptr_t)p % NULL_PAGE || r->u.memory.size % NULL_PAGE)
		null_complain(c, "imports memory that is not made of whole pages");
	if (c->is_bad)
		return;
	for (uint64_t i = 0; i < r->u.memory.size; i += r->u.memory.size - 1) {
		__atomic_fetch_or(p + i, 0, __ATOMIC_RELAXED); /* faults if it is not writable */
		if (r->u.memory.size == 1)
			break;
	}
	r->u.memory.map = p;
	r->u.memory.is_imported = true;
}

/* A dma-buf, or what passes for one; the driver owns it once it said yes. */
static VkResult import_fd(struct null_rec *r, int fd)
{
	void *p = mmap(NULL, r->u.memory.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return VK_ERROR_INVALID_EXTERNAL_HANDLE;
	r->u.memory.map = p;
	r->u.memory.fd = fd;
	return VK_SUCCESS;
}

VkResult null_do_vkAllocateMemory(struct null_call *c, const VkMemoryAllocateInfo *info,
				  VkDeviceMemory *memory)
{
	const VkPhysicalDeviceMemoryProperties *props = null_memories(c->dev);
	const VkImportMemoryHostPointerInfoEXT *host = NULL;
	const VkImportMemoryFdInfoKHR *fd = NULL;
	VkResult r = VK_SUCCESS;

	if (info->memoryTypeIndex >= props->memoryTypeCount) {
		null_complain(c, "was given memory type %u", info->memoryTypeIndex);
		return VK_ERROR_UNKNOWN;
	}
	if (info->allocationSize == 0 || info->allocationSize > NULL_HEAP_BYTES)
		return VK_ERROR_OUT_OF_DEVICE_MEMORY;
	for (const VkBaseInStructure *s = info->pNext; s; s = s->pNext) {
		const void *p = s;

		if (s->sType == VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT)
			host = p;
		else if (s->sType == VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR)
			fd = p;
	}
	struct null_rec *m = null_new(VK_OBJECT_TYPE_DEVICE_MEMORY, c->dev, NULL);
	if (!m)
		return VK_ERROR_OUT_OF_DEVICE_MEMORY;
	m->u.memory.fd = -1;
	m->u.memory.size = info->allocationSize;
	m->u.memory.type = info->memoryTypeIndex;
	if (host)
		import_host_pointer(c, m, host);
	else if (fd && fd->fd >= 0)
		r = import_fd(m, fd->fd);
	else if ((props->memoryTypes[info->memoryTypeIndex].propertyFlags &
		  VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) &&
		 !back(m))
		r = VK_ERROR_OUT_OF_DEVICE_MEMORY;
	if (r == VK_SUCCESS && c->is_bad)
		r = VK_ERROR_UNKNOWN;
	if (r != VK_SUCCESS) {
		null_end(m);
		return r;
	}
	*memory = NULL_HANDLE(VkDeviceMemory, m);
	return VK_SUCCESS;
}

void null_do_vkFreeMemory(struct null_call *c, VkDeviceMemory memory)
{
	(void)c;
	null_end(null_rec_of(memory));
}

static VkResult map_memory(struct null_call *c, VkDeviceMemory memory, uint64_t offset,
			   uint64_t size, void **data)
{
	struct null_rec *m = null_rec_of(memory);
	bool was_mapped;

	*data = NULL;
	if (!m || !m->u.memory.map) {
		null_complain(c, "maps memory that the host cannot see");
		return VK_ERROR_MEMORY_MAP_FAILED;
	}
	if (offset >= m->u.memory.size ||
	    (size != VK_WHOLE_SIZE && size > m->u.memory.size - offset)) {
		null_complain(c, "maps past the end of the memory");
		return VK_ERROR_MEMORY_MAP_FAILED;
	}
	mutex_lock(&null.lock);
	was_mapped = m->u.memory.is_mapped;
	m->u.memory.is_mapped = true;
	mutex_unlock(&null.lock);
	if (was_mapped) {
		null_complain(c, "maps memory that is mapped");
		return VK_ERROR_MEMORY_MAP_FAILED;
	}
	*data = m->u.memory.map + offset;
	return VK_SUCCESS;
}

VkResult null_do_vkMapMemory(struct null_call *c, VkDeviceMemory memory, VkDeviceSize offset,
			     VkDeviceSize size, VkMemoryMapFlags flags, void **data)
{
	(void)flags;
	return map_memory(c, memory, offset, size, data);
}

VkResult null_do_vkMapMemory2(struct null_call *c, const VkMemoryMapInfo *info, void **data)
{
	return map_memory(c, info->memory, info->offset, info->size, data);
}

static void unmap(VkDeviceMemory memory)
{
	struct null_rec *m = null_rec_of(memory);

	if (!m)
		return;
	mutex_lock(&null.lock);
	m->u.memory.is_mapped = false;
	mutex_unlock(&null.lock);
}

void null_do_vkUnmapMemory(struct null_call *c, VkDeviceMemory memory)
{
	(void)c;
	unmap(memory);
}

VkResult null_do_vkUnmapMemory2(struct null_call *c, const VkMemoryUnmapInfo *info)
{
	(void)c;
	unmap(info->memory);
	return VK_SUCCESS;
}

VkResult null_do_vkGetMemoryHostPointerPropertiesEXT(struct null_call *c,
						     VkExternalMemoryHandleTypeFlagBits type,
						     const void *pointer,
						     VkMemoryHostPointerPropertiesEXT *props)
{
	if (type != VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT)
		return VK_ERROR_INVALID_EXTERNAL_HANDLE;
	null_touch(pointer, 1);
	props->memoryTypeBits = null_importable_types(c->dev);
	return VK_SUCCESS;
}

VkResult null_do_vkGetMemoryFdKHR(struct null_call *c, const VkMemoryGetFdInfoKHR *info, int *fd)
{
	const struct null_rec *m = null_rec_of(info->memory);

	if (!m || m->u.memory.fd < 0 || m->u.memory.is_imported) {
		null_complain(c, "exports memory that has no descriptor");
		return VK_ERROR_UNKNOWN;
	}
	*fd = dup(m->u.memory.fd);
	return *fd < 0 ? VK_ERROR_TOO_MANY_OBJECTS : VK_SUCCESS;
}

VkResult null_do_vkGetMemoryFdPropertiesKHR(struct null_call *c,
					    VkExternalMemoryHandleTypeFlagBits type, int fd,
					    VkMemoryFdPropertiesKHR *props)
{
	if (type != VK_EXTERNAL_MEMORY_HANDLE_TYPE_DMA_BUF_BIT_EXT || lseek(fd, 0, SEEK_END) < 0)
		return VK_ERROR_INVALID_EXTERNAL_HANDLE;
	props->memoryTypeBits = null_importable_types(c->dev);
	return VK_SUCCESS;
}
