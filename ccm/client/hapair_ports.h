/* Ports of hapair's cluster connection manager, for storage software in C: memory that the partner's client of the same
 * name may reach, and one-sided operations on the partner's, over whichever interconnect is well. What holds is written
 * in ccm/client/ports.h; this header gives the same to C.
 *
 * Threads: a client and its ports belong to one thread at a time. Nothing here waits but hapair_client_open() and
 * hapair_ports_open(), for as long as they are told. Nothing here ends the process.
 * Errors: a function that can fail returns 0, or a HAPAIR_ value below; those with `error` write a sentence there, cut
 * to `error_bytes` and always ended by a zero byte (NULL and 0 where it is not wanted). */
#ifndef HAPAIR_PORTS_H
#define HAPAIR_PORTS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hapair_client hapair_client;

enum {
  HAPAIR_OK = 0,
  HAPAIR_NOT_RUNNING = 1, /* no ccmd at that socket */
  HAPAIR_REFUSED = 2,     /* ccmd said no; the sentence says what could be had */
  HAPAIR_BROKEN = 3,      /* it did not answer, or not in this version's language */
  HAPAIR_QUEUE_FULL = 4,  /* dispatch first */
  HAPAIR_NOT_READY = 5,   /* no partner is ready */
  HAPAIR_OUTSIDE = 6,     /* the bytes are not within the port's memory, here or there; or there is no such port */
  HAPAIR_NO_RIGHT = 7,    /* the partner does not allow it */
  HAPAIR_TOO_LONG = 8     /* a message of more than HAPAIR_MAX_MESSAGE bytes */
};

/* How an operation ended. */
enum {
  HAPAIR_DONE = 0,
  HAPAIR_FAILED = 1,          /* whether it reached the partner's memory is not known; it is not repeated */
  HAPAIR_ENDED_NOT_READY = 2, /* the port is another one by now: nothing was sent */
  HAPAIR_ENDED_OUTSIDE = 3,   /* nothing was sent */
  HAPAIR_ENDED_NO_RIGHT = 4   /* nothing was sent */
};

#define HAPAIR_MAX_MESSAGE 4072 /* bytes of one message */
#define HAPAIR_MAX_PORTS 4      /* of a client */

/* Registers at ccmd's socket (normally "/run/hapair/ccm.sock") under `name`, at most 23 bytes; the partner's client of
 * the same name is the counterpart. `pace_ms`: how often hapair_beat() will be called. NULL where it fails. */
hapair_client* hapair_client_open(const char* socket, const char* name, unsigned pace_ms, unsigned patience_ms,
                                  int* why, char* error, size_t error_bytes);
/* Says goodbye: the partner's client hears that this one left. The ports' memory is gone with it. NULL is nothing. */
void hapair_client_close(hapair_client* client);
void hapair_beat(hapair_client* client);
/* How the client's own work goes (of storage software, its I/O): where some is outstanding and `completed` does not
 * change for `stall_limit_ms`, the partner says storage-stalled of this node, whatever else beats. 0: no progress is
 * told. Only work that does not wait for the partner belongs here: it is the partner who judges. */
void hapair_progress(hapair_client* client, uint64_t completed, uint32_t outstanding, uint32_t stall_limit_ms);
/* 0 once ccmd has ended; then close, and open again. */
int hapair_alive(hapair_client* client);

struct hapair_ports_request {
  unsigned ports;         /* 1 to HAPAIR_MAX_PORTS */
  uint64_t memory_bytes;  /* of each: what the partner may reach; rounded up to whole pages */
  uint64_t staging_bytes; /* of each: for own operations only */
  int partner_reads;
  int partner_writes;
};
/* Once in a client's life. */
int hapair_ports_open(hapair_client* client, const struct hapair_ports_request* request, unsigned patience_ms,
                      char* error, size_t error_bytes);

/* Of this client, until it is closed; NULL where there is no such port. */
unsigned char* hapair_port_memory(hapair_client* client, unsigned port, uint64_t* bytes);
unsigned char* hapair_port_staging(hapair_client* client, unsigned port, uint64_t* bytes);
/* 1 while the partner is ready, as it was dispatched last; then `bytes` (may be NULL) has the size of its memory. */
int hapair_port_ready(hapair_client* client, unsigned port, uint64_t* bytes);

/* `local` lies in the port's memory or staging bytes, which belong to the operation until it has completed; a message
 * is copied. `id` comes back with the completion. Operations of a port complete in the order of posting, each once. */
int hapair_port_write(hapair_client* client, unsigned port, uint64_t id, const void* local, size_t bytes,
                      uint64_t remote);
int hapair_port_read(hapair_client* client, unsigned port, uint64_t id, void* local, size_t bytes, uint64_t remote);
int hapair_port_send(hapair_client* client, unsigned port, uint64_t id, const void* message, size_t bytes);
/* After posting, once for as many operations as there are. hapair_dispatch() does it too. */
void hapair_flush(hapair_client* client);

/* Any of them may be NULL. They are called by hapair_dispatch() alone, in the order of what happened. */
struct hapair_port_callbacks {
  void (*partner_ready)(void* user, unsigned port); /* another client than before: it knows nothing of earlier ones */
  void (*port_moved)(void* user, unsigned port);    /* the same client again: what had not completed has failed */
  void (*partner_gone)(void* user, unsigned port, int left); /* left: the client ended; else no way leads to it */
  void (*completed)(void* user, unsigned port, uint64_t id, int result);          /* HAPAIR_DONE ... */
  void (*received)(void* user, unsigned port, const void* message, size_t bytes); /* the bytes until it returns */
};
/* Readable when hapair_dispatch() has something; -1 before hapair_ports_open(). */
int hapair_event_fd(const hapair_client* client);
/* How much there was. Operations may be posted from within the callbacks. */
size_t hapair_dispatch(hapair_client* client, const struct hapair_port_callbacks* callbacks, void* user);

#ifdef __cplusplus
}
#endif
#endif
