/* SPDX-License-Identifier: MIT */
/*
 * libtapferry: ask for a network interface, get its descriptors and the facts about it; for programs that run virtual
 * machines and have no privilege. libtapferry(3) is the manual, tapferry(1) says what a SPEC can ask for.
 *
 * All functions may be called from any thread; one object is for one thread at a time. No function prints, changes a
 * signal's disposition, sends this process a signal, or leaves a child or an inheritable descriptor behind. Texts are
 * UTF-8 or what the system has, and never NULL unless it is said. Where memory runs out the process ends, as with any
 * C++ code without exceptions.
 */
#ifndef TAPFERRY_H
#define TAPFERRY_H

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* How something went. The message says more, for people. */
enum tapferry_code {
  TAPFERRY_OK = 0,
  TAPFERRY_USAGE = 1,       /* what was asked can't be: no such key, a name that no interface can have, NULL */
  TAPFERRY_REFUSED = 2,     /* the policy doesn't allow it, or there is no such interface: both look the same */
  TAPFERRY_UNAVAILABLE = 3, /* there is nobody to ask: no helper, no broker, or this process may not reach them */
  TAPFERRY_TIMEOUT = 4,     /* no answer in time; the helper was ended */
  TAPFERRY_FAILED = 5       /* everything else */
};

/* Whom to ask. */
enum tapferry_via {
  TAPFERRY_VIA_AUTO = 0,   /* the broker, where setuid gives no privilege and the broker is there; else the helper */
  TAPFERRY_VIA_HELPER = 1, /* tapferry-helper, started for each request */
  TAPFERRY_VIA_BROKER = 2  /* tapferryd, by its socket */
};

/* Whom to ask and how. Where a function takes one, NULL stands for the defaults. */
typedef struct tapferry_client tapferry_client;
/* An interface that was handed over. It lives as long as a descriptor of it is open. */
typedef struct tapferry_grant tapferry_grant;
/* Why something went wrong. */
typedef struct tapferry_error tapferry_error;

/* The library's version, "1.2.3". */
const char* tapferry_version(void);

/* A client with the defaults; tapferry_client_free() it. They are: TAPFERRY_VIA_AUTO; the helper that the variable
 * TAPFERRY_HELPER names, else where it is installed; the socket that TAPFERRY_BROKER names, else the system's; 30
 * seconds. The variables mean nothing in a program with more privilege than its caller (secure_getenv(3)). */
tapferry_client* tapferry_client_new(void);
/* NULL is fine. */
void tapferry_client_free(tapferry_client* client);

/* Each copies what it is given and returns TAPFERRY_OK, or TAPFERRY_USAGE and changes nothing: where `via` is none,
 * the client is NULL, a path is NULL or empty, or the time is not positive. */
int tapferry_client_set_via(tapferry_client* client, enum tapferry_via via);
int tapferry_client_set_helper(tapferry_client* client, const char* path);
int tapferry_client_set_broker(tapferry_client* client, const char* path);
int tapferry_client_set_timeout_ms(tapferry_client* client, int timeout_ms);

/* Asks for the interface that SPEC says, as `tapferry run --net=SPEC' does, and waits for the answer.
 *
 * Returns TAPFERRY_OK and sets *grant, which the caller frees with tapferry_grant_free(). Otherwise returns what
 * tapferry_error_code() would, sets *grant to NULL, and nothing is left of the interface. If `error` isn't NULL, *error
 * is then the reason, which the caller frees with tapferry_error_free(), and NULL after TAPFERRY_OK. */
int tapferry_ask(const tapferry_client* client, const char* spec, tapferry_grant** grant, tapferry_error** error);

/* Brings up an interface of this user's that was granted with up=off. Return value and `error` as above. */
int tapferry_up(const tapferry_client* client, const char* ifname, tapferry_error** error);
/* Gives an interface back that was granted with persist=on. Return value and `error` as above. */
int tapferry_release(const tapferry_client* client, const char* ifname, tapferry_error** error);

/* Closes the descriptors that weren't taken; the interface goes with the last one. NULL is fine. */
void tapferry_grant_free(tapferry_grant* grant);

/* The facts. Texts belong to the grant. */

/* The record as JSON: one object without a newline, with the keys that docs/PROTOCOL.md has. */
const char* tapferry_grant_json(const tapferry_grant* grant);
/* "bridge", "tap", "macvtap" or "device". */
const char* tapferry_grant_kind(const tapferry_grant* grant);
/* The interface's name and index when it was handed over. */
const char* tapferry_grant_ifname(const tapferry_grant* grant);
unsigned tapferry_grant_ifindex(const tapferry_grant* grant);
/* The bridge, or the interface that a macvtap is on; NULL where there is none in this network namespace. */
const char* tapferry_grant_upper(const tapferry_grant* grant);
/* Of a tap the host's side, which isn't for the guest; of a macvtap the address that the guest has to use.
 * Lower case with colons. */
const char* tapferry_grant_mac(const tapferry_grant* grant);
/* In bytes. */
unsigned tapferry_grant_mtu(const tapferry_grant* grant);
/* Bytes of virtio-net header before each frame: 10 or 12; 0 without one. */
unsigned tapferry_grant_vnet_hdr_sz(const tapferry_grant* grant);
/* 1 if the interface was up when it was handed over, else 0. */
int tapferry_grant_up(const tapferry_grant* grant);
/* The policy's rule that allowed it: "policy.conf:12". */
const char* tapferry_grant_rule(const tapferry_grant* grant);

/* The descriptors. They are close-on-exec and non-blocking. */

/* How many queues the interface was handed over with, 1 to 64. */
unsigned tapferry_grant_queues(const tapferry_grant* grant);
/* How many descriptors of /dev/vhost-net: 0, or as many as queues. */
unsigned tapferry_grant_vhosts(const tapferry_grant* grant);
/* The descriptor of a queue, counted from 0; it stays the grant's. -1 if there is none, or it was taken. */
int tapferry_grant_queue_fd(const tapferry_grant* grant, unsigned index);
int tapferry_grant_vhost_fd(const tapferry_grant* grant, unsigned index);
/* The same, and from now on the caller closes it. */
int tapferry_grant_take_queue_fd(tapferry_grant* grant, unsigned index);
int tapferry_grant_take_vhost_fd(tapferry_grant* grant, unsigned index);

/* One of enum tapferry_code, never TAPFERRY_OK. */
int tapferry_error_code(const tapferry_error* error);
/* One line without a newline, as `tapferry' prints it behind its own name: what was being done, to what, why it failed,
 * and often what to do. It belongs to the error. */
const char* tapferry_error_message(const tapferry_error* error);
/* NULL is fine. */
void tapferry_error_free(tapferry_error* error);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
