// SPDX-License-Identifier: Apache-2.0
// A quad without vertex buffers.
#version 450
layout(location = 0) out vec2 uv;

void main()
{
	uv = vec2(gl_VertexIndex & 1, gl_VertexIndex >> 1);
	gl_Position = vec4(uv * 1.6 - 0.8, 0.5, 1.0);
}
