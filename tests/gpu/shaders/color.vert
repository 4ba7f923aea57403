// SPDX-License-Identifier: Apache-2.0
#version 450
layout(location = 0) in vec4 pos;
layout(location = 1) in vec4 color;
layout(location = 0) out vec4 v_color;
layout(push_constant) uniform Push { vec4 offset; };

void main()
{
	gl_Position = pos + offset + vec4(0.3, 0.2, 0.0, 0.0) * float(gl_InstanceIndex);
	v_color = color;
}
