// SPDX-License-Identifier: Apache-2.0
// One step of a chain: each element depends on two of the step before, so that a lost barrier shows.
#version 450
layout(local_size_x = 64) in;
layout(set = 0, binding = 0) readonly buffer In { uint src[]; };
layout(set = 0, binding = 1) writeonly buffer Out { uint dst[]; };
layout(push_constant) uniform Push { uint count; uint shift; };

void main()
{
	uint i = gl_GlobalInvocationID.x;
	if (i < count)
		dst[i] = src[i] * 3u + src[(i + shift) % count];
}
