/*
 * The four steps of the early channel between two CCMs, as ccm/handshake does them: each node reads the other's status
 * page, writes a hello into its mailbox, reads again until the page proves itself over this node's nonce, and writes
 * "connected". Reads are captured and delivered apart, writes are posted, land and are acknowledged apart, and each
 * node looks at its mailbox when it likes.
 *
 * An end is one nonce of one life: what HandshakeEnd is in the code. No nonce is drawn twice, so its number stands for
 * it, and life_of() says in which incarnation it was drawn. A MAC is the tuple it covers: a hello and a "connected" are
 * (from, to), a proof is (end of the page, challenger), a session's key is the two ends. What a stranger writes has no
 * right MAC (FORGED).
 *
 * Faults, each at any point: a node dies and begins a new life with an empty mailbox, and its partner's connection breaks
 * or goes on into the new memory unnoticed; an operation fails or has no answer by its deadline, which ends the
 * connection; a write that was under way then is lost, or lands at any later time, also in a later life of either node;
 * a stranger writes into a mailbox.
 *
 * Rules, in every state:
 *   not_proved        a connected node's partner has proved itself, in that very life, over the nonces of this session
 *   not_confirmed     and has said "connected" for them, after it had seen this node's proof
 *   not_told          and this node's own "connected" for them was written
 *   two_sessions      two that are connected are so by the same nonces
 *   key_used_twice    no session is under the key of one that ended
 *   proof_unearned    a node proves itself only to an end that has greeted the nonce it has
 * and by LIVENESS, under weak fairness: connects: once the faults have ended, both become connected and stay so.
 *
 * Bounds: RESTARTS lives that end, LOSSES operations that fail, FORGERIES writes of a stranger, in all orders, on both
 * nodes together; of the writes of a node that were cut off, the last one may land late. Nothing else is bounded.
 * Searched whole:
 *   restart    RESTARTS 1, FORGERIES 1
 *   loss       LOSSES 1, FORGERIES 1
 *   both       RESTARTS 1, LOSSES 1, COARSE: a page is captured and delivered at once, a write lands and is acknowledged
 *   liveness   RESTARTS 1, COARSE, LIVENESS
 *   live-loss  LOSSES 1, COARSE, LIVENESS
 * Mutants are sought in RESTARTS 1, LOSSES 1, COARSE, or where their line says so in one of these.
 *
 * Left out: time (any wait may be over at any moment, so pace, backoff and deadlines are choices), pages and records that
 * are torn or malformed (a checksum refuses them: as if not read), refusals and their counters, names and boot ids (in
 * the same tuple as the incarnation), the attempt to connect (it succeeds, or is tried again), a CCM that holds no key.
 *
 * mutant nonce_not_checked [proof_unearned]: a record is this node's where it names this incarnation, whatever the nonce
 * mutant sender_not_checked [not_confirmed]: a "connected" counts whoever of the partner's lives wrote it
 * mutant step_3_skipped [not_confirmed]: the partner's proof is not waited for
 * mutant step_4_not_awaited [not_confirmed]: a node is connected when it has written its own "connected"
 * mutant proof_of_an_earlier_nonce [not_proved]: a proof counts over any nonce of this incarnation
 * mutant round_goes_on [not_proved]: a new nonce of the same incarnation of the partner does not begin the steps anew
 * mutant late_answer_counts [not_told]: an acknowledgement counts though the write was of an earlier round
 * mutant session_outlives_partner [two_sessions]: a session goes on when the partner's page shows another end
 * mutant nonce_kept [key_used_twice]: a node that loses its connection begins again with the nonce it had
 * mutant any_greeting_answered [proof_unearned]: a node proves itself to whoever's page it reads once anybody greeted it
 * mutant mac_not_checked [proof_unearned, restart]: a record counts without its MAC
 * mutant not_written_again [connects, liveness]: a record that a late write may have covered is not written again
 */

#ifndef RESTARTS
#define RESTARTS 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef FORGERIES
#define FORGERIES 1
#endif

#define NOBODY 0
#define FORGED 128
#define end_of(life, draw) ((life) * 8 + (draw))
#define life_of(end) ((end) / 8)
#define bit_of(end) (1 << ((end) % 8))

#define NOTHING 0
#define HELLO 1
#define CONNECTED 2

/* Of a write: posted, in the partner's memory, and acknowledged (NOTHING again). */
#define POSTED 1
#define LANDED 2

typedef Record { byte from; byte to };
typedef Node {
  byte own;
  byte draws;
  /* What the machine holds. */
  byte partner;
  byte greeted_by;
  bool confirmed;
  bool greeted;
  bool hello_posted;
  bool proof_seen;
  bool connected_posted;
  bool connected_written;
  bool partner_in_session;
  byte session; /* the partner's end; this node's is own */
  byte proof;   /* on the page, beside own and session: the challenger's end */
  /* Its connection to the partner's memory, with one read and one write at a time. */
  bool up;
  bool broken;
  bool reading;
  byte read_end;
  byte read_proof;
  byte read_session;
  byte write;
  byte write_kind;
  bool write_is_old;
  Record writing;
  byte late_kind;
  Record late;
  /* Its mailbox, which the partner writes. */
  Record hello;
  Record told;
#ifndef LIVENESS
  /* For the rules: which ends of the partner have done what for the nonce that this node has now. */
  byte greeted_it;
  byte proved_to_it;
  byte confirmed_to_it;
  byte told_by_it;
  byte had_session_with;
#endif
};
Node node[2];
byte restarts_left = RESTARTS;
byte losses_left = LOSSES;
byte forgeries_left = FORGERIES;

bool not_proved, not_confirmed, not_told, two_sessions, key_used_twice, proof_unearned;
#define RULE(name, holds) \
  if \
  :: !(holds) -> name = true; assert(!name) \
  :: else \
  fi

#define both_connected (node[0].session != NOBODY && node[1].session != NOBODY)

#ifdef LIVENESS
#define NOTE(set, end)
#define FORGET(n)
#define check_rules()
#else
#define NOTE(set, end) set = set | bit_of(end)
#define FORGET(n) \
  node[n].greeted_it = 0; node[n].proved_to_it = 0; node[n].confirmed_to_it = 0; node[n].told_by_it = 0; \
  node[n].had_session_with = 0
inline check_node(n) {
  if
  :: node[n].session != NOBODY ->
     RULE(not_proved, node[n].proved_to_it & bit_of(node[n].session));
     RULE(not_confirmed, node[n].confirmed_to_it & bit_of(node[n].session));
     RULE(not_told, node[n].told_by_it & bit_of(node[n].session))
  :: else
  fi
}
inline check_rules() {
  check_node(0);
  check_node(1);
  RULE(two_sessions, !both_connected || (node[0].session == node[1].own && node[1].session == node[0].own))
}
#endif

inline begin_round(n) {
  node[n].greeted = false; node[n].hello_posted = false; node[n].proof_seen = false;
  node[n].connected_posted = false; node[n].connected_written = false; node[n].partner_in_session = false;
  node[n].proof = NOBODY;
  node[n].write_is_old = (node[n].write != NOTHING)
}

inline draw_nonce(n, life) {
  node[n].draws++;
  assert(node[n].draws < 8);
  node[n].own = end_of(life, node[n].draws);
  node[n].greeted_by = NOBODY; node[n].confirmed = false;
  FORGET(n)
}

/* The connection ends: a write that was under way is lost, or lands late. */
inline end_operations(n) {
  node[n].up = false; node[n].broken = false;
  node[n].reading = false; node[n].read_end = NOBODY; node[n].read_proof = NOBODY; node[n].read_session = NOBODY;
  if
  :: node[n].write == POSTED ->
     node[n].late_kind = node[n].write_kind;
     node[n].late.from = node[n].writing.from; node[n].late.to = node[n].writing.to
  :: else
  fi;
  node[n].write = NOTHING; node[n].write_kind = NOTHING; node[n].writing.from = NOBODY; node[n].writing.to = NOBODY
}

inline fail_link(n) {
  end_operations(n);
  node[n].session = NOBODY;
#ifndef MUTANT_nonce_kept
  draw_nonce(n, life_of(node[n].own));
#endif
  node[n].partner = NOBODY;
  begin_round(n)
}

inline advance(n) {
  if
#ifdef MUTANT_any_greeting_answered
  :: !node[n].greeted && node[n].partner != NOBODY && node[n].greeted_by != NOBODY ->
#else
  :: !node[n].greeted && node[n].partner != NOBODY && node[n].greeted_by == node[n].partner ->
#endif
     node[n].greeted = true;
     node[n].proof = node[n].partner;
#ifndef LIVENESS
     RULE(proof_unearned, node[n].greeted_it & bit_of(node[n].partner));
     if
     :: node[1 - n].own == node[n].partner -> NOTE(node[1 - n].proved_to_it, node[n].own)
     :: else
     fi
#endif
  :: else
  fi;
  if
  :: node[n].session == NOBODY && node[n].up && node[n].partner != NOBODY && node[n].greeted &&
#ifndef MUTANT_step_3_skipped
     node[n].proof_seen &&
#endif
#ifndef MUTANT_step_4_not_awaited
     node[n].confirmed &&
#endif
     node[n].connected_written ->
     node[n].session = node[n].partner;
#ifndef LIVENESS
     RULE(key_used_twice, !(node[n].had_session_with & bit_of(node[n].partner)));
     NOTE(node[n].had_session_with, node[n].partner)
#endif
  :: else
  fi;
  check_rules()
}

inline adopt_partner(n, end) {
#ifdef MUTANT_session_outlives_partner
  node[n].partner = end; node[n].confirmed = false; begin_round(n)
#elif defined(MUTANT_round_goes_on)
  if
  :: life_of(end) == life_of(node[n].partner) -> node[n].partner = end
  :: else -> node[n].session = NOBODY; node[n].partner = end; node[n].confirmed = false; begin_round(n)
  fi
#else
  node[n].session = NOBODY; node[n].partner = end; node[n].confirmed = false; begin_round(n)
#endif
}

#ifdef MUTANT_proof_of_an_earlier_nonce
#define proves_to(n, proof) (life_of(proof) == life_of(node[n].own))
#else
#define proves_to(n, proof) ((proof) == node[n].own)
#endif

inline capture(n) {
  node[n].reading = true; node[n].read_end = node[1 - n].own; node[n].read_proof = node[1 - n].proof;
  node[n].read_session = node[1 - n].session
}

inline deliver(n) {
  if
  :: node[n].read_end != node[n].partner -> adopt_partner(n, node[n].read_end)
  :: else
  fi;
  if
  :: node[n].read_proof != NOBODY && proves_to(n, node[n].read_proof) -> node[n].proof_seen = true
  :: else
  fi;
  if
  :: node[n].proof_seen && node[n].read_session == node[n].own -> node[n].partner_in_session = true
  :: else
  fi;
  node[n].reading = false; node[n].read_end = NOBODY; node[n].read_proof = NOBODY; node[n].read_session = NOBODY;
  advance(n)
}

#ifdef MUTANT_nonce_not_checked
#define is_for(n, record) (record.to != NOBODY && life_of(record.to) == life_of(node[n].own))
#else
#define is_for(n, record) (record.to == node[n].own)
#endif
#ifdef MUTANT_mac_not_checked
#define authentic(record) true
#define sender(record) (record.from % FORGED)
#else
#define authentic(record) (record.from < FORGED)
#define sender(record) (record.from)
#endif
#define greets(n) (authentic(node[n].hello) && is_for(n, node[n].hello) && node[n].greeted_by != sender(node[n].hello))
#ifdef MUTANT_sender_not_checked
#define from_partner(n) true
#else
#define from_partner(n) (sender(node[n].told) == node[n].partner)
#endif
#define confirms(n) \
  (authentic(node[n].told) && is_for(n, node[n].told) && node[n].partner != NOBODY && from_partner(n) && \
   !node[n].confirmed)

inline poll(n) {
  if
  :: greets(n) -> node[n].greeted_by = sender(node[n].hello)
  :: else
  fi;
  if
  :: confirms(n) -> node[n].confirmed = true
  :: else
  fi;
  advance(n)
}

/* A record that has had no effect is written again, after a pace: the partner's page tells nothing of that. */
#ifdef MUTANT_not_written_again
#define hello_due(n) (!node[n].hello_posted)
#define connected_due(n) (!node[n].connected_posted)
#else
#define hello_due(n) true
#define connected_due(n) (!node[n].connected_posted || !node[n].partner_in_session)
#endif
#ifdef MUTANT_step_3_skipped
#define may_confirm(n) (node[n].greeted && node[n].hello_posted)
#else
#define may_confirm(n) node[n].proof_seen
#endif
#define write_due(n) \
  (node[n].up && !node[n].broken && node[n].write == NOTHING && node[n].partner != NOBODY && \
   (may_confirm(n) && connected_due(n) || !may_confirm(n) && hello_due(n)))

inline post(n) {
  node[n].write_kind = (may_confirm(n) -> CONNECTED : HELLO);
  node[n].write = POSTED; node[n].write_is_old = false;
  node[n].writing.from = node[n].own; node[n].writing.to = node[n].partner;
  if
  :: node[n].write_kind == HELLO -> node[n].hello_posted = true
  :: else -> node[n].connected_posted = true
  fi;
#ifndef LIVENESS
  if
  :: node[1 - n].own == node[n].partner && node[n].write_kind == HELLO -> NOTE(node[1 - n].greeted_it, node[n].own)
  :: node[1 - n].own == node[n].partner && node[n].write_kind == CONNECTED && node[n].proof_seen ->
     NOTE(node[1 - n].confirmed_to_it, node[n].own)
  :: else
  fi
#endif
}

inline put(to_node, kind, record) {
  if
  :: kind == HELLO -> node[to_node].hello.from = record.from; node[to_node].hello.to = record.to
  :: kind == CONNECTED -> node[to_node].told.from = record.from; node[to_node].told.to = record.to
  fi
}

inline land(n) {
  put(1 - n, node[n].write_kind, node[n].writing);
#ifndef LIVENESS
  if
  :: node[n].write_kind == CONNECTED && node[n].writing.from == node[n].own ->
     NOTE(node[n].told_by_it, node[n].writing.to)
  :: else
  fi;
#endif
  node[n].write = LANDED
}

inline acknowledge(n) {
  if
#ifdef MUTANT_late_answer_counts
  :: node[n].write_kind == CONNECTED -> node[n].connected_written = true
#else
  :: node[n].write_kind == CONNECTED && !node[n].write_is_old -> node[n].connected_written = true
#endif
  :: else
  fi;
  node[n].write = NOTHING; node[n].write_kind = NOTHING; node[n].write_is_old = false;
  node[n].writing.from = NOBODY; node[n].writing.to = NOBODY;
  advance(n)
}

inline restart(n) {
  end_operations(n);
  draw_nonce(n, life_of(node[n].own) + 1);
  node[n].session = NOBODY; node[n].partner = NOBODY;
  begin_round(n);
  node[n].hello.from = NOBODY; node[n].hello.to = NOBODY; node[n].told.from = NOBODY; node[n].told.to = NOBODY
}

/* One process an activity, so that weak fairness gives each its turn. */
proctype Reader(byte n) {
end:
  do
  :: d_step { !node[n].up -> node[n].up = true; printf("%d: connects\n", n) }
  :: d_step { node[n].up && node[n].broken && !node[n].reading -> fail_link(n);
       printf("%d: sees that its connection is broken; its end is now %d\n", n, node[n].own) }
#ifdef COARSE
  :: d_step { node[n].up && !node[n].broken ->
       capture(n);
       printf("%d: reads the page of end %d\n", n, node[n].read_end);
       deliver(n);
       printf("%d: partner %d, proof seen %d, session with %d\n", n, node[n].partner, node[n].proof_seen, node[n].session) }
#else
  :: d_step { node[n].up && !node[n].broken && !node[n].reading ->
       capture(n);
       printf("%d: reads the page: end %d, proof to %d, session with %d\n", n, node[n].read_end, node[n].read_proof,
              node[n].read_session) }
  :: d_step { node[n].up && node[n].reading ->
       printf("%d: has the page of end %d\n", n, node[n].read_end);
       deliver(n);
       printf("%d: partner %d, proof seen %d, session with %d\n", n, node[n].partner, node[n].proof_seen,
              node[n].session) }
#endif
  od
}

proctype Writer(byte n) {
end:
  do
  :: d_step { write_due(n) -> post(n);
       printf("%d: writes %d (1 hello, 2 connected) from %d to %d\n", n, node[n].write_kind, node[n].own, node[n].partner) }
#ifdef COARSE
  :: d_step { node[n].write == POSTED && !node[n].broken ->
       printf("%d: the write has landed and is acknowledged\n", n);
       land(n);
       acknowledge(n);
       printf("%d: session with %d\n", n, node[n].session) }
#else
  :: d_step { node[n].write == POSTED && !node[n].broken -> land(n); printf("%d: the write has landed\n", n) }
  :: d_step { node[n].write == LANDED && !node[n].broken ->
       printf("%d: the write is acknowledged\n", n);
       acknowledge(n);
       printf("%d: session with %d\n", n, node[n].session) }
#endif
  od
}

proctype Poller(byte n) {
end:
  do
  :: d_step { greets(n) || confirms(n) ->
       printf("%d: looks at its mailbox: hello from %d to %d, connected from %d to %d\n", n, node[n].hello.from,
              node[n].hello.to, node[n].told.from, node[n].told.to);
       poll(n);
       printf("%d: greeted by %d, confirmed %d; session with %d\n", n, node[n].greeted_by, node[n].confirmed,
              node[n].session) }
  od
}

proctype LateWrite(byte n) {
end:
  do
  :: d_step { node[n].late_kind != NOTHING -> put(1 - n, node[n].late_kind, node[n].late);
       printf("%d: a write of an ended connection lands: %d from %d to %d\n", n, node[n].late_kind, node[n].late.from,
              node[n].late.to);
       node[n].late_kind = NOTHING; node[n].late.from = NOBODY; node[n].late.to = NOBODY }
  :: d_step { node[n].late_kind != NOTHING ->
       node[n].late_kind = NOTHING; node[n].late.from = NOBODY; node[n].late.to = NOBODY;
       printf("%d: a write of an ended connection is lost\n", n) }
  od
}

#define FAULTS_OF(n) \
  :: d_step { restarts_left > 0 -> restarts_left--; restart(n); \
       node[1 - n].broken = node[1 - n].up; \
       printf("%d: dies and begins life %d with end %d; its partner's connection breaks\n", n, life_of(node[n].own), \
              node[n].own) } \
  :: d_step { restarts_left > 0 && node[1 - n].up && !node[1 - n].broken -> restarts_left--; restart(n); \
       printf("%d: dies and begins life %d with end %d; its partner's connection reaches the new memory\n", n, \
              life_of(node[n].own), node[n].own) } \
  :: d_step { losses_left > 0 && node[n].up -> losses_left--; fail_link(n); \
       printf("%d: an operation fails; its end is now %d\n", n, node[n].own) } \
  :: d_step { forgeries_left > 0 -> forgeries_left--; \
       node[n].hello.from = node[1 - n].own + FORGED; node[n].hello.to = node[n].own; \
       printf("%d: a stranger writes a hello into its mailbox\n", n) } \
  :: d_step { forgeries_left > 0 -> forgeries_left--; \
       node[n].told.from = node[1 - n].own + FORGED; node[n].told.to = node[n].own; \
       printf("%d: a stranger writes a \"connected\" into its mailbox\n", n) }

proctype Faults() {
end:
  do
  FAULTS_OF(0)
  FAULTS_OF(1)
  /* Not all that may fail does. */
  :: d_step { restarts_left + losses_left + forgeries_left > 0 ->
       restarts_left = 0; losses_left = 0; forgeries_left = 0; printf("no more faults\n") }
  od
}

init {
  d_step {
    draw_nonce(0, 1);
    draw_nonce(1, 1)
  };
  atomic {
    run Reader(0); run Writer(0); run Poller(0); run LateWrite(0);
    run Reader(1); run Writer(1); run Poller(1); run LateWrite(1);
    run Faults()
  }
}

#ifdef LIVENESS
ltl connects { <>[] both_connected }
#endif
