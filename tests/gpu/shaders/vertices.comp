// SPDX-License-Identifier: Apache-2.0
// Writes a fan of triangles, to be drawn right after, and the draw's own parameters.
#version 450
layout(local_size_x = 32) in;
struct Vertex { vec4 pos; vec4 color; };
layout(set = 0, binding = 0) writeonly buffer Out { Vertex v[]; };
layout(set = 0, binding = 1) writeonly buffer Args { uint args[4]; };
layout(push_constant) uniform Push { uint triangles; };

// A square's outline walked in equal steps: whole-number steps, no sine.
vec4 rim(uint i)
{
	float t = float(i % 32u) / 8.0;
	float f = fract(t) * 1.5 - 0.75;
	if (t < 1.0)
		return vec4(f, -0.75, 0.5, 1.0);
	if (t < 2.0)
		return vec4(0.75, f, 0.5, 1.0);
	if (t < 3.0)
		return vec4(-f, 0.75, 0.5, 1.0);
	return vec4(-0.75, -f, 0.5, 1.0);
}

void main()
{
	uint i = gl_GlobalInvocationID.x;
	if (i == 0) {
		args[0] = triangles * 3u;
		args[1] = 1u;
		args[2] = 0u;
		args[3] = 0u;
	}
	if (i >= triangles)
		return;
	vec4 c = vec4(float(i & 3u) / 3.0, float((i >> 2) & 3u) / 3.0, float(i >> 4), 1.0);
	v[3u * i] = Vertex(vec4(0.0, 0.0, 0.5, 1.0), c);
	v[3u * i + 1u] = Vertex(rim(i), c);
	v[3u * i + 2u] = Vertex(rim(i + 1u), c);
}
