/* Reads from replicas: one slot with one key, its shard S, a shard T that it may move to, and one
 * replica, of S or (OF=1) of T. A server is the history of its states; a replica has the beginning
 * of one, and applies the rest whenever it likes. One proxy: its control thread finds out since when
 * the replica was level (proxy/control/replica_watch.c), its worker reads there (proxy/routing/
 * replica_reads.c); each may sleep between any two steps. What the primaries do with the slot is
 * migration.pml's matter: here it is done in whole phases.
 *
 * Checked of each answer that is passed on: it is not older than the bound, and the key is there;
 * it is from its first write on, wherever the slot is. -DX switches break a rule, see cases. */
#ifndef OF
#define OF 0       /* whose replica: S is 0, T is 1 */
#endif
#ifndef NW
#define NW 2       /* writes */
#endif
#ifndef TMAX
#define TMAX 3     /* ticks of the proxy's clock: what is in one tick may be in either order */
#endif
#define BOUND 1    /* replica-lag-max */
#ifndef MIGRATES
#define MIGRATES 0
#endif
#ifndef FAILS
#define FAILS 0    /* S's primary dies, and a server that has everything is promoted */
#endif
#ifndef RESTARTS
#define RESTARTS 0 /* the replica begins anew, with an old file */
#endif
#ifndef REPOINTS
#define REPOINTS 0 /* the replica is made one of T by hand */
#endif
#define MAXE 6
#define LONG 9     /* longest history */
#define NONE 255

/* ---- histories: S's first primary 0, T's 1, S's second 2: the key, the fence's epoch and process */
byte val[3 * LONG], fE[3 * LONG], fP[3 * LONG], size[3] = 1;
#define AT(h, o) ((h) * LONG + (o))
#define HEAD(h) AT(h, size[h] - 1)
inline append(h, v, e, who) { val[AT(h, size[h])] = v; fE[AT(h, size[h])] = e; fP[AT(h, size[h])] = who; size[h]++ }
inline put(h, v) { append(h, v, fE[HEAD(h)], fP[HEAD(h)]) }
inline raise(h, e) { append(h, val[HEAD(h)], e, fP[HEAD(h)]) }

/* ---- the topology, and what its versions say of the slot */
byte E = 1, owner[MAXE + 1], first[MAXE + 1];  /* first: S's process */
bit stable[MAXE + 1];
/* A shard's process, by the topology of an epoch. */
#define PROCESS(e) (OF == 1 -> 1 : first[e])
/* ---- the replica: what it follows, how far it is; which process sits at its address */
byte rH = OF, rO = 1, rInc = 1; bit rPrimary = 0;
/* ---- the control thread */
byte cE = 1, sAsked = NONE, sOffset = 0;       /* what the primary had written when it was asked */
byte qAsked = NONE, qOffset = 0, qH = 0; bit qBack = 0, qFollows = 0; /* the question to the replica */
byte cLevel = NONE;
/* ---- the worker */
byte wE = 1, wLevel = NONE, ready = NONE, wInc = 0;
byte read = 0;  /* 1 sent, 2 the replica has read, 3 and has read the fence, 4 the proof was first */
byte rVal, rE, rP, arrived;
/* ---- the clock, and what had been acknowledged when it went on: ghosts */
byte now = 0, hi = 1, past[TMAX + 1];
byte nw = 0, fails = 0, restarts = 0, repoints = 0;
byte phase = 0; bit dual = 0, held = 0;

inline forget_read() { read = 0; rVal = 0; rE = 0; rP = 0; arrived = NONE }
inline forget_question() { qAsked = NONE; qOffset = 0; qH = 0; qBack = 0; qFollows = 0 }
#define LEVEL(l) ((l) != NONE && now <= (l) + BOUND)

proctype Primaries() {
  byte k;
end:
  do
  /* A write is executed by the owner, and acknowledged; while both copies are written, by both. */
  :: atomic { nw < NW && !held && fails != 1 -> nw++; hi++;
       k = (owner[E] == 1 -> 1 : first[E]);
       put(k, hi);
       if :: dual -> k = (owner[E] == 1 -> first[E] : 1); put(k, hi) :: else fi; k = 0 }
#if MIGRATES
  /* The slot moves to T. Each phase: the compare-and-swap; then the barriers, on both shards. */
  :: atomic { phase == 0 -> phase = 1; E++; owner[E] = 0; first[E] = first[E - 1] }
  :: atomic { phase == 1 -> phase = 2;                              /* dual write */
#ifndef NORAISE
       raise(0, 2); raise(1, 2);
#endif
       dual = 1; put(1, val[HEAD(0)]) }
  :: atomic { phase == 2 -> phase = 3; E++; owner[E] = 0; first[E] = first[E - 1];
#ifndef NORAISE
       raise(0, 3); raise(1, 3);
#endif
       held = 1 }                                                   /* hold */
  :: atomic { phase == 3 -> phase = 4; E++; owner[E] = 1; first[E] = first[E - 1]; held = 0 }
  :: atomic { phase == 4 -> phase = 5; E++; owner[E] = 1; first[E] = first[E - 1]; dual = 0;
       put(0, 0) }                                                  /* finalizing: S is purged */
  :: atomic { phase == 5 -> phase = 6; E++; owner[E] = 1; first[E] = first[E - 1]; stable[E] = 1 }
#endif
#if FAILS
  /* S's primary dies; who has all of it is promoted: another server, or the replica itself. */
  :: atomic { fails == 0 -> fails = 1; k = 0;
       do :: k < size[0] -> append(2, val[AT(0, k)], fE[AT(0, k)], fP[AT(0, k)]); k++ :: else -> break od; k = 0;
       if :: rH == 0 && rO == size[0] -> rH = 2; rPrimary = 1 :: skip fi }
  /* The topology names it; then its fence is written (takeover.pml), and it is written to. */
  :: atomic { fails == 1 -> fails = 2; E++; owner[E] = 0; first[E] = 2; stable[E] = 1;
       append(2, val[HEAD(2)], E, 2) }
  /* The replica follows it from where it was: psync. */
  :: atomic { fails > 0 && rH == 0 && !rPrimary -> rH = 2 }
#endif
  od
}

proctype Replica() {
  byte o;
end:
  do
  :: atomic { !rPrimary && rO < size[rH] && !(rH == 0 && fails > 0) -> rO++ }
  :: atomic { rPrimary && rO < size[rH] -> rO = size[rH] }
#if RESTARTS
  /* Another process at the address, with a file as old as may be; connections end. */
  :: atomic { restarts < RESTARTS && !rPrimary -> restarts++; rInc++; rO = 1 }
#endif
#if REPOINTS
  :: atomic { repoints < REPOINTS && !rPrimary -> repoints++; rH = 1; rO = size[1] }
#endif
  /* replica_watch.c: it answers INFO replication; the answer travels. */
  :: atomic { qAsked != NONE && !qBack -> qBack = 1; qOffset = rO; qH = rH; qFollows = !rPrimary }
  /* The worker's read, and behind it HMGET of the fence. */
  :: atomic { read == 1 && wInc == rInc -> read = 2; rVal = val[AT(rH, rO - 1)]
#ifdef PROOFFIRST
       ; read = 3
#endif
     }
  :: atomic { read == 2 && wInc == rInc -> read = 3; rE = fE[AT(rH, rO - 1)]; rP = fP[AT(rH, rO - 1)] }
  od
}

proctype Control() {
end:
  do
  /* replica_watch_adopt: everything is forgotten. */
  :: atomic { cE < E -> cE = E; forget_question()
#ifndef KEEPLEVEL
       ; sAsked = NONE; sOffset = 0; cLevel = NONE
#endif
     }
  /* replica_watch_hear: the primary answers at once, from when it was asked. One that is dead, or
   * has another replid than the topology says, does not. */
  :: atomic { !(PROCESS(cE) == 0 && fails > 0) && (sAsked != now || sOffset != size[PROCESS(cE)]) ->
       sAsked = now; sOffset = size[PROCESS(cE)] }
#ifdef PROMPT
  /* The replica is asked and answers at once. */
  :: atomic { !rPrimary && rH == PROCESS(cE) && sAsked != NONE && sOffset <= rO && cLevel != sAsked ->
       cLevel = sAsked }
#else
  /* ask: one question at a time. */
  :: atomic { sAsked != NONE && qAsked == NONE -> qAsked = now }
  /* Its connection is lost before an answer was on its way. */
  :: atomic { qAsked != NONE && !qBack -> forget_question() }
  /* on_answer, note_level */
  :: atomic { qBack ->
       if
       :: qFollows && qH == PROCESS(cE) && sAsked != NONE &&
#ifndef LATEANSWER             /* it was level then, and it was the process that is there */
          sAsked < qAsked &&
#endif
          sOffset <= qOffset -> cLevel = sAsked
       :: else
       fi;
       forget_question() }
#endif
  od
}

proctype Worker() {
end:
  do
  /* router_adopt, replica_reads_adopt: what is under way goes to the primary, connections end. */
  :: atomic { wE < cE -> wE = cE;
#ifndef KEEPREADS
       forget_read(); ready = NONE; wInc = 0;
#endif
#ifndef KEEPLEVEL
       wLevel = NONE
#endif
     }
  /* replica_reads_take: of the list's epoch only. */
  :: atomic { wE == cE && wLevel != cLevel -> wLevel = cLevel }
  /* reader_new, on_ready; the connection of a process that ended is lost. */
  :: atomic { wInc != rInc && read == 0 -> wInc = rInc; ready = now }
  :: atomic { wInc != rInc && read > 0 -> forget_read() }
  /* find_reader, replica_reads_send */
  :: atomic { read == 0 && wInc == rInc && LEVEL(wLevel) && owner[wE] == OF &&
#ifndef INMIGRATION            /* router.c: is_for_replica */
       stable[wE] &&
#endif
#ifndef NOREADY                /* can_take */
       wLevel > ready &&
#endif
       1 -> read = 1; arrived = wLevel
#ifdef PROOFFIRST              /* the fence is asked for before the read, not behind it */
       ; rE = fE[AT(rH, rO - 1)]; rP = fP[AT(rH, rO - 1)]
#endif
     }
  /* on_proof: passed on, or asked of the primary. */
  :: atomic { read == 3 ->
       if
       ::
#ifndef NOBOUND
          LEVEL(arrived) &&
#endif
#ifndef NOPROOF                /* FAIL_POINT("rule.no-replica-proof") */
          rE <= wE &&
#endif
#ifndef NOPROCESS
          rP == PROCESS(wE) &&
#endif
          1 ->
          assert(rVal > 0);
          assert(now <= BOUND || rVal >= past[now - BOUND - 1])
       :: else
       fi;
       forget_read() }
  od
}

proctype Clock() {
end:
  do
  :: atomic { now < TMAX -> past[now] = hi; now++ }
  od
}

init {
  atomic {
    val[AT(0, 0)] = 1; fE[AT(0, 0)] = 1; fP[AT(0, 0)] = 0;
    val[AT(1, 0)] = 0; fE[AT(1, 0)] = 1; fP[AT(1, 0)] = 1;
    size[2] = 0; owner[1] = 0; stable[1] = 1; arrived = NONE;
    run Primaries(); run Replica(); run Control(); run Worker(); run Clock()
  }
}
