// SPDX-License-Identifier: Apache-2.0
// Reads from an array of buffers by an index that differs between invocations.
#version 450
#extension GL_EXT_nonuniform_qualifier : require
layout(local_size_x = 64) in;
layout(set = 0, binding = 0) buffer Out { uint dst[]; };
layout(set = 0, binding = 1) readonly buffer In { uint src[]; } bufs[];
layout(push_constant) uniform Push { uint count; uint buffers; };

void main()
{
	uint i = gl_GlobalInvocationID.x;
	if (i < count)
		dst[i] = bufs[nonuniformEXT(i % buffers)].src[i];
}
