/* Taking over a shard: one server, the store's document, proxies, and any number who find that the
 * server's fence is gone, or names another process. Each may sleep for ever between any two steps.
 * What the steps are in the code: lib/cluster/takeover.c and bootstrap.c, lib/shard/lua/.
 *
 * Checked:
 *   X1  once document and fence name the process again, nobody who has not heard that the shard
 *       was elsewhere meanwhile executes there;
 *   X2  nobody executes with a view older than a barrier that has come to its end;
 *   X3  a fence is never lower than one that was there before it, lost or not;
 *   X4  a guard is made for no generation of before a loss that took the guards and metadata;
 *   X5  the generation that is open is never refused for `born`.
 * -DX switches break a rule, see cases. */
#ifndef NT
#define NT 2      /* those who take over */
#endif
#ifndef TRIES
#define TRIES 1   /* times that each looks anew: TAKEOVER_TRIES, fewer */
#endif
#ifndef MAXE
#define MAXE 4    /* largest epoch */
#endif
#ifndef LOSSES
#define LOSSES 2  /* FLUSHALL from outside, an eviction: the fence goes, the connections stay */
#endif
#ifndef RESTARTS
#define RESTARTS 0
#endif
#ifndef MIGRATES
#define MIGRATES 1 /* a migration may be opened on the shard */
#endif
#ifndef AWAYS
#define AWAYS 0   /* times that the document names another server in between */
#endif
#define ELSEWHERE 0
#define CLOSED 9

/* ---- the document, and what its versions have named ---- */
byte E = 1, named[MAXE + 1] = 1;
byte gen = 0;     /* generation of a migration that is open on the shard; 0: the shard is unused */
/* ---- the server: its process, and the fence ---- */
byte proc = 1;
#ifdef FIRST      /* shard add has named the process and crashed before it wrote the first fence */
bit fIs = 0;
byte fP = 0, fE = 0;
#else
bit fIs = 1;
byte fP = 1, fE = 1;
#endif
byte fBorn = 0, fGuard = 0;
bit peer = 0;     /* the proxy is on the fence's list of peers */
/* ---- connections: of those who take over, and of the proxy; and its view ---- */
bit link[NT], conn = 0;
byte pE = 1;
/* ---- ghosts ---- */
byte highest = 1; /* epoch that any fence ever had */
byte barrier = 0; /* the newest that has ended */
byte away = 0;    /* the newest document that names another server */
byte oldest = 0;  /* generation whose metadata no loss has taken */
bit unnamed = 0;  /* a loss since which no new base has begun */
byte losses = 0, restarts = 0, aways = 0;

inline rise(to) { if :: to > fE -> fE = to :: else fi; if :: fE > highest -> highest = fE :: else fi }
/* fence_kill_everybody: all connections but the caller's. */
inline kill_everybody(me) {
  k = 0; do :: k < NT -> if :: k != me -> link[k] = 0 :: else fi; k++ :: else -> break od; k = 0;
  conn = 0
}
inline all_end() { k = 0; do :: k < NT -> link[k] = 0; k++ :: else -> break od; k = 0; conn = 0 }
inline lose_fence() { fIs = 0; fP = 0; fE = 0; fBorn = 0; fGuard = 0; peer = 0 }
/* Guards and metadata are gone: what is open needs a new base, and what begins later has one. */
inline lose_metadata() { if :: gen > 0 -> unnamed = 1 :: else -> oldest = E + 1 fi }
/* write_fence.lua. `needs`: the mode is takeover, and wants a fence to be there. */
inline write_fence(needs, epoch) {
  if
  :: !fIs ->
#ifndef ANYMODE
     if :: needs -> goto again :: else fi;
#endif
#ifndef NOBORN
     fBorn = epoch;
#endif
     fIs = 1; fE = epoch; assert(fE >= highest)                 /* X3 */
  :: else ->
#ifdef NOTMAX
     fE = epoch; assert(fE >= highest);
#endif
#ifdef CLOSEDGONE                /* peers are forgotten where a closed fence is taken back */
     if :: fP != proc -> peer = 0 :: else fi
#else
#ifndef PEERSGONE
     if :: fP != proc && fP != CLOSED -> peer = 0 :: else fi
#else
     peer = 0
#endif
#endif
  fi;
  fP = proc; rise(epoch)
}
/* Whatever goes over a connection that was killed fails, and the shard is looked at anew. */
#define OVER_LINK if :: !link[me] -> goto again :: else fi

proctype Taker(byte me) {
  byte tries = 0, k = 0;
  byte who = 0, sawP = 0, saw = 0, doc = 0, epoch = 0; bit sawIs = 0, hasRead = 0, wasNamed = 0;
again:
  atomic {                       /* take_repeatedly; probe_open */
    link[me] = 0; sawP = 0; sawIs = 0; saw = 0; doc = 0; epoch = 0; hasRead = 0; wasNamed = 0; who = 0;
    if :: tries == TRIES -> goto done :: else -> tries++; link[me] = 1; who = proc fi
  }
  atomic { OVER_LINK; sawIs = fIs; sawP = fP }                  /* look: fence_read */
  atomic {                       /* look: read_topology, is_in_order */
    if :: sawIs && sawP == who && named[E] == who -> goto done :: else -> saw = E fi
  }
  if
  :: !sawIs ->                   /* look_alone */
#ifdef READFIRST
     atomic { OVER_LINK; if :: fIs -> goto again :: else fi };
#endif
#ifndef NOLOOKKILL
     atomic { OVER_LINK; kill_everybody(me) };
#endif
#ifndef READFIRST
     atomic { OVER_LINK; if :: fIs -> goto again :: else fi }
#endif
  :: else ->                     /* close_to_older_epochs: raise.lua, then everybody is killed */
#ifndef NORAISE
#ifdef RAISEOWN                  /* only a fence that names the process */
     if :: sawP == who :: else -> goto raised fi;
#endif
     atomic { OVER_LINK; if :: !fIs || fP != sawP -> goto again :: else -> rise(saw) fi };
#ifndef RAISENOKILL
     atomic { OVER_LINK; kill_everybody(me) }
#else
     skip
#endif
#else
     skip
#endif
  fi;
raised:
  do                             /* cluster_change: name_process */
  :: atomic {
       doc = E; epoch = E;
       if :: !hasRead -> hasRead = 1; wasNamed = (named[E] == who) :: else fi;
#ifdef NONAMING                  /* who is named already is not named again */
       if :: named[E] == who -> break :: else fi
#else
       if :: named[E] == who && !wasNamed ->                    /* another one did it */
#ifndef BORNPRESENT
          if :: gen > 0 && gen < epoch -> epoch = gen :: else fi; /* not above what is open */
#endif
          break
       :: else fi
#endif
#ifndef STALERAISE               /* the raise was for the document that this one replaces */
       ; if :: sawIs && E != saw -> goto again :: else fi
#endif
     }
     atomic {
       if
       :: E != doc -> skip
       :: E == doc && E == MAXE -> goto done
       :: E == doc && E < MAXE ->
          E++; named[E] = who; epoch = E;
          if :: gen > 0 -> gen = E :: else fi;                  /* topology_replace_process */
          if :: unnamed -> unnamed = 0; oldest = E :: else fi;
          break
       fi
     }
  od;
#ifndef NOKILL                   /* fence_process */
  atomic { OVER_LINK; kill_everybody(me) };
#endif
  atomic { OVER_LINK; write_fence(sawIs, epoch) };
done:
  atomic { link[me] = 0; sawP = 0; sawIs = 0; saw = 0; doc = 0; epoch = 0; hasRead = 0; wasNamed = 0; who = 0; tries = 0 }
}

/* shard add, init: bootstrap.c. The shard is used for nothing by the document that it read. */
proctype Founder(byte me) {
  byte k = 0, saw = 0, newest = 0, who = 0;
  atomic { if :: gen > 0 || named[E] != proc -> goto again :: else fi; saw = E; link[me] = 1; who = proc };
  atomic { OVER_LINK; if :: fIs -> goto again :: else fi };      /* write_first_fence */
  atomic { OVER_LINK; kill_everybody(me) };                      /* look_alone */
  atomic { OVER_LINK; if :: fIs -> goto again :: else fi };
  newest = E;
#ifndef FIRSTOLD
  if :: newest != saw -> goto again :: else fi;
#endif
#ifndef FIRSTNOKILL
  atomic { OVER_LINK; kill_everybody(me) };
#endif
  atomic { OVER_LINK; if :: fIs -> goto again :: else fi; write_fence(0, newest) };
again:                           /* the caller takes over: that is a Taker */
  atomic { link[me] = 0; saw = 0; newest = 0; who = 0 }
}

/* A migrator whose barrier, and whose guard, may come late. */
proctype Migrator() {
  byte e = 0, g = 0, p = 0;
end:
  do
  :: atomic { named[E] == proc && gen > 0 -> e = E; p = named[E] };   /* barrier.c: raise.lua */
     atomic {                    /* who is listed and has not published is killed, and removed */
       if
       :: fIs && fP == p && proc == p ->
          rise(e);
          if :: peer && pE < e -> conn = 0; peer = 0 :: else fi;
          if :: e > barrier -> barrier = e :: else fi
       :: else
       fi;
       e = 0; p = 0
     }
  :: atomic { gen > 0 -> g = gen; p = named[E] };                     /* guard.lua, make.lua */
     atomic {
       if
       :: !(fIs && fP == p && proc == p) || fGuard > g -> skip
       :: fIs && fP == p && proc == p && fGuard == 0 && g < fBorn -> assert(g != gen) /* X5 */
       :: fIs && fP == p && proc == p && fGuard <= g && (fGuard > 0 || g >= fBorn) ->
          fGuard = g; assert(!unnamed && g >= oldest)                 /* X4 */
       fi;
       g = 0; p = 0
     }
  od
}

proctype World() {
  byte k = 0;
end:
  do
  /* The proxy adopts; its connection is to the process that its view names. */
  :: atomic { pE < E -> if :: named[E] != named[pE] -> conn = 0 :: else fi; pE = E }
  /* hello.lua */
  :: atomic { !conn && fIs && fP == proc && named[pE] == proc &&
#ifndef NOHELLO
              fE <= pE ->
#else
              1 ->
#endif
              conn = 1; peer = 1 }
  /* A command of it is executed. */
  :: atomic { conn ->
       assert(pE >= barrier);                                          /* X2 */
       assert(!(named[E] == proc && fIs && fP == proc) || pE >= away)  /* X1 */ }
  /* A migration is opened, or goes on: with a new generation or without. */
  :: atomic { MIGRATES && E < MAXE -> E++; named[E] = named[E - 1]; gen = E }
  :: atomic { E < MAXE && gen > 0 -> E++; named[E] = named[E - 1] }
  /* The fence is lost. */
  :: atomic { fIs && losses < LOSSES -> losses++; lose_fence(); lose_metadata() }
#if RESTARTS > 0
  /* The process ends, and another begins: empty, or with all that was in its file. */
  :: atomic { restarts < RESTARTS -> restarts++; proc++; all_end(); lose_metadata();
       if :: lose_fence() :: skip fi }
#endif
#if AWAYS > 0
  /* The document moves to another server, and this process is closed, or cannot be reached: who
   * closes it may die before it has killed everybody (close_fence.lua, former.c). */
  :: atomic { aways < AWAYS && E < MAXE && named[E] == proc -> aways++;
       E++; named[E] = ELSEWHERE; away = E; if :: gen > 0 -> gen = E :: else fi }
  :: atomic { named[E] == ELSEWHERE && fIs && fP == proc -> fP = CLOSED; rise(E);
       if :: conn = 0 :: skip fi }
#endif
  od
}

init {
  byte i = 0;
  atomic {
    named[0] = 0;
#ifdef FIRST
    run Founder(0); i = 1;
#endif
    do :: i < NT -> run Taker(i); i++ :: else -> break od;
    i = 0;
    run Migrator(); run World()
  }
}
