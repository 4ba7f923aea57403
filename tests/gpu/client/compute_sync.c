/* SPDX-License-Identifier: Apache-2.0 */
/* Compute client: fences, semaphores, events, queries. */
#include <string.h>

#include "compute.h"

#define LONG_NS (UINT64_C(60) * 1000 * 1000 * 1000)
#define WORDS   1024
#define FENCES  8

/* Fills a buffer in a command buffer of its own; needs no pipeline. */
static VkCommandBuffer fill_cmd(struct vkc *c, const struct vkc_buf *b, uint32_t value)
{
	VkCommandBuffer cmd = vkc_cmd_begin(c);

	c->CmdFillBuffer(cmd, b->buf, 0, VK_WHOLE_SIZE, value);
	vkc_barrier(c, cmd);
	VK(c->EndCommandBuffer(cmd));
	return cmd;
}

static bool is_filled(const struct vkc_buf *b, uint32_t value)
{
	const uint32_t *v = b->map;

	for (uint32_t i = 0; i < WORDS; i++)
		if (v[i] != value)
			return false;
	return true;
}

static void submit(struct vkc *c, VkCommandBuffer cmd, VkFence fence)
{
	VkSubmitInfo info = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = cmd ? 1 : 0,
		.pCommandBuffers = &cmd,
	};

	VK(c->QueueSubmit(c->queue, 1, &info, fence));
}

const char *case_fences(struct vkc *c)
{
	VkFenceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
	VkFence fence[FENCES];
	VkCommandBuffer cmd[FENCES];
	struct vkc_buf b;

	vkc_buf_create(c, &b, WORDS * sizeof(uint32_t), HOST_COHERENT);
	info.flags = VK_FENCE_CREATE_SIGNALED_BIT;
	for (uint32_t i = 0; i < FENCES; i++) {
		VK(c->CreateFence(c->dev, &info, NULL, &fence[i]));
		VK(c->GetFenceStatus(c->dev, fence[i]));
	}
	VK(c->ResetFences(c->dev, FENCES, fence));
	for (uint32_t i = 0; i < FENCES; i++)
		REQUIRE(c->GetFenceStatus(c->dev, fence[i]) == VK_NOT_READY);
	REQUIRE(c->WaitForFences(c->dev, FENCES, fence, VK_FALSE, 0) == VK_TIMEOUT);
	REQUIRE(c->WaitForFences(c->dev, 1, fence, VK_TRUE, 2000000) == VK_TIMEOUT);

	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < FENCES; i++) {
			cmd[i] = fill_cmd(c, &b, round * FENCES + i);
			submit(c, cmd[i], fence[i]);
		}
		VK(c->WaitForFences(c->dev, FENCES, fence, VK_FALSE, LONG_NS));
		VK(c->WaitForFences(c->dev, FENCES, fence, VK_TRUE, LONG_NS));
		REQUIRE(is_filled(&b, round * FENCES + FENCES - 1));
		VK(c->ResetFences(c->dev, FENCES, fence));
		c->FreeCommandBuffers(c->dev, c->pool, FENCES, cmd);
	}

	/* Polling, and a submission of nothing. */
	submit(c, NULL, fence[0]);
	VK(c->QueueSubmit(c->queue, 0, NULL, fence[1]));
	uint64_t end = vkc_now_ns() + LONG_NS;
	while (c->GetFenceStatus(c->dev, fence[0]) == VK_NOT_READY ||
	       c->GetFenceStatus(c->dev, fence[1]) == VK_NOT_READY)
		REQUIRE(vkc_now_ns() < end);
	for (uint32_t i = 0; i < FENCES; i++)
		c->DestroyFence(c->dev, fence[i], NULL);
	vkc_buf_destroy(c, &b);
	return NULL;
}

const char *case_semaphores(struct vkc *c)
{
	VkSemaphoreCreateInfo info = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO };
	VkPipelineStageFlags stage = VK_PIPELINE_STAGE_TRANSFER_BIT;
	VkSemaphore sem[2];
	struct vkc_buf b;

	vkc_buf_create(c, &b, WORDS * sizeof(uint32_t), HOST_COHERENT);
	for (uint32_t i = 0; i < 2; i++)
		VK(c->CreateSemaphore(c->dev, &info, NULL, &sem[i]));
	for (uint32_t round = 0; round < 20; round++) {
		VkCommandBuffer cmd[3];
		VkSubmitInfo s[3];
		for (uint32_t i = 0; i < 3; i++) {
			cmd[i] = fill_cmd(c, &b, round * 3 + i);
			s[i] = (VkSubmitInfo){
				.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
				.waitSemaphoreCount = i > 0,
				.pWaitSemaphores = i > 0 ? &sem[i - 1] : NULL,
				.pWaitDstStageMask = &stage,
				.commandBufferCount = 1,
				.pCommandBuffers = &cmd[i],
				.signalSemaphoreCount = i < 2,
				.pSignalSemaphores = i < 2 ? &sem[i] : NULL,
			};
		}
		VK(c->QueueSubmit(c->queue, 2, s, VK_NULL_HANDLE));
		VK(c->QueueSubmit(c->queue, 1, &s[2], VK_NULL_HANDLE));
		VK(c->QueueWaitIdle(c->queue));
		REQUIRE(is_filled(&b, round * 3 + 2));
		c->FreeCommandBuffers(c->dev, c->pool, 3, cmd);
	}
	for (uint32_t i = 0; i < 2; i++)
		c->DestroySemaphore(c->dev, sem[i], NULL);
	vkc_buf_destroy(c, &b);
	return NULL;
}

static VkSemaphore timeline_create(struct vkc *c, uint64_t value)
{
	VkSemaphoreTypeCreateInfo type = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
		.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
		.initialValue = value,
	};
	VkSemaphoreCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
		.pNext = &type,
	};
	VkSemaphore sem;

	VK(c->CreateSemaphore(c->dev, &info, NULL, &sem));
	return sem;
}

static void submit_timeline(struct vkc *c, VkCommandBuffer cmd, VkSemaphore wait, uint64_t at,
			    VkSemaphore signal, uint64_t to)
{
	VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
	VkTimelineSemaphoreSubmitInfo values = {
		.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
		.waitSemaphoreValueCount = wait ? 1 : 0,
		.pWaitSemaphoreValues = &at,
		.signalSemaphoreValueCount = signal ? 1 : 0,
		.pSignalSemaphoreValues = &to,
	};
	VkSubmitInfo info = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.pNext = &values,
		.waitSemaphoreCount = wait ? 1 : 0,
		.pWaitSemaphores = &wait,
		.pWaitDstStageMask = &stage,
		.commandBufferCount = cmd ? 1 : 0,
		.pCommandBuffers = &cmd,
		.signalSemaphoreCount = signal ? 1 : 0,
		.pSignalSemaphores = &signal,
	};

	VK(c->QueueSubmit(c->queue, 1, &info, VK_NULL_HANDLE));
}

static VkResult timeline_wait(struct vkc *c, VkSemaphore sem, uint64_t value, uint64_t timeout_ns)
{
	VkSemaphoreWaitInfo info = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
		.semaphoreCount = 1,
		.pSemaphores = &sem,
		.pValues = &value,
	};

	return c->WaitSemaphores(c->dev, &info, timeout_ns);
}

static uint64_t timeline_value(struct vkc *c, VkSemaphore sem)
{
	uint64_t v = 0;

	VK(c->GetSemaphoreCounterValue(c->dev, sem, &v));
	return v;
}

const char *case_timeline(struct vkc *c)
{
	struct vkc_buf b;

	if (!c->f12.timelineSemaphore)
		return "no timelineSemaphore";
	VkSemaphore sem = timeline_create(c, 5);
	REQUIRE(timeline_value(c, sem) == 5);
	vkc_buf_create(c, &b, WORDS * sizeof(uint32_t), HOST_COHERENT);
	for (uint32_t i = 0; i < 50; i++) {
		uint64_t at = 5 + i;
		VkCommandBuffer cmd = fill_cmd(c, &b, i);
		submit_timeline(c, cmd, sem, at, sem, at + 1);
		VK(timeline_wait(c, sem, at + 1, LONG_NS));
		REQUIRE(is_filled(&b, i));
		REQUIRE(timeline_value(c, sem) == at + 1);
		c->FreeCommandBuffers(c->dev, c->pool, 1, &cmd);
	}
	REQUIRE(timeline_wait(c, sem, 1000, 2000000) == VK_TIMEOUT);
	REQUIRE(timeline_wait(c, sem, 1000, 0) == VK_TIMEOUT);
	VK(c->QueueWaitIdle(c->queue));
	c->DestroySemaphore(c->dev, sem, NULL);
	vkc_buf_destroy(c, &b);
	return NULL;
}

const char *case_timeline_host(struct vkc *c)
{
	VkSemaphoreSignalInfo signal = { .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO };
	struct vkc_buf b;

	if (!c->f12.timelineSemaphore)
		return "no timelineSemaphore";
	VkSemaphore start = timeline_create(c, 0), done = timeline_create(c, 0);
	vkc_buf_create(c, &b, WORDS * sizeof(uint32_t), HOST_COHERENT);
	memset(b.map, 0, WORDS * sizeof(uint32_t));
	for (uint32_t i = 1; i <= 10; i++) {
		/* Work that waits for a value which the host has not given yet. */
		VkCommandBuffer cmd = fill_cmd(c, &b, i);
		submit_timeline(c, cmd, start, i, done, i);
		REQUIRE(timeline_wait(c, done, i, 1000000) == VK_TIMEOUT);
		REQUIRE(is_filled(&b, i - 1));
		signal.semaphore = start;
		signal.value = i;
		VK(c->SignalSemaphore(c->dev, &signal));
		VK(timeline_wait(c, done, i, LONG_NS));
		REQUIRE(is_filled(&b, i));
		REQUIRE(timeline_value(c, start) == i);
		VK(c->QueueWaitIdle(c->queue));
		c->FreeCommandBuffers(c->dev, c->pool, 1, &cmd);
	}

	/* Any of two. */
	VkSemaphore both[] = { start, done };
	uint64_t values[] = { 1000, 10 };
	VkSemaphoreWaitInfo any = {
		.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
		.flags = VK_SEMAPHORE_WAIT_ANY_BIT,
		.semaphoreCount = 2,
		.pSemaphores = both,
		.pValues = values,
	};
	VK(c->WaitSemaphores(c->dev, &any, LONG_NS));
	any.flags = 0;
	REQUIRE(c->WaitSemaphores(c->dev, &any, 1000000) == VK_TIMEOUT);
	c->DestroySemaphore(c->dev, start, NULL);
	c->DestroySemaphore(c->dev, done, NULL);
	vkc_buf_destroy(c, &b);
	return NULL;
}

const char *case_events(struct vkc *c)
{
	VkEventCreateInfo info = { .sType = VK_STRUCTURE_TYPE_EVENT_CREATE_INFO };
	VkEvent ev[2];
	struct vkc_buf b;

	vkc_buf_create(c, &b, WORDS * sizeof(uint32_t), HOST_COHERENT);
	for (uint32_t i = 0; i < 2; i++) {
		VK(c->CreateEvent(c->dev, &info, NULL, &ev[i]));
		REQUIRE(c->GetEventStatus(c->dev, ev[i]) == VK_EVENT_RESET);
	}
	VK(c->SetEvent(c->dev, ev[0]));
	REQUIRE(c->GetEventStatus(c->dev, ev[0]) == VK_EVENT_SET);
	VK(c->ResetEvent(c->dev, ev[0]));
	REQUIRE(c->GetEventStatus(c->dev, ev[0]) == VK_EVENT_RESET);

	/* Set by the device, waited for by the device in a later command. */
	VkMemoryBarrier barrier = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_HOST_READ_BIT,
	};
	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdFillBuffer(cmd, b.buf, 0, VK_WHOLE_SIZE, 1);
	c->CmdSetEvent(cmd, ev[1], VK_PIPELINE_STAGE_TRANSFER_BIT);
	c->CmdWaitEvents(cmd, 1, &ev[1], VK_PIPELINE_STAGE_TRANSFER_BIT,
			 VK_PIPELINE_STAGE_TRANSFER_BIT | VK_PIPELINE_STAGE_HOST_BIT, 1, &barrier,
			 0, NULL, 0, NULL);
	c->CmdFillBuffer(cmd, b.buf, 0, VK_WHOLE_SIZE, 2);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);
	REQUIRE(is_filled(&b, 2));
	REQUIRE(c->GetEventStatus(c->dev, ev[1]) == VK_EVENT_SET);

	cmd = vkc_cmd_begin(c);
	c->CmdResetEvent(cmd, ev[1], VK_PIPELINE_STAGE_ALL_COMMANDS_BIT);
	vkc_cmd_run(c, cmd);
	REQUIRE(c->GetEventStatus(c->dev, ev[1]) == VK_EVENT_RESET);
	for (uint32_t i = 0; i < 2; i++)
		c->DestroyEvent(c->dev, ev[i], NULL);
	vkc_buf_destroy(c, &b);
	return NULL;
}

#define STAMPS 4

const char *case_timestamps(struct vkc *c)
{
	VkQueryPoolCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
		.queryType = VK_QUERY_TYPE_TIMESTAMP,
		.queryCount = STAMPS,
	};
	uint64_t t[STAMPS], with_status[2 * STAMPS];
	struct vkc_buf b, copy;
	VkQueryPool pool;

	if (!c->queue_props.timestampValidBits)
		return "no timestamps";
	VK(c->CreateQueryPool(c->dev, &info, NULL, &pool));
	vkc_buf_create(c, &b, UINT64_C(16) << 20, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
	vkc_buf_create(c, &copy, sizeof(t), HOST_COHERENT);

	VkCommandBuffer cmd = vkc_cmd_begin(c);
	c->CmdResetQueryPool(cmd, pool, 0, STAMPS);
	for (uint32_t i = 0; i < STAMPS; i++) {
		c->CmdWriteTimestamp(cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, pool, i);
		c->CmdFillBuffer(cmd, b.buf, 0, VK_WHOLE_SIZE, i);
		vkc_barrier(c, cmd);
	}
	c->CmdCopyQueryPoolResults(cmd, pool, 0, STAMPS, copy.buf, 0, sizeof(t[0]),
				   VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
	vkc_barrier(c, cmd);
	vkc_cmd_run(c, cmd);

	VK(c->GetQueryPoolResults(c->dev, pool, 0, STAMPS, sizeof(t), t, sizeof(t[0]),
				  VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT));
	for (uint32_t i = 1; i < STAMPS; i++)
		REQUIRE(t[i] > t[i - 1]);
	REQUIRE(!memcmp(t, copy.map, sizeof(t)));
	VK(c->GetQueryPoolResults(c->dev, pool, 0, STAMPS, sizeof(with_status), with_status,
				  2 * sizeof(t[0]),
				  VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WITH_AVAILABILITY_BIT));
	for (uint32_t i = 0; i < STAMPS; i++)
		REQUIRE(with_status[2 * i] == t[i] && with_status[2 * i + 1]);

	if (c->f12.hostQueryReset) {
		c->ResetQueryPool(c->dev, pool, 0, STAMPS);
		REQUIRE(c->GetQueryPoolResults(c->dev, pool, 0, 1, sizeof(t[0]), t, sizeof(t[0]),
					       VK_QUERY_RESULT_64_BIT) == VK_NOT_READY);
	}
	c->DestroyQueryPool(c->dev, pool, NULL);
	vkc_buf_destroy(c, &b);
	vkc_buf_destroy(c, &copy);
	return NULL;
}
