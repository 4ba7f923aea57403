// SPDX-License-Identifier: Apache-2.0
// One descriptor of each kind that a compute shader can have besides storage buffers.
#version 450
layout(local_size_x = 8, local_size_y = 8) in;
layout(set = 0, binding = 0) buffer Out { uint dst[]; };
layout(set = 0, binding = 1) uniform Uni { uvec4 uni[4]; };
layout(set = 0, binding = 2, r32ui) uniform uimage2D img;
layout(set = 0, binding = 3) uniform usamplerBuffer texel;
layout(set = 0, binding = 4) uniform sampler smp;
layout(set = 0, binding = 5) uniform texture2D tex;
layout(set = 0, binding = 6) uniform sampler2D both;

void main()
{
	uvec2 p = gl_GlobalInvocationID.xy;
	uint i = p.y * 8u + p.x;
	vec4 t = textureLod(sampler2D(tex, smp), (vec2(p) + 0.5) / 8.0, 0.0);
	vec4 b = texelFetch(both, ivec2(p), 0);
	uint was = imageLoad(img, ivec2(p)).x;
	imageStore(img, ivec2(p), uvec4(was + i, 0, 0, 0));
	dst[i] = uni[i % 4u].x + texelFetch(texel, int(i)).x + uint(t.x * 255.0 + 0.5) +
		 256u * uint(b.y * 255.0 + 0.5) + was;
}
