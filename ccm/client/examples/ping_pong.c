/* ping_pong: two processes of one pair exchange messages, and each leaves a number in the other's memory, one-sidedly.
 *
 * usage: ping_pong SOCKET ping|pong ROUNDS
 * Start it with "pong" beside one node's ccmd and with "ping" beside the other's. Exit status: 0 all rounds were made. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ccm/client/hapair_ports.h"

enum { kPaceMs = 100, kPatienceMs = 10000, kMessage = 1, kNumber = 2 };

struct player {
  hapair_client* client;
  int ping; /* it begins */
  unsigned long rounds;
  unsigned long made;
  int failed;
};

/* The number of the round goes into the partner's memory before the message that tells of it. */
static void play(struct player* player) {
  const uint64_t number = player->made + 1;
  unsigned char* const staging = hapair_port_staging(player->client, 0, NULL);
  memcpy(staging, &number, sizeof number);
  if (hapair_port_write(player->client, 0, kNumber, staging, sizeof number, 0) != HAPAIR_OK ||
      hapair_port_send(player->client, 0, kMessage, &number, sizeof number) != HAPAIR_OK) {
    player->failed = 1;
  }
}

static void on_ready(void* user, unsigned port) {
  struct player* const player = user;
  (void)port;
  if (player->ping) play(player);
}

static void on_gone(void* user, unsigned port, int left) {
  struct player* const player = user;
  (void)port;
  (void)left;
  if (player->made < player->rounds) player->failed = 1;
}

static void on_completed(void* user, unsigned port, uint64_t id, int result) {
  struct player* const player = user;
  (void)port;
  (void)id;
  /* The partner may be done, and gone, before the last of them is told. */
  if (result != HAPAIR_DONE && player->made < player->rounds) player->failed = 1;
}

static void on_received(void* user, unsigned port, const void* message, size_t bytes) {
  struct player* const player = user;
  uint64_t told = 0;
  uint64_t written = 0;
  if (bytes != sizeof told) return;
  memcpy(&told, message, sizeof told);
  memcpy(&written, hapair_port_memory(player->client, port, NULL), sizeof written);
  if (told != player->made + 1 || written != told) {
    fprintf(stderr, "ping_pong: told of %llu, found %llu in memory\n", (unsigned long long)told,
            (unsigned long long)written);
    player->failed = 1;
    return;
  }
  if (!player->ping) play(player);
  ++player->made;
  if (player->ping && player->made < player->rounds) play(player);
}

static int run(struct player* player) {
  const struct hapair_port_callbacks callbacks = {.partner_ready = on_ready,
                                                  .partner_gone = on_gone,
                                                  .completed = on_completed,
                                                  .received = on_received};
  int silent_ms = 0;
  int settled = 0;
  /* Two beats more than the last round, so that its answer is on its way. */
  while (!player->failed && settled < 3 && silent_ms < kPatienceMs) {
    struct pollfd waiting = {hapair_event_fd(player->client), POLLIN, 0};
    silent_ms = poll(&waiting, 1, kPaceMs) > 0 ? 0 : silent_ms + kPaceMs;
    hapair_beat(player->client);
    while (hapair_dispatch(player->client, &callbacks, player) > 0) {
    }
    if (player->made >= player->rounds) ++settled;
    if (!hapair_alive(player->client)) player->failed = 1;
  }
  return player->failed || player->made < player->rounds;
}

int main(int argc, char** argv) {
  const struct hapair_ports_request request = {
      .ports = 1, .memory_bytes = 4096, .staging_bytes = 4096, .partner_reads = 0, .partner_writes = 1};
  struct player player = {0};
  char error[256] = "";
  int status = 0;
  if (argc != 4 || (strcmp(argv[2], "ping") != 0 && strcmp(argv[2], "pong") != 0)) {
    fputs("usage: ping_pong SOCKET ping|pong ROUNDS\n", stderr);
    return 2;
  }
  player.ping = strcmp(argv[2], "ping") == 0;
  player.rounds = strtoul(argv[3], NULL, 10);
  player.client = hapair_client_open(argv[1], "ping-pong", kPaceMs, kPatienceMs, NULL, error, sizeof error);
  if (player.client == NULL ||
      hapair_ports_open(player.client, &request, kPatienceMs, error, sizeof error) != HAPAIR_OK) {
    fprintf(stderr, "ping_pong: %s\n", error);
    hapair_client_close(player.client);
    return 1;
  }
  status = run(&player);
  printf("%s: %lu of %lu rounds\n", argv[2], player.made, player.rounds);
  hapair_client_close(player.client);
  return status;
}
