/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the generated ends of the round trip (vnt_check.c) and its test: every function of the
 * driver and every hand-written handler reports its arguments to vnt_called().
 */
#ifndef PECTEN_TESTS_CLIENT_VNT_H
#define PECTEN_TESTS_CLIENT_VNT_H

#include "client/vnc.h"

struct venus_obj;
struct venus_vki;
struct venus_vkd;

/* A command arrived.  Fills its outs.  Return: its result */
uint64_t vnt_called(const struct vnc_cmd *cmd, uint64_t *slots);

/* What the client sent in a slot. */
uint64_t vnt_sent(unsigned slot);

/* Host handles of records: one; or an array of them, as a pointer. */
uint64_t vnt_handle(const struct venus_obj *o);
uint64_t vnt_handles(struct venus_obj **objs, uint64_t n);

/* Functions that report. */
void vnt_fake(struct venus_vki *vki, struct venus_vkd *vkd);

bool vnt_is_create(const struct vnc_cmd *cmd);
bool vnt_is_destroy(const struct vnc_cmd *cmd);

#endif
