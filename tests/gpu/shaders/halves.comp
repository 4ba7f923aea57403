// SPDX-License-Identifier: Apache-2.0
// Mathematics on 16-bit floats, before and after a barrier: a software driver calls libc for it.
#version 450
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
layout(local_size_x = 64) in;
layout(set = 0, binding = 0) readonly buffer In { uint src[]; };
layout(set = 0, binding = 1) writeonly buffer Out { float dst[]; };
layout(push_constant) uniform Push { uint count; };
shared float16_t part[64];

void main()
{
	uint i = gl_GlobalInvocationID.x, l = gl_LocalInvocationID.x;
	float16_t x = float16_t(float(src[i] % 64u) / 16.0);
	part[l] = exp2(x) + pow(x + float16_t(1), float16_t(2)) + log2(x + float16_t(1));
	barrier();
	dst[i] = float(part[63u - l] + sin(x) + cos(x) + fma(x, x, x) + mod(x, float16_t(3)));
}
