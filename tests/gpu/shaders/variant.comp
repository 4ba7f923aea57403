// SPDX-License-Identifier: Apache-2.0
// A shader that is another pipeline for each constant: start-up of many pipelines.
#version 450
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint variant = 0;
layout(set = 0, binding = 0) buffer Data { uint v[]; };
layout(push_constant) uniform Push { uint count; };

void main()
{
	uint i = gl_GlobalInvocationID.x;
	if (i < count)
		v[i] = v[i] * (2u * variant + 1u) + variant;
}
