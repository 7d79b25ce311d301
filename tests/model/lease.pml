/*
 * The permit by "expired" (DESIGN.md, section 5): an owner that serves under a lease, and a claimant that takes the pool
 * once the lease must have run out (agent/core/lease.h). How both agree on a lease is not modelled.
 *
 * The owner looks at the mailbox disk again and again. A complete look that shows no claim renews its lease, for SERVE
 * ticks of its own clock from the moment when the look began. A feeder feeds the watchdog, each time after it has found
 * the lease to hold. Nothing is atomic but one read or one write: between any two steps either of them may stand still
 * for as long as it likes (a paused process, a stalled disk), and only the watchdog, which is hardware, goes on.
 *
 * Why the claimant waits SERVE + 2 * WATCHDOG + DRIFT from the moment when its claim is on the disk: the last look
 * without the claim began before it; the last feed was decided within SERVE of that, and was made within WATCHDOG of the
 * one before it, or the reset would have come first; the reset comes WATCHDOG after it. By DRIFT ticks the owner's
 * clocks may be slower.
 *
 * Rule: two_owners: the claimant starts the pool only when the owner has stopped it or was reset.
 *
 * Bounds: the times below. How long it all takes, how often the owner looks, stops, starts again, is reset and boots is
 * not bounded: every reachable state is searched.
 *
 * Left out: more than one disk and Disk Paxos (the claim is one register that is written once), claims of both nodes, a
 * claim that is withdrawn, the claimant's own lease after it has taken the pool, resources that outlive a reset.
 *
 * mutant no_wait [two_owners]: the claimant takes the pool as soon as its claim is committed
 * mutant no_drift [two_owners]: the claimant trusts its clock to run like the owner's
 * mutant no_watchdog [two_owners]: an owner that stands still is not reset
 * mutant from_end [two_owners]: the lease is counted from the end of the look, not from its begin
 * mutant not_committed [two_owners]: the claimant's wait begins when it asks for the write of its claim
 * mutant watchdog_not_waited_for [two_owners]: the claimant waits for the lease, and not for the reset of a paused owner
 * mutant feed_taken_as_atomic [two_owners]: the wait forgets that a feed may come late after it was decided
 * mutant fed_without_lease [two_owners]: the watchdog is fed while the process runs, whatever the lease says
 * mutant renewed_despite_claim [two_owners]: a look that shows a claim renews the lease
 * mutant armed_after_look [two_owners]: an owner that starts again arms the watchdog after the look that permits it
 */

/* In ticks. */
#ifndef SERVE
#define SERVE 4
#endif
#ifndef WATCHDOG
#define WATCHDOG 3
#endif
#ifndef DRIFT
#define DRIFT 4 /* by so many ticks the owner's clocks may fall behind in the time that the claimant waits: more than
                   whole ticks give away, so that it matters */
#endif

#define BOUND (SERVE + 2 * WATCHDOG)
#if defined(MUTANT_no_wait)
#define WAIT 0
#elif defined(MUTANT_no_drift)
#define WAIT BOUND
#elif defined(MUTANT_watchdog_not_waited_for)
#define WAIT (SERVE + DRIFT)
#elif defined(MUTANT_feed_taken_as_atomic)
#define WAIT (SERVE + WATCHDOG + DRIFT)
#else
#define WAIT (BOUND + DRIFT)
#endif
#define LONG (SERVE + 1) /* an age at which it is the same how old something is */

#define RULE(name, holds) \
  if \
  :: !(holds) -> name = true; assert(!name) \
  :: else \
  fi

bool two_owners;

/* The owner's node. */
bool on = true;
bool running = true;  /* resources of the pool are started here */
bool stopping;
byte lease_age;       /* since the begin of the last good look, on the owner's clock */
bool lease = true;    /* a good look was made since this node's last boot */
byte watchdog = WATCHDOG; /* ticks until the reset; 0: not armed */

mtype = {idle, looking, has_read, may_start};
mtype owner = idle;
bool saw_claim;
byte look_age;
bool feed_decided;

/* The claimant. */
mtype = {watching, writing, waits, has_taken};
mtype claimant = watching;
bool claim_on_disk;
byte waited;
byte lag; /* by so much the owner's clocks are behind by now */

#define holds_lease (lease && lease_age < SERVE)

inline reset_owner() {
  on = false; running = false; stopping = false; lease = false; lease_age = 0; watchdog = 0;
  owner = idle; saw_claim = false; look_age = 0; feed_decided = false;
}

inline owners_clock() {
  if
  :: lease && lease_age < LONG -> lease_age++
  :: else
  fi;
  if
  :: owner != idle && look_age < LONG -> look_age++
  :: else
  fi;
#ifndef MUTANT_no_watchdog
  if
  :: watchdog > 1 -> watchdog--
  :: watchdog == 1 -> reset_owner(); printf("the watchdog resets the owner\n")
  :: else
  fi
#endif
}

inline claimants_clock() {
  if
#ifdef MUTANT_not_committed
  :: (claimant == writing || claimant == waits) && waited < WAIT -> waited++
#else
  :: claimant == waits && waited < WAIT -> waited++
#endif
  :: else
  fi
}

active proctype Time() {
end:
  do
  :: d_step { claimants_clock(); owners_clock(); printf("tick\n") }
  :: d_step { lag < DRIFT -> lag++; claimants_clock(); printf("tick, and the owner's clocks miss it\n") }
  od
}

/* The loop that looks, stops the pool and starts it again. */
active proctype Owner() {
end:
  do
  :: d_step { on && owner == idle && (running || watchdog > 0) -> owner = looking; look_age = 0;
       printf("owner: a look begins\n") }
#ifdef MUTANT_armed_after_look
  :: d_step { on && owner == idle && !running -> owner = looking; look_age = 0;
       printf("owner: a look begins, before the pool is started again\n") }
#else
  :: d_step { on && owner == idle && !running && watchdog == 0 -> watchdog = WATCHDOG;
       printf("owner: arms the watchdog, before it looks whether the pool may be started again\n") }
#endif
  :: d_step { on && owner == looking -> owner = has_read; saw_claim = claim_on_disk;
       printf("owner: reads the disk (claim: %d)\n", claim_on_disk) }
  :: d_step { on && owner == looking -> owner = idle; look_age = 0; printf("owner: the look fails\n") }
  :: d_step { on && owner == has_read ->
       if
#ifdef MUTANT_renewed_despite_claim
       :: true ->
#else
       :: !saw_claim ->
#endif
          lease = true;
#ifdef MUTANT_from_end
          lease_age = 0;
#else
          lease_age = look_age;
#endif
          owner = (!running && lease_age < SERVE -> may_start : idle);
          printf("owner: the look is complete and shows no claim; the lease is %d old\n", lease_age)
#ifndef MUTANT_renewed_despite_claim
       :: else ->
          stopping = running;
          owner = idle;
          printf("owner: the look shows the claim; stops the pool\n")
#endif
       fi;
       saw_claim = false; look_age = 0 }
  :: d_step { on && owner == may_start -> owner = idle; running = true; look_age = 0;
#ifdef MUTANT_armed_after_look
       watchdog = WATCHDOG;
#endif
       RULE(two_owners, claimant != has_taken); printf("owner: starts the pool again\n") }
  :: d_step { on && owner == idle && running && !stopping && !holds_lease -> stopping = true;
       printf("owner: the lease is over; stops the pool\n") }
  /* The stop may take as long as it likes: then the watchdog ends it. */
  :: d_step { on && owner == idle && stopping -> stopping = false; running = false; watchdog = 0;
       printf("owner: the pool is stopped\n") }
  :: d_step { !on -> on = true; printf("owner: boots\n") }
  od
}

active proctype Feeder() {
end:
  do
#ifdef MUTANT_fed_without_lease
  :: d_step { on && watchdog > 0 && !feed_decided -> feed_decided = true; printf("feeder: is to feed\n") }
#else
  :: d_step { on && watchdog > 0 && !feed_decided && holds_lease && !stopping -> feed_decided = true;
       printf("feeder: the lease holds, so it is to feed\n") }
#endif
  :: d_step { on && feed_decided -> feed_decided = false; watchdog = WATCHDOG; printf("feeder: feeds the watchdog\n") }
  od
}

active proctype Claimant() {
end:
  do
  :: d_step { claimant == watching -> claimant = writing; printf("claimant: asks for the write of its claim\n") }
  :: d_step { claimant == writing && !claim_on_disk -> claim_on_disk = true; printf("the claim is on the disk\n") }
  :: d_step { claimant == writing && claim_on_disk -> claimant = waits; printf("claimant: its claim is committed\n") }
  :: d_step { claimant == waits && waited >= WAIT -> claimant = has_taken; RULE(two_owners, !running);
       printf("claimant: starts the pool\n") }
  od
}
