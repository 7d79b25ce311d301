/*
 * Who owns one pool: two nodes and their agents, as agent/core does it with "arbiter": "none". Node 0 is the pool's home.
 *
 * Each agent keeps a durable record (epoch, owner, released, claim, the boot id of the partner that held it, held, the
 * boot id of the life in which it was written), publishes what is durable of it with its state, and reads the
 * partner's page late, but never an older page after a newer one. What the code's serial numbers say of a page is here
 * the number of the last question on it; a question belongs to one life of one agent.
 *
 * The verdict is a choice: an agent may hold its partner for dead, alive or back at any moment, whatever is true. A cut
 * link is a page that is not read. A fence is asked of a device, which switches the node off or does not, and answers
 * "confirmed" only where it did; "failed" and "unknown" it may answer in both cases. Any node may lose power at any
 * moment and boot again; an agent may be killed between any two steps, while a start that it began may still complete;
 * a record that was on its way to the disk is then on it or not. That a CCM restarts changes nothing here, for a life is
 * told by its boot id.
 *
 * Rules, in every state:
 *   two_owners        at no instant do both nodes have resources of the pool started; a node that is off has none
 *   no_permit         no resource is started, and none served on, without a permit
 *   not_durable       the record that names this start's epoch and owner is on the disk before a resource is started
 *   shown_too_early   no page shows an epoch that is not on the disk
 *   epoch_fell        the epoch in a record never falls
 *   epoch_reused      each taking of the pool has an epoch above all that were taken before; of two takings by claim only
 *                     where the first was seen: who claims is two above what it knows, and so is a partner whose claim it
 *                     has not seen yet (both may take the pool at the same epoch, one after the other's fence)
 *   claim_too_late    the claim is on the disk before a fence is asked for
 *
 * Bounds: MOVES times in all that a node begins to claim the pool, to ask for it, or to take what is offered; BOOTS lives
 * of each kernel; KILLS agents that are killed. Nothing else is bounded, nor is the order of all of it. It begins where
 * node 0 serves the pool and node 1 knows it, or (FIRST_BOOT) where neither has a record. Searched whole:
 *   kill        MOVES 1, BOOTS 2, KILLS 1
 *   kill-moves  MOVES 2, BOOTS 1, KILLS 1
 *   reassign    MOVES 2, BOOTS 2, KILLS 0
 *   first-boot  FIRST_BOOT, MOVES 2, BOOTS 1, KILLS 0
 * Mutants are sought in MOVES 2 and BOOTS 2, and where their line says so also with one agent killed or MOVES 3: those
 * two have more states than tests/model/run takes memory for.
 *
 * Left out: other pools; boot phases (a page of another boot id counts in any phase, so less is asked for than by the
 * code); hand_over requests and the state "requesting" (the owner may give the pool up at any moment, and who requests is
 * as who waits elsewhere); shutdown; a record that is lost, unreadable or cannot be written; devices that lie and the
 * doubt about them; what is read while the pool is held here (the code then only looks whether the partner runs it at a
 * higher epoch, which takes two owners); pages in flight, beyond that they are read late; how long anything takes.
 *
 * mutant unknown_is_confirmed [two_owners]: a fence that answers "unknown" counts as confirmed
 * mutant old_fence_counts [two_owners, thrice]: the answer of a fence that was asked for an earlier claim counts for this one
 * mutant claim_not_awaited [claim_too_late]: the fence is asked for while the claim is on its way to the disk
 * mutant answer_to_no_question [two_owners]: that the partner's page has nothing counts without a question
 * mutant answer_to_another_life [two_owners]: an answer counts that was given to an earlier life of this agent
 * mutant asking_life_not_noted [two_owners, killed]: an answer is given before the record names the life that asks
 * mutant answered_before_noted [two_owners, killed]: that life is noted, and the answer does not wait for the disk
 * mutant held_in_any_life [two_owners]: "held" counts in another life of the kernel than the one that wrote it
 * mutant reboot_by_incarnation [two_owners]: a new incarnation of the partner's CCM counts as a reboot
 * mutant partner_boot_kept [two_owners]: the partner's life is still believed after this node's own kernel booted
 * mutant released_before_stopped [two_owners]: the release is shown while the resources are being stopped
 * mutant released_before_durable [two_owners, killed]: the release is shown before it is on the disk
 * mutant started_before_durable [not_durable]: the resources are started while the new epoch is on its way to the disk
 * mutant epoch_shown_early [shown_too_early]: the page shows what the record will be
 * mutant claim_one_above [epoch_reused]: a claim is only one above what is known, as an answered partner's epoch may be
 * mutant unseen_claim_counts [epoch_reused]: no mistake but the code as it is, under the whole rule: see epoch_reused
 * mutant offer_taken_without_permit [no_permit]: where its own offer stands, the partner's is taken without a permit
 */

#ifndef MOVES
#define MOVES 3
#endif
#ifndef BOOTS
#define BOOTS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif

#define NOBODY 2
#define MOST_QUESTIONS 8 /* of one life */
#define question(life, number) ((life) * MOST_QUESTIONS + (number))

mtype = {probing, unsettled, asking, elsewhere, claiming, fencing, acquiring, starting, serving, stopping, releasing,
         released, failed};

/* Why a pool is stopped. */
#define GIVEN_UP 0
#define STRAY 1

/* Of a fence: asked for, and the device has switched the partner off. */
#define ASKED 1
#define DONE 2

typedef Durable {
  byte epoch;
  byte owner;
  bool offered; /* "released" in the code: stopped, and the partner may have it */
  byte claim;
  byte partner_boot; /* 0: not known */
  bool held;
  byte boot;
};
typedef View {
  bool known;
  mtype state;
  byte epoch;
  byte claim;
  byte owner;
  bool offered;
  byte asked; /* the last question on it */
  byte saw;   /* the last question of this node that its writer had read */
  byte boot;
};
typedef Node {
  bool on;
  byte boot;
  bool resources;
  bool agent;    /* runs */
  bool has_page; /* an agent of this life of the kernel has published */
  byte life;     /* of the agent */
  byte questions;
  mtype state;
  /* As it is to be, and as it is on the disk. A write under way when the agent ends leaves either. */
  Durable wanted;
  Durable disk;
  bool permit;
  byte stop_cause;
  byte saw;
  View view;
  byte partner_known; /* the highest epoch that an earlier life of the partner's kernel showed */
  byte seen_boot;     /* of the last page that was read since this claim is on the disk; 0: none */
  byte fence;
  bool fence_is_old;
  bool by_claim; /* it is taking the pool by its claim, not with the partner's consent */
};
Node node[2];
byte moves_left = MOVES;
byte kills_left = KILLS;
byte top; /* the highest epoch under which the pool was taken */
bool top_by_claim;
#ifdef MUTANT_reboot_by_incarnation
byte ccm_restarts_left = 1;
#endif

bool two_owners, no_permit, not_durable, shown_too_early, epoch_fell, epoch_reused, claim_too_late;
#define RULE(name, holds) \
  if \
  :: !(holds) -> name = true; assert(!name) \
  :: else \
  fi

#define ME node[n]
#define IT node[1 - n]
#define max(a, b) ((a) > (b) -> (a) : (b))

/* ---- what a page says --------------------------------------------------------------------------------------------- */

#define may_run(v, partner) \
  (v.state == acquiring || v.state == starting || v.state == serving || v.state == stopping || v.state == failed || \
   (v.state == probing && v.owner == (partner)))
#define holds_nothing(v, partner) \
  ((v.state == unsettled || v.state == elsewhere) && v.owner != (partner) && v.claim == 0)
#define offers(n) \
  (ME.view.known && ME.view.owner == 1 - n && ME.view.offered && \
   (ME.wanted.owner == NOBODY || ME.view.epoch >= ME.wanted.epoch))
/* Both ask at once: the newer ownership goes first, then the home node. */
#define asks_first(n) \
  ((ME.view.owner == 1 - n -> ME.view.epoch : 0) > (ME.disk.owner == n -> ME.disk.epoch : 0) || \
   ((ME.view.owner == 1 - n -> ME.view.epoch : 0) == (ME.disk.owner == n -> ME.disk.epoch : 0) && n == 1))
#define partner_holds(n) \
  (ME.view.known && \
   (may_run(ME.view, 1 - n) || ME.view.state == claiming || ME.view.state == fencing || \
    (ME.view.state == asking && ME.state == asking && asks_first(n)) || \
    (!(ME.view.state == asking && ME.state == asking) && ME.view.owner == 1 - n && !ME.view.offered && \
     (ME.wanted.owner != n || ME.view.epoch > ME.wanted.epoch || (ME.view.epoch == ME.wanted.epoch && n == 1)))))
#define vacant(n) (ME.view.known && !offers(n) && !partner_holds(n) && ME.view.claim == 0)
#define home_or_owner(n) (n == 0 || (ME.wanted.owner == n && ME.wanted.epoch > 0))

/* ---- the record --------------------------------------------------------------------------------------------------- */

#define dirty(n) \
  (ME.wanted.epoch != ME.disk.epoch || ME.wanted.owner != ME.disk.owner || ME.wanted.offered != ME.disk.offered || \
   ME.wanted.claim != ME.disk.claim || ME.wanted.partner_boot != ME.disk.partner_boot || ME.wanted.held != ME.disk.held)

inline copy(to, from) {
  to.epoch = from.epoch; to.owner = from.owner; to.offered = from.offered; to.claim = from.claim;
  to.partner_boot = from.partner_boot; to.held = from.held; to.boot = from.boot
}

/* What the partner proves to know about the ownership and this node does not is made durable here too. */
inline follow_partner_record(n) {
  if
  :: ME.view.known && ME.view.owner == 1 - n && partner_holds(n) ->
     ME.wanted.owner = 1 - n; ME.wanted.partner_boot = ME.view.boot; ME.wanted.offered = false; ME.wanted.held = false;
     ME.wanted.epoch = max(ME.wanted.epoch, ME.view.epoch); ME.wanted.boot = ME.boot
  :: else
  fi
}

/* ---- questions and answers ---------------------------------------------------------------------------------------- */

#define of_an_earlier_life(record, n) \
  (record.owner == 1 - n && record.partner_boot != 0 && record.partner_boot != ME.view.boot)
#ifdef MUTANT_asking_life_not_noted
#define may_answer(n) true
#elif defined(MUTANT_answered_before_noted)
#define may_answer(n) (ME.disk.owner == n || ME.disk.claim != 0 || !of_an_earlier_life(ME.wanted, n))
#else
#define may_answer(n) \
  (ME.disk.owner == n || ME.disk.claim != 0 || (!of_an_earlier_life(ME.disk, n) && !of_an_earlier_life(ME.wanted, n)))
#endif

/* What the page shows has changed, and with it goes what this node has seen. */
inline publish(n) {
  if
  :: !may_answer(n) -> ME.saw = 0
  :: may_answer(n) && ME.view.known -> ME.saw = ME.view.asked /* 0 where it does not ask: answers nothing */
  :: else
  fi
}
inline answer_if_asked(n) {
  if
  :: ME.view.known && ME.view.state == asking && may_answer(n) -> ME.saw = ME.view.asked
  :: else
  fi
}
/* Before it is answered, the record is to name the life that asks. */
inline note_asking_life(n) {
#ifdef MUTANT_asking_life_not_noted
  skip
#else
  if
  :: (ME.state == unsettled || ME.state == elsewhere) && ME.view.known && ME.view.state == asking &&
     of_an_earlier_life(ME.wanted, n) ->
     ME.wanted.partner_boot = ME.view.boot; ME.wanted.boot = ME.boot
  :: else
  fi
#endif
}

/* ---- states ------------------------------------------------------------------------------------------------------- */

inline to_elsewhere(n) {
  ME.state = elsewhere; ME.permit = false; ME.by_claim = false; ME.wanted.claim = 0; ME.stop_cause = GIVEN_UP;
  follow_partner_record(n); note_asking_life(n); publish(n)
}
inline to_asking(n) {
  moves_left--;
  ME.questions++;
  assert(ME.questions < MOST_QUESTIONS);
  ME.state = asking; publish(n)
}
inline to_claiming(n) {
  moves_left--;
  ME.state = claiming;
  ME.wanted.claim = max(ME.wanted.epoch, ME.partner_known);
  if
  :: ME.view.known -> ME.wanted.claim = max(ME.wanted.claim, ME.view.epoch);
     ME.wanted.claim = max(ME.wanted.claim, ME.view.claim)
  :: else
  fi;
#ifdef MUTANT_claim_one_above
  ME.wanted.claim = ME.wanted.claim + 1;
#else
  ME.wanted.claim = ME.wanted.claim + 2;
#endif
  ME.wanted.boot = ME.boot;
  publish(n)
}
inline to_acquiring(n, by_proof, its_epoch) {
  ME.permit = by_proof; ME.by_claim = (ME.state == claiming || ME.state == fencing);
  ME.state = acquiring;
  ME.wanted.epoch = its_epoch; ME.wanted.owner = n; ME.wanted.offered = false; ME.wanted.claim = 0;
  ME.wanted.partner_boot = 0; ME.wanted.held = true; ME.wanted.boot = ME.boot;
  ME.seen_boot = 0;
  publish(n);
  forget_view(n)
}
inline to_stopping(n, cause) {
  ME.state = stopping; ME.stop_cause = cause; publish(n)
}
/* Their formal names differ from those around them, or spin would put them in for ever. */
inline forget_view(v) {
  node[v].view.known = false; node[v].view.state = probing; node[v].view.epoch = 0; node[v].view.claim = 0;
  node[v].view.owner = NOBODY; node[v].view.offered = false; node[v].view.asked = 0; node[v].view.saw = 0
}
/* Above everything that anyone has seen for the pool. */
#define next_epoch(n) (max(max(ME.wanted.epoch, ME.wanted.claim), max(ME.view.epoch, ME.view.claim)) + 1)

inline end_agent(e) {
  node[e].agent = false; node[e].permit = false; node[e].fence = 0; node[e].fence_is_old = false;
  forget_view(e); node[e].view.boot = 0; node[e].partner_known = 0; node[e].seen_boot = 0;
  node[e].stop_cause = GIVEN_UP; node[e].by_claim = false
}
inline power_off(m) {
  node[m].on = false; node[m].resources = false; node[m].has_page = false; node[m].saw = 0; node[m].questions = 0;
  node[m].state = probing;
  end_agent(m)
}

/* ---- what a node does --------------------------------------------------------------------------------------------- */

inline check_owners() { RULE(two_owners, !(node[0].resources && node[1].resources)) }

inline start_agent(n, arrived) {
  /* What was on its way when the last agent ended is on the disk or not. */
  if
  :: arrived -> copy(ME.disk, ME.wanted)
  :: else
  fi;
  ME.disk.claim = 0; /* nobody pursues it */
#ifndef MUTANT_held_in_any_life
  ME.disk.held = ME.disk.held && ME.disk.boot == ME.boot;
#endif
#ifndef MUTANT_partner_boot_kept
  ME.disk.partner_boot = (ME.disk.boot == ME.boot -> ME.disk.partner_boot : 0);
#endif
  copy(ME.wanted, ME.disk);
  ME.life++; ME.questions = 0; ME.agent = true; ME.has_page = true; ME.state = probing; ME.saw = 0
}

#define may_serve_on(n) (ME.disk.owner == n && ME.disk.held && !ME.disk.offered && ME.disk.epoch > 0)
inline probe(n) {
  if
  :: ME.resources && !may_serve_on(n) -> to_stopping(n, STRAY)
  :: may_serve_on(n) ->
     ME.permit = true; ME.state = (ME.resources -> serving : starting); publish(n)
  :: !ME.resources && !may_serve_on(n) ->
     if
     :: ME.disk.owner == n && ME.disk.offered && ME.disk.boot == ME.boot && ME.disk.epoch > 0 ->
        ME.state = released; publish(n)
     :: ME.disk.owner == 1 - n && ME.disk.boot == ME.boot -> to_elsewhere(n)
     :: else -> ME.state = unsettled; publish(n)
     fi
  fi
}

#ifdef MUTANT_epoch_shown_early
#define shown_epoch IT.wanted.epoch
#else
#define shown_epoch IT.disk.epoch
#endif
#ifdef MUTANT_released_before_durable
#define shown_offer (IT.wanted.offered && IT.state == releasing || IT.disk.offered && IT.state == released)
#define shown_owner (IT.state == releasing -> 1 - n : IT.disk.owner)
#define shown_state (IT.state == releasing -> released : IT.state)
#else
#define shown_offer (IT.disk.offered && IT.state == released)
#define shown_owner IT.disk.owner
#define shown_state IT.state
#endif

/* Reads the partner's page, and does at once what the code does in the same step. */
inline read_page(n) {
  if
  :: ME.view.known && ME.view.boot != IT.boot ->
     ME.partner_known = max(ME.partner_known, ME.view.epoch);
     ME.partner_known = max(ME.partner_known, ME.view.claim);
     forget_view(n)
  :: else
  fi;
  if
  :: (ME.state == claiming || ME.state == fencing) && ME.disk.claim != 0 && ME.disk.claim == ME.wanted.claim ->
     ME.seen_boot = IT.boot
  :: else
  fi;
  if
  :: IT.has_page ->
     RULE(shown_too_early, shown_epoch <= IT.disk.epoch);
     ME.view.known = true; ME.view.state = shown_state; ME.view.epoch = shown_epoch; ME.view.claim = IT.disk.claim;
     ME.view.owner = shown_owner; ME.view.offered = shown_offer;
     /* A question is of interest while it is asked, an answer to who asks. */
     ME.view.asked = (IT.state == asking -> question(IT.life, IT.questions) : 0);
     ME.view.saw = (ME.state == asking -> IT.saw : 0); ME.view.boot = IT.boot;
     if
     :: ME.state == elsewhere || ME.state == unsettled -> follow_partner_record(n)
     :: else
     fi;
     note_asking_life(n);
     if
     :: (ME.state == unsettled || ME.state == asking || ME.state == released) && !offers(n) && partner_holds(n) ->
        to_elsewhere(n)
     :: else
     fi;
     answer_if_asked(n)
  :: else
  fi
}

/* The record is on the disk, and the agent knows. */
inline durable(n) {
  RULE(epoch_fell, ME.wanted.epoch >= ME.disk.epoch);
  copy(ME.disk, ME.wanted);
  if
  :: ME.state == acquiring ->
     ME.state = starting;
#if defined(MUTANT_unseen_claim_counts)
     RULE(epoch_reused, ME.disk.epoch > top);
#elif !defined(MEANT_two_owners) /* what is to show two owners is not to end at the epoch that both take first */
     RULE(epoch_reused, ME.disk.epoch > top || (ME.by_claim && top_by_claim));
#endif
     top_by_claim = (ME.disk.epoch > top -> ME.by_claim : top_by_claim);
     top = max(top, ME.disk.epoch);
     ME.by_claim = false
  :: ME.state == releasing -> ME.state = released
  :: else
  fi;
  publish(n)
}

#ifdef MUTANT_answer_to_no_question
#define is_answer(n) true
#elif defined(MUTANT_answer_to_another_life)
#define is_answer(n) (ME.view.saw % MOST_QUESTIONS >= ME.questions)
#else
#define is_answer(n) (ME.view.saw == question(ME.life, ME.questions))
#endif
#define answered(n) (ME.view.known && is_answer(n) && holds_nothing(ME.view, 1 - n))

#ifdef MUTANT_claim_not_awaited
#define claim_stands(n) (ME.wanted.claim != 0)
#else
#define claim_stands(n) (ME.disk.claim != 0 && ME.disk.claim == ME.wanted.claim)
#endif
#define reboot_proved(n) \
  (claim_stands(n) && ME.disk.owner == 1 - n && ME.disk.partner_boot != 0 && ME.seen_boot != 0 && \
   ME.seen_boot != ME.disk.partner_boot)

inline fence_confirmed(n) {
  forget_view(n);
  if
#ifdef MUTANT_old_fence_counts
  :: ME.state == fencing ->
#else
  :: ME.state == fencing && !ME.fence_is_old ->
#endif
     to_acquiring(n, true, ME.wanted.claim)
  :: else
  fi;
  ME.fence = 0; ME.fence_is_old = false
}

#define looks(n) \
  (ME.state == unsettled || ME.state == asking || ME.state == elsewhere || ME.state == claiming || \
   ME.state == fencing || ME.state == released)

proctype Agent(byte n) {
end:
  do
  /* -- its life -- */
  :: d_step { ME.on && !ME.agent -> start_agent(n, false);
       printf("%d: the agent starts; its record: epoch %d, owner %d, held %d\n", n, ME.disk.epoch, ME.disk.owner, ME.disk.held) }
  :: d_step { ME.on && !ME.agent && dirty(n) -> start_agent(n, true);
       printf("%d: the agent starts, and what was on its way to the disk is on it: epoch %d, owner %d, held %d\n", n,
              ME.disk.epoch, ME.disk.owner, ME.disk.held) }
  :: d_step { ME.agent && ME.state == probing -> probe(n); printf("%d: has looked what runs: %e\n", n, ME.state) }
#ifdef MUTANT_offer_taken_without_permit
  :: d_step { ME.agent && moves_left > 0 && ME.state == released && offers(n) ->
       moves_left--; ME.wanted.epoch = next_epoch(n); to_acquiring(n, false, ME.wanted.epoch);
       printf("%d: takes what is offered, without a permit\n", n) }
#endif

  /* -- pages and the disk -- */
  :: d_step { ME.agent && IT.on && looks(n) -> read_page(n);
       printf("%d: reads the page: %e, epoch %d, owner %d; is %e\n", n, ME.view.state, ME.view.epoch, ME.view.owner,
              ME.state) }
  :: d_step { ME.agent && dirty(n) -> durable(n); answer_if_asked(n);
       printf("%d: the record is on the disk: epoch %d, owner %d, claim %d; is %e\n", n, ME.disk.epoch, ME.disk.owner,
              ME.disk.claim, ME.state) }

  /* -- by the partner's page -- */
#ifdef MUTANT_offer_taken_without_permit
  :: d_step { ME.agent && moves_left > 0 && (ME.state == unsettled || ME.state == asking || ME.state == elsewhere) && offers(n) ->
#else
  :: d_step { ME.agent && moves_left > 0 &&
       (ME.state == unsettled || ME.state == asking || ME.state == elsewhere || ME.state == released) && offers(n) ->
#endif
       moves_left--; ME.wanted.epoch = next_epoch(n); to_acquiring(n, true, ME.wanted.epoch); printf("%d: takes what is offered\n", n) }
  :: d_step { ME.agent && ME.state == asking && !offers(n) && !partner_holds(n) && answered(n) ->
       ME.wanted.epoch = next_epoch(n); to_acquiring(n, true, ME.wanted.epoch); printf("%d: was answered, and takes the pool\n", n) }
  :: d_step { ME.agent && moves_left > 0 && (ME.state == unsettled || ME.state == elsewhere) && vacant(n) && home_or_owner(n) ->
       to_asking(n); printf("%d: asks\n", n) }
  :: d_step { ME.agent && ME.state == unsettled && vacant(n) && !home_or_owner(n) -> to_elsewhere(n);
       printf("%d: leaves it to its home\n", n) }

  /* -- by the verdict, a time that is over, or an operator -- */
  :: d_step { ME.agent && moves_left > 0 &&
       (ME.state == unsettled || ME.state == asking || ME.state == elsewhere || ME.state == released) ->
       to_claiming(n); printf("%d: claims epoch %d\n", n, ME.wanted.claim) }
  :: d_step { ME.agent && moves_left > 0 && ME.state == released -> to_asking(n); printf("%d: wants it back, and asks\n", n) }
  :: d_step { ME.agent && ME.state == asking -> ME.state = unsettled; publish(n); printf("%d: asks no more\n", n) }
  :: d_step { ME.agent && (ME.state == claiming || ME.state == fencing) && ME.fence == 0 ->
       ME.seen_boot = 0; to_elsewhere(n); printf("%d: withdraws its claim\n", n) }
  :: d_step { ME.agent && (ME.state == starting || ME.state == serving || (ME.state == failed && ME.wanted.owner == n)) ->
       to_stopping(n, GIVEN_UP); printf("%d: gives it up\n", n) }
  :: d_step { ME.agent && ME.state == failed -> ME.state = probing; ME.permit = false; publish(n);
       printf("%d: an operator says that it is repaired\n", n) }

  /* -- proofs -- */
  :: d_step { ME.agent && (ME.state == claiming || ME.state == fencing) && reboot_proved(n) ->
       to_acquiring(n, true, ME.disk.claim); printf("%d: the partner is seen in another life; takes the pool\n", n) }
  :: d_step { ME.agent && ME.state == claiming && claim_stands(n) -> ME.state = fencing; ME.fence_is_old = (ME.fence != 0);
       publish(n); printf("%d: is to fence\n", n) }
  :: d_step { ME.agent && ME.state == fencing && ME.fence == 0 ->
       printf("%d: asks the device for a fence\n", n);
       RULE(claim_too_late, ME.disk.claim != 0 && ME.disk.claim == ME.wanted.claim);
       ME.fence = ASKED; ME.fence_is_old = false }
  :: d_step { ME.fence == ASKED -> power_off(1 - n); ME.fence = DONE; printf("%d: the device switches the partner off\n", n) }
  :: d_step { ME.agent && ME.fence == DONE -> fence_confirmed(n); printf("%d: the device says \"confirmed\"; is %e\n", n, ME.state) }
#ifdef MUTANT_unknown_is_confirmed
  :: d_step { ME.agent && ME.fence != 0 -> fence_confirmed(n); printf("%d: the device says \"unknown\"; is %e\n", n, ME.state) }
#else
  :: d_step { ME.agent && ME.fence != 0 -> ME.fence = 0; ME.fence_is_old = false;
       printf("%d: the device says \"failed\" or \"unknown\"\n", n) }
#endif

  /* -- resources -- */
#ifdef MUTANT_started_before_durable
  :: d_step { ME.agent && (ME.state == acquiring || ME.state == starting) && !ME.resources ->
#else
  :: d_step { ME.agent && ME.state == starting && !ME.resources ->
#endif
       printf("%d: a resource is started, epoch %d\n", n, ME.disk.epoch);
       ME.resources = true;
       RULE(no_permit, ME.permit);
       RULE(not_durable, ME.disk.owner == n && ME.disk.held && !ME.disk.offered && ME.disk.epoch == ME.wanted.epoch);
       check_owners() }
  :: d_step { !ME.agent && ME.on && ME.state == starting && !ME.resources ->
       printf("%d: a start that the killed agent began completes\n", n);
       ME.resources = true;
       check_owners() }
  :: d_step { ME.agent && ME.state == starting && ME.resources -> ME.state = serving; publish(n); printf("%d: serves\n", n) }
#ifdef MUTANT_released_before_stopped
  :: d_step { ME.agent && ME.state == stopping && ME.stop_cause == GIVEN_UP -> ME.state = releasing; ME.permit = false;
       ME.wanted.offered = true; ME.wanted.held = false; ME.wanted.boot = ME.boot; publish(n);
       printf("%d: releases it while it stops\n", n) }
#endif
  :: d_step { ME.agent && ME.state == stopping && ME.resources -> ME.resources = false;
       printf("%d: the resources are stopped\n", n) }
  :: d_step { ME.agent && ME.state == stopping && ME.resources -> ME.state = failed; publish(n);
       printf("%d: a resource does not stop\n", n) }
  :: d_step { ME.agent && ME.state == stopping && !ME.resources ->
       if
       :: ME.stop_cause == STRAY -> ME.state = unsettled; ME.stop_cause = GIVEN_UP; note_asking_life(n); publish(n)
       :: ME.stop_cause == GIVEN_UP ->
          ME.state = releasing; ME.permit = false; ME.wanted.offered = true; ME.wanted.held = false;
          ME.wanted.boot = ME.boot; publish(n)
       fi;
       printf("%d: is %e\n", n, ME.state) }
  od
}

#define FAULTS_OF(n) \
  :: d_step { node[n].on -> power_off(n); printf("%d: loses power\n", n) } \
  :: d_step { !node[n].on && node[n].boot < BOOTS -> node[n].on = true; node[n].boot++; \
       printf("%d: boots, life %d of its kernel\n", n, node[n].boot) } \
  :: d_step { node[n].agent && kills_left > 0 -> kills_left--; end_agent(n); printf("%d: its agent is killed\n", n) }

#ifdef MUTANT_reboot_by_incarnation
/* A life is told by the incarnation: that of its CCM is another one, and what runs on the node runs on. */
#define CCM_RESTARTS(n) \
  :: d_step { node[n].agent && ccm_restarts_left > 0 -> ccm_restarts_left--; node[n].boot++; \
       printf("%d: its CCM restarts\n", n) }
#else
#define CCM_RESTARTS(n)
#endif

proctype World() {
end:
  do
  FAULTS_OF(0)
  FAULTS_OF(1)
  CCM_RESTARTS(0)
  CCM_RESTARTS(1)
  od
}

init {
  d_step {
    forget_view(0); forget_view(1);
    node[0].disk.owner = NOBODY; node[1].disk.owner = NOBODY;
    node[0].on = true; node[1].on = true; node[0].boot = 1; node[1].boot = 1;
    node[0].state = probing; node[1].state = probing
#ifndef FIRST_BOOT
    ;
    /* Node 0 asked at its boot, was answered, and serves. */
    node[0].agent = true; node[0].has_page = true; node[0].life = 1; node[0].questions = 1; node[0].state = serving;
    node[0].resources = true; node[0].permit = true;
    node[0].disk.epoch = 1; node[0].disk.owner = 0; node[0].disk.held = true; node[0].disk.boot = 1;
    node[1].agent = true; node[1].has_page = true; node[1].life = 1; node[1].state = elsewhere;
    node[1].disk.epoch = 1; node[1].disk.owner = 0; node[1].disk.partner_boot = 1; node[1].disk.boot = 1;
    node[1].saw = question(1, 1);
    node[0].view.known = true; node[0].view.state = elsewhere; node[0].view.boot = 1;
    node[1].view.known = true; node[1].view.state = serving; node[1].view.epoch = 1; node[1].view.owner = 0; node[1].view.boot = 1;
    top = 1
#endif
    ;
    copy(node[0].wanted, node[0].disk); copy(node[1].wanted, node[1].disk)
  };
  atomic {
    run Agent(0); run Agent(1); run World()
  }
}
