/* SPDX-License-Identifier: MIT */
/*
 * Asks for an interface, prints its record, and holds it until standard input ends:
 *
 *     cc facts.c $(pkg-config --cflags --libs tapferry) -o facts
 *     ./facts bridge=br0,queues=2
 */
#include <stdio.h>
#include <tapferry.h>

int main(int argc, char **argv) {
  tapferry_grant *grant;
  tapferry_error *error;
  unsigned i;

  if (argc != 2) {
    fprintf(stderr, "usage: %s SPEC\n", argv[0]);
    return 2;
  }
  if (tapferry_ask(NULL, argv[1], &grant, &error) != TAPFERRY_OK) {
    fprintf(stderr, "%s: %s\n", argv[0], tapferry_error_message(error));
    tapferry_error_free(error);
    return 1;
  }
  puts(tapferry_grant_json(grant));
  for (i = 0; i < tapferry_grant_queues(grant); ++i) {
    printf("queue %u of %s is descriptor %d\n", i, tapferry_grant_ifname(grant), tapferry_grant_queue_fd(grant, i));
  }
  fflush(stdout);
  while (getchar() != EOF) {
  }
  tapferry_grant_free(grant);
  return 0;
}
