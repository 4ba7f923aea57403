// SPDX-License-Identifier: Apache-2.0
// Shared memory, atomics and subgroup arithmetic; the sums do not depend on the subgroup's size.
#version 450
#extension GL_KHR_shader_subgroup_arithmetic : require
layout(local_size_x = 128) in;
layout(set = 0, binding = 0) readonly buffer In { uint src[]; };
layout(set = 0, binding = 1) buffer Out { uint sums[]; };
shared uint partial;

void main()
{
	if (gl_LocalInvocationIndex == 0)
		partial = 0;
	barrier();
	uint s = subgroupAdd(src[gl_GlobalInvocationID.x]);
	if (subgroupElect())
		atomicAdd(partial, s);
	barrier();
	if (gl_LocalInvocationIndex == 0)
		sums[gl_WorkGroupID.x] = partial;
}
