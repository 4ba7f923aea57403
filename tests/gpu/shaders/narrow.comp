// SPDX-License-Identifier: Apache-2.0
// Storage of 8 and 16 bits.
#version 450
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_16bit_storage : require
layout(local_size_x = 64) in;
layout(set = 0, binding = 0) readonly buffer In { uint8_t src[]; };
layout(set = 0, binding = 1) writeonly buffer Out { uint16_t dst[]; };
layout(push_constant) uniform Push { uint count; };

void main()
{
	uint i = gl_GlobalInvocationID.x;
	if (i < count)
		dst[i] = uint16_t(uint(src[i]) * 257u);
}
