// SPDX-License-Identifier: Apache-2.0
// y = a * x + y, in whole numbers so that every driver gives the same bits.
#version 450
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint bias = 0;
layout(constant_id = 2) const bool negate = false;
layout(set = 0, binding = 0) readonly buffer X { uint x[]; };
layout(set = 0, binding = 1) buffer Y { uint y[]; };
layout(push_constant) uniform Push { uint count; uint a; };

void main()
{
	uint i = gl_GlobalInvocationID.x;
	if (i >= count)
		return;
	uint v = a * x[i] + y[i] + bias;
	y[i] = negate ? ~v : v;
}
