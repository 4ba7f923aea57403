/* SPDX-License-Identifier: Apache-2.0 */
/* What the graphics client draws on: images, passes, pipelines, and the way back to the host. */
#ifndef PECTEN_TESTS_GPU_DRAW_STAGE_H
#define PECTEN_TESTS_GPU_DRAW_STAGE_H

#include "vk.h"

#define SIDE          256 /* of a picture, in pixels */
#define FORMAT        VK_FORMAT_R8G8B8A8_UNORM
#define DEPTH_FORMAT  VK_FORMAT_D32_SFLOAT
#define HOST_COHERENT (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
#define PICTURE_BYTES ((VkDeviceSize)SIDE * SIDE * 4)

struct vertex {
	float pos[4], color[4];
};

struct image {
	VkImage image;
	VkDeviceMemory mem;
	VkImageView view;
};

/** Where a picture is drawn: by a render pass with a framebuffer, or by dynamic rendering. */
struct stage {
	bool is_dynamic, has_depth;
	VkSampleCountFlagBits samples;
	struct image color, depth, resolved;
	VkRenderPass pass;
	VkFramebuffer frame;
};

struct look {
	VkShaderModule vert, frag;
	VkPipelineLayout layout;
	VkPrimitiveTopology topology;
	bool has_vertices, has_depth, has_blend;
};

/** Vertex and fragment shader of the coloured triangles with their layout and pipeline. */
struct color_look {
	struct look look;
	VkPipeline pipeline;
};

/** A square image with memory and a view of all of it. */
void draw_image_create(struct vkc *c, struct image *im, VkFormat format, uint32_t side,
		       uint32_t mips, VkSampleCountFlagBits samples, VkImageUsageFlags usage);
void draw_image_destroy(struct vkc *c, struct image *im);
/** Layout transition that waits for, and is waited for by, everything. */
void draw_to_layout(struct vkc *c, VkCommandBuffer cmd, VkImage image, VkImageAspectFlags aspect,
		    VkImageLayout from, VkImageLayout to);
/** Attachments of SIDE pixels; with more than one sample, a resolved picture too. */
void stage_create(struct vkc *c, struct stage *s, bool is_dynamic, bool has_depth,
		  VkSampleCountFlagBits samples);
void stage_destroy(struct vkc *c, struct stage *s);
/** Starts drawing on a background of one colour. */
void stage_begin(struct vkc *c, struct stage *s, VkCommandBuffer cmd, VkSubpassContents contents);
/** Leaves the picture ready to be copied. */
void stage_end(struct vkc *c, struct stage *s, VkCommandBuffer cmd);
/** A pipeline with dynamic viewport and scissor. */
VkPipeline stage_pipeline(struct vkc *c, const struct stage *s, const struct look *look);
/** Coloured triangles from a vertex buffer; blended half and half if asked for. */
void color_look_create(struct vkc *c, struct color_look *l, const struct stage *s, bool has_blend);
void color_look_destroy(struct vkc *c, struct color_look *l);
void color_look_bind(struct vkc *c, VkCommandBuffer cmd, const struct color_look *l,
		     const struct vkc_buf *vertices, const float *offset);
/** Copies the stage's picture to a buffer; the command buffer is run. */
void stage_read_back(struct vkc *c, struct stage *s, VkCommandBuffer cmd, struct vkc_buf *down);
/** Prints a picture's hash, writes it where PECTEN_PICTURES says, and returns the hash. */
uint64_t picture_publish(const char *name, const struct vkc_buf *down);
const unsigned char *picture_pixel(const struct vkc_buf *down, uint32_t x, uint32_t y);
bool picture_is_background(const unsigned char *px);

#endif
