# SPDX-License-Identifier: Apache-2.0
"""Which commands we execute, and how.

Every command of venus-commands.tsv belongs to exactly one class:

  hand     decoded into struct venus_args_X; venus_do_X() is written by hand
  create   one new object: id reserved, driver asked, published or given back
  destroy  id 0 is nothing; else out of the table, then the driver
  generic  decoded, called, answered
  refused  known, but it ends the context: guests never send it
"""

import os

# Pointers that may be NULL in the protocol's registry.  A newer one may demand some of them; guests
# made from an older one still leave them out.
OPTIONAL_FILE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                             'venus-optional.tsv')

# Number that was given out once and is never used again.
RETIRED = {195: 'vkGetVenusExperimentalFeatureData100000MESA'}

HAND = """
    vkCreateInstance vkDestroyInstance vkEnumerateInstanceVersion
    vkEnumerateInstanceExtensionProperties
    vkEnumeratePhysicalDevices vkEnumeratePhysicalDeviceGroups
    vkGetPhysicalDeviceProperties vkGetPhysicalDeviceProperties2
    vkGetPhysicalDeviceQueueFamilyProperties
    vkGetPhysicalDeviceMemoryProperties vkGetPhysicalDeviceMemoryProperties2
    vkGetPhysicalDeviceExternalSemaphoreProperties vkGetPhysicalDeviceExternalBufferProperties
    vkGetPhysicalDeviceExternalFenceProperties vkGetPhysicalDeviceImageFormatProperties2
    vkEnumerateDeviceExtensionProperties
    vkCreateDevice vkDestroyDevice vkGetDeviceQueue2
    vkQueueSubmit vkQueueSubmit2 vkQueueBindSparse
    vkAllocateMemory vkFreeMemory vkCreateBuffer vkCreateImage
    vkGetBufferMemoryRequirements vkGetBufferMemoryRequirements2
    vkGetDeviceBufferMemoryRequirements vkGetImageMemoryRequirements
    vkGetImageMemoryRequirements2 vkGetDeviceImageMemoryRequirements
    vkCreateFence vkDestroyFence vkGetFenceStatus vkResetFences vkWaitForFences
    vkCreateSemaphore vkDestroySemaphore vkWaitSemaphores
    vkCreateQueryPool vkGetQueryPoolResults vkGetRayTracingShaderGroupHandlesKHR
    vkGetRayTracingCaptureReplayShaderGroupHandlesKHR
    vkCreateGraphicsPipelines vkCreateComputePipelines vkCreateRayTracingPipelinesKHR
    vkCreateCommandPool vkDestroyCommandPool vkAllocateCommandBuffers vkFreeCommandBuffers
    vkCreateDescriptorPool vkDestroyDescriptorPool vkResetDescriptorPool
    vkAllocateDescriptorSets vkFreeDescriptorSets
    vkSetReplyCommandStreamMESA vkSeekReplyCommandStreamMESA vkExecuteCommandStreamsMESA
    vkCreateRingMESA vkDestroyRingMESA vkNotifyRingMESA vkWriteRingExtraMESA
    vkSubmitVirtqueueSeqnoMESA vkWaitVirtqueueSeqnoMESA vkWaitRingSeqnoMESA
    vkGetMemoryResourcePropertiesMESA vkResetFenceResourceMESA vkWaitSemaphoreResourceMESA
    vkImportSemaphoreResourceMESA vkCopyImageToMemoryMESA vkCopyMemoryToImageMESA
    vkWriteSamplerDescriptorMESA vkWriteResourceDescriptorMESA vkCopyImageToImage
""".split()

CREATE = """
    vkCreateEvent vkCreateBufferView vkCreateImageView vkCreateShaderModule
    vkCreatePipelineCache vkCreatePipelineLayout vkCreateSampler vkCreateDescriptorSetLayout
    vkCreateFramebuffer vkCreateRenderPass vkCreateRenderPass2 vkCreateSamplerYcbcrConversion
    vkCreateDescriptorUpdateTemplate vkCreateAccelerationStructureKHR
""".split()

DESTROY = """
    vkDestroyEvent vkDestroyQueryPool vkDestroyBuffer vkDestroyBufferView vkDestroyImage
    vkDestroyImageView vkDestroyShaderModule vkDestroyPipelineCache vkDestroyPipeline
    vkDestroyPipelineLayout vkDestroySampler vkDestroyDescriptorSetLayout vkDestroyFramebuffer
    vkDestroyRenderPass vkDestroySamplerYcbcrConversion vkDestroyDescriptorUpdateTemplate
    vkDestroyAccelerationStructureKHR
""".split()

# Cannot travel: pointers, file descriptors, functions.
NOT_SERIALISABLE = """
    vkGetInstanceProcAddr vkGetDeviceProcAddr vkMapMemory vkMapMemory2
    vkUpdateDescriptorSetWithTemplate vkCmdPushDescriptorSetWithTemplate
    vkCmdPushDescriptorSetWithTemplate2 vkGetMemoryFdKHR vkGetMemoryFdPropertiesKHR
    vkImportFenceFdKHR vkGetFenceFdKHR vkImportSemaphoreFdKHR vkGetSemaphoreFdKHR
    vkCopyMemoryToImage vkCopyImageToMemory vkBuildAccelerationStructuresKHR
    vkWriteSamplerDescriptorsEXT vkWriteResourceDescriptorsEXT
""".split()

# The guest's driver does these itself, or never (acceleration structures built by the CPU).
GUEST_ONLY = """
    vkGetDeviceQueue vkQueueWaitIdle vkDeviceWaitIdle
    vkUnmapMemory vkUnmapMemory2 vkFlushMappedMemoryRanges vkInvalidateMappedMemoryRanges
    vkEnumerateInstanceLayerProperties vkEnumerateDeviceLayerProperties
    vkGetPhysicalDeviceToolProperties
    vkCreatePrivateDataSlot vkDestroyPrivateDataSlot vkSetPrivateData vkGetPrivateData
    vkCreateDeferredOperationKHR vkDestroyDeferredOperationKHR
    vkGetDeferredOperationMaxConcurrencyKHR vkGetDeferredOperationResultKHR
    vkDeferredOperationJoinKHR
    vkCopyAccelerationStructureKHR vkWriteAccelerationStructuresPropertiesKHR
    vkCopyAccelerationStructureToMemoryKHR vkCopyMemoryToAccelerationStructureKHR
""".split()

REFUSED = NOT_SERIALISABLE + GUEST_ONLY

# Where a command may come from; anywhere, if it is in neither list.
CONTEXT_ONLY = """
    vkCreateRingMESA vkDestroyRingMESA vkNotifyRingMESA vkWriteRingExtraMESA
    vkSubmitVirtqueueSeqnoMESA vkWaitRingSeqnoMESA
""".split()
RING_ONLY = ['vkWaitVirtqueueSeqnoMESA']

# Functions that the renderer itself calls though they never travel, beside the table's.
ALSO_LOADED = """
    vkGetDeviceQueue vkDeviceWaitIdle vkQueueWaitIdle vkMapMemory vkUnmapMemory
    vkFlushMappedMemoryRanges vkInvalidateMappedMemoryRanges
    vkGetMemoryHostPointerPropertiesEXT
""".split()

# Objects that nobody but the driver tears down: destroyed through these when a device goes.
DESTROY_OF_HAND = """
    vkDestroyFence vkDestroySemaphore vkFreeMemory vkDestroyCommandPool vkDestroyDescriptorPool
""".split()

# In/out although no other parameter names it as its length.
IN_OUT = {('vkRegisterCustomBorderColorEXT', 'pIndex')}

# The argument that the driver gets instead of the guest's: guests pack these arrays tightly.
STRIDE_IS_SIZEOF = {
    ('vkCmdDrawMultiEXT', 'stride'): 'VkMultiDrawInfoEXT',
    ('vkCmdDrawMultiIndexedEXT', 'stride'): 'VkMultiDrawIndexedInfoEXT',
}

# Second length of arrays of arrays, which the registry does not tell: [i] is the outer index.
SECOND_LENGTH = {
    ('vkCmdBuildAccelerationStructuresKHR', 'ppBuildRangeInfos'): 'pInfos[i].geometryCount',
    ('vkCmdBuildAccelerationStructuresIndirectKHR', 'ppMaxPrimitiveCounts'):
        'pInfos[i].geometryCount',
}

# Guests leave these arrays out where the app's pointer means nothing.
MAY_BE_LEFT_OUT = {
    ('VkBufferCreateInfo', 'pQueueFamilyIndices'),
    ('VkImageCreateInfo', 'pQueueFamilyIndices'),
    ('VkPhysicalDeviceImageDrmFormatModifierInfoEXT', 'pQueueFamilyIndices'),
    ('VkFramebufferCreateInfo', 'pAttachments'),
}

# Structs that the guest fills in itself.
NOT_CHAINED = {
    'VkPhysicalDeviceLayeredApiPropertiesListKHR', 'VkPhysicalDeviceLayeredApiPropertiesKHR',
    'VkPhysicalDeviceLayeredApiVulkanPropertiesKHR',
}


# Numbers by which drivers index arrays of a fixed size or of a query pool, without a look at how
# many there are: owner -> (limit, first, count), see venus_check_range().  Vulkan forbids what is
# past the limit.
RANGES = {
    'vkCmdPushConstants': [('PUSH_BYTES', 'offset', 'size')],
    'VkPushConstantsInfo': [('PUSH_BYTES', 'offset', 'size')],
    'vkCmdBindDescriptorSets': [('SETS', 'firstSet', 'descriptorSetCount')],
    'VkBindDescriptorSetsInfo': [('SETS', 'firstSet', 'descriptorSetCount')],
    'vkCmdPushDescriptorSet': [('SETS', 'set', '1')],
    'VkPushDescriptorSetInfo': [('SETS', 'set', '1')],
    'VkPipelineLayoutCreateInfo': [('SETS', '0', 'setLayoutCount')],
    'vkCmdBindVertexBuffers': [('VERTEX_BINDINGS', 'firstBinding', 'bindingCount')],
    'vkCmdBindVertexBuffers2': [('VERTEX_BINDINGS', 'firstBinding', 'bindingCount')],
    'VkVertexInputBindingDescription2EXT': [('VERTEX_BINDINGS', 'binding', '1')],
    'VkVertexInputAttributeDescription2EXT': [('VERTEX_BINDINGS', 'binding', '1'),
                                              ('VERTEX_ATTRIBUTES', 'location', '1')],
    'vkCmdSetViewport': [('VIEWPORTS', 'firstViewport', 'viewportCount')],
    'vkCmdSetScissor': [('VIEWPORTS', 'firstScissor', 'scissorCount')],
    'vkCmdSetViewportWithCount': [('VIEWPORTS', '0', 'viewportCount')],
    'vkCmdSetScissorWithCount': [('VIEWPORTS', '0', 'scissorCount')],
    'VkPipelineViewportStateCreateInfo': [('VIEWPORTS', '0', 'viewportCount'),
                                          ('VIEWPORTS', '0', 'scissorCount')],
    'vkCmdSetColorBlendEnableEXT': [('COLORS', 'firstAttachment', 'attachmentCount')],
    'vkCmdSetColorBlendEquationEXT': [('COLORS', 'firstAttachment', 'attachmentCount')],
    'vkCmdSetColorBlendAdvancedEXT': [('COLORS', 'firstAttachment', 'attachmentCount')],
    'vkCmdSetColorWriteMaskEXT': [('COLORS', 'firstAttachment', 'attachmentCount')],
    'vkCmdSetColorWriteEnableEXT': [('COLORS', '0', 'attachmentCount')],
    'VkPipelineColorBlendStateCreateInfo': [('COLORS', '0', 'attachmentCount')],
    'VkPipelineColorWriteCreateInfoEXT': [('COLORS', '0', 'attachmentCount')],
    'VkRenderingInfo': [('COLORS', '0', 'colorAttachmentCount')],
    'VkPipelineRenderingCreateInfo': [('COLORS', '0', 'colorAttachmentCount')],
    'VkCommandBufferInheritanceRenderingInfo': [('COLORS', '0', 'colorAttachmentCount')],
    'VkRenderingAttachmentLocationInfo': [('COLORS', '0', 'colorAttachmentCount')],
    'VkRenderingInputAttachmentIndexInfo': [('COLORS', '0', 'colorAttachmentCount')],
    'vkCmdBindTransformFeedbackBuffersEXT': [('XFB_BUFFERS', 'firstBinding', 'bindingCount')],
    'vkCmdBeginTransformFeedbackEXT': [('XFB_BUFFERS', 'firstCounterBuffer',
                                        'counterBufferCount')],
    'vkCmdEndTransformFeedbackEXT': [('XFB_BUFFERS', 'firstCounterBuffer', 'counterBufferCount')],
    'vkResetQueryPool': [('QUERIES', 'firstQuery', 'queryCount')],
    'vkCmdResetQueryPool': [('QUERIES', 'firstQuery', 'queryCount')],
    'vkCmdCopyQueryPoolResults': [('QUERIES', 'firstQuery', 'queryCount')],
    'vkCmdBeginQuery': [('QUERIES', 'query', '1')],
    'vkCmdEndQuery': [('QUERIES', 'query', '1')],
    'vkCmdBeginQueryIndexedEXT': [('QUERIES', 'query', '1')],
    'vkCmdEndQueryIndexedEXT': [('QUERIES', 'query', '1')],
    'vkCmdWriteTimestamp': [('QUERIES', 'query', '1')],
    'vkCmdWriteTimestamp2': [('QUERIES', 'query', '1')],
    'vkCmdWriteAccelerationStructuresPropertiesKHR': [('QUERIES', 'firstQuery',
                                                       'accelerationStructureCount')],
}

# Bytes of the guest's that drivers keep as long as the object lives, see venus_obj_weigh().
KEPT = {
    'vkCreateShaderModule': 'pCreateInfo->codeSize',
    'vkCreatePipelineCache': 'pCreateInfo->initialDataSize',
}

# Structs with venus_check_X(), by hand, behind their decoder.
CHECKED = [
    'VkClearAttachment', 'VkDescriptorSetAllocateInfo', 'VkDescriptorSetLayoutCreateInfo',
    'VkGraphicsPipelineCreateInfo', 'VkPipelineLayoutCreateInfo',
    'VkPipelineShaderStageCreateInfo', 'VkPipelineVertexInputDivisorStateCreateInfo',
    'VkPipelineVertexInputStateCreateInfo', 'VkPushDataInfoEXT', 'VkRenderPassCreateInfo',
    'VkRenderPassCreateInfo2',
    'VkSampleLocationsInfoEXT', 'VkSpecializationInfo', 'VkWriteDescriptorSet',
]


def load_pairs(path):
    """(owner, member) of every line of venus-optional.tsv."""
    with open(path, encoding='utf-8') as f:
        return {tuple(line.split()) for line in f if line.strip() and not line.startswith('#')}


def load_numbers(path):
    """(number, name) of every command in venus-commands.tsv, by number."""
    out = []
    with open(path, encoding='utf-8') as f:
        for line in f:
            if line.startswith('#') or not line.strip():
                continue
            number, name = line.split()
            out.append((int(number), name))
    return sorted(out)


def class_of(name):
    if name in HAND:
        return 'hand'
    if name in CREATE:
        return 'create'
    if name in DESTROY:
        return 'destroy'
    if name in REFUSED:
        return 'refused'
    return 'generic'


def level_of(name):
    if name in CONTEXT_ONLY:
        return 'VENUS_LEVEL_CTX'
    if name in RING_ONLY:
        return 'VENUS_LEVEL_RING'
    return 'VENUS_LEVEL_CTX | VENUS_LEVEL_RING'
