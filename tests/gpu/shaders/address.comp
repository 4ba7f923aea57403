// SPDX-License-Identifier: Apache-2.0
// Works on a buffer known by its address alone.
#version 450
#extension GL_EXT_buffer_reference : require
layout(local_size_x = 64) in;
layout(buffer_reference, std430) buffer Ref { uint v[]; };
layout(push_constant) uniform Push { Ref src; Ref dst; uint count; };

void main()
{
	uint i = gl_GlobalInvocationID.x;
	if (i < count)
		dst.v[i] = src.v[count - 1u - i] ^ 0xa5a5a5a5u;
}
