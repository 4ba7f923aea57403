/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Vulkan forbids and no driver looks at, where numbers of a guest's index the driver's own
 * arrays or say how much of our memory it reads.  Release builds of drivers have assertions there
 * at best, so a guest would write to their heap and their stacks, or read ours by way of a shader.
 *
 * It is not all that Vulkan forbids, and cannot be (docs/threat-model.md): the rules here need
 * nothing but the command itself and the device's limits.
 */
#include "util/ckd.h"
#include "venus/core.h"

#define STAGES_MAX  14U /* kinds of shaders */
#define LAST_STAGE  VK_SHADER_STAGE_CALLABLE_BIT_KHR
#define SAMPLES_MAX 64U
#define BINDING_END 65536U /* of descriptor set layouts; programs count from 0 */

/* clang-format off */
static const char *const nouns[] = {
	[VENUS_LIMIT_PUSH_BYTES]        = "bytes of push constants",
	[VENUS_LIMIT_PUSH_DATA]         = "bytes of push data",
	[VENUS_LIMIT_SETS]              = "descriptor sets",
	[VENUS_LIMIT_VERTEX_BINDINGS]   = "vertex bindings",
	[VENUS_LIMIT_VERTEX_ATTRIBUTES] = "vertex attributes",
	[VENUS_LIMIT_VIEWPORTS]         = "viewports",
	[VENUS_LIMIT_COLORS]            = "colour attachments",
	[VENUS_LIMIT_XFB_BUFFERS]       = "transform feedback buffers",
	[VENUS_LIMIT_QUERIES]           = "queries",
};
/* clang-format on */

static uint32_t limit_of(const struct venus_dec *d, enum venus_limit limit)
{
	if (limit != VENUS_LIMIT_QUERIES)
		return d->dev->physdev->limit[limit];
	if (!d->pool || d->pool->type != VK_OBJECT_TYPE_QUERY_POOL)
		return 0;
	return container_of(d->pool, struct venus_query_pool, obj)->count;
}

bool venus_check_range(struct venus_dec *d, enum venus_limit limit, uint32_t first, uint32_t count)
{
	if (unlikely(d->failed || !d->dev))
		return false;

	uint32_t max = limit_of(d, limit);
	if (likely(range_fits(first, count, max)))
		return true;
	venus_dec_fatal(d, "goes to number %llu of %u %s", (unsigned long long)first + count, max,
			nouns[limit]);
	return false;
}

void venus_check_VkPushDataInfoEXT(struct venus_dec *d, const VkPushDataInfoEXT *s)
{
	uint64_t size = s->data.size;

	(void)venus_check_range(d, VENUS_LIMIT_PUSH_DATA, s->offset,
				size < UINT32_MAX ? (uint32_t)size : UINT32_MAX);
}

/* ---- pipelines ---- */

void venus_check_VkSpecializationInfo(struct venus_dec *d, const VkSpecializationInfo *s)
{
	size_t size = s->pData ? s->dataSize : 0;

	for (uint32_t i = 0; s->pMapEntries && i < s->mapEntryCount && !d->failed; i++) {
		if (!range_fits(s->pMapEntries[i].offset, s->pMapEntries[i].size, size))
			venus_dec_fatal(d, "has a specialization constant outside of its data");
	}
}

void venus_check_VkPipelineShaderStageCreateInfo(struct venus_dec *d,
						 const VkPipelineShaderStageCreateInfo *s)
{
	uint32_t stage = (uint32_t)s->stage;

	if (!d->failed && (!is_pow2(stage) || stage > LAST_STAGE))
		venus_dec_fatal(d, "has a shader of the stage 0x%x", stage);
}

void venus_check_VkGraphicsPipelineCreateInfo(struct venus_dec *d,
					      const VkGraphicsPipelineCreateInfo *s)
{
	uint32_t seen = 0;

	for (uint32_t i = 0; s->pStages && i < s->stageCount && !d->failed; i++) {
		if (seen & (uint32_t)s->pStages[i].stage)
			venus_dec_fatal(d, "has two shaders of one stage");
		seen |= (uint32_t)s->pStages[i].stage;
	}
}

void venus_check_VkPipelineVertexInputStateCreateInfo(struct venus_dec *d,
						      const VkPipelineVertexInputStateCreateInfo *s)
{
	const VkVertexInputBindingDescription *b = s->pVertexBindingDescriptions;
	const VkVertexInputAttributeDescription *a = s->pVertexAttributeDescriptions;

	for (uint32_t i = 0; b && i < s->vertexBindingDescriptionCount && !d->failed; i++)
		(void)venus_check_range(d, VENUS_LIMIT_VERTEX_BINDINGS, b[i].binding, 1);
	for (uint32_t i = 0; a && i < s->vertexAttributeDescriptionCount && !d->failed; i++) {
		(void)venus_check_range(d, VENUS_LIMIT_VERTEX_BINDINGS, a[i].binding, 1);
		(void)venus_check_range(d, VENUS_LIMIT_VERTEX_ATTRIBUTES, a[i].location, 1);
	}
}

void venus_check_VkPipelineVertexInputDivisorStateCreateInfo(
	struct venus_dec *d, const VkPipelineVertexInputDivisorStateCreateInfo *s)
{
	const VkVertexInputBindingDivisorDescription *b = s->pVertexBindingDivisors;

	for (uint32_t i = 0; b && i < s->vertexBindingDivisorCount && !d->failed; i++)
		(void)venus_check_range(d, VENUS_LIMIT_VERTEX_BINDINGS, b[i].binding, 1);
}

void venus_check_VkPipelineLayoutCreateInfo(struct venus_dec *d,
					    const VkPipelineLayoutCreateInfo *s)
{
	const VkPushConstantRange *r = s->pPushConstantRanges;

	/* No stage may be in two ranges. */
	if (r && s->pushConstantRangeCount > STAGES_MAX && !d->failed)
		venus_dec_fatal(d, "has %u ranges of push constants", s->pushConstantRangeCount);
	for (uint32_t i = 0; r && i < s->pushConstantRangeCount && !d->failed; i++)
		(void)venus_check_range(d, VENUS_LIMIT_PUSH_BYTES, r[i].offset, r[i].size);
}

void venus_check_VkSampleLocationsInfoEXT(struct venus_dec *d, const VkSampleLocationsInfoEXT *s)
{
	const VkExtent2D *grid = &s->sampleLocationGridSize;

	if (d->failed || !d->dev || s->sampleLocationsCount == 0)
		return;

	const VkExtent2D *max = &d->dev->physdev->sample_grid;
	if (grid->width > max->width || grid->height > max->height ||
	    (uint32_t)s->sampleLocationsPerPixel > SAMPLES_MAX ||
	    s->sampleLocationsCount !=
		    (uint64_t)s->sampleLocationsPerPixel * grid->width * grid->height)
		venus_dec_fatal(d, "has %u sample locations of %u x %u pixels",
				s->sampleLocationsCount, grid->width, grid->height);
}

/* ---- descriptors ---- */

void venus_check_VkDescriptorSetLayoutCreateInfo(struct venus_dec *d,
						 const VkDescriptorSetLayoutCreateInfo *s)
{
	const VkDescriptorSetLayoutBindingFlagsCreateInfo *flags = venus_chain_find(
		s, VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_BINDING_FLAGS_CREATE_INFO);

	if (d->failed)
		return;
	if (flags && flags->bindingCount != 0 && flags->bindingCount != s->bindingCount)
		venus_dec_fatal(d, "has flags of %u bindings of %u", flags->bindingCount,
				s->bindingCount);
	/* Drivers allocate up to the highest binding, however few there are. */
	for (uint32_t i = 0; s->pBindings && i < s->bindingCount && !d->failed; i++) {
		if (s->pBindings[i].binding >= BINDING_END)
			venus_dec_fatal(d, "has a binding of the number %u",
					s->pBindings[i].binding);
	}
}

void venus_check_VkDescriptorSetAllocateInfo(struct venus_dec *d,
					     const VkDescriptorSetAllocateInfo *s)
{
	const VkDescriptorSetVariableDescriptorCountAllocateInfo *counts = venus_chain_find(
		s, VK_STRUCTURE_TYPE_DESCRIPTOR_SET_VARIABLE_DESCRIPTOR_COUNT_ALLOCATE_INFO);

	if (!d->failed && counts && counts->descriptorSetCount != 0 &&
	    counts->descriptorSetCount != s->descriptorSetCount)
		venus_dec_fatal(d, "has descriptor counts for %u sets of %u",
				counts->descriptorSetCount, s->descriptorSetCount);
}

void venus_check_VkWriteDescriptorSet(struct venus_dec *d, const VkWriteDescriptorSet *s)
{
	const VkWriteDescriptorSetInlineUniformBlock *bytes =
		venus_chain_find(s, VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET_INLINE_UNIFORM_BLOCK);
	const VkWriteDescriptorSetAccelerationStructureKHR *accels = venus_chain_find(
		s, VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET_ACCELERATION_STRUCTURE_KHR);
	uint32_t n = s->descriptorCount;

	if (d->failed)
		return;
	/* The count is one of bytes. */
	if (s->descriptorType == VK_DESCRIPTOR_TYPE_INLINE_UNIFORM_BLOCK && n > 0 &&
	    (!bytes || bytes->dataSize != n))
		venus_dec_fatal(d, "writes %u bytes of %u", n, bytes ? bytes->dataSize : 0);
	else if (s->descriptorType == VK_DESCRIPTOR_TYPE_ACCELERATION_STRUCTURE_KHR && n > 0 &&
		 (!accels || accels->accelerationStructureCount != n))
		venus_dec_fatal(d, "writes %u acceleration structures of %u", n,
				accels ? accels->accelerationStructureCount : 0);
}

/* ---- rendering ---- */

void venus_check_VkClearAttachment(struct venus_dec *d, const VkClearAttachment *s)
{
	if ((s->aspectMask & VK_IMAGE_ASPECT_COLOR_BIT) &&
	    s->colorAttachment != VK_ATTACHMENT_UNUSED)
		(void)venus_check_range(d, VENUS_LIMIT_COLORS, s->colorAttachment, 1);
}

static void check_subpass(struct venus_dec *d, uint32_t src, uint32_t dst, uint32_t n)
{
	if ((src != VK_SUBPASS_EXTERNAL && src >= n) || (dst != VK_SUBPASS_EXTERNAL && dst >= n))
		venus_dec_fatal(d, "has a dependency of subpasses %u and %u of %u", src, dst, n);
}

static void check_attachment(struct venus_dec *d, uint32_t at, uint32_t n)
{
	if (at != VK_ATTACHMENT_UNUSED && at >= n && !d->failed)
		venus_dec_fatal(d, "names attachment %u of %u", at, n);
}

/* Both generations of references have a member of that name. */
#define CHECK_REFERENCES(d, refs, count, n)                                                        \
	for (uint32_t i_ = 0; (refs) && i_ < (count); i_++)                                        \
	check_attachment(d, (refs)[i_].attachment, n)

static void check_multiview(struct venus_dec *d, const VkRenderPassCreateInfo *s)
{
	const VkRenderPassMultiviewCreateInfo *m =
		venus_chain_find(s, VK_STRUCTURE_TYPE_RENDER_PASS_MULTIVIEW_CREATE_INFO);
	const VkRenderPassInputAttachmentAspectCreateInfo *a = venus_chain_find(
		s, VK_STRUCTURE_TYPE_RENDER_PASS_INPUT_ATTACHMENT_ASPECT_CREATE_INFO);

	if (m && ((m->subpassCount != 0 && m->subpassCount != s->subpassCount) ||
		  (m->dependencyCount != 0 && m->dependencyCount != s->dependencyCount)))
		venus_dec_fatal(d, "has views of %u subpasses of %u", m->subpassCount,
				s->subpassCount);
	for (uint32_t i = 0; a && a->pAspectReferences && i < a->aspectReferenceCount && !d->failed;
	     i++) {
		const VkInputAttachmentAspectReference *r = &a->pAspectReferences[i];

		if (r->subpass >= s->subpassCount ||
		    r->inputAttachmentIndex >= s->pSubpasses[r->subpass].inputAttachmentCount)
			venus_dec_fatal(d, "has an aspect of input attachment %u of subpass %u",
					r->inputAttachmentIndex, r->subpass);
	}
}

void venus_check_VkRenderPassCreateInfo(struct venus_dec *d, const VkRenderPassCreateInfo *s)
{
	uint32_t n = s->attachmentCount;

	for (uint32_t i = 0; s->pSubpasses && i < s->subpassCount && !d->failed; i++) {
		const VkSubpassDescription *p = &s->pSubpasses[i];

		(void)venus_check_range(d, VENUS_LIMIT_COLORS, 0, p->colorAttachmentCount);
		CHECK_REFERENCES(d, p->pInputAttachments, p->inputAttachmentCount, n);
		CHECK_REFERENCES(d, p->pColorAttachments, p->colorAttachmentCount, n);
		CHECK_REFERENCES(d, p->pResolveAttachments, p->colorAttachmentCount, n);
		CHECK_REFERENCES(d, p->pDepthStencilAttachment, 1, n);
		for (uint32_t k = 0; p->pPreserveAttachments && k < p->preserveAttachmentCount; k++)
			check_attachment(d, p->pPreserveAttachments[k], n);
	}
	for (uint32_t i = 0; s->pDependencies && i < s->dependencyCount && !d->failed; i++)
		check_subpass(d, s->pDependencies[i].srcSubpass, s->pDependencies[i].dstSubpass,
			      s->subpassCount);
	if (!d->failed && s->pSubpasses)
		check_multiview(d, s);
}

static void check_subpass2(struct venus_dec *d, const VkSubpassDescription2 *p, uint32_t n)
{
	const VkSubpassDescriptionDepthStencilResolve *resolve =
		venus_chain_find(p, VK_STRUCTURE_TYPE_SUBPASS_DESCRIPTION_DEPTH_STENCIL_RESOLVE);
	const VkFragmentShadingRateAttachmentInfoKHR *rate =
		venus_chain_find(p, VK_STRUCTURE_TYPE_FRAGMENT_SHADING_RATE_ATTACHMENT_INFO_KHR);

	(void)venus_check_range(d, VENUS_LIMIT_COLORS, 0, p->colorAttachmentCount);
	CHECK_REFERENCES(d, p->pInputAttachments, p->inputAttachmentCount, n);
	CHECK_REFERENCES(d, p->pColorAttachments, p->colorAttachmentCount, n);
	CHECK_REFERENCES(d, p->pResolveAttachments, p->colorAttachmentCount, n);
	CHECK_REFERENCES(d, p->pDepthStencilAttachment, 1, n);
	if (resolve)
		CHECK_REFERENCES(d, resolve->pDepthStencilResolveAttachment, 1, n);
	if (rate)
		CHECK_REFERENCES(d, rate->pFragmentShadingRateAttachment, 1, n);
	for (uint32_t k = 0; p->pPreserveAttachments && k < p->preserveAttachmentCount; k++)
		check_attachment(d, p->pPreserveAttachments[k], n);
}

void venus_check_VkRenderPassCreateInfo2(struct venus_dec *d, const VkRenderPassCreateInfo2 *s)
{
	for (uint32_t i = 0; s->pSubpasses && i < s->subpassCount && !d->failed; i++)
		check_subpass2(d, &s->pSubpasses[i], s->attachmentCount);
	for (uint32_t i = 0; s->pDependencies && i < s->dependencyCount && !d->failed; i++)
		check_subpass(d, s->pDependencies[i].srcSubpass, s->pDependencies[i].dstSubpass,
			      s->subpassCount);
}
